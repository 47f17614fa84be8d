"""One door for each thing that a compiler must not do just anywhere. A breach is told which door to take."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from laws.house import HOUSE, ROOT, House, Module, told


@dataclass(frozen=True)
class Door:
    """Where something may be done, and why nowhere else. A place is a folder or a module of the package."""

    places: tuple[str, ...]
    reason: str

    def is_open_to(self, module: Module) -> bool:
        return any(module.name == place or module.name.startswith(f"{place}.") for place in self.places)

    def breach(self, module: Module, line: int, what: str) -> str:
        return (
            f"{module.at(line)}: {what} belongs in {' or '.join(self.places) or 'no module'}: {self.reason}"
        )


PACKAGES = {
    "jinja2": Door(("codegen.render",), "all templates are rendered in one environment"),
    "numba": Door(
        ("runtime", "tuning.toolchain", "tuning.gpu_bench"),
        "a kernel is compiled in one way, which its cache key describes",
    ),
    "llvmlite": Door(("runtime", "tuning.toolchain"), "machine code is made and loaded in one way"),
    "numpy": Door(
        ("expr.evaluate", "ir", "runtime", "schedule.sight", "backend", "tuning", "pruning", "interop"),
        "what checks a spec or writes code works on values of its own, and starts without waiting for NumPy",
    ),
    "ml_dtypes": Door(
        ("ir", "runtime", "backend", "tuning", "pruning", "interop"),
        "it gives NumPy bfloat16, where NumPy is used",
    ),
    "pydantic": Door(("spec",), "the spec is where data from outside becomes values"),
    "pydantic_core": Door(("spec",), "the spec is where data from outside becomes values"),
    "tree_sitter": Door(("spec.places",), "one module knows where a key stands in a file"),
    "tree_sitter_toml": Door(("spec.places",), "one module knows where a key stands in a file"),
    "click": Door(("cli",), "the command line is one of two ways in; the other is Python"),
    "rich": Door(("cli",), "everything else returns values, which the command line shows"),
    # Optional: whoever has none of these misses the comparison with them, and nothing else.
    "torch": Door(("interop",), "PyTorch is one of those whom mhagen meets, and nothing that it needs"),
    "onnx": Door(("interop",), "ONNX is one of those whom mhagen meets, and nothing that it needs"),
    "onnxruntime": Door(("interop",), "ONNX Runtime is one of those whom mhagen meets"),
    "openvino": Door(("interop",), "OpenVINO is one of those whom mhagen meets"),
    "threadpoolctl": Door(("interop",), "it sets the threads of NumPy's own products, as one of the peers"),
    "optuna": Door(("tuning.optuna_search",), "Optuna is one strategy among others, for those who have it"),
    "safetensors": Door(("ir.files",), "one module knows the formats of files of arrays"),
    # Modules of the standard library with which data becomes code.
    "pickle": Door((), "a pickle runs what it says; store bytes with a digest instead"),
    "marshal": Door((), "code from a file runs unchecked; store bytes with a digest instead"),
    "shelve": Door((), "a shelf is made of pickles; store bytes with a digest instead"),
    "code": Door((), "no text becomes code but what codegen wrote"),
}
DISTRIBUTIONS = {
    "ml_dtypes": "ml-dtypes",
    "tree_sitter": "tree-sitter",
    "tree_sitter_toml": "tree-sitter-toml",
}
COMES_WITH = {"llvmlite": "numba", "pydantic_core": "pydantic"}
# Imported by who has them: declared as extras.
OPTIONAL = frozenset(("torch", "onnx", "onnxruntime", "openvino", "optuna", "safetensors"))

ENVIRONMENT = Door(("base.settings",), "every setting is a row there, with its type, default and meaning")
TERMINAL = Door(("cli", "__main__"), "everything else returns values or raises, so that it can be called")
NAMES = {
    **dict.fromkeys(("environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"), ENVIRONMENT),
    **dict.fromkeys(("print", "input", "breakpoint", "exit", "quit", "_exit", "abort"), TERMINAL),
    **dict.fromkeys(("stdout", "stderr", "stdin", "SystemExit"), TERMINAL),
}
OWNERS = ("os", "sys")  # whose attributes of these names are meant; a method of these names is another thing

# Everything that turns text into running code, and the one place that must.
CODE_FROM_TEXT = frozenset(
    ("eval", "exec", "compile", "__import__", "exec_module", "run_path", "run_module", "from_string")
)
TEXT_THAT_RUNS = {
    "cli: exec": "no text at all, after which Python has forgotten an interrupt that was caught",
    "interop.peers.torch_flex: compile": "PyTorch's compiler, which is given a function and no text",
    "runtime.gpu_compiler: compile": "Numba's compiler, which is given a function and no text",
    "backend.cpu: exec_module": "imports the module that codegen wrote: every value in it is lower's",
}
CATCHES_EVERYTHING = {
    "runtime.threads: BaseException": "a worker's error is raised in the thread that called",
    "runtime.entry: BaseException": "a half-written file is deleted, and the error goes on",
    "backend.cpu: BaseException": "a half-imported module is forgotten, and the error goes on",
    "tuning.peer: Exception": "what a peer raises is the reason why it is left out",
    "tuning.isolated: Exception": "what a candidate raises is the verdict on it",
    "cli.failures: Exception": "the last border: whatever happens becomes a message and an exit code",
}


def breaches_of_packages(house: House) -> Iterator[str]:
    for module in house.modules.values():
        for each in house.imports(module):
            door = PACKAGES.get(each.package)
            if door is not None and not door.is_open_to(module):
                yield door.breach(module, each.line, f"importing {each.package}")
            known = each.package in (house.package.name, *sys.stdlib_module_names)
            if door is None and not known:
                yield f"{module.at(each.line)}: {each.package} has no door; give it one in test_doors.py"


def breaches_by_names(house: House) -> Iterator[str]:
    for module in house.modules.values():
        for name, line in names_used(module):
            if name in NAMES and not NAMES[name].is_open_to(module):
                yield NAMES[name].breach(module, line, name)


def names_used(module: Module) -> Iterator[tuple[str, int]]:
    """Builtins that are meant (the module gives their name to nothing else), and attributes of os and sys."""
    own = set(names_bound(module))
    for node in module.nodes():
        match node:
            case ast.Name(name, ast.Load()) if name not in own:
                yield name, node.lineno
            case ast.Attribute(ast.Name(owner), name) if owner in OWNERS:
                yield name, node.lineno
            case ast.ImportFrom(module=owner, names=names) if owner in OWNERS:
                yield from ((alias.name, node.lineno) for alias in names)


def names_bound(module: Module) -> Iterator[str]:
    for node in module.nodes():
        match node:
            case ast.Name(name, ast.Store()) | ast.arg(name) | ast.FunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.Import(names) | ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)


def texts_run(house: House) -> Iterator[tuple[Module, int, str]]:
    for module in house.modules.values():
        for node in module.nodes():
            match node:
                case ast.Name(name, ast.Load()) if name in CODE_FROM_TEXT:
                    yield module, node.lineno, name
                case ast.Attribute(ast.Name("re"), "compile"):
                    continue
                case ast.Attribute(attr=name) if name in CODE_FROM_TEXT:
                    yield module, node.lineno, name


def broad_catches(house: House) -> Iterator[tuple[Module, int, str]]:
    for module in house.modules.values():
        for node in module.nodes():
            if isinstance(node, ast.ExceptHandler):
                caught = [ast.unparse(each) for each in types_of(node)]
                broad = [name for name in caught if name in ("", "Exception", "BaseException")]
                yield from ((module, node.lineno, name) for name in broad)


def types_of(handler: ast.ExceptHandler) -> list[ast.expr]:
    match handler.type:
        case None:
            return [ast.Name("")]
        case ast.Tuple(elements):
            return elements
        case single:
            return [single]


def test_packages_are_imported_by_their_doors_only() -> None:
    breaches = sorted(breaches_of_packages(HOUSE))
    assert not breaches, told(breaches)


def test_environment_terminal_and_exit_have_one_door_each() -> None:
    breaches = sorted(breaches_by_names(HOUSE))
    assert not breaches, told(breaches)


def test_no_text_becomes_code_but_what_codegen_wrote() -> None:
    breaches = [
        f"{module.at(line)}: {name} runs text; parse it, as expr.parse does, or say why here"
        for module, line, name in texts_run(HOUSE)
        if f"{module.name}: {name}" not in TEXT_THAT_RUNS
    ]
    assert not breaches, told(breaches)


def test_errors_are_caught_by_what_they_are() -> None:
    breaches = [
        f"{module.at(line)}: `except {name}` hides bugs; name the errors that are expected, or say why here"
        for module, line, name in broad_catches(HOUSE)
        if f"{module.name}: {name}" not in CATCHES_EVERYTHING
    ]
    assert not breaches, told(breaches)


def test_every_exception_to_a_law_is_still_needed() -> None:
    assert {f"{module.name}: {name}" for module, _, name in texts_run(HOUSE)} == set(TEXT_THAT_RUNS)
    assert {f"{module.name}: {name}" for module, _, name in broad_catches(HOUSE)} == set(CATCHES_EVERYTHING)


def test_what_is_imported_is_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    used = {each.package for module in HOUSE.modules.values() for each in HOUSE.imports(module)}
    used = {name for name in used if name != HOUSE.package.name and name not in sys.stdlib_module_names}
    needed = used - set(COMES_WITH) - OPTIONAL
    assert declared == {DISTRIBUTIONS.get(name, name) for name in needed}
    assert {COMES_WITH[name] for name in used & set(COMES_WITH)} <= declared
    extras = {
        re.match(r"[\w-]+", line)[0] for lines in project["optional-dependencies"].values() for line in lines
    }
    assert used & OPTIONAL <= extras


PLANTED = {
    "base/settings.py": "import os\nos.environ.get('A')\n",
    "spec/a.py": "import os\nfrom jinja2 import Template\nimport left_pad\ndef f():\n    os.getenv('A')\n",
    "ir/a.py": "from os import environ\nprint(environ)\nraise SystemExit\nbuffer.stdout\n",
    "passes/a.py": "import re\nre.compile('a')\neval('1')\nlinecache.compile('a')\n",
    "cli/a.py": "import sys\nsys.exit(print('a'))\ntry:\n    pass\nexcept (OSError, Exception):\n    pass\n",
    "codegen/a.py": "try:\n    pass\nexcept:\n    pass\n",
}


def test_a_breach_is_seen(tmp_path: Path) -> None:
    for name, text in PLANTED.items():
        (tmp_path / "mhagen" / name).parent.mkdir(parents=True)
        (tmp_path / "mhagen" / name).write_text(text)
    house = House(tmp_path / "mhagen")
    assert places(breaches_of_packages(house)) == ["spec/a.py:2", "spec/a.py:3"]
    assert places(breaches_by_names(house)) == [
        *("ir/a.py:1", "ir/a.py:2", "ir/a.py:3", "spec/a.py:5"),
    ]
    assert [(module.name, line) for module, line, _ in texts_run(house)] == [("passes.a", 3), ("passes.a", 4)]
    assert [(m.name, line, name) for m, line, name in broad_catches(house)] == [
        ("cli.a", 5, "Exception"),
        ("codegen.a", 3, ""),
    ]


def places(breaches: Iterator[str]) -> list[str]:
    return sorted(re.search(r"mhagen/(\S+:\d+):", breach)[1] for breach in breaches)

"""The layering: what is built on what, so that each folder can be read, tested and replaced by itself."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from laws.house import EXAMPLES, HOUSE, ORDER, ROOT, House, told

RUNTIME_MAY_IMPORT = ("base", "runtime")
# The interpreter is the oracle: what it judges must not be made of it, nor it of what it judges.
INTERPRETER = ("expr.evaluate", "ir.evaluate", "ir.reference")
JUDGED = ("passes", "schedule", "codegen", "runtime")
PASSES_SHARE = ("passes", "passes.rewrite", "passes.run")  # the tuple of all passes, and what every pass is


def breaches_of_order(house: House) -> Iterator[str]:
    for name, module in house.modules.items():
        if module.is_door:
            continue
        for target, line in house.arrows[name].items():
            theirs = target.partition(".")[0]
            if theirs not in ORDER:
                yield f"{module.at(line)}: {target} is for those outside; import what it takes things from"
            elif ORDER.index(theirs) > ORDER.index(module.folder):
                yield (
                    f"{module.at(line)}: {module.folder} may not import {theirs}, which is built on it: "
                    f"move what both need into {module.folder} or below, or let {theirs} pass it in"
                )


def breaches_of_runtime(house: House) -> Iterator[str]:
    for module in house.modules.values():
        for target, line in house.arrows[module.name].items():
            if module.folder == "runtime" and target.partition(".")[0] not in RUNTIME_MAY_IMPORT:
                yield (
                    f"{module.at(line)}: runtime travels with generated kernels, so it may import base only, "
                    f"not {target}"
                )


def circles(house: House) -> Iterator[str]:
    reach = {name: house.reach(name) for name in house.arrows}
    for name, targets in house.arrows.items():
        for target in targets:
            if name in reach.get(target, ()):
                place = house.modules[name].at(targets[target])
                yield f"{place}: {name} imports {target}, which imports {name}"


def breaches_between_passes(house: House) -> Iterator[str]:
    for module in house.modules.values():
        if module.folder != "passes" or module.name in PASSES_SHARE:
            continue
        for target, line in house.arrows[module.name].items():
            if target.startswith("passes") and target not in PASSES_SHARE[1:]:
                yield (
                    f"{module.at(line)}: a pass may not import {target}: passes meet in the graph alone; "
                    "what both need belongs in passes/rewrite.py or ir/"
                )


def breaches_of_the_oracle(house: House) -> Iterator[str]:
    for name in house.reach("ir.evaluate", "ir.reference"):
        if name.partition(".")[0] in JUDGED:
            yield f"the interpreter reaches {name}: it judges {', '.join(JUDGED)}, so it may use none of them"
    for module in house.modules.values():
        if module.folder not in JUDGED:
            continue
        for target, line in house.arrows[module.name].items():
            if target in INTERPRETER:
                yield f"{module.at(line)}: {module.folder} may not import {target}, which judges it"
        for node in module.nodes():
            if isinstance(node, ast.Attribute) and node.attr in ("evaluate", "run_graph"):
                yield f"{module.at(node.lineno)}: {module.folder} may not call {node.attr}, which judges it"


def breaches_by_passes_of_codegen(house: House) -> Iterator[str]:
    for module in house.modules.values():
        for target, line in house.arrows[module.name].items():
            if module.folder in ("schedule", "codegen") and target.startswith("passes"):
                yield f"{module.at(line)}: {module.folder} reads graphs, and may not know passes ({target})"


LAWS = {
    "a folder imports only those before it": breaches_of_order,
    "the runtime imports base only": breaches_of_runtime,
    "no module imports itself by a detour": circles,
    "no pass imports another": breaches_between_passes,
    "the interpreter and what it judges share no code": breaches_of_the_oracle,
    "code is generated from graphs alone": breaches_by_passes_of_codegen,
}


@pytest.mark.parametrize("law", LAWS)
def test_the_house_keeps(law: str) -> None:
    breaches = sorted(LAWS[law](HOUSE))
    assert not breaches, told(breaches)


def test_every_folder_has_its_place_in_the_order() -> None:
    folders = {module.folder for module in HOUSE.modules.values() if not module.is_door}
    assert folders <= set(ORDER), (
        f"give these a place in ORDER of tests/laws/house.py: {folders - set(ORDER)}"
    )


LIGHT = {
    "the package is imported": "import mhagen; mhagen.SpecError",
    "a spec is loaded": "from mhagen.spec.load import load_spec; load_spec(spec)",
    "help is asked for": "from mhagen.cli import main; assert main(['--help']) == 0",
    "a spec is checked": "from mhagen.cli import main; assert main(['check', spec]) == 0",
}


@pytest.mark.parametrize("work", LIGHT)
def test_neither_numpy_nor_numba_is_imported_where(work: str) -> None:
    """They take most of a second, which nobody should wait for who is told of a mistake in a spec."""
    script = f"""
import sys
spec = {str(EXAMPLES / "alibi.toml")!r}
{LIGHT[work]}
assert not {{"numpy", "numba", "llvmlite"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


PLANTED = {
    "base/errors.py": "",
    "codegen/render.py": "from ..passes import PASSES\n",
    "cli/__init__.py": "",
    "expr/evaluate.py": "",
    "ir/ops.py": "from ..base.errors import E\n",
    "ir/bad.py": "def f():\n    from mhagen.codegen import render\n",
    "ir/evaluate.py": "from . import ops\nfrom ..runtime import store\n",
    "ir/reference.py": "from .evaluate import run_graph\n",
    "passes/__init__.py": "from .a import a\n",
    "passes/a.py": "from .rewrite import Rule\nfrom ..ir import ops\nops.Scale(2.0).evaluate(x)\n",
    "passes/b.py": "from .a import x\n",
    "passes/rewrite.py": "from ..expr.evaluate import evaluate\n",
    "runtime/ok.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli import main\n",
    "runtime/bad.py": "if not TYPE_CHECKING:\n    from ..spec import model\n",
    "runtime/store.py": "from .other import load\n",
    "runtime/other.py": "def f():\n    from .store import save\n",
    "spec/door.py": "from .. import build\n",
    "spec/model.py": "",
}
FOUND = {
    "a folder imports only those before it": ["ir/bad.py:2", "runtime/bad.py:2", "spec/door.py:1"],
    "the runtime imports base only": ["runtime/bad.py:2"],
    "no module imports itself by a detour": ["runtime/other.py:2", "runtime/store.py:1"],
    "no pass imports another": ["passes/b.py:1"],
    "the interpreter and what it judges share no code": ["passes/a.py:3", "passes/rewrite.py:1", "runtime"],
    "code is generated from graphs alone": ["codegen/render.py:1"],
}


@pytest.mark.parametrize("law", LAWS)
def test_a_breach_is_seen(law: str, tmp_path: Path) -> None:
    house = planted(tmp_path)
    breaches = sorted(LAWS[law](house))
    for place in FOUND[law]:
        assert [breach for breach in breaches if place in breach], told(breaches)
    if law != "the interpreter and what it judges share no code":  # one line for each module reached
        assert len(breaches) == len(FOUND[law]), told(breaches)


def planted(folder: Path) -> House:
    for name, text in PLANTED.items():
        path = folder / "mhagen" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return House(folder / "mhagen")

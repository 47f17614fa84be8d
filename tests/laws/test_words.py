"""Docstrings where readers look for them: modules, classes, passes, ops, and what other folders call."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

import mhagen
from laws.house import HOUSE, Module, told
from mhagen.ir.parse import VOCABULARY
from mhagen.passes import PASSES

Definition = ast.ClassDef | ast.FunctionDef
# What a pass must say; Before and After are shown side by side.
OF_A_PASS = ("Before", "After", "Leaves", "Numbers")
OF_AN_OP = ("Meaning", "Example")


def definitions(module: Module) -> dict[str, Definition]:
    return {node.name: node for node in module.tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def called_from_other_folders() -> Iterator[tuple[str, str, str]]:
    """Each name that a folder imports from a module of another: the importing module, the other, the name."""
    for module in HOUSE.modules.values():
        for node in module.nodes():
            if not isinstance(node, ast.ImportFrom):
                continue
            origin = HOUSE.inside(HOUSE.origin(module, node))
            if origin in HOUSE.modules and HOUSE.modules[origin].folder != module.folder:
                yield from ((module.name, origin, alias.name) for alias in node.names)


def heading(word: str) -> str:
    return rf"(?m)^ *{word}\b"


def test_every_module_says_what_it_is() -> None:
    silent = [str(module.path) for module in HOUSE.modules.values() if not ast.get_docstring(module.tree)]
    assert not silent, told(silent)


def test_every_public_class_says_what_it_is() -> None:
    silent = [
        f"{module.at(node.lineno)}: {node.name}"
        for module in HOUSE.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not silent, told(silent)


def test_what_another_folder_calls_says_what_it_does() -> None:
    """A function that is imported from another folder is public, whatever its name."""
    silent = set()
    for reader, origin, name in called_from_other_folders():
        node = definitions(HOUSE.modules[origin]).get(name)
        if node is not None and not ast.get_docstring(node):
            silent.add(f"{HOUSE.modules[origin].at(node.lineno)}: {name}, which {reader} calls")
    assert not silent, told(sorted(silent))


def test_nothing_private_is_read_from_another_module() -> None:
    taken = [
        f"{module.at(node.lineno)}: {alias.name}"
        for module in HOUSE.modules.values()
        for node in module.nodes()
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if re.match("_[^_]", alias.name)
    ]
    assert not taken, told(taken)


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for name in mhagen.__all__ if not inspect.getdoc(getattr(mhagen, name))]
    assert not silent


def test_every_pass_shows_what_it_does() -> None:
    for stage in PASSES:
        document = inspect.getdoc(stage.run) or ""
        lost = [word for word in OF_A_PASS if not re.search(heading(word), document)]
        assert not lost, f"{stage.name}: the docstring lacks {', '.join(lost)}"
        assert re.fullmatch(r"[a-z]\S* .+", stage.reason, re.DOTALL), (
            f"{stage.name} has no reason to be there"
        )


def test_every_pass_is_one_file_of_its_name() -> None:
    files = {name.partition(".")[2] for name in HOUSE.modules if name.startswith("passes.")}
    assert {stage.name for stage in PASSES} == files - {"rewrite", "run"}
    assert all(stage.run.__module__ == f"mhagen.passes.{stage.name}" for stage in PASSES)


def test_every_op_says_what_it_means() -> None:
    for op in VOCABULARY.values():
        lost = [word for word in OF_AN_OP if not re.search(heading(word), inspect.getdoc(op) or "")]
        assert not lost, f"{op.__name__}: the docstring lacks {', '.join(lost)}"

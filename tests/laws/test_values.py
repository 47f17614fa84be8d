"""What goes from stage to stage is a value: frozen, printable, equal to what is built alike."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from laws.house import HOUSE, Module, told

# Dataclasses that change while one function fills them, and never leave it.
BEING_FILLED = {
    "codegen.cells.Emitter": "collects the lines of one tile",
    "codegen.gpu_cells.Emitter": "collects the lines of one kernel",
    "codegen.reach.Solver": "has a Bounder, which collects the lines of one function",
    "codegen.tiles.Bounder": "collects the lines of one function",
    "tuning.visibility.Reader": "keeps what the lines of one function have set",
}
CHANGEABLE = ("list", "dict", "set", "List", "Dict", "Set", "MutableMapping", "MutableSequence", "bytearray")


def dataclasses() -> Iterator[tuple[Module, ast.ClassDef, bool]]:
    """Every dataclass, and whether it is frozen."""
    for module in HOUSE.modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                for decorator in map(ast.unparse, node.decorator_list):
                    if decorator.partition("(")[0] == "dataclass":
                        yield module, node, "frozen=True" in decorator


def test_every_dataclass_is_frozen() -> None:
    open_ = {f"{module.name}.{node.name}" for module, node, is_frozen in dataclasses() if not is_frozen}
    assert open_ == set(BEING_FILLED)


def test_what_is_frozen_holds_nothing_that_changes() -> None:
    breaches = [
        f"{module.at(field.lineno)}: {node.name}.{ast.unparse(field)}; take a tuple, or a Mapping"
        for module, node, is_frozen in dataclasses()
        for field in node.body
        if is_frozen and isinstance(field, ast.AnnAssign) and holds_changeable(field.annotation)
    ]
    assert not breaches, told(breaches)


def holds_changeable(annotation: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id in CHANGEABLE for node in ast.walk(annotation))

"""Names: no name that a spec may give to an input hides one that the generated module reads."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from mhagen.base.target import AVX512
from mhagen.pipeline import compile_to_source
from mhagen.schedule.choose import DEFAULTS
from mhagen.schedule.legal import MOST_INPUTS
from mhagen.schedule.table import EVERY_CALL, Bounds, Entry, Range, ScheduleTable
from mhagen.spec.names import why_not_an_input

INPUT = "slope"
SPEC: dict[str, Any] = {
    "name": "named",
    "heads": {"query": 4, "key_value": 2, "dim": 32},
    "scores": {"modify": f"score + {INPUT}[h] * (k - q)"},
    "inputs": {INPUT: {"shape": ["query_heads"]}},
    "projections": {"model_dim": 48},
    "outputs": {"statistics": ["lse", "received", "top_4"]},
}
PLAN = replace(DEFAULTS[AVX512.name], linear_depth=MOST_INPUTS)  # legal in 16 bits too
TABLE = ScheduleTable(
    (
        Entry(Range(threads=Bounds(2)), replace(PLAN, tile_queries=2 * PLAN.tile_queries)),
        Entry(EVERY_CALL, PLAN),
    )
)
# With every part that a module may have, with none, and in each layout: their functions read different names.
SPECS = {
    "everything": SPEC,
    "other layout": {**SPEC, "layout": "bshd"},
    "16 bits": {**SPEC, "dtype": "bfloat16"},
    "attention alone": {key: SPEC[key] for key in ("name", "heads", "scores", "inputs")},
    "no input": {key: SPEC[key] for key in ("name", "heads")},
}


CALLED = ("attention", "attend", "layer", "kernel_for", "receive", "lead")


def functions_people_call(text: str) -> Iterator[ast.FunctionDef]:
    """All but the kernel's own functions, whose parameters are named by the generator."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name in CALLED:
            yield node


def names_read(function: ast.FunctionDef) -> set[str]:
    return {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def names_given(function: ast.FunctionDef) -> Iterator[tuple[str, int]]:
    """Each name that the function gives, and the last line of the statement that does."""
    for statement in ast.walk(function):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                names = [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
                yield from ((name, statement.end_lineno or 0) for name in names)


def last_use(function: ast.FunctionDef) -> int:
    """The last line that reads the input: a name that is given only behind it hides nothing."""
    uses = [n.lineno for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == INPUT]
    return max(uses, default=0)


def names_to_avoid(text: str) -> set[str]:
    names = set()
    for function in functions_people_call(text):
        own = {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
        given = set(names_given(function))
        names |= names_read(function) - {name for name, _ in given} - own
        names |= {name for name, line in given if line < last_use(function)}
    # What begins with a capital letter is no name that a spec may give, and neither is a built-in one.
    return {name for name in names - {INPUT, "_"} if name.islower() and not hasattr(builtins, name)}


@pytest.mark.parametrize("tune", ["never", TABLE], ids=["one schedule", "a table"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_input_cannot_take_a_name_that_the_module_reads(spec: dict[str, Any], tune: Any) -> None:
    text = compile_to_source(spec, target=AVX512, tune=tune)[2].text
    takes = {name for name in names_to_avoid(text) if not why_not_an_input(name)}
    assert not takes, f"spec.names lacks {takes}"


def test_the_names_to_avoid_are_found() -> None:
    text = compile_to_source(SPEC, target=AVX512, tune=TABLE)[2].text
    assert {"address", "serving_entry", "thread_count", "bind", "np", "batch", "keys"} <= names_to_avoid(text)

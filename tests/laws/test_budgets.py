"""Budgets: a file is one idea, a function is one step. An exception is listed with its reason, or cut."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from statistics import quantiles

from laws.house import HOUSE, TEMPLATES, Module, told
from mhagen.base.settings import SETTINGS

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60
LINES_OF_MOST_FUNCTIONS = 40  # the 95th percentile
SETTINGS_IN_ALL = 9
LONG_FILES: dict[str, str] = {}
LONG_FUNCTIONS: dict[str, str] = {}
# Names under which anything could stand.
EMPTY_NAMES = frozenset(
    ("util", "utils", "helper", "helpers", "common", "core", "misc", "manager", "shared", "tools", "stuff")
)
UNFINISHED = re.compile(r"#.*\b(TODO|FIXME|XXX|HACK)\b")
SKIPPED_COMPLEXITY = re.compile(r"#\s*noqa:.*\bC901\b")


def functions() -> Iterator[tuple[str, int]]:
    """Every function, methods and inner ones too, as ir.graph.Graph.types, and its lines."""
    for module in HOUSE.modules.values():
        yield from functions_in(module.tree, module.name)


def functions_in(node: ast.AST, above: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        name = f"{above}.{child.name}" if hasattr(child, "name") and child.name else above
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, child.end_lineno - child.lineno + 1
        yield from functions_in(child, name)


def lines_matching(pattern: re.Pattern[str]) -> list[str]:
    def found(module: Module) -> Iterator[str]:
        for number, line in enumerate(module.text.splitlines(), 1):
            if pattern.search(line):
                yield f"{module.at(number)}: {line.strip()}"

    return [place for module in HOUSE.modules.values() for place in found(module)]


def test_a_file_is_one_idea() -> None:
    lengths = {name: module.text.count("\n") for name, module in HOUSE.modules.items()}
    lengths |= {path.name: path.read_text().count("\n") for path in TEMPLATES.rglob("*.j2")}
    long = {name: lines for name, lines in lengths.items() if lines > LINES_OF_A_FILE}
    assert set(long) == set(LONG_FILES), f"over {LINES_OF_A_FILE} lines, split by idea: {long}"


def test_a_function_is_one_step() -> None:
    long = {name: lines for name, lines in functions() if lines > LINES_OF_A_FUNCTION}
    assert set(long) == set(LONG_FUNCTIONS), f"over {LINES_OF_A_FUNCTION} lines, name the steps: {long}"


def test_functions_are_short() -> None:
    lengths = [lines for _, lines in functions()]
    assert quantiles(lengths, n=20)[-1] <= LINES_OF_MOST_FUNCTIONS
    assert quantiles(lengths, n=2)[0] <= 8


def test_no_function_is_excused_from_being_simple() -> None:
    assert not (found := lines_matching(SKIPPED_COMPLEXITY)), told(found)


def test_a_name_says_what_a_module_is() -> None:
    vague = [name for name in HOUSE.modules if EMPTY_NAMES & set(re.split(r"[._]", name))]
    assert not vague, f"name these for what is in them: {vague}"


def test_nothing_is_left_for_later() -> None:
    assert not (found := lines_matching(UNFINISHED)), told(found)


def test_there_are_few_settings_and_each_says_what_it_does() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS) <= SETTINGS_IN_ALL
    for setting in SETTINGS:
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", setting.name)
        assert isinstance(setting.type, type)
        assert setting.default
        assert re.fullmatch(r"\S.*\.", setting.meaning), f"{setting.name}: a sentence ends in a full stop"

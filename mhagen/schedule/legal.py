"""What a schedule must satisfy, each rule with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass

from ..base.dtypes import DType
from ..base.target import Target
from .numbers import Numbers, numbers_of
from .plan import Schedule

MOST_ROWS = 1 << 14  # scratch of a thread: 16 K rows of 1024 numbers are 64 MB
MOST_INPUTS = 1 << 29  # of a product: more than there are


@dataclass(frozen=True)
class Rule:
    """A condition on schedules of a target, and why it exists."""

    reason: str
    holds: Callable[[Schedule, Target, Numbers], bool]


def registers(rows: int, vectors: int) -> int:
    """Registers of an outer product: the sums, one vector of each column, one repeated number."""
    return rows * vectors + vectors + 1


def sizes_of_tasks(s: Schedule) -> tuple[int, ...]:
    return s.tile_queries, s.block_keys, s.chunk_keys, s.decode_queries, s.linear_block_rows


RULES = (
    Rule(
        "a score tile must fit the registers: one spill in its loop costs half of the speed",
        lambda s, t, n: registers(s.key_rows, s.query_vectors) <= t.registers,
    ),
    Rule(
        "a value tile must fit the registers",
        lambda s, t, n: registers(s.value_rows, s.value_vectors) <= t.registers,
    ),
    Rule(
        "a product tile must fit the registers",
        lambda s, t, n: registers(s.linear_rows, s.linear_vectors) <= t.registers,
    ),
    Rule(
        "a task is a whole number of groups, for its scratch holds one state a group",
        lambda s, t, n: s.tile_queries % (s.query_vectors * n.lanes) == 0,
    ),
    Rule(
        "a group is a whole number of value tiles, or rows would be left over",
        lambda s, t, n: (s.query_vectors * n.lanes) % s.value_rows == 0,
    ),
    Rule(
        "a block is a whole number of score tiles, so that only the last of a head is ragged",
        lambda s, t, n: s.block_keys % s.key_rows == 0,
    ),
    Rule(
        "a block is a whole number of what is multiplied together, or a pair would lie in two",
        lambda s, t, n: s.block_keys % n.together == 0,
    ),
    Rule(
        "a score tile is a whole number of what is multiplied together, or a pair would lie in two",
        lambda s, t, n: s.key_rows % n.together == 0,
    ),
    Rule(
        "the sums of the rows of decoding, two of each, fit the registers beside a key and a query",
        lambda s, t, n: 2 * s.decode_rows + 2 <= t.registers,
    ),
    Rule(
        "a task of a product is a whole number of its tiles",
        lambda s, t, n: s.linear_block_rows % s.linear_rows == 0,
    ),
    Rule(
        "a product of a narrow format takes all inputs at once, or sums would lie in the output, rounded",
        lambda s, t, n: not n.narrow or s.linear_depth == MOST_INPUTS,
    ),
    Rule(
        "no task is larger than the scratch that a thread can be given",
        lambda s, t, n: max(sizes_of_tasks(s)) <= MOST_ROWS and s.linear_depth <= MOST_INPUTS,
    ),
)
COUNTS = Rule(  # looked at first: other rules divide by sizes
    "every size counts something", lambda s, t, n: min(astuple(s)) > 0
)


def violations(schedule: Schedule, target: Target, dtype: DType = DType.FLOAT32) -> tuple[str, ...]:
    """The reasons of the rules that the schedule breaks for a dtype; none for a legal one."""
    numbers = numbers_of(dtype, target, ())
    if not COUNTS.holds(schedule, target, numbers):
        return (COUNTS.reason,)
    return tuple(rule.reason for rule in RULES if not rule.holds(schedule, target, numbers))

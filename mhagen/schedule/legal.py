"""What a schedule must satisfy, each rule with its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..base.target import Target
from .plan import Schedule


@dataclass(frozen=True)
class Rule:
    """A condition on schedules of a target, and why it exists."""

    reason: str
    holds: Callable[[Schedule, Target], bool]


def registers(rows: int, vectors: int) -> int:
    """Registers of an outer product: the sums, one vector of each column, one repeated number."""
    return rows * vectors + vectors + 1


RULES = (
    Rule(
        "a score tile must fit the registers: one spill in its loop costs half of the speed",
        lambda s, t: registers(s.key_rows, s.query_vectors) <= t.registers,
    ),
    Rule(
        "a value tile must fit the registers",
        lambda s, t: registers(s.value_rows, s.value_vectors) <= t.registers,
    ),
    Rule(
        "a product tile must fit the registers",
        lambda s, t: registers(s.linear_rows, s.linear_vectors) <= t.registers,
    ),
    Rule(
        "a task is a whole number of groups, for its scratch holds one state a group",
        lambda s, t: s.tile_queries % (s.query_vectors * t.lanes) == 0,
    ),
    Rule(
        "a group is a whole number of value tiles, or rows would be left over",
        lambda s, t: (s.query_vectors * t.lanes) % s.value_rows == 0,
    ),
    Rule(
        "a block is a whole number of score tiles, so that only the last of a head is ragged",
        lambda s, t: s.block_keys % s.key_rows == 0,
    ),
    Rule(
        "a task of a product is a whole number of its tiles",
        lambda s, t: s.linear_block_rows % s.linear_rows == 0,
    ),
    Rule(
        "every size counts something",
        lambda s, t: (
            min(
                s.tile_queries,
                s.block_keys,
                s.key_rows,
                s.query_vectors,
                s.value_rows,
                s.value_vectors,
                s.linear_rows,
                s.linear_vectors,
                s.linear_block_rows,
                s.linear_depth,
            )
            > 0
        ),
    ),
)


def violations(schedule: Schedule, target: Target) -> tuple[str, ...]:
    """The reasons of the rules that the schedule breaks; none for a legal one."""
    return tuple(rule.reason for rule in RULES if not rule.holds(schedule, target))

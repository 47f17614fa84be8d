"""Which heads a kernel computes, where they differ: a table makes heads of their numbers.

A place is a head's number among those of its kind. A bundle is the heads of a kind that share a key/value
head; few queries are attended from by bundles. All have as many places as the one with most members; where
members are fewer, the last one has the places that are left: it is computed twice, and written twice alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from .constants import line
from .gpu_facts import GpuLowering
from .gpu_model import GpuOrderModel, TableModel
from .model import ConstantLine
from .order import head_lines
from .prose import heads_in_words

CLEARERS = 64
MOST_WORDS = 60  # letters of a comment
PLAIN = GpuOrderModel(
    tables=(),
    heads="QUERY_HEADS",
    head_of_tile="head % QUERY_HEADS",
    head_of_row="task // queries % QUERY_HEADS",
    head_of_block="task // blocks % QUERY_HEADS",
    bundles="KEY_VALUE_HEADS",
    members="GROUP_SIZE",
    first="first_head",
    first_query_head="first_head",
    head_of_member="first_head + member",
)


def order_model(facts: GpuLowering) -> GpuOrderModel:
    """The heads of a kind, and how their numbers become heads."""
    if facts.work.is_plain:
        return PLAIN
    upper = facts.suffix.upper()
    heads, members, bundles = (f"{name}{upper}" for name in ("HEADS", "MEMBERS", "BUNDLES"))
    table, own, filled = f"head_at{facts.suffix}", heads_of(facts), filled_bundles(facts)
    tables = [TableModel(table, "The query head that has a place.", tuple(head_lines(own)))]
    of_bundles = table
    if filled != own:
        of_bundles = f"head_in_bundles{facts.suffix}"
        doc = "The same where bundles are filled up: the last head of one has the places that are left."
        tables += [TableModel(of_bundles, doc, tuple(head_lines(filled)))]
    return GpuOrderModel(
        tables=tuple(tables),
        heads=heads,
        head_of_tile=f"{table}(head % {heads})",
        head_of_row=f"{table}(task // queries % {heads})",
        head_of_block=f"{table}(task // blocks % {heads})",
        bundles=bundles,
        members=members,
        first=facts.first,
        first_query_head=f"{of_bundles}(first_place)",
        head_of_member=f"{of_bundles}(first_place + member)",
    )


def order_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    """The constants that say how many heads there are of each kind."""
    if facts.work.is_plain:
        return ()
    pruned = facts.work.pruned_heads
    lines = tuple(each for kind in facts.kinds for each in lines_of_kind(kind))
    if pruned:
        lines += (
            line("PRUNED_HEADS", len(pruned), in_words(pruned)),
            line("CLEARERS", CLEARERS, "warps that clear the output of one of them"),
        )
    return lines


def lines_of_kind(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    upper = facts.suffix.upper()
    return (
        line(f"HEADS{upper}", len(heads_of(facts)), in_words(heads_of(facts))),
        line(f"BUNDLES{upper}", len(bundles_of(facts)), "of heads that share a key/value head"),
        line(f"MEMBERS{upper}", most_members(facts), "heads of a bundle, at most"),
    )


def in_words(heads: Sequence[int]) -> str:
    """As a comment, unless it is long."""
    words = heads_in_words(heads).lower()
    return words if len(words) < MOST_WORDS else ""


def heads_of(facts: GpuLowering) -> tuple[int, ...]:
    return facts.work.heads_of_parts[facts.number]


def bundles_of(facts: GpuLowering) -> tuple[tuple[int, ...], ...]:
    return tuple(bundle for bundle in facts.work.bundles if facts.work.of[bundle[0]] == facts.number)


def most_members(facts: GpuLowering) -> int:
    return max(map(len, bundles_of(facts)))


def filled_bundles(facts: GpuLowering) -> tuple[int, ...]:
    """The heads of all bundles, filled up to equal length."""
    most = most_members(facts)
    return tuple(head for each in bundles_of(facts) for head in (*each, *each[-1:] * (most - len(each))))

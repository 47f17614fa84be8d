"""Second passes over the scores: what keys receive, once the sums of all queries are known, and which of them
score the most.

Their kernels are of the family that every GPU has, in every module, and copy queries and keys alone, into
tiles of as many rows.
"""

from __future__ import annotations

from dataclasses import replace

from ..schedule.gpu_plan import GpuSchedule
from ..schedule.gpu_second_plan import (
    choose_second_schedule,
    list_bytes,
    most_leaders,
    second_shared_bytes,
    tile_bytes,
)
from ..spec.statistic import LEADERS
from .constants import line
from .gpu_constants import gpu_constants
from .gpu_decode import texts_of
from .gpu_entry import kernel_parameters, signature
from .gpu_facts import GpuLowering
from .gpu_second_model import GpuLeadModel, GpuReceiveModel, GpuSecondModel, LeaderModel, SecondKindModel
from .gpu_stages import find_lines, products_model, view_place
from .model import ConstantGroup, ConstantLine, Lines, Names
from .render import layout

NO_LEAD = GpuLeadModel(False, (), (), (), "")
NO_RECEIVE = GpuReceiveModel(False, (), (), (), (), "")
NO_SECOND = GpuSecondModel(False, "", (), False, False, "", (), (), (), "", ())
# The constants of a schedule that its functions read.
# fmt: off
READ = frozenset(
    {
        "BLOCK_KEYS", "FRAGMENT", "FRAGMENTS", "KEYS", "KEY_OCTETS", "KEY_PAIRS", "KEY_ROUNDS", "KEY_STEP",
        "ROWS", "ROW_TILES", "SCORES", "STAGE", "THREADS", "TILE_QUERIES",
    }
)
# fmt: on


def second_plan(facts: GpuLowering, keeps_queries: bool) -> tuple[GpuSchedule, ...]:
    """Its schedule, where there is a second pass."""
    if not facts.has_second:
        return ()
    return (choose_second_schedule(facts.work, keeps_queries, facts.target),)


def second_group(facts: GpuLowering, plans: tuple[GpuSchedule, ...]) -> tuple[ConstantGroup, ...]:
    """The constants of a module that are there for second passes alone."""
    return tuple(
        ConstantGroup("Second passes over the scores.", lines_of_plan(facts, plan)) for plan in plans
    )


def lines_of_plan(facts: GpuLowering, plan: GpuSchedule) -> tuple[ConstantLine, ...]:
    leaders, tile = most_leaders(facts.work), tile_bytes(plan, facts.work)
    lists = (
        line("LEADERS", leaders, "scores and keys that each list holds, the greatest first"),
        line("LISTS", (1 + plan.stages) * tile, "behind all tiles"),
        line("RISEN", list_bytes(plan, leaders), "behind the lists: scores that may come into one of them"),
        line("LEADER", 8 * plan.threads, "from one of a list to the next: threads lie side by side,"),
        line("LEADER_KEY", 4 * plan.threads, "and keys behind scores"),
    )
    return (
        line("SECOND_THREADS", plan.threads),
        line("SECOND_TILE", plan.tile_queries, "queries, or keys"),
        line("SECOND_SUMS", plan.block_keys // 4, "of columns, that each thread has"),
        line("SECOND_SHARED_BYTES", second_shared_bytes(plan, facts.work)),
        *(lists if leaders else ()),
    )


def second_model(
    facts: GpuLowering, plans: tuple[GpuSchedule, ...], groups: tuple[ConstantGroup, ...]
) -> GpuSecondModel:
    """What the template is filled with; NO_SECOND where no statistic needs it."""
    if not plans:
        return NO_SECOND
    own = replace(facts, schedule=plans[0])
    return GpuSecondModel(
        is_there=True,
        fragments=products_model(facts, "thread").fragments,
        constants=second_constants(own, groups),
        leads=bool(facts.leading),
        receives=facts.receives,
        lead_signature=signature(facts) + "l" * len(facts.leading),
        lead_parameters=(*kernel_parameters(facts), *facts.leading),
        results=tuple(LeaderModel(name, LEADERS[name]) for name in facts.leading),
        result_parameters=("lists", "lane", "own_row", "queries", *facts.leading, "b", "h"),
        receive_signature=f"{signature(facts)}l",
        receive_parameters=(*kernel_parameters(facts), "received"),
    )


def second_kind(facts: GpuLowering, plans: tuple[GpuSchedule, ...]) -> SecondKindModel:
    """The same of one kind of heads."""
    if not plans:
        return SecondKindModel(NO_LEAD, NO_RECEIVE)
    own = replace(facts, schedule=plans[0])
    return SecondKindModel(lead_model(own), receive_model(own))


def second_constants(facts: GpuLowering, groups: tuple[ConstantGroup, ...]) -> tuple[ConstantLine, ...]:
    """Those that its kernels are compiled with, in place of the module's."""
    own = (constant for group in gpu_constants(facts) for constant in group.entries)
    texts, stage = texts_of(groups), line("STAGE", tile_bytes(facts.plan, facts.work), "a tile that passes")
    found = (stage if each.name == "STAGE" else each for each in own if each.name in READ)
    return tuple(each for each in found if each.text != texts[each.name])


def lead_model(facts: GpuLowering) -> GpuLeadModel:
    """NO_LEAD where nobody asks."""
    if not facts.leading:
        return NO_LEAD
    masked = facts.view_code is not None
    return GpuLeadModel(
        is_there=True,
        first_lines=find_lines(facts, 0, 4),
        next_lines=find_lines(facts, 1, 8),
        move_lines=("block0, whole0 = block1, whole1" if masked else "block0 = block1",),
        is_whole="whole0" if masked else "(block0 + 1) * BLOCK_KEYS <= keys",
    )


def receive_model(facts: GpuLowering) -> GpuReceiveModel:
    """NO_RECEIVE where nobody asks."""
    if not facts.receives:
        return NO_RECEIVE
    masked = facts.view_code is not None
    return GpuReceiveModel(
        is_there=True,
        tile_parameters=tile_parameters(facts),
        first_lines=tile_lines(facts, 0, 4),
        next_lines=tile_lines(facts, 1, 8),
        move_lines=("tile0, whole0 = tile1, whole1" if masked else "tile0 = tile1",),
        is_whole="whole0" if masked else "k_high - k_low == BLOCK_KEYS - 1",
    )


def tile_parameters(facts: GpuLowering) -> Names:
    if facts.view_code is None:
        return ()
    names = ("queries", "query_offset", "k_low", "k_high", "keys", *view_place(facts))
    return ("tile", *dict.fromkeys(names))


def tile_lines(facts: GpuLowering, number: int, indent: int) -> Lines:
    """How the number-th tile of queries from the one in use is found, and whether all see the whole block."""
    start = "int32(0)" if number == 0 else f"int32(tile{number - 1} + TILE_QUERIES)"
    if facts.view_code is None:
        return (f"tile{number} = {start}",)
    arguments = (start, *tile_parameters(facts)[1:])
    text = layout(f"tile{number}, whole{number} = next_tile{facts.suffix}", arguments, indent=indent)
    first, *others = text.split("\n")
    return (first, *(each[indent:] for each in others))

"""The kernels of decoding: few queries, so that keys are split over blocks of threads and the parts merged.

The rows of a tile are queries of all heads that share a key/value head, so that each key is read once for
them; a warp has one tile and a part of the keys. What a row is, q and h, waits in local arrays.
"""

from __future__ import annotations

from dataclasses import replace

from ..schedule.gpu_decode_plan import choose_decode_schedule
from .gpu_constants import gpu_constants
from .gpu_entry import kernel_parameters, signature
from .gpu_facts import GpuLowering
from .gpu_finish import finish_parameters, lines_of_sums, stores
from .gpu_model import CellsModel, DecodedKindModel, DecodeModel
from .gpu_stages import Stages, before_model, pipeline_model, products_model, row_stages, view_place
from .model import ConstantGroup, ConstantLine, Names

Groups = tuple[ConstantGroup, ...]


def decode_facts(facts: GpuLowering) -> GpuLowering:
    """The same layer in the schedule of decoding."""
    schedule = choose_decode_schedule(facts.work, facts.schedule, facts.target)
    return replace(facts, schedule=schedule, by_group=True)


def decode_model(facts: GpuLowering, constants: tuple[ConstantLine, ...]) -> DecodeModel:
    """What the template of decoding is filled with. Needs   facts made by decode_facts()"""
    return DecodeModel(
        signature=f"{signature(facts)}li",
        parameters=(*kernel_parameters(facts), "workspace", "parts"),
        constants=constants,
        unfinished=facts.plan.stages - 2,
        products=products_model(facts, "lane"),
        has_stores=bool(facts.statistics),
    )


def decoded_kind(facts: GpuLowering, of_tile: Stages) -> DecodedKindModel:
    """The same of one kind of heads. Needs   facts made by decode_facts()"""
    modify, hide, infinities = row_stages(facts, of_tile)
    before = before_model(facts)
    knows_rows = before.has_rows or asks_rows(modify, hide, infinities)
    view = () if facts.view_code is None else view_place(facts)
    reach = reach_place(facts)
    return DecodedKindModel(
        reads_offset=knows_rows or facts.view_code is not None,
        position_type=facts.position_type,
        before=before,
        knows_rows=knows_rows,
        modify=modify,
        hide=hide,
        infinities=infinities,
        pipeline=pipeline_model(facts),
        views_heads=facts.first in view,
        next_parameters=("block", "end", "q_low", "q_high", "keys", *view),
        reaches_heads=facts.first in reach,
        reach_name="reached_keys_of_heads" if facts.first in reach else "reached_keys",
        reach_parameters=("q_low", "q_high", "keys", *reach),
        leave_parameters=leave_parameters(facts),
        sink_needs_position="query_offset" in finish_parameters(facts),
        finish_lines=lines_of_sums(facts, "highest"),
        stores=stores(facts),
    )


def asks_rows(*functions: CellsModel) -> bool:
    """Does one of them ask what a row is?"""
    return any(name in ("q_of_rows", "h_of_rows") for each in functions for name in each.parameters)


def reach_place(facts: GpuLowering) -> Names:
    """What reached_keys() depends on, beside its queries."""
    code = facts.reach_code
    names = () if code is None else tuple(name for name in facts.place(code.names) if name != "keys")
    return tuple(facts.first if name == "h" else name for name in names)


def leave_parameters(facts: GpuLowering) -> Names:
    """What leave_part() reads."""
    place = ("first_number", facts.first, "b", "batch", "queries", "part", "parts", "workspace")
    return (*facts.sums, "lane", *place)


def decode_constants(facts: GpuLowering, groups: Groups) -> tuple[ConstantLine, ...]:
    """Those that decoding is compiled with, in place of the module's. Needs   facts made by decode_facts()"""
    texts = texts_of(groups)
    own = (constant for group in gpu_constants(facts) for constant in group.entries)
    return tuple(constant for constant in own if constant.text != texts.get(constant.name, constant.text))


def constants_of_decoding(facts: GpuLowering, groups: Groups) -> tuple[ConstantLine, ...]:
    """Those that a module has for decoding alone. Needs   facts made by decode_facts()"""
    names = texts_of(groups).keys()
    own = (constant for group in gpu_constants(facts) for constant in group.entries)
    return tuple(constant for constant in own if constant.name not in names)


def texts_of(groups: Groups) -> dict[str, str]:
    return {constant.name: constant.text for group in groups for constant in group.entries}

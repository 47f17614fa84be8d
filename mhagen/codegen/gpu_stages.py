"""The stages of a CUDA kernel: what is known before the loop over keys, which blocks of them are looked at,
what is done in the cells of a tile, and what is on its way meanwhile.
"""

from __future__ import annotations

from dataclasses import replace

from .gpu_cells import Cells, Changes
from .gpu_facts import GpuLowering
from .gpu_finish import finish_parameters
from .gpu_model import (
    BeforeModel,
    CellsModel,
    FillModel,
    PaceModel,
    PipelineModel,
    ProductsModel,
    ShiftModel,
    ViewModel,
)
from .model import Lines, Names
from .render import layout
from .wrapped import expression_lines

NEXT = ("end", "q_low", "q_high", "keys")
ROW_NAMES = ("q", "h")  # what a row of decoding is
AHEAD_LINE = "ahead = octet * 8 + half"
PLAIN = "Make scores of the products of a tile."
WITH_SHIFTS = "Make scores of the products of a tile; what the keys of a row have in common is its shift."
STEEP = "The same with all of a score in its cell, for what rises steeply or is not finite."


Stages = tuple[CellsModel, CellsModel, CellsModel]


def tile_stages(facts: GpuLowering) -> Stages:
    """What is done in the cells of a tile: modify, hide, add what is infinite."""
    of_modify, keep, _ = facts.cells
    return modify_model(facts, of_modify), hide_model(facts, keep), infinities_model(facts, keep)


def row_stages(facts: GpuLowering, of_tile: Stages) -> Stages:
    """The same where rows are heads too; functions that need not know it serve both."""
    pairs = zip(tile_stages(facts), of_tile, strict=True)
    modify, hide, infinities = (other if each == other else of_rows(each) for each, other in pairs)
    return modify, hide, infinities


def of_rows(given: CellsModel) -> CellsModel:
    return replace(given, name=f"{given.name}_of_rows", steep=tuple(of_rows(each) for each in given.steep))


def before_model(facts: GpuLowering) -> BeforeModel:
    modify, keep, before = facts.cells
    reads = frozenset().union(*(each.reads for each in (modify, keep) if each is not None))
    return BeforeModel(
        task_lines=before.task,
        kept=before.kept,
        has_rows=bool(before.rows),
        needs_position=bool(before.rows) or "q" in reads,
        first_query=f"{facts.position_type}(own_row + query_offset)",
        row_lines=before.rows,
    )


def reads_offset(facts: GpuLowering) -> bool:
    """Does a tile need to know where its queries stand?"""
    return (
        facts.view_code is not None
        or before_model(facts).needs_position
        or "query_offset" in finish_parameters(facts)
    )


def key_line(facts: GpuLowering) -> str:
    """What a column knows of its key."""
    return f"k = {facts.position_type}(k_first + octet * 8 + half)"


def query_lines(facts: GpuLowering, cells: Cells) -> Lines:
    """What a row knows of its query."""
    if facts.by_group:
        return tuple(f"{name} = {name}_of_rows[row]" for name in ROW_NAMES if name in cells.reads)
    return (f"q = {facts.position_type}(q_first + row // 2 * 16 + row % 2 * 8)",) * ("q" in cells.reads)


def place_of_cells(facts: GpuLowering, cells: Cells | Changes) -> Names:
    """What the cells of a tile depend on, beside positions."""
    _, _, before = facts.cells
    tasks = tuple(name for name in before.task_names if name in cells.reads)
    place = facts.place(cells.reads - {"h"} if facts.by_group else cells.reads)
    return (*place, *tasks, *(k.array for k in before.kept if k.array in cells.reads))


def rows_place(facts: GpuLowering, cells: Cells | Changes) -> Names:
    """What rows know of their queries: where the first of a thread stands, or what each of them is."""
    if facts.by_group:
        return tuple(f"{name}_of_rows" for name in ROW_NAMES if name in cells.reads)
    return ("q_first",) if "q" in cells.reads else ()


def grouped_sum(text: str) -> str:
    """A number beside a plus."""
    return f"({text})" if " if " in text else text


def grouped_test(text: str) -> str:
    """A condition beside an `and`."""
    return f"({text})" if " or " in text or " if " in text else text


NOTHING = Cells((), (), "True", frozenset())
NO_SHIFT = ShiftModel(False, (), (), "")
NO_CELLS = CellsModel(False, "", "", (), (), (), NO_SHIFT, (), (), (), (), "")


def modify_model(facts: GpuLowering, changes: Changes) -> CellsModel:
    """The function that makes scores of products."""
    if not facts.scales_first:
        return NO_CELLS
    modify, shift = facts.work.op.modify, shift_model(facts, changes.shift)
    steep = () if changes.whole is None else (steep_model(facts, changes.whole),)
    found = joined(tuple(part for part in (changes.cell, changes.rise) if part is not None))
    keys = (*key_lines(facts, found), *((AHEAD_LINE,) if changes.rise else ()))
    parameters = (
        *("scores", *(("shifts",) if shift.is_there else ())),
        *("is_steep" for _ in steep),
        *rows_place(facts, changes),
        *(("k_first",) if {"k", "k_first"} & changes.reads else ()),
        *place_of_cells(facts, changes),
    )
    return CellsModel(
        is_there=True,
        name=f"modify_scores{facts.suffix}",
        doc=WITH_SHIFTS if shift.is_there else PLAIN,
        comments=expression_lines("score = ", modify) if modify is not None else (),
        parameters=parameters,
        steep=steep,
        shift=shift,
        key_lines=keys,
        columns=found.columns,
        query_lines=(*query_lines(facts, found), *read_lines(found)),
        cells=found.cells,
        result=found.result,
    )


def steep_model(facts: GpuLowering, whole: Cells) -> CellsModel:
    """The function that makes scores where nothing is taken out of their cells."""
    first = ("k_first",) if "k" in whole.reads else ()
    return CellsModel(
        is_there=True,
        name=f"modify_steep_scores{facts.suffix}",
        doc=STEEP,
        comments=(),
        parameters=("scores", "shifts", *rows_place(facts, whole), *first, *place_of_cells(facts, whole)),
        steep=(),
        shift=ShiftModel(True, (), (), "float32(0.0)"),
        key_lines=key_lines(facts, whole),
        columns=whole.columns,
        query_lines=(*query_lines(facts, whole), *read_lines(whole)),
        cells=whole.cells,
        result=whole.result,
    )


def key_lines(facts: GpuLowering, cells: Cells) -> Lines:
    """What a column knows of its key, if it is asked for."""
    return (key_line(facts),) if "k" in cells.reads else ()


def read_lines(cells: Cells) -> Lines:
    """What a cell knows of its product, if it is asked for."""
    return ("score = scores[i] * float32(QUERY_SCALE)",) if "score" in cells.reads else ()


def shift_model(facts: GpuLowering, cells: Cells | None) -> ShiftModel:
    """What a row lacks of its scores."""
    if cells is None:
        return NO_SHIFT
    return ShiftModel(True, cells.columns, (*query_lines(facts, cells), *cells.cells), cells.result)


def joined(parts: tuple[Cells, ...]) -> Cells:
    """The sum of parts of scores."""
    return Cells(
        tuple(line for part in parts for line in part.columns),
        tuple(line for part in parts for line in part.cells),
        " + ".join(grouped_sum(part.result) for part in parts) or "float32(0.0)",
        frozenset().union(*(part.reads for part in parts)),
    )


def hide_model(facts: GpuLowering, cells: Cells | None) -> CellsModel:
    """The function that hides keys from queries that may not see them; also those that are not there."""
    found = NOTHING if cells is None else cells
    seen = "k < keys" if cells is None else f"{grouped_test(found.result)} and k < keys"
    first = (*rows_place(facts, found), "k_first")
    place = tuple(name for name in place_of_cells(facts, found) if name != "keys")
    return CellsModel(
        is_there=True,
        name=f"hide_scores{facts.suffix}",
        doc="Make the scores of hidden keys, and of those behind the last one, minus infinity.",
        comments=expression_lines("keep: ", facts.work.op.keep) if facts.work.op.keep is not None else (),
        parameters=("scores", *first, "keys", *place),
        steep=(),
        shift=NO_SHIFT,
        key_lines=(key_line(facts),),
        columns=found.columns,
        query_lines=query_lines(facts, found),
        cells=(*found.cells, f"seen = {seen}"),
        result="scores[i] if seen else float32(MINUS_INFINITY)",
    )


def infinities_model(facts: GpuLowering, cells: Cells | None) -> CellsModel:
    """The function that adds values that are not finite."""
    if cells is None:
        return NO_CELLS
    kind = facts.position_type
    place = tuple(name for name in place_of_cells(facts, cells) if name != "keys")
    first = rows_place(facts, cells)
    return CellsModel(
        is_there=True,
        name=f"add_infinities{facts.suffix}",
        doc="",
        comments=(),
        parameters=("outs", "place", "lane", *first, "k_block", "keys", *place),
        steep=(),
        shift=NO_SHIFT,
        key_lines=(f"k = {kind}(k_block + key)",),
        columns=cells.columns,
        query_lines=query_lines(facts, cells),
        cells=cells.cells,
        result=f"{grouped_test(cells.result)} and k < keys",
    )


def view_place(facts: GpuLowering) -> Names:
    """What visibility() depends on, beside its tile."""
    assert facts.view_code is not None
    names = tuple(name for name in facts.place(facts.view_code.names) if name != "keys")
    return tuple(facts.first if name == "h" else name for name in names) if facts.by_group else names


def view_model(facts: GpuLowering) -> ViewModel:
    keep, view, reach = facts.work.op.keep, facts.view_code, facts.reach_code
    if keep is None or view is None:
        return ViewModel(False, (), (), (), (), (), "", False, (), (), "", "")
    keys = ("keys",) if "keys" in view.names else ()
    arguments = ("q_low", "q_high", "k_low", "k_high", *keys, *view_place(facts))
    place = () if reach is None else tuple(n for n in facts.place(reach.names) if n != "keys")
    return ViewModel(
        masked=True,
        parameters=arguments,
        arguments=arguments,
        next_arguments=("block", *NEXT, *view_place(facts)),
        text_lines=expression_lines("keep: ", keep),
        lines=view.lines,
        result=view.result,
        reaches=reach is not None,
        reach_parameters=("q_low", "q_high", "keys", *place),
        reach_lines=() if reach is None else reach.lines,
        first="" if reach is None else reach.first,
        end="" if reach is None else reach.end,
    )


WAIT_AHEAD = "wait_for_block = cp_async_wait_group(STAGES - 2)  # those behind it may still be on their way"
WAIT_IN_TURN = "wait_for_block = cp_async_wait_group(0)"
AHEAD = (
    "Fill all stages but one; every round of the loop uses a block and fetches the one that is as far ahead."
)
IN_TURN = "Values come while their keys are multiplied, and the next keys while these values are."


def pace_model(facts: GpuLowering) -> PaceModel:
    """When the kernel for many queries fetches blocks."""
    if facts.plan.stages == 1:
        return PaceModel(True, WAIT_IN_TURN, IN_TURN)
    return PaceModel(False, WAIT_AHEAD, AHEAD)


def products_model(facts: GpuLowering, thread: str) -> ProductsModel:
    """How the products of a kernel meet, in which `thread` is the number of a thread."""
    if facts.sizes.uses_fma:
        return ProductsModel(
            fragments="float32",
            weights=f"place_of_weights(shared, {thread})",
            hand_over="leave_weights(scores, weights, lane)",
            add_values="add_values(outs, fragments, weights, values_at + stage)",
        )
    return ProductsModel(
        fragments="uint32",
        weights="cuda.local.array(WEIGHTS, uint32)",
        hand_over="round_weights(scores, weights)",
        add_values="add_values(outs, weights, values_at + stage)",
    )


def pipeline_model(facts: GpuLowering) -> PipelineModel:
    stages, masked = facts.plan.stages, facts.view_code is not None
    last = max(stages - 1, 1)
    fills = tuple(
        FillModel(find_lines(facts, number, 4), f"block{number}", stage_place(number))
        for number in range(last)
    )
    return PipelineModel(
        fills=fills,
        next=FillModel(find_lines(facts, last, 8), f"block{last}", ""),
        move_lines=tuple(
            f"block{n}, whole{n} = block{n + 1}, whole{n + 1}" if masked else f"block{n} = block{n + 1}"
            for n in range(last)
        ),
        is_whole="whole0" if masked else "(block0 + 1) * BLOCK_KEYS <= keys",
    )


def stage_place(number: int) -> str:
    return "shared" if number == 0 else f"shared + uint32({number} * STAGE)"


def find_lines(facts: GpuLowering, number: int, indent: int, asks_whole: bool = True) -> Lines:
    """How the number-th block from the one in use is found, and whether all see all of it."""
    start = "start" if number == 0 else f"int32(block{number - 1} + 1)"
    if facts.view_code is None:
        return (f"block{number} = {start}",)
    find = "next_block_of_heads" if facts.first in view_place(facts) else "next_block"
    whole = f"whole{number}" if asks_whole else "_"
    text = layout(
        f"block{number}, {whole} = {find}{facts.suffix}", (start, *NEXT, *view_place(facts)), indent=indent
    )
    first, *others = text.split("\n")
    return (first, *(line[indent:] for line in others))

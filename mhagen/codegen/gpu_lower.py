"""Graph and schedule to the model of a CUDA kernel: the last place where anything is decided."""

from __future__ import annotations

from ..base.target import Gpu
from ..ir.program import Program
from ..schedule.gpu_plan import GpuSchedule
from .gpu_cells import Cells
from .gpu_constants import gpu_constants
from .gpu_entry import entry_model, kernel_parameters, signature
from .gpu_facts import GpuLowering, check_supported
from .gpu_finish import finish_model
from .gpu_model import (
    BeforeModel,
    CellsModel,
    CopyModel,
    FillModel,
    GpuKernelModel,
    GpuModuleModel,
    PipelineModel,
    ViewModel,
)
from .gpu_prose import gpu_doc
from .model import Lines, Names
from .render import layout
from .wrapped import expression_lines

# The bits of a number's exponent in both halves of a register, and what makes all of them overflow.
EXPONENTS = {"f16": ("0x7C007C00", "0x04000400"), "bf16": ("0x7F807F80", "0x00800080")}
NEXT = ("end", "q_low", "q_high", "keys")


def lower_gpu(program: Program, schedule: GpuSchedule, target: Gpu) -> GpuModuleModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs on which all passes have run, and a legal schedule
    Raises   UnsupportedError for what no CUDA kernel is written for yet
    """
    check_supported(program)
    facts = GpuLowering(program, schedule, target)
    of_modify, keep, _ = facts.cells
    modify, hide = modify_model(facts, of_modify), hide_model(facts, keep)
    exponent, carry = EXPONENTS[facts.half]
    kernel = GpuKernelModel(
        name=program.attention.name,
        target=target.name,
        signature=signature(facts),
        parameters=kernel_parameters(facts),
        mma=f"mma_m16n8k16_{facts.half}",
        pack=f"pack_{facts.half}",
        exponent=exponent,
        carry=carry,
        unpack=f"unpack_{facts.half}",
        to_bits=f"to_{facts.half}",
        copies=copies(facts),
        keeps_queries=schedule.keeps_queries,
        before=before_model(facts),
        cell_functions=tuple(each for each in (modify, hide) if each.is_there),
        modify=modify,
        hide=hide,
        infinities=infinities_model(facts, keep),
        view=view_model(facts),
        pipeline=pipeline_model(facts),
        keeps_gaps=facts.keeps_gaps,
        started=facts.sums,
        weighed=facts.weighed,
        finish=finish_model(facts),
        entry=entry_model(facts),
    )
    return GpuModuleModel(gpu_doc(facts), gpu_constants(facts), kernel)


def copies(facts: GpuLowering) -> tuple[CopyModel, ...]:
    """The three copies: queries and keys are alike but for how many there are."""
    plan = facts.plan
    rows = {"queries": plan.tile_queries, "keys": plan.block_keys, "values": plan.block_keys}
    return tuple(copy_model(facts, name, count) for name, count in rows.items())


def copy_model(facts: GpuLowering, name: str, rows: int) -> CopyModel:
    is_value = name == "values"
    swizzle = facts.value_swizzle if is_value else facts.key_swizzle
    prefix, width = ("VALUE", "VALUE_DIM") if is_value else ("KEY", "DIM")
    actual, filled = (
        (facts.work.value_dim, facts.sizes.value_dim) if is_value else (facts.work.dim, facts.sizes.dim)
    )
    step, idle = divmod(facts.plan.threads, swizzle.chunks)
    guards = [f"row >= {prefix}_STEP"] if idle else []
    guards += [f"place_row >= {'TILE_QUERIES' if name == 'queries' else 'BLOCK_KEYS'}"] if rows % step else []
    inside = f"i * {prefix}_STEP < left"
    return CopyModel(
        name=f"copy_{name}",
        what="a tile of queries" if name == "queries" else f"a block of {name}",
        limit="queries" if name == "queries" else "keys",
        chunks=f"{prefix}_CHUNKS",
        step=f"{prefix}_STEP",
        rounds="QUERY_ROUNDS" if name == "queries" else f"{prefix}_ROUNDS",
        row_bytes=f"{prefix}_ROW",
        width=width,
        is_guarded=bool(guards),
        guard=" or ".join(guards),
        inside=inside if actual == filled else f"{inside} and chunk * uint32(8) < uint32({width})",
        shift=f"{prefix}_SHIFT",
        mask=f"{prefix}_MASK",
    )


def before_model(facts: GpuLowering) -> BeforeModel:
    modify, keep, before = facts.cells
    wide = facts.emitter.wide
    reads = frozenset().union(*(each.reads for each in (modify, keep) if each is not None))
    return BeforeModel(
        task_lines=before.task,
        kept=before.kept,
        has_rows=bool(before.rows),
        needs_position=bool(before.rows) or "q" in reads,
        first_query=f"{'int64' if wide else 'int32'}(own_row + query_offset)",
        row_lines=before.rows,
    )


def position_lines(facts: GpuLowering, cells: Cells) -> tuple[Lines, Lines]:
    """What a column knows of its key, and a row of its query."""
    kind = "int64" if facts.emitter.wide else "int32"
    query = f"q = {kind}(q_first + row // 2 * 16 + row % 2 * 8)"
    return (f"k = {kind}(k_first + octet * 8 + half)",), ((query,) if "q" in cells.reads else ())


def place_of_cells(facts: GpuLowering, cells: Cells) -> Names:
    """What the cells of a tile depend on, beside positions."""
    _, _, before = facts.cells
    tasks = tuple(name for name in before.task_names if name in cells.reads)
    return (*facts.place(cells.reads), *tasks, *(k.array for k in before.kept if k.array in cells.reads))


def first_positions(cells: Cells) -> Names:
    return (*(("q_first",) if "q" in cells.reads else ()), *(("k_first",) if "k" in cells.reads else ()))


def grouped_test(text: str) -> str:
    """A condition beside an `and`."""
    return f"({text})" if " or " in text or " if " in text else text


NOTHING = Cells((), (), "True", frozenset())
NO_CELLS = CellsModel(False, "", "", (), (), (), (), (), (), "")


def modify_model(facts: GpuLowering, cells: Cells | None) -> CellsModel:
    """The function that makes scores of products."""
    if not facts.scales_first:
        return NO_CELLS
    modify = facts.work.op.modify
    found = Cells((), (), "score", frozenset({"score"})) if cells is None else cells
    key_lines, query_lines = position_lines(facts, found)
    read = ("score = scores[i] * float32(QUERY_SCALE)",) if "score" in found.reads else ()
    return CellsModel(
        is_there=True,
        name="modify_scores",
        doc="Make scores of the products of a tile.",
        comments=expression_lines("score = ", modify) if modify is not None else (),
        parameters=("scores", *first_positions(found), *place_of_cells(facts, found)),
        key_lines=key_lines if "k" in found.reads else (),
        columns=found.columns,
        query_lines=(*query_lines, *read),
        cells=found.cells,
        result=found.result,
    )


def hide_model(facts: GpuLowering, cells: Cells | None) -> CellsModel:
    """The function that hides keys from queries that may not see them; also those that are not there."""
    found = NOTHING if cells is None else cells
    key_lines, query_lines = position_lines(facts, found)
    seen = "k < keys" if cells is None else f"{grouped_test(found.result)} and k < keys"
    first = (*(("q_first",) if "q" in found.reads else ()), "k_first")
    place = tuple(name for name in place_of_cells(facts, found) if name != "keys")
    return CellsModel(
        is_there=True,
        name="hide_scores",
        doc="Make the scores of hidden keys, and of those behind the last one, minus infinity.",
        comments=expression_lines("keep: ", facts.work.op.keep) if facts.work.op.keep is not None else (),
        parameters=("scores", *first, "keys", *place),
        key_lines=key_lines,
        columns=found.columns,
        query_lines=query_lines,
        cells=(*found.cells, f"seen = {seen}"),
        result="scores[i] if seen else float32(MINUS_INFINITY)",
    )


def infinities_model(facts: GpuLowering, cells: Cells | None) -> CellsModel:
    """The function that adds values that are not finite."""
    if cells is None:
        return NO_CELLS
    _, query_lines = position_lines(facts, cells)
    kind = "int64" if facts.emitter.wide else "int32"
    place = tuple(name for name in place_of_cells(facts, cells) if name != "keys")
    first = ("q_first",) if "q" in cells.reads else ()
    return CellsModel(
        is_there=True,
        name="add_infinities",
        doc="",
        comments=(),
        parameters=("outs", "place", "lane", *first, "k_block", "keys", *place),
        key_lines=(f"k = {kind}(k_block + key)",),
        columns=cells.columns,
        query_lines=query_lines,
        cells=cells.cells,
        result=f"{grouped_test(cells.result)} and k < keys",
    )


def view_place(facts: GpuLowering) -> Names:
    """What visibility() depends on, beside its tile."""
    assert facts.view_code is not None
    return tuple(name for name in facts.place(facts.view_code.names) if name != "keys")


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


def pipeline_model(facts: GpuLowering) -> PipelineModel:
    stages, masked = facts.plan.stages, facts.view_code is not None
    fills = tuple(
        FillModel(find_lines(facts, number, 4), f"block{number}", stage_place(number))
        for number in range(stages - 1)
    )
    last = stages - 1
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


def find_lines(facts: GpuLowering, number: int, indent: int) -> Lines:
    """How the number-th block from the one in use is found."""
    start = "start" if number == 0 else f"int32(block{number - 1} + 1)"
    if facts.view_code is None:
        return (f"block{number} = {start}",)
    text = layout(
        f"block{number}, whole{number} = next_block", (start, *NEXT, *view_place(facts)), indent=indent
    )
    first, *others = text.split("\n")
    return (first, *(line[indent:] for line in others))

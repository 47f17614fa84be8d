"""What becomes of the heads of queries and keys as soon as a task has computed them: norms and turns."""

from __future__ import annotations

from dataclasses import fields

from ..base.turning import Scaling, Turning
from ..ir.graph import Graph
from ..ir.head_ops import NormalizeHeads, Rotary
from ..spec.projections import RotaryLayout
from .facts import Lowering
from .layer_model import FinishModel
from .model import ConstantLine, Lines, Names

NO_PLACES = "the last three are not read here"
MORE_PLACES = "its role: 0 heads stay as they are, 1 queries, 2 keys; its row of gains"
NO_FINISH = FinishModel(
    *(False, False, False, False, "", (), (), (), (), (), "", 0), scratch_bytes="0", places_doc=NO_PLACES
)


def norm_of(graph: Graph | None) -> NormalizeHeads | None:
    """The norm of the heads of queries and keys, where the layer has one."""
    nodes = () if graph is None else graph.nodes
    return next((node.op for node in nodes if isinstance(node.op, NormalizeHeads)), None)


def rotary_of(graph: Graph | None) -> Rotary | None:
    """The turn of queries and keys by their positions, where the layer has one."""
    nodes = () if graph is None else graph.nodes
    return next((node.op for node in nodes if isinstance(node.op, Rotary)), None)


def has_finish(facts: Lowering) -> bool:
    """Does anything happen to queries and keys behind their projections?"""
    graph = facts.program.self_layer
    return norm_of(graph) is not None or rotary_of(graph) is not None


def finish_model(facts: Lowering) -> FinishModel:
    """What the tasks of the layer's products do when the heads of a strip are there."""
    norm, rotary = norm_of(facts.program.self_layer), rotary_of(facts.program.self_layer)
    if norm is None and rotary is None:
        return NO_FINISH
    numbers = facts.numbers
    turned = 0 if rotary is None else rotary.dim
    own = (*(("gains", "squares_at") if norm else ()), *(("turns", "turn_rows") if rotary else ()))
    row = f"head + {numbers.stored.bytes} * row * head_columns"
    size = f"{numbers.stored.bytes} * head_columns"
    return FinishModel(
        is_there=True,
        norms=norm is not None,
        turns=rotary is not None,
        rests=facts.work.dim > turned,
        first_rest="0" if rotary is None else "2 * PAIRS",
        parameters=("lines", "rows", "out", "out_row", *own),
        tail_parameters=("lines", "rows", "out", "out_row", "columns"),
        prepare_lines=prepare_lines(norm is not None, rotary is not None),
        arguments=(
            "lines + (row - first_row) * STRIP_ROW",
            "min(LANES, end_row - row)",
            *(row, size),
            *(("gains_of_head", "scratch") if norm else ()),
            *(("turns", "turn_rows + 8 * row") if rotary else ()),
        ),
        tail_arguments=(
            *("lines", "end_row - first_row"),
            f"head + {numbers.stored.bytes} * first_row * head_columns",
            *(size, "columns"),
        ),
        store_first=numbers.store_first,
        out_bytes=numbers.stored.bytes,
        scratch_bytes="LINEAR_SCRATCH_BYTES",
        places_doc=MORE_PLACES,
    )


def prepare_lines(norms: bool, turns: bool) -> Lines:
    """What finish_rows needs of a strip of queries or keys."""
    gains = ("gains_of_head = gains + load_int64(place + 48) * GAINS_ROW",) if norms else ()
    rows = ("turn_rows = turns_of_queries if role == 1 else turns_of_keys",) if turns else ()
    return (*gains, *rows)


def finish_parameters(facts: Lowering) -> Names:
    """What linear_tasks is given for it, after the output."""
    graph = facts.program.self_layer
    norms = ("gains",) if norm_of(graph) is not None else ()
    turns = ("turns", "turns_of_queries", "turns_of_keys") if rotary_of(graph) is not None else ()
    return (*norms, *turns)


def finish_functions(facts: Lowering) -> Names:
    return ("finish_rows", "write_rows_of_strip") if has_finish(facts) else ()


def finish_lines(facts: Lowering) -> tuple[ConstantLine, ...]:
    """The constants of finish_rows, and where its rows lie."""
    norm, rotary = norm_of(facts.program.self_layer), rotary_of(facts.program.self_layer)
    if norm is None and rotary is None:
        return ()
    numbers, plan, dim, lanes = facts.numbers, facts.schedule, facts.work.dim, facts.lanes
    columns = max(-(-dim // lanes), plan.linear_vectors)
    strip = lanes * numbers.vector_bytes if norm is not None else 0
    row = columns * numbers.vector_bytes
    lines = [ConstantLine("STRIP", str(strip), "where the rows of a strip lie as they are computed")]
    lines.append(ConstantLine("STRIP_ROW", str(row), "bytes of one of them"))
    size = strip + plan.linear_block_rows * row + numbers.vector_bytes
    lines.append(ConstantLine("LINEAR_SCRATCH_BYTES", str(size), "a vector more: reads end behind a row"))
    if norm is not None:
        gains = -(-dim // (plan.linear_vectors * lanes)) * plan.linear_vectors * numbers.vector_bytes
        lines.append(ConstantLine("GAINS_ROW", str(gains), "the norm's weights for one head"))
        lines.append(ConstantLine("NORM_EPS", repr(norm.eps), "added to mean squares"))
        lines.append(ConstantLine("INVERSE_DIM", repr(1.0 / dim), ""))
    if rotary is not None:
        sines = -(-rotary.dim // (2 * lanes)) * numbers.vector_bytes
        lines.append(ConstantLine("PAIRS", str(rotary.dim // 2), "of numbers of a head that turn"))
        lines.append(ConstantLine("SINES", str(sines), "bytes behind the cosines of a position"))
        lines.append(ConstantLine("TURN_ROW", str(2 * sines), "bytes of cosines and sines of a position"))
    return tuple(lines)


def neighbours_of(graph: Graph) -> int:
    """How many first numbers of a head turn with their neighbours."""
    rotary = rotary_of(graph)
    return 0 if rotary is None or rotary.layout is RotaryLayout.HALF else rotary.dim


def turning_arguments(graph: Graph | None) -> Names:
    """How fast pairs turn, as far as it is not the default."""
    rotary = rotary_of(graph)
    if rotary is None:
        return ()
    given = ((each.name, getattr(rotary, each.name), each.default) for each in fields(Turning))
    return tuple(f"{name}={spelt(value)}" for name, value, default in given if value != default)


def spelt(value: object) -> str:
    return f"Scaling.{value.name}" if isinstance(value, Scaling) else repr(value)

"""Graph to the function people call, and to the parameters of the kernel behind it."""

from __future__ import annotations

from ..ir.graph import QUERY_OFFSET
from ..spec.fields import Align
from ..spec.statistic import LEADERS
from .entry import SHAPE_NOTES, offset_units, statistic_shapes
from .gpu_facts import GpuLowering
from .gpu_model import GpuEntryModel
from .model import Lines, Names
from .render import INDENT, layout
from .shapes import AXES, axes_text, shape_text

HEADS = ("query", "key", "value", "out")
LENGTHS = ("batch", "queries", "keys")


def kernel_parameters(facts: GpuLowering) -> Names:
    """Addresses and strides in bytes, lengths, positions, then captured arrays."""
    return (
        *(name for array in HEADS for name in (array, f"{array}_batch", f"{array}_head", f"{array}_row")),
        *facts.statistics,
        *LENGTHS,
        QUERY_OFFSET,
        "query_offsets",
        *(array.parameter for array in facts.captured.values()),
    )


def signature(facts: GpuLowering) -> str:
    """The types of the kernel's parameters: l for 64 bits, i for 32."""
    short = (*LENGTHS,)
    return "".join("i" if name in short else "l" for name in kernel_parameters(facts))


def entry_model(facts: GpuLowering, function: str, counts_tasks: bool) -> GpuEntryModel:
    work, graph, dtype = facts.work, facts.graph, facts.work.dtype.value
    axes = AXES[graph.layout]
    out_axes = axes_text(axes("QUERY_HEADS", "queries", "VALUE_DIM"))
    inputs = tuple(facts.inputs)
    start = 'sizes["keys"] - sizes["queries"]' if graph.align is Align.END else "0"
    return GpuEntryModel(
        function=function,
        counts_tasks=counts_tasks,
        doc_lines=entry_doc(facts),
        parameters=("query", "key", "value", "*", *inputs, f"{QUERY_OFFSET}=None", "out=None", "stream=None"),
        bind_lines=(
            "stream = stream_of(stream, query)",
            bound("query", dtype, axes_text(axes("QUERY_HEADS", "queries", "DIM"))),
            bound("key", dtype, axes_text(axes("KEY_VALUE_HEADS", "keys", "DIM"))),
            bound("value", dtype, axes_text(axes("KEY_VALUE_HEADS", "keys", "VALUE_DIM"))),
            *(
                bound(a.name, a.dtype.value, axes_text(a.shape), "bind_gpu_input")
                for a in facts.inputs.values()
            ),
            f"{QUERY_OFFSET} = bind_gpu_offset({QUERY_OFFSET}, {start}, sizes, stream)",
            layout("operands = dict", operands(inputs), "", INDENT),
            layout(
                "out = bind_gpu_out",
                ('"out"', "out", f'"{dtype}"', out_axes, "sizes", "operands", "stream"),
                "",
                INDENT,
            ),
            *(new_result(*each) for each in zip(work.op.statistics, facts.results, strict=True)),
            "same_device((out, *operands.values()))",
        ),
        has_statistics=bool(work.op.statistics),
        statistic_shapes=statistic_shapes(work.op.statistics),
        statistics=tuple((name, SHAPE_NOTES.get(name, "")) for name in work.op.statistics),
        arguments=arguments(facts),
        returns=returned(facts),
    )


def operands(inputs: Names) -> Names:
    """All arrays that kernels read, by the names of the arguments."""
    return (*(f"{name}={name}" for name in ("query", "key", "value", *inputs)), f"**{QUERY_OFFSET}.named")


def new_result(name: str, variable: str) -> str:
    """The line that makes the array of a statistic."""
    kind = ', of="keys"' if name == "received" else ""
    kind = f", count={LEADERS[name]}" if name in LEADERS else kind
    return f'{variable} = new_statistic("{name}", QUERY_HEADS, sizes, query, stream{kind})'


def bound(name: str, dtype: str, axes: str, bind: str = "bind_gpu") -> str:
    given = (f'"{name}"', name, f'"{dtype}"', axes, "sizes", "stream")
    return layout(f"{name} = {bind}", given, "", INDENT)


def arguments(facts: GpuLowering) -> Lines:
    """What the kernel is launched with, in the order of its parameters."""
    batch, head, row = (0, 1, 2) if facts.graph.layout.value == "bhsd" else (0, 2, 1)
    lines = [
        line
        for name in HEADS
        for line in (f"{name}.address", *(f"{name}.strides[{axis}]" for axis in (batch, head, row)))
    ]
    lines += [f"{name}.address" for name in facts.statistics]
    lines += [f'sizes["{name}"]' for name in LENGTHS]
    return (
        *lines,
        f"{QUERY_OFFSET}.first",
        f"{QUERY_OFFSET}.addresses",
        *(f"{name}.address" for name in facts.captured),
    )


def returned(facts: GpuLowering) -> str:
    if not facts.results:
        return "out.array"
    return layout("Attention", tuple(f"{name}.array" for name in ("out", *facts.results)), "", 4, 7)


def entry_doc(facts: GpuLowering) -> Lines:
    work, axes = facts.work, AXES[facts.graph.layout]
    shapes = [
        ("query", shape_text(axes(work.query_heads, "queries", work.dim))),
        ("key", shape_text(axes(work.key_value_heads, "keys", work.dim))),
        ("value", shape_text(axes(work.key_value_heads, "keys", work.value_dim))),
        ("out", shape_text(axes(work.query_heads, "queries", work.value_dim))),
        *((array.name, f"{shape_text(array.shape)} {array.dtype.value}") for array in facts.inputs.values()),
    ]
    width = max(len(name) for name, _ in shapes) + 1
    return (
        "Attend from every query to the keys it sees.",
        "",
        f"    Shapes   {shapes[0][0]:{width}} {shapes[0][1]}",
        *(f"             {name:{width}} {shape}" for name, shape in shapes[1:]),
        f"             {work.dtype.value} unless said otherwise, on the GPU: anything with __dlpack__ or",
        "             __cuda_array_interface__; any strides, but the last axis has no gaps",
        f"    Units    {offset_units(facts.graph)}",
        "             ints on the GPU are not looked at: they need to lie between -2**29 and 2**29",
        "             stream: a handle, or a stream of the arrays' library; None is its current one",
        "    Returns  before the kernel has run: what follows on the stream sees its results",
        "    Raises   InputError, naming the argument, what it has and what it needs",
    )

"""Graph to the functions people call: attention(), layer() and prepare(), with checks and documents."""

from __future__ import annotations

from ..ir.graph import QUERY_OFFSET, Graph
from ..spec.fields import Align, Layout
from ..spec.statistic import LEADERS
from .facts import Lowering
from .finish import rotary_of
from .layer_model import LayerModel
from .model import AttentionModel, Lines, Names
from .products import input_products, layer_doc, output_product, prepare_doc
from .render import INDENT, LINE_LENGTH
from .shapes import AXES, axes_text, shape_text
from .statistics import blind_statistics

HEADS = ("query", "key", "value", "out")
PREPARES = "Pack the weights of the layer once, for many calls of layer()."
HEADS_FIRST = ".transpose(0, 2, 1, 3)"
# What stands behind statistics that are no numbers of queries.
SHAPE_NOTES = {
    "received": "  # (batch, query_heads, keys)",
    **{name: "  # numbers of keys, int64" for name in LEADERS},
    **{name: f"  # (batch, query_heads, queries, {n}) int64" for name, n in LEADERS.items() if n > 1},
}
EMPTY_LAYER = LayerModel((), (), (), (), (), (), (), (), "")


def bind_line(name: str, dtype: str, axes: tuple[int | str, ...], bind: str = "bind") -> str:
    return f'{name} = {bind}("{name}", {name}, "{dtype}", {axes_text(axes)}, sizes)'


def input_lines(facts: Lowering) -> Lines:
    return tuple(bind_line(a.name, a.dtype.value, a.shape, "bind_input") for a in facts.inputs.values())


def offset_line(graph: Graph) -> Lines:
    start = 'sizes["keys"] - sizes["queries"]' if graph.align is Align.END else "0"
    return (
        f"if {QUERY_OFFSET} is None:",
        f"    {QUERY_OFFSET} = {start}",
        f'{QUERY_OFFSET} = bind_offset({QUERY_OFFSET}, sizes["batch"])',
    )


def attention_model(facts: Lowering) -> AttentionModel:
    work, graph, dtype = facts.work, facts.graph, facts.numbers.stored.value
    axes = AXES[graph.layout]
    operands, inputs = tuple(facts.captured), tuple(facts.inputs)
    entries = tuple(f'"{name}": {name}' for name in ("query", "key", "value", *inputs))
    out_axes = axes_text(axes("QUERY_HEADS", "queries", "VALUE_DIM"))
    lengths = axes("QUERY_HEADS", 'sizes["queries"]', "VALUE_DIM")
    out_shape = shape_text(('sizes["batch"]', *lengths[1:]))
    swapped = graph.layout is Layout.BSHD
    statistics = facts.statistics
    return AttentionModel(
        doc_lines=attention_doc(facts),
        parameters=("query", "key", "value", "*", *inputs, f"{QUERY_OFFSET}=None", "out=None"),
        bind_lines=(
            bind_line("query", dtype, axes("QUERY_HEADS", "queries", "DIM")),
            bind_line("key", dtype, axes("KEY_VALUE_HEADS", "keys", "DIM")),
            bind_line("value", dtype, axes("KEY_VALUE_HEADS", "keys", "VALUE_DIM")),
            *input_lines(facts),
            *offset_line(graph),
            "if out is None:",
            f"    out = np.empty({out_shape}, {numpy_dtype(facts, 'query')})",
            "else:",
            *inputs_lines(entries),
            f'    out = bind_out("out", out, "{dtype}", {out_axes}, sizes, inputs)',
        ),
        view_lines=tuple(f"{name}_heads = {name}{HEADS_FIRST}" for name in HEADS if swapped),
        statistics=tuple((name, SHAPE_NOTES.get(name, "")) for name in work.op.statistics),
        variables=statistics,
        blind_lines=tuple(
            f"{variable}[...] = {value}" for variable, value in blind_statistics(facts, "-np.inf")
        ),
        out_dtype=numpy_dtype(facts, "x"),
        statistic_dtype=f"np.{facts.numbers.statistic.value}",
        statistic_shapes=statistic_shapes(facts.work.op.statistics),
        attend_parameters=("query", "key", "value", "out", *statistics, QUERY_OFFSET, *operands),
        attend_arguments=(
            *(f"{n}_heads" if swapped else n for n in HEADS),
            *statistics,
            QUERY_OFFSET,
            *operands,
        ),
        kernel_arguments=kernel_arguments(facts),
        returns=f"Attention(out, {', '.join(facts.results)})" if facts.results else "out",
    )


def statistic_shapes(statistics: Names) -> str:
    """Which axes statistics have, where nothing else stands behind their types."""
    noted = not SHAPE_NOTES.keys().isdisjoint(statistics)
    return "(batch, query_heads, queries)" + (" unless said otherwise" if noted else "")


def kernel_arguments(facts: Lowering) -> Lines:
    """The arguments of attention_tasks up to the counter, as texts of attend()."""
    lines = [line for name in HEADS for line in (f"address({name})", f"*{name}.strides[:3]")]
    lines += [f"address({name})" for name in facts.statistics]
    lines += ["batch", "queries", "keys", f"address({QUERY_OFFSET})"]
    lines += ["out.shape[1]"] if facts.packs_heads else []
    return (*lines, *(f"address({name})" for name in facts.captured))


def numpy_dtype(facts: Lowering, like: str) -> str:
    """The text of the output's dtype; 16-bit formats come as two dtypes, and go as they came."""
    numbers = facts.numbers
    return f"{like}.dtype" if numbers.narrow else f"np.{numbers.stored.value}"


def dtype_words(facts: Lowering) -> str:
    numbers = facts.numbers
    return f"{numbers.stored.value} (or its bits as uint16)" if numbers.narrow else numbers.stored.value


def offset_units(graph: Graph) -> str:
    start = "keys - queries" if graph.align is Align.END else "0"
    return f"query_offset, the position of the first query: an int or ints (batch,); None is {start}"


def attention_doc(facts: Lowering) -> Lines:
    work, axes = facts.work, AXES[facts.graph.layout]
    shapes = [
        ("query", shape_text(axes(work.query_heads, "queries", work.dim))),
        ("key", shape_text(axes(work.key_value_heads, "keys", work.dim))),
        ("value", shape_text(axes(work.key_value_heads, "keys", work.value_dim))),
        ("out", shape_text(axes(work.query_heads, "queries", work.value_dim))),
        *((array.name, f"{shape_text(array.shape)} {array.dtype.value}") for array in facts.inputs.values()),
    ]
    width = max(len(name) for name, _ in shapes) + 1
    returned = "out" if not work.op.statistics else f"Attention(out, {', '.join(work.op.statistics)})"
    return (
        "Attend from every query to the keys it sees.",
        "",
        f"    Shapes   {shapes[0][0]:{width}} {shapes[0][1]}",
        *(f"             {name:{width}} {shape}" for name, shape in shapes[1:]),
        f"             {dtype_words(facts)} unless said otherwise;",
        "             any strides, but a last axis with gaps is copied",
        f"    Units    {offset_units(facts.graph)}",
        f"    Returns  {returned}; `out` is written if given, made otherwise",
        "    Raises   InputError, naming the argument, what it has and what it needs",
    )


def layer_model(facts: Lowering) -> LayerModel:
    """The layer around the attention; EMPTY_LAYER for a graph without projections."""
    graph, cross, statistics = facts.program.self_layer, facts.program.cross_layer, facts.statistics
    if graph is None or cross is None:
        return EMPTY_LAYER
    depth = f"{'KEPT_HEADS' if facts.packs_heads else 'QUERY_HEADS'} * VALUE_DIM"
    products = (
        *input_products(graph),
        *input_products(cross),
        output_product(graph, depth, prunes=facts.packs_heads),
    )
    operands, dtype = tuple(facts.captured), facts.numbers.stored.value
    turns = ", turns" if rotary_of(graph) is not None else ""
    merged = "LINEAR.merge_heads(OUTPUT, prepared, out)"
    return LayerModel(
        products=products,
        prepare_arguments=tuple(product.name for product in products),
        prepare_doc_lines=prepare_doc(graph, PREPARES, dtype_words(facts)),
        doc_lines=layer_doc(graph, facts.inputs.values(), offset_units(facts.graph), layer_result(facts)),
        parameters=("x", "weights", "*", "context=None", *facts.inputs, f"{QUERY_OFFSET}=None"),
        bind_lines=(
            bind_line("x", dtype, ("batch", "queries", "MODEL_DIM")),
            "if context is None:",
            '    sizes["keys"] = sizes["queries"]',
            "else:",
            f"    {bind_line('context', dtype, ('batch', 'keys', 'MODEL_DIM'))}",
            *input_lines(facts),
            *offset_line(graph),
        ),
        project_lines=(
            *((f'turns = ROTATION.turns(sizes["queries"], sizes["keys"], {QUERY_OFFSET})',) if turns else ()),
            "if context is None:",
            f"    query, key, value = LINEAR.project(QUERY_KEY_VALUE, prepared, x{turns})",
            "else:",
            f"    (query,) = LINEAR.project(QUERY, prepared, x{turns})",
            f"    key, value = LINEAR.project(KEY_VALUE, prepared, context{turns})",
        ),
        attend_arguments=("query", "key", "value", f"out{HEADS_FIRST}", *statistics, QUERY_OFFSET, *operands),
        returns=f"Attention({merged}, {', '.join(facts.results)})" if facts.results else merged,
    )


def layer_result(facts: Lowering) -> str:
    """What layer() returns, behind its shape."""
    statistics = facts.work.op.statistics
    more = f", in Attention(out, {', '.join(statistics)})" if statistics else ""
    return f"{facts.numbers.stored.value}{more}"


def inputs_lines(entries: Names) -> Names:
    """The arrays that an output must lie apart from, by name."""
    line = f"    inputs = {{{', '.join(entries)}}}"
    if INDENT + len(line) <= LINE_LENGTH:
        return (line,)
    return ("    inputs = {", *(f"        {entry}," for entry in entries), "    }")

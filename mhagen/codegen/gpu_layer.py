"""Graphs of a layer to the functions around the attention of a CUDA module: layer() and prepare()."""

from __future__ import annotations

from ..ir.graph import QUERY_OFFSET
from ..spec.fields import Align, Layout
from .entry import offset_units
from .finish import norm_of, rotary_of, turning_arguments
from .gpu_facts import GpuLowering
from .gpu_model import GpuLayerModel
from .model import ConstantGroup, ConstantLine, Lines, Names
from .products import input_products, layer_doc, model_dim_of, output_product, prepare_doc
from .render import layout
from .shapes import axes_text

PREPARES = "Check the weights of the layer once, for many calls of layer()."
NO_LAYER = GpuLayerModel(False, (), (), (), (), (), (), (), "", (), "")


def layer_constants(facts: GpuLowering) -> tuple[ConstantGroup, ...]:
    """What the products of a layer are told, beside what the kernel is."""
    graph = facts.program.self_layer
    if graph is None:
        return ()
    lines = [ConstantLine("MODEL_DIM", str(model_dim_of(graph)), "")]
    if facts.work.pruned_heads:
        kept = tuple(sorted(facts.work.kept_heads))
        kept_key_value = tuple(sorted({head // facts.work.op.group for head in kept}))
        lines.append(ConstantLine("KEPT", repr(kept), "query heads that are computed"))
        lines.append(ConstantLine("KEPT_KEY_VALUE", repr(kept_key_value), "heads that they read"))
    return (ConstantGroup("The layer.", tuple(lines)),)


def gpu_layer_model(facts: GpuLowering) -> GpuLayerModel:
    """The layer around the attention; NO_LAYER for a graph without projections."""
    graph, cross = facts.program.self_layer, facts.program.cross_layer
    if graph is None or cross is None:
        return NO_LAYER
    inputs, dtype = tuple(facts.inputs), facts.work.dtype.value
    statistics = facts.work.op.statistics
    output = output_product(graph, "QUERY_HEADS * VALUE_DIM", prunes=bool(facts.work.pruned_heads))
    products = (*input_products(graph), *input_products(cross), output)
    merged = "LINEAR.merge_heads(OUTPUT, prepared, out)"
    return GpuLayerModel(
        is_there=True,
        products=products,
        linear_arguments=linear_arguments(facts),
        prepare_arguments=tuple(product.name for product in products),
        prepare_doc_lines=prepare_doc(graph, PREPARES, dtype),
        doc_lines=layer_doc(
            graph,
            facts.inputs.values(),
            offset_units(facts.graph),
            f"{dtype}, in Attention(out, {', '.join(statistics)})" if statistics else dtype,
        ),
        parameters=("x", "weights", "*", "context=None", *inputs, f"{QUERY_OFFSET}=None", "stream=None"),
        bind_lines=bind_lines(facts),
        attends="result = attention" if statistics else "attention",
        attention_arguments=(
            *("query", "key", "value"),
            *(f"{name}={name}" for name in inputs),
            *(f"{QUERY_OFFSET}={QUERY_OFFSET}", "out=out", "stream=stream"),
        ),
        returns=f"result._replace(out={merged})" if statistics else merged,
    )


def linear_arguments(facts: GpuLowering) -> Names:
    """What the products are told of formats, norms and turns."""
    graph = facts.program.self_layer
    norm, rotary = norm_of(graph), rotary_of(graph)
    turning = layout("Turning", turning_arguments(graph), "", 4, 12)
    return (
        f'dtype="{facts.work.dtype.value}"',
        f"heads_first={facts.graph.layout is Layout.BHSD}",
        *(() if norm is None else (f"norm_eps={norm.eps!r}",)),
        *(() if rotary is None else (f"turning={turning}",)),
    )


def bind_lines(facts: GpuLowering) -> Lines:
    start = 'sizes["keys"] - sizes["queries"]' if facts.graph.align is Align.END else "0"
    return (
        f'x = LINEAR.checked("x", x, {axes_text(("batch", "queries", "MODEL_DIM"))}, sizes)',
        "if context is None:",
        '    sizes["keys"] = sizes["queries"]',
        "else:",
        f"    LINEAR.context(context, x, {axes_text(('batch', 'keys', 'MODEL_DIM'))}, sizes)",
        f"{QUERY_OFFSET} = LINEAR.offset({QUERY_OFFSET}, {start}, x, sizes)",
    )

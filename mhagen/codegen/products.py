"""Graph of a layer to the texts of its products, the same for every backend."""

from __future__ import annotations

from collections.abc import Iterable

from ..ir.fused_ops import OutputLinear, ProjectHeads
from ..ir.graph import Graph, Node
from ..ir.head_ops import NormalizeHeads
from .finish import neighbours_of, norm_of, rotary_of
from .layer_model import ProductModel
from .levels import Captured
from .model import Lines
from .shapes import shape_text


def part_text(graph: Graph, weight: str, bias: str | None, skipped: tuple[int, ...]) -> str:
    dim = {"wq": "DIM", "wk": "DIM", "wv": "VALUE_DIM"}[weight]
    heads = "QUERY_HEADS" if weight == "wq" else "KEY_VALUE_HEADS"
    named = f'"{bias}"' if bias is not None else "None"
    made = "KEPT" if weight == "wq" else "KEPT_KEY_VALUE"
    told = (f", kept={made}" if skipped else "") + finish_text(graph, weight)
    return f'Part("{weight}", {named}, heads={heads}, dim={dim}{told})'


def finish_text(graph: Graph, weight: str) -> str:
    """What a part is told of the norms and turns of its heads."""
    norm, rotary = norm_of(graph), rotary_of(graph)
    if weight == "wv" or (norm is None and rotary is None):
        return ""
    role = ", role=AS_QUERIES" if weight == "wq" else ", role=AS_KEYS"
    named = "" if norm is None else f', norm="{weight[1]}_norm"'
    neighbours = neighbours_of(graph)
    return role + named + (f", neighbours={neighbours}" if neighbours else "")


PRODUCT_NAMES = {("wq", "wk", "wv"): "QUERY_KEY_VALUE", ("wq",): "QUERY", ("wk", "wv"): "KEY_VALUE"}


def input_products(graph: Graph) -> tuple[ProductModel, ...]:
    """The products in front of the attention: one when x is its own context, else two."""
    products = []
    for node in graph.nodes:
        if isinstance(node.op, ProjectHeads):
            projections = node.op.projections(node.operands[1:])
            name = PRODUCT_NAMES[tuple(names[0] for names in projections)]
            skips = node.op.skips or ((),) * len(projections)
            parts = tuple(
                part_text(graph, names[0], names[1] if len(names) > 1 else None, skipped)
                for names, skipped in zip(projections, skips, strict=True)
            )
            products.append(ProductModel(name, "MODEL_DIM", parts))
    return tuple(products)


def output_node(graph: Graph) -> Node:
    (node,) = (node for node in graph.nodes if isinstance(node.op, OutputLinear))
    return node


def output_product(graph: Graph, depth: str, *, prunes: bool) -> ProductModel:
    """The product behind the attention, with so many inputs. Weights of pruned heads are not read."""
    _, weight, *bias = output_node(graph).operands
    named = f'"{bias[0]}"' if bias else "None"
    inputs = ", inputs=Inputs(QUERY_HEADS, VALUE_DIM, kept=KEPT)" if prunes else ""
    return ProductModel("OUTPUT", depth, (f'Part("{weight}", {named}, heads=1, dim=MODEL_DIM{inputs})',))


def prepare_doc(graph: Graph, does: str, dtype: str) -> Lines:
    """`does` says what becomes of weights, dtype in which formats they may come."""
    nodes = [node for node in graph.nodes if isinstance(node.op, ProjectHeads | OutputLinear)]
    weights = [name for node in nodes for name in node.operands[1:]]
    weights += [node.operands[1] for node in graph.nodes if isinstance(node.op, NormalizeHeads)]
    shapes = [f"{name} {shape_text(graph.types[name].shape)}" for name in weights]
    return (
        does,
        "",
        f"    Shapes   {', '.join(shapes[:3])}",
        *(f"             {', '.join(shapes[i : i + 3])}" for i in range(3, len(shapes), 3)),
        f"             {dtype}, as torch.nn.Linear has them; a mapping of these names",
        f"             {packed_words(graph)}",
        "    Raises   InputError for a missing, unknown or wrongly shaped array",
    )


def packed_words(graph: Graph) -> str:
    """How weights may come that are packed: as torch.nn.MultiheadAttention.in_proj_weight."""
    has_biases = any(value.name == "bq" for value in graph.inputs)
    biases = ", bqkv for their biases" if has_biases else ""
    return f"wqkv{biases}: those of query, key and value as one array, in place of the three"


def layer_doc(graph: Graph, inputs: Iterable[Captured], units: str, returns: str) -> Lines:
    """units are those of query_offset, returns is what follows the shape of the result."""
    model_dim = model_dim_of(graph)
    shapes = [f"{a.name} {shape_text(a.shape)} {a.dtype.value}" for a in inputs]
    return (
        "The whole layer: projections, attention, output linear.",
        "",
        f"    Shapes   x (batch, queries, {model_dim})",
        f"             context (batch, keys, {model_dim}), or None for x itself",
        *(f"             {text}" for text in shapes),
        "             weights: a mapping as prepare() takes it, or what prepare() returned",
        f"    Units    {units}",
        f"    Returns  (batch, queries, {model_dim}) {returns}",
        "    Raises   InputError, naming the argument, what it has and what it needs",
    )


def model_dim_of(graph: Graph) -> int:
    width = graph.types["x"].shape[2]
    assert isinstance(width, int)
    return width

"""The products of a layer: weights packed once into panels, then out = x * weights + bias in a kernel.

Terms
    panel       a few columns of weights (VECTORS * LANES outputs), inputs down: what a register tile streams
    part        one weight matrix, whose outputs are heads side by side
    strip       the panels of one task: one, or all of a head that is normalised or turned when they are done
    place       where a strip's outputs go: see linear_tasks in a generated module
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InputError
from .arguments import bind
from .headers import address
from .launch import Kernel
from .rotary import Turns
from .sizes import Sizes

# What becomes of the heads of a part: nothing, or what queries and keys need before they meet.
PLAIN, AS_QUERIES, AS_KEYS = 0, 1, 2
# The parts of weights that may come as one array, in the order of torch.nn.MultiheadAttention.in_proj_weight.
PACKED = ("query", "key", "value")
PREPARED_ELSEWHERE = "weights were prepared for another layer, dtype or target; call prepare() of this module"


@dataclass(frozen=True)
class Inputs:
    """Which inputs of a weight matrix are multiplied: those of some heads, in this order."""

    heads: int
    dim: int
    kept: tuple[int, ...]

    @property
    def columns(self) -> np.ndarray:
        return (np.array(self.kept)[:, None] * self.dim + np.arange(self.dim)).reshape(-1)


@dataclass(frozen=True)
class Part:
    """One weight matrix (heads * dim, depth), as torch.nn.Linear has it, and its bias (heads * dim,).

    Terms    role: PLAIN; AS_QUERIES or AS_KEYS: heads are normalised with the weights `norm`, turned by their
             positions, where the layer does so; neighbours: so many first numbers of a head turn with their
             neighbours. The kernel turns a number with one that is half of them further on, so packing puts
             those at even places first: of queries and keys alike, so their products are the same
             kept: the heads that are made, None for all; places of others in the output stay unwritten;
             inputs: those that are multiplied, None for all. Weights that are left out are not read
    """

    weight: str
    bias: str | None
    heads: int
    dim: int
    role: int = PLAIN
    norm: str | None = None
    neighbours: int = 0
    kept: tuple[int, ...] | None = None
    inputs: Inputs | None = None

    @property
    def made(self) -> tuple[int, ...]:
        """The heads that are made, from the first."""
        return tuple(range(self.heads)) if self.kept is None else tuple(sorted(self.kept))

    @property
    def order(self) -> np.ndarray:
        """The numbers of a head in the order in which the kernel has them."""
        turned = np.arange(self.neighbours)
        return np.concatenate((turned[::2], turned[1::2], np.arange(self.neighbours, self.dim)))


@dataclass(frozen=True)
class Product:
    """Parts that read the same inputs: one product whose columns are written head by head."""

    depth: int
    parts: tuple[Part, ...]

    @property
    def names(self) -> tuple[str, ...]:
        names = (name for part in self.parts for name in (part.weight, part.bias, part.norm))
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class Panels:
    """A product's weights as its kernel reads them."""

    weights: (
        np.ndarray
    )  # (panels, depth, columns) as it is computed, or (panels, depth / 2, columns, 2) pairs
    biases: np.ndarray  # (panels, columns) as it is computed
    places: np.ndarray  # (strips, 8) int64
    gains: np.ndarray  # (parts, numbers of a head) as it is computed: the weights of norms


@dataclass(frozen=True)
class Packing:
    """How a kernel wants weights packed: panels of another packing have another size or meaning."""

    dtype: str
    pairs: bool
    columns: int


@dataclass(frozen=True, repr=False)
class Prepared:
    """All packed weights of a layer; made by prepare(), read-only, free to be shared between threads."""

    packing: Packing
    panels: tuple[tuple[Product, Panels], ...]

    def __repr__(self) -> str:
        names = dict.fromkeys(name for product, _ in self.panels for name in product.names)
        return f"<Prepared {', '.join(names)}>"

    def of(self, product: Product, packing: Packing) -> Panels:
        """The panels of a product, packed as its kernel reads them.

        Raises   InputError where they were packed for another layer, dtype or target
        """
        for mine, panels in self.panels:
            if mine == product and self.packing == packing:
                return panels
        raise InputError(PREPARED_ELSEWHERE)


class LinearKernel:
    """The kernel of a layer's products and the packing it needs."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        dtype: str,
        pairs: bool,
        rows_of_task: int,
        columns_of_panel: int,
        norms: bool = False,
        rotates: bool = False,
    ) -> None:
        self.kernel = kernel
        self.dtype = dtype
        self.computed = np.dtype(kernel.computed)
        self.pairs = pairs  # products read pairs of bfloat16: rows of x as they lie, and weights two by two
        self.rows_of_task = rows_of_task
        self.columns_of_panel = columns_of_panel
        self.packing = Packing(dtype, pairs, columns_of_panel)
        self.norms = norms  # the kernel reads the weights of norms
        self.rotates = rotates  # it reads the turns of positions

    def prepare(self, products: tuple[Product, ...], weights: Mapping[str, np.ndarray]) -> Prepared:
        """Pack the weights of all products; wqkv and bqkv may stand for those of query, key and value.

        Raises   InputError for a missing, unknown or wrongly shaped array.
        """
        if type(weights).__name__ in ("Prepared", "GpuPrepared"):  # by a module with a runtime of its own
            raise InputError(PREPARED_ELSEWHERE)
        if not isinstance(weights, Mapping):
            raise InputError(f"weights is a {type(weights).__name__}; needs a mapping of names to arrays")
        weights = taken_apart(weights, products[0], self.checked)
        require_names(products, weights)
        return Prepared(self.packing, tuple((each, self.pack(each, weights)) for each in products))

    def checked(self, name: str, array: object, axes: tuple[int, ...]) -> np.ndarray:
        return bind(name, array, self.dtype, axes, Sizes())

    def pack(self, product: Product, weights: Mapping[str, np.ndarray]) -> Panels:
        width = self.columns_of_panel
        panels: list[np.ndarray] = []
        biases, places = [], []
        before = 0  # columns of all heads so far
        for number, part in enumerate(product.parts):
            weight, bias = self.bound(part, product.depth, weights)
            for first in part.dim * np.array(part.made):
                rows, numbers = weight[first + part.order], bias[first + part.order]
                for column in range(0, part.dim, part.dim if part.role != PLAIN else width):
                    count = part.dim if part.role != PLAIN else min(width, part.dim - column)
                    places.append(
                        (before + first, part.dim, column, count, len(panels), part.role, number, 0)
                    )
                    for start in range(column, column + count, width):
                        chosen = slice(start, min(start + width, column + count))
                        panels.append(self.panel(padded(rows[chosen].T, width)))
                        biases.append(padded(numbers[chosen], width))
            before += part.heads * part.dim
        # stack follows the strides of its parts, which are transposed; the kernel wants rows of a panel.
        packed = np.ascontiguousarray(np.stack(panels))
        arrays = packed, np.stack(biases), np.array(places, np.int64), self.gains(product, weights)
        for array in arrays:
            array.setflags(write=False)  # shared by calls, and places say where a kernel writes
        return Panels(*arrays)

    def gains(self, product: Product, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weights of norms, a row for each part in whole panels; kernels read on behind the last."""
        panel = self.columns_of_panel
        dim = max((part.dim for part in product.parts if part.norm is not None), default=0)
        rows = np.zeros((len(product.parts) + 1, -(-dim // panel) * panel), self.computed)
        for row, part in zip(rows, product.parts, strict=False):
            if part.norm is not None:
                given = bind(part.norm, weights[part.norm], self.dtype, (part.dim,), Sizes())
                row[: part.dim] = widened(bits(given), self.dtype, self.computed)[part.order]
        return rows

    def panel(self, columns: np.ndarray) -> np.ndarray:
        """Columns of weights (depth, width) as the kernel reads them."""
        if not self.pairs:
            return widened(columns, self.dtype, self.computed)
        return np.ascontiguousarray(columns.reshape(-1, 2, columns.shape[1]).transpose(0, 2, 1))

    def bound(
        self, part: Part, depth: int, weights: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """The part's weight and bias, checked; a bias of zeros where it has none."""
        outputs, inputs = part.heads * part.dim, part.inputs
        given = depth if inputs is None else inputs.heads * inputs.dim
        weight = bind(part.weight, weights[part.weight], self.dtype, (outputs, given), Sizes())
        if inputs is not None:
            weight = weight[:, inputs.columns]
        if part.bias is None:
            return bits(weight), np.zeros(outputs, self.computed)
        bias = bind(part.bias, weights[part.bias], self.dtype, (outputs,), Sizes())
        return bits(weight), widened(bits(bias), self.dtype, self.computed)

    def project(
        self, product: Product, prepared: Prepared, x: np.ndarray, turns: Turns | None = None
    ) -> tuple[np.ndarray, ...]:
        """The heads of every part: arrays (batch, heads, length, dim), one of them contiguous per head.

        Shapes   x (batch, length, depth)
        """
        batch, length, _ = x.shape
        rows = batch * length
        out = np.empty(rows * sum(part.heads * part.dim for part in product.parts), x.dtype)
        panels = prepared.of(product, self.packing)
        self.multiply(product, panels, x.reshape(rows, product.depth), out, turns)
        results, start = [], 0
        for part in product.parts:
            end = start + rows * part.heads * part.dim
            heads = out[start:end].reshape(part.heads, batch, length, part.dim)
            results.append(heads.transpose(1, 0, 2, 3))
            start = end
        return tuple(results)

    def merge_heads(self, product: Product, prepared: Prepared, heads: np.ndarray) -> np.ndarray:
        """The output linear: heads (batch, length, heads, dim) to (batch, length, outputs)."""
        batch, length = heads.shape[:2]
        (part,) = product.parts
        out = np.empty((batch, length, part.dim), heads.dtype)
        self.multiply(
            product,
            prepared.of(product, self.packing),
            heads.reshape(batch * length, product.depth),
            out,
        )
        return out

    def multiply(
        self, product: Product, panels: Panels, x: np.ndarray, out: np.ndarray, turns: Turns | None = None
    ) -> None:
        rows = x.shape[0]
        if rows == 0:
            return
        count = len(panels.places)
        if not self.pairs:
            x = widened(x, self.dtype, self.computed)
        self.kernel.run(
            arguments=(
                address(x),
                x.strides[0],
                rows,
                address(panels.weights),
                address(panels.biases),
                address(panels.places),
                count,
                panels.weights.shape[1],
                address(out),
                *((address(panels.gains),) if self.norms else ()),
                *(turn_addresses(turns) if self.rotates else ()),
            ),
            tasks=count * -(-rows // self.rows_of_task),
            work=rows
            * len(panels.weights)
            * self.columns_of_panel
            * product.depth
            // (2 if self.pairs else 1),
        )


def require_names(products: tuple[Product, ...], weights: Mapping[str, Any]) -> None:
    """Raises   InputError for weights that are missing, and for others"""
    known = tuple(dict.fromkeys(name for product in products for name in product.names))
    missing = [name for name in known if name not in weights]
    unknown = [str(name) for name in weights if name not in known]
    if missing or unknown:
        lacks = f"lacks {', '.join(missing)}" if missing else ""
        has = f"has unknown {', '.join(unknown)}" if unknown else ""
        wrong = " and ".join(part for part in (lacks, has) if part)
        raise InputError(f"weights {wrong}; needs {', '.join(known)}")


def taken_apart(
    weights: Mapping[str, Any], product: Product, checked: Callable[[str, Any, tuple[int, ...]], Any]
) -> dict[str, Any]:
    """The weights with wq, wk and wv in place of wqkv, which has the rows of one after the other's.

    checked gives the array of that name and shape, or says what is wrong with it.

    Raises   InputError for one of these beside wqkv, or for more or fewer rows than theirs; so for biases
    """
    apart = dict(weights)
    rows = [part.heads * part.dim for part in product.parts]
    for packed, shape, names in (
        ("wqkv", (sum(rows), product.depth), [part.weight for part in product.parts]),
        ("bqkv", (sum(rows),), [part.bias for part in product.parts if part.bias is not None]),
    ):
        if packed not in weights or len(names) != len(PACKED):
            continue
        if twice := [name for name in names if name in weights]:
            raise InputError(f"weights has {packed} and {', '.join(twice)}; needs one or the other")
        whole, end = checked(packed, apart.pop(packed), shape), 0
        for name, count in zip(names, rows, strict=True):
            apart[name] = whole[end : end + count]
            end += count
    return apart


def turn_addresses(turns: Turns | None) -> tuple[int, int, int]:
    """Where the turns are; nowhere for a product none of whose heads turn."""
    if turns is None:
        return 0, 0, 0
    return address(turns.turns), address(turns.of_queries), address(turns.of_keys)


def bits(values: np.ndarray) -> np.ndarray:
    """16-bit numbers as their bits: NumPy pads and stacks those, whatever it knows of the format."""
    return values.view(np.uint16) if values.itemsize == 2 else values


def widened(values: np.ndarray, dtype: str, computed: np.dtype[np.generic]) -> np.ndarray:
    """Numbers of a format, given as such or as their bits, as what is computed in."""
    if dtype == "bfloat16":
        return (values.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.view(dtype).astype(computed, copy=False)


def padded(values: np.ndarray, width: int) -> np.ndarray:
    """The last axis filled up with zeros."""
    missing = width - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])

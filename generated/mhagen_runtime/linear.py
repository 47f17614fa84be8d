"""The products of a layer: weights packed once into panels, then out = x * weights + bias in a kernel.

Terms
    panel       a few columns of weights (VECTORS * LANES outputs), inputs down: what a register tile streams
    part        one weight matrix, whose outputs are heads side by side
    place       where a panel's outputs go: see linear_tasks in a generated module
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .arguments import bind
from .headers import address
from .launch import Kernel
from .sizes import Sizes


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

    Heads that are not kept have their place in the output, which nobody writes; None: all are. Weights of
    outputs and inputs that are left out are not read.
    """

    weight: str
    bias: str | None
    heads: int
    dim: int
    kept: tuple[int, ...] | None = None
    inputs: Inputs | None = None


@dataclass(frozen=True)
class Product:
    """Parts that read the same inputs: one product whose columns are written head by head."""

    depth: int
    parts: tuple[Part, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in (part.weight, part.bias) if name is not None)


@dataclass(frozen=True)
class Panels:
    """A product's weights as its kernel reads them."""

    weights: (
        np.ndarray
    )  # (panels, depth, columns) as it is computed, or (panels, depth / 2, columns, 2) pairs
    biases: np.ndarray  # (panels, columns) as it is computed
    places: np.ndarray  # (panels, 4) int64


@dataclass(frozen=True, repr=False)
class Prepared:
    """All packed weights of a layer; made by prepare(), read-only, free to be shared between threads."""

    panels: tuple[tuple[Product, Panels], ...]

    def __repr__(self) -> str:
        names = dict.fromkeys(name for product, _ in self.panels for name in product.names)
        return f"<Prepared {', '.join(names)}>"

    def of(self, product: Product, width: int) -> Panels:
        """The panels of a product, `width` columns each."""
        for mine, panels in self.panels:
            if mine == product and panels.weights.shape[2] == width:
                return panels
        raise InputError("weights were prepared for another layer; call prepare() of this module")


class LinearKernel:
    """The kernel of a layer's products and the packing it needs."""

    def __init__(
        self, kernel: Kernel, *, dtype: str, pairs: bool, rows_of_task: int, columns_of_panel: int
    ) -> None:
        self.kernel = kernel
        self.dtype = dtype
        self.computed = np.dtype(kernel.computed)
        self.pairs = pairs  # products read pairs of bfloat16: rows of x as they lie, and weights two by two
        self.rows_of_task = rows_of_task
        self.columns_of_panel = columns_of_panel

    def prepare(self, products: tuple[Product, ...], weights: Mapping[str, np.ndarray]) -> Prepared:
        """Pack the weights of all products.

        Raises   InputError for a missing, unknown or wrongly shaped array.
        """
        if not isinstance(weights, Mapping):
            raise InputError(f"weights is a {type(weights).__name__}; needs a mapping of names to arrays")
        known = tuple(dict.fromkeys(name for product in products for name in product.names))
        missing = [name for name in known if name not in weights]
        unknown = [str(name) for name in weights if name not in known]
        if missing or unknown:
            lacks = f"lacks {', '.join(missing)}" if missing else ""
            has = f"has unknown {', '.join(unknown)}" if unknown else ""
            wrong = " and ".join(part for part in (lacks, has) if part)
            raise InputError(f"weights {wrong}; needs {', '.join(known)}")
        return Prepared(tuple((product, self.pack(product, weights)) for product in products))

    def pack(self, product: Product, weights: Mapping[str, np.ndarray]) -> Panels:
        width = self.columns_of_panel
        panels, biases, places = [], [], []
        before = 0  # columns of all heads so far
        for part in product.parts:
            weight, bias = self.bound(part, product.depth, weights)
            for head in range(part.heads):
                first = head * part.dim
                columns = range(0, part.dim, width) if part.kept is None or head in part.kept else ()
                for column in columns:
                    count = min(width, part.dim - column)
                    chosen = slice(first + column, first + column + count)
                    panels.append(self.panel(padded(weight[chosen].T, width)))
                    biases.append(padded(bias[chosen], width))
                    places.append((before, part.dim, column, count))
                before += part.dim
        # stack follows the strides of its parts, which are transposed; the kernel wants rows of a panel.
        packed = np.ascontiguousarray(np.stack(panels))
        arrays = packed, np.stack(biases), np.array(places, np.int64)
        for array in arrays:
            array.setflags(write=False)  # shared by calls, and places say where a kernel writes
        return Panels(*arrays)

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

    def project(self, product: Product, prepared: Prepared, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """The heads of every part: arrays (batch, heads, length, dim), one of them contiguous per head.

        Shapes   x (batch, length, depth)
        """
        batch, length, _ = x.shape
        rows = batch * length
        out = np.empty(rows * sum(part.heads * part.dim for part in product.parts), x.dtype)
        self.multiply(
            product, prepared.of(product, self.columns_of_panel), x.reshape(rows, product.depth), out
        )
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
            prepared.of(product, self.columns_of_panel),
            heads.reshape(batch * length, product.depth),
            out,
        )
        return out

    def multiply(self, product: Product, panels: Panels, x: np.ndarray, out: np.ndarray) -> None:
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
            ),
            tasks=count * -(-rows // self.rows_of_task),
            multiply_adds=rows * count * self.columns_of_panel * product.depth,
        )


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

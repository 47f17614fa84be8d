"""The products of a layer on a GPU: by the library of its arrays, PyTorch or CuPy, and so by cuBLAS.

Heads are normalised and turned in float32, by the same library, and rounded once on their way to the kernel.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.errors import InputError, UnsupportedError
from ..base.turning import Turning
from .gpu_arrays import learn_shape
from .gpu_libraries import ArrayLibrary, Library, TorchLibrary
from .gpu_offset import one_offset
from .gpu_streams import library_of
from .linear import AS_QUERIES, PLAIN, Part, Product, require_names, taken_apart
from .sizes import Axes, Sizes


@dataclass(frozen=True)
class Held:
    """The arrays of one part, in the caller's library.

    Of heads that are pruned the weights are zeros, and the bias is as it is: no kernel reads those heads.
    """

    weight: Any
    bias: Any
    gains: Any


@dataclass(frozen=True, repr=False)
class GpuPrepared:
    """The weights of a layer, checked; made by prepare(), for many calls."""

    dtype: str
    parts: Mapping[tuple[Part, int], Held]  # by the depth of the product too

    def __repr__(self) -> str:
        return f"<GpuPrepared {', '.join(dict.fromkeys(part.weight for part, _ in self.parts))}>"

    def of(self, part: Part, depth: int, dtype: str) -> Held:
        """Raises   InputError where weights were prepared for another layer or dtype"""
        held = self.parts.get((part, depth))
        if held is None or self.dtype != dtype:
            raise InputError("weights were prepared for another layer or dtype; call this module's prepare()")
        return held


@dataclass(frozen=True)
class HeadTurns:
    """Cosines and sines of the positions of queries and of keys: (batch or 1, length, 1, pairs) float32."""

    of_queries: tuple[Any, Any]
    of_keys: tuple[Any, Any]


class GpuLinear:
    """The products of a module's layer, and what happens to heads behind them."""

    def __init__(
        self, *, dtype: str, heads_first: bool, norm_eps: float = 0.0, turning: Turning | None = None
    ) -> None:
        self.dtype, self.heads_first, self.norm_eps, self.turning = dtype, heads_first, norm_eps, turning

    def prepare(self, products: tuple[Product, ...], weights: Mapping[str, Any]) -> GpuPrepared:
        """Check the weights of all products; wqkv and bqkv may stand for those of query, key and value.

        Raises   InputError for a missing, unknown or wrongly shaped array
        """
        if not isinstance(weights, Mapping):
            raise InputError(f"weights is a {type(weights).__name__}; needs a mapping of names to arrays")
        weights = taken_apart(weights, products[0], self.checked)
        require_names(products, weights)
        parts = dict.fromkeys((part, product.depth) for product in products for part in product.parts)
        return GpuPrepared(self.dtype, {key: self.held(*key, weights) for key in parts})

    def held(self, part: Part, depth: int, weights: Mapping[str, Any]) -> Held:
        inputs, outputs = part.inputs, part.heads * part.dim
        given = depth if inputs is None else inputs.heads * inputs.dim
        weight = self.checked(part.weight, weights[part.weight], (outputs, given))
        if part.kept is not None or inputs is not None:
            weight = self.without_pruned(part, weight)
        bias = None if part.bias is None else self.checked(part.bias, weights[part.bias], (outputs,))
        gains = None if part.norm is None else self.checked(part.norm, weights[part.norm], (part.dim,))
        return Held(weight, bias, gains)

    def without_pruned(self, part: Part, given: Any) -> Any:
        """A copy of a weight that is 0 where heads are pruned."""
        library, inputs = self.library(given), part.inputs
        with library.used(given, None):
            weight = library.copy(given)
            for head in sorted(set(range(part.heads)) - set(part.made)):
                weight[head * part.dim : (head + 1) * part.dim] = 0
            if inputs is not None:
                for head in sorted(set(range(inputs.heads)) - set(inputs.kept)):
                    weight[:, head * inputs.dim : (head + 1) * inputs.dim] = 0
        return weight

    def checked(
        self, name: str, array: Any, axes: Axes, sizes: Sizes | None = None, dtype: str | None = None
    ) -> Any:
        """The array, if its shape and dtype are right; where it lies, the kernel asks.

        Raises   InputError
        """
        needed = self.dtype if dtype is None else dtype
        shape = getattr(array, "shape", None)
        if shape is None or not hasattr(array, "dtype"):
            raise InputError(f"{name} is a {type(array).__name__}; needs an array on a GPU")
        found = str(array.dtype).removeprefix("torch.")
        if found != needed:
            raise InputError(f"{name} has dtype {found}; needs {needed}")
        learn_shape(name, tuple(shape), axes, Sizes() if sizes is None else sizes)
        return array

    def library(self, x: Any) -> Library:
        """Raises   UnsupportedError for a library that multiplies no arrays of the layer's dtype"""
        name = library_of(x)
        match name:
            case "torch":
                return TorchLibrary()
            case "cupy" if self.dtype != "bfloat16":
                return ArrayLibrary(sys.modules["cupy"])
        raise UnsupportedError(
            f"layer() multiplies by PyTorch, or by CuPy if the dtype is not bfloat16: x is an array of {name}"
        )

    def context(self, context: Any, x: Any, axes: Axes, sizes: Sizes) -> None:
        """Raises   InputError where it is not as the layer needs it, beside x"""
        self.checked("context", context, axes, sizes)
        require_beside("context", context, x)

    def offset(self, query_offset: Any, start: int, x: Any, sizes: Sizes) -> Any:
        """The position of the first query, an int, or an int64 array (batch,) beside x; start without one.

        Raises   InputError
        """
        if query_offset is None:
            return start
        one = one_offset(query_offset)
        if one is not None:
            return one
        array = self.checked("query_offset", query_offset, ("batch",), sizes, "int64")
        require_beside("query_offset", array, x)
        return array

    def turns(self, x: Any, queries: int, keys: int, query_offset: Any) -> HeadTurns | None:
        """Units   query_offset as offset() gives it"""
        if self.turning is None:
            return None
        library = self.library(x)
        rates = library.array(np.array(self.turning.rates(keys)), x)

        def turned(length: int, offset: Any) -> tuple[Any, Any]:
            positions = library.array(np.arange(length, dtype=np.float64), x)[None, :, None, None]
            if not isinstance(offset, int):
                offset = library.cast(offset, "float64")[:, None, None, None]
            cosines, sines = library.turns((positions + offset) * rates)
            factor = self.turning.attention_factor if self.turning is not None else 1.0
            return library.cast(factor * cosines, "float32"), library.cast(factor * sines, "float32")

        return HeadTurns(turned(queries, query_offset), turned(keys, 0))

    def project(
        self, product: Product, prepared: GpuPrepared, x: Any, turns: HeadTurns | None
    ) -> tuple[Any, ...]:
        """The heads of every part, with the axes of the module's layout.

        Shapes   x (batch, length, depth)
        """
        library, results = self.library(x), []
        for part in product.parts:
            held = self.held_beside(x, part, product.depth, prepared)
            heads = library.linear(x, held.weight, held.bias).reshape(*x.shape[:2], part.heads, part.dim)
            if part.role != PLAIN:
                heads = self.finished(library, heads, part, held, turns)
            results.append(heads.swapaxes(1, 2) if self.heads_first else heads)
        return tuple(results)

    def finished(self, library: Library, heads: Any, part: Part, held: Held, turns: HeadTurns | None) -> Any:
        """Queries or keys, normalised and turned. Shapes   heads (batch, length, heads, dim)."""
        numbers = library.cast(heads, "float32")
        if held.gains is not None:
            squares = (numbers * numbers).mean(-1)[..., None]
            numbers = numbers / (squares + self.norm_eps) ** 0.5 * library.cast(held.gains, "float32")
        if turns is not None:
            own = turns.of_queries if part.role == AS_QUERIES else turns.of_keys
            numbers = turned_heads(library, numbers, part, *own)
        return library.cast(numbers, self.dtype)

    def new_heads(self, x: Any, shape: tuple[int, int, int, int]) -> Any:
        """A new array (batch, length, heads, dim), with the axes of the module's layout."""
        heads = self.library(x).empty(shape, x)
        return heads.swapaxes(1, 2) if self.heads_first else heads

    def merge_heads(self, product: Product, prepared: GpuPrepared, heads: Any) -> Any:
        """The output linear: heads as new_heads() made them to (batch, length, outputs)."""
        (part,) = product.parts
        held = self.held_beside(heads, part, product.depth, prepared)
        rows = heads.swapaxes(1, 2) if self.heads_first else heads
        batch, length, count, width = rows.shape
        joined = rows.reshape(batch, length, count * width)  # -1 would say nothing of an empty batch
        return self.library(rows).linear(joined, held.weight, held.bias)

    def held_beside(self, x: Any, part: Part, depth: int, prepared: GpuPrepared) -> Held:
        """Raises   InputError where the weights are not for this layer, or not where x is"""
        held = prepared.of(part, depth, self.dtype)
        named = ((part.weight, held.weight), (part.bias, held.bias), (part.norm, held.gains))
        for name, array in named:
            if name is not None:
                require_beside(name, array, x)
        return held


def require_beside(name: str, array: Any, x: Any) -> None:
    """Raises   InputError for an array of another library than x, or on another GPU"""
    if library_of(array) != library_of(x):
        raise InputError(f"{name} is an array of {library_of(array)}; needs one of {library_of(x)}, as x is")
    if array.device != x.device:
        raise InputError(f"{name} is on {array.device}; needs to be on {x.device}, where x is")


def turned_heads(library: Library, heads: Any, part: Part, cosines: Any, sines: Any) -> Any:
    """Pairs of the first numbers of each head, turned; the others as they are."""
    pairs = cosines.shape[-1]
    firsts, seconds = slice(0, pairs), slice(pairs, 2 * pairs)
    if part.neighbours:
        firsts, seconds = slice(0, 2 * pairs, 2), slice(1, 2 * pairs, 2)
    turned = library.copy(heads)
    turned[..., firsts] = heads[..., firsts] * cosines - heads[..., seconds] * sines
    turned[..., seconds] = heads[..., seconds] * cosines + heads[..., firsts] * sines
    return turned

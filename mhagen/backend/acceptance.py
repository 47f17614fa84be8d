"""Compares a kernel with the reference on random inputs, before it is published.

Numbers  lengths lie around the edges of the schedule that a module has as its constants. Kernels of the other
         entries of a tuned table are compared with the reference when they are tuned, and not again
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from ..base.dtypes import DType, Kind
from ..base.errors import VerificationError
from ..ir.reference import Reference
from ..spec.fields import Axis
from ..spec.model import Spec
from ..spec.statistic import LEADERS, Statistic
from .numpy_baseline import NumpyBaseline

Arrays = dict[str, np.ndarray[Any, Any]]
# Twice the rounding of the same sums in plain arithmetic, with room: a right kernel stays well inside of it.
# In 16 bits weights and results are rounded, and in a layer what lies between its products too.
TOLERANCES = {DType.FLOAT32: 2e-5, DType.FLOAT64: 4e-14, DType.BFLOAT16: 2e-2, DType.FLOAT16: 3e-3}
# Sums of many terms and steep scores round more. What plain float32 loses too is no fault of the kernel.
ALLOWED_OVER_NUMPY = 4.0
# What is computed in, what it reaches to, and whether there is a wider one.
FLOAT32_RANGE = "float32 (about 3.4e38; exp above 88)", ', or take dtype = "float64"'
FLOAT64_RANGE = "float64 (about 1.8e308; exp above 709)", ""
MOST_ALLOWED = 0.5  # whatever plain arithmetic loses: a kernel that gives nothing but zeros is 1 off
# Lengths around the edges of tiles: one query, odd numbers, more keys than queries.
SIZES = ((1, 1, 3), (2, 5, 9), (1, 37, 70))
SIZES_OF_LAYER = ((1, 3), (2, 37))
KEY_STATISTICS = frozenset(map(Statistic, LEADERS))  # those that are numbers of keys
LABELS = 4
POSITIONS = (Axis.QUERIES.value, Axis.KEYS.value)
CELLS = 1 << 19  # of all heads: what the reference computes in about 0.1 s


@dataclass(frozen=True)
class Comparison:
    """The worst difference between kernel and reference.  Units: relative to max(1, the greatest result)."""

    error: float
    cases: int


@dataclass(frozen=True)
class Results:
    """What kernel, plain arithmetic and reference give for a call, and how far the first may be off."""

    found: np.ndarray[Any, Any]
    plain: np.ndarray[Any, Any]
    expected: np.ndarray[Any, Any]
    allowed: float


@dataclass(frozen=True)
class Example:
    """Random arguments of one call, lengths as they are at run time."""

    batch: int
    queries: int
    keys: int
    seed: int

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def attention(self, spec: Spec) -> Arrays:
        """query, key and value in the spec's layout."""
        heads, rng = spec.heads, self.rng()
        shapes = {
            "query": (self.batch, heads.query, self.queries, heads.dim),
            "key": (self.batch, heads.key_value, self.keys, heads.dim),
            "value": (self.batch, heads.key_value, self.keys, heads.value_dim),
        }
        arrays = {name: normal(rng, spec.dtype, shape) for name, shape in shapes.items()}
        if spec.layout.value == "bhsd":
            return arrays
        return {name: np.ascontiguousarray(array.swapaxes(1, 2)) for name, array in arrays.items()}

    def inputs(self, spec: Spec) -> Arrays:
        """The arrays of [inputs]: integers as `random_integers` has them, fair coins, normal numbers."""
        rng = self.rng()
        lengths = {
            "batch": self.batch,
            "queries": self.queries,
            "keys": self.keys,
            "query_heads": spec.heads.query,
            "key_value_heads": spec.heads.key_value,
        }
        arrays = {}
        for name, each in spec.inputs.items():
            shape = tuple(lengths[axis] if isinstance(axis, str) else axis for axis in each.shape)
            if each.dtype.kind is Kind.INTEGER:
                along_positions = each.shape[-1] in POSITIONS
                arrays[name] = random_integers(rng, each.dtype, shape, 0 if along_positions else self.keys)
            else:
                arrays[name] = random_array(rng, each.dtype, shape)
        return arrays

    def weights(self, spec: Spec) -> Arrays:
        """The layer's weights and biases, scaled so that activations keep their size."""
        assert spec.projections is not None
        heads, width, rng = spec.heads, spec.projections.model_dim, self.rng()
        rows = {
            "q": heads.query * heads.dim,
            "k": heads.key_value * heads.dim,
            "v": heads.key_value * heads.value_dim,
        }
        shapes = {f"w{letter}": (count, width) for letter, count in rows.items()}
        shapes["wo"] = (width, heads.query * heads.value_dim)
        arrays = {
            name: (rng.standard_normal(shape) / np.sqrt(shape[1])).astype(numpy_dtype(spec.dtype))
            for name, shape in shapes.items()
        }
        if spec.projections.bias:
            arrays |= {f"b{letter}": normal(rng, spec.dtype, (n,)) for letter, n in rows.items()}
        if spec.projections.output_bias:
            arrays["bo"] = normal(rng, spec.dtype, (width,))
        if spec.projections.qk_norm is not None:
            arrays |= {name: normal(rng, spec.dtype, (heads.dim,)) for name in ("q_norm", "k_norm")}
        return arrays

    def x(self, spec: Spec) -> np.ndarray[Any, Any]:
        assert spec.projections is not None
        shape = (self.batch, self.queries, spec.projections.model_dim)
        return normal(self.rng(), spec.dtype, shape)


def random_integers(
    rng: np.random.Generator, dtype: DType, shape: tuple[int, ...], most: int
) -> np.ndarray[Any, Any]:
    """Labels below LABELS; with a `most`, every second one, and the first, from half of it up to it.

    So of two queries that see as many keys as an integer says, one sees most of them and one a few.
    """
    labels = rng.integers(0, LABELS, shape)
    lengths = rng.integers(most // 2, most, shape, endpoint=True)
    is_length = (np.arange(labels.size).reshape(shape) % 2 == 0) & (most > 0)
    return np.where(is_length, lengths, labels).astype(dtype.value)


def random_array(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return rng.random(shape) < 0.5 if dtype is DType.BOOL else normal(rng, dtype, shape)


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The dtype of arrays that hold the format."""
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if dtype is DType.BFLOAT16 else dtype.value)
    return found


def normal(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Normal numbers, rounded to the format."""
    return rng.standard_normal(shape, dtype=np.float32).astype(numpy_dtype(dtype))


def compare(spec: Spec, module: ModuleType) -> Comparison:
    """Run a module on small random inputs and compare with the reference.

    Raises   VerificationError when they disagree
    """
    errors = tuple(differences(spec, module))
    worst = max(errors)
    if not worst <= TOLERANCES[spec.dtype]:
        allowed = allowed_error(spec.dtype, numpy_error(spec, module))
        if not worst <= allowed:
            if leave_range(results_of(spec, module, allowed)):
                raise VerificationError(out_of_range(spec.name, spec.dtype))
            raise VerificationError(
                f"{spec.name} differs from the reference by {worst:.2g} of the greatest result; "
                f"{allowed:.1g} is allowed. The module has not been written"
            )
    return Comparison(worst, len(errors))


def allowed_error(dtype: DType, plain_error: float) -> float:
    """How far a kernel may be from the reference, where plain arithmetic is so far: see `plain_distance`."""
    return max(TOLERANCES[dtype], min(ALLOWED_OVER_NUMPY * plain_error, MOST_ALLOWED))


def plain_distance(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """How far plain arithmetic is from the reference.

    Numbers  where it gives no number at all, as scores have overflowed, it says nothing
    """
    return distance(np.where(np.isfinite(found), found, expected), expected)


def examples(spec: Spec, module: ModuleType) -> Iterator[Example]:
    """Around the edges of tiles; more blocks of keys than one, with a full task of queries; more chunks."""
    for seed, sizes in enumerate((*SIZES, *long_sizes(spec, module))):
        yield Example(*sizes, seed)


def long_sizes(spec: Spec, module: ModuleType) -> Iterator[tuple[int, int, int]]:
    """A task's queries over two blocks of keys and some, or as many as take no time; then two chunks."""
    keys = 2 * int(module.BLOCK_KEYS) + 5
    few = int(module.DECODE_QUERIES)
    yield 1, min(int(module.TILE_QUERIES) + 1, max(few + 1, CELLS // (keys * spec.heads.query))), keys
    yield 2, 1, int(module.CHUNK_KEYS) + 3


def differences(spec: Spec, module: ModuleType) -> Iterator[float]:
    reference = Reference(spec)
    for example in examples(spec, module):
        arrays, inputs = example.attention(spec), example.inputs(spec)
        at_the_end = example.keys - example.queries
        for offset in (None, at_the_end) if example.seed < len(SIZES) else (at_the_end,):
            keywords: dict[str, Any] = {**inputs, "query_offset": offset}
            shares = weights_if_told(spec, arrays, keywords)
            expected = told_by_weight(spec, reference.attention(**arrays, **keywords), shares)
            yield distance(told_by_weight(spec, module.attention(**arrays, **keywords), shares), expected)
            # Into every second row of an array, small calls go the way of all others.
            out = every_second_row(first_of(module.attention(**arrays, **keywords)))
            found = module.attention(**arrays, **keywords, out=out)
            yield distance(told_by_weight(spec, found, shares), expected)
    if spec.projections is None:
        return
    for seed, (batch, queries) in enumerate(SIZES_OF_LAYER):
        example = Example(batch, queries, queries, seed)
        weights, inputs, x = example.weights(spec), example.inputs(spec), example.x(spec)
        found, expected = module.layer(x, weights, **inputs), reference.layer(x, weights, **inputs)
        # Projections round scores apart, so equal keys prove nothing here: attention() has been compared.
        yield distance(told_by_weight(spec, found, None), told_by_weight(spec, expected, None))


def weights_if_told(spec: Spec, arrays: Arrays, keywords: dict[str, Any]) -> np.ndarray[Any, Any] | None:
    """The weights of all keys, where a statistic is a key."""
    if KEY_STATISTICS.isdisjoint(spec.outputs.statistics):
        return None
    return Reference(spec).weights(**arrays, **keywords)[0]


def told_by_weight(spec: Spec, result: Any, weights: np.ndarray[Any, Any] | None) -> Any:
    """The result with weights in place of keys: of two that score nearly alike, either is right.

    Without weights, keys are left out.
    """
    if KEY_STATISTICS.isdisjoint(spec.outputs.statistics):
        return result
    out, *statistics = result
    told = [out]
    for name, array in zip(spec.outputs.statistics, statistics, strict=True):
        if name not in KEY_STATISTICS:
            told.append(array)
        elif weights is not None:
            told.append(weights_at(weights, array))
    return tuple(told)


def weights_at(weights: np.ndarray[Any, Any], keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The weights of these keys of each query; -1 for none."""
    places = keys.reshape(*weights.shape[:3], -1)
    found = np.take_along_axis(weights, np.clip(places, 0, weights.shape[3] - 1), axis=3)
    return np.where(places < 0, -1.0, found)


def numpy_error(spec: Spec, module: ModuleType) -> float:
    """How far plain float32 arithmetic is from the reference: steep scores magnify every rounding."""
    reference, baseline = Reference(spec), NumpyBaseline(spec)
    errors = []
    for example in examples(spec, module):
        arrays, inputs = example.attention(spec), example.inputs(spec)
        expected = first_of(reference.attention(**arrays, **inputs, query_offset=0))
        with np.errstate(all="ignore"):
            found = baseline.attention(**arrays, **inputs, query_offset=0)
        errors.append(plain_distance(found, expected))
    return max(errors)


def results_of(spec: Spec, module: ModuleType, allowed: float) -> Iterator[Results]:
    """Those of attention(), queries first and last."""
    for example in examples(spec, module):
        keywords = example.attention(spec) | example.inputs(spec)
        for offset in (0, example.keys - example.queries):
            yield results_at(spec, module, "attention", {**keywords, "query_offset": offset}, allowed)


def results_at(
    spec: Spec, module: ModuleType, function: str, keywords: dict[str, Any], allowed: float
) -> Results:
    """Those of one call of attention() or layer()."""
    found, plain, expected = (
        first_of(getattr(each, function)(**keywords))
        for each in (module, NumpyBaseline(spec), Reference(spec))
    )
    return Results(found, plain, expected, allowed)


@np.errstate(all="ignore")
def leave_range(calls: Iterable[Results]) -> bool:
    """Whether a kernel is right but where plain arithmetic gives no number either: the spec overflows."""
    is_lost = False
    for call in calls:
        found = np.asarray(call.found, np.float64)
        lost = np.isfinite(call.expected) & ~np.isfinite(call.plain) & ~np.isfinite(found)
        if not distance(np.where(lost, call.expected, found), call.expected) <= call.allowed:
            return False
        is_lost |= bool(lost.any())
    return is_lost


def out_of_range(name: str, dtype: DType) -> str:
    """What to say where results leave the range of what is computed in."""
    computed, wider = FLOAT64_RANGE if dtype is DType.FLOAT64 else FLOAT32_RANGE
    return (
        f"the expressions of {name} leave the range of {computed}, and plain NumPy's results are no numbers "
        f"there either: bound them, as exp(min(x, 80)){wider}. The module has not been written"
    )


def every_second_row(result: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Room for the result, with gaps."""
    batch, rows, *rest = result.shape
    return np.empty((batch, 2 * rows, *rest), result.dtype)[:, ::2]


def first_of(result: Any) -> Any:
    """The output, without the statistics that a spec may ask for."""
    return result[0] if isinstance(result, tuple) else result


def distance(found: Any, expected: Any) -> float:
    """The greatest difference over all results; infinite where one is finite and the other is not."""
    pairs = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
    return max(array_distance(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)


def array_distance(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    """The greatest difference, relative to max(1, the greatest expected number); as for `distance`."""
    if found.shape != expected.shape:
        return np.inf
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    gaps = np.abs(np.subtract(found, expected, where=~same, out=np.zeros_like(expected)))
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
    gap = float(gaps.max(initial=0.0))
    return gap / scale if gap == gap else np.inf

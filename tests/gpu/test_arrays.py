"""Calls on a GPU with the arrays of each library, on its streams: for machines that have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mhagen
from gpu.toolchain import needs_compiler
from mhagen.base.errors import InputError
from mhagen.runtime.gpu_driver import gpu_of_this_machine

pytestmark = [
    needs_compiler,
    pytest.mark.skipif(
        gpu_of_this_machine() is None, reason="needs a GPU of compute capability 8.0 or above"
    ),
]
SPEC: dict[str, Any] = {
    "name": "of_any_library",
    "dtype": "float16",
    "heads": {"query": 4, "key_value": 2, "dim": 64},
    "mask": {"keep": "k <= q", "align": "end"},
    "outputs": {"statistics": ["lse"]},
}
LENGTHS = [(70, 130), (1, 600)]  # by tiles, and as decoding


def operands(queries: int, keys: int) -> list[Any]:
    rng = np.random.default_rng(keys)
    shapes = ((2, 4, queries, 64), (2, 2, keys, 64), (2, 2, keys, 64))
    return [rng.standard_normal(shape).astype(np.float16) for shape in shapes]


def cupy_arrays(arrays: list[Any]) -> tuple[list[Any], Callable[[Any], Any]]:
    cupy = pytest.importorskip("cupy")
    return [cupy.asarray(each) for each in arrays], cupy.asnumpy


def torch_arrays(arrays: list[Any]) -> tuple[list[Any], Callable[[Any], Any]]:
    torch = pytest.importorskip("torch")
    return [torch.from_numpy(each).cuda() for each in arrays], lambda found: found.cpu().numpy()


def numba_arrays(arrays: list[Any]) -> tuple[list[Any], Callable[[Any], Any]]:
    cuda = pytest.importorskip("numba.cuda")
    return [cuda.to_device(each) for each in arrays], lambda found: found.copy_to_host()


LIBRARIES = {"torch": torch_arrays, "cupy": cupy_arrays, "numba": numba_arrays}


def assert_right(found: Any, arrays: list[Any], on_host: Callable[[Any], Any]) -> None:
    wanted = mhagen.reference(SPEC).attention(*arrays)
    np.testing.assert_allclose(on_host(found.out), wanted.out, atol=2e-3)
    np.testing.assert_allclose(on_host(found.lse), wanted.lse, atol=2e-5)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_arrays_of_a_library_give_arrays_of_it(library: str, queries: int, keys: int) -> None:
    arrays = operands(queries, keys)
    given, on_host = LIBRARIES[library](arrays)
    found = mhagen.build(SPEC, backend="cuda").attention(*given)
    assert type(found.out) is type(given[0])
    assert_right(found, arrays, on_host)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_tensors_of_arrays_of_jax_give_results_for_jax(queries: int, keys: int) -> None:
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    arrays = operands(queries, keys)
    given = [jax.device_put(each, jax.devices("gpu")[0]) for each in arrays]
    result = mhagen.build(SPEC, backend="cuda").attention(*map(torch.from_dlpack, given))
    found = type(result)(*map(jax.dlpack.from_dlpack, result))
    assert_right(found, arrays, lambda each: np.asarray(each))


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_jax_reads_and_another_library_holds_the_results(queries: int, keys: int) -> None:
    jax, torch = pytest.importorskip("jax"), pytest.importorskip("torch")
    spec = {**SPEC, "name": "of_jax", "outputs": {}}
    arrays = operands(queries, keys)
    given = [jax.device_put(each, jax.devices("gpu")[0]).block_until_ready() for each in arrays]
    out = torch.empty(arrays[0].shape, dtype=torch.float16, device="cuda")
    mhagen.build(spec, backend="cuda").attention(*given, out=out)
    wanted = mhagen.reference(spec).attention(*arrays)
    np.testing.assert_allclose(jax.numpy.asarray(jax.dlpack.from_dlpack(out)), wanted, atol=2e-3)
    np.testing.assert_allclose(out.cpu().numpy(), wanted, atol=2e-3)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_nobody_waits(queries: int, keys: int) -> None:
    """A graph is captured of a call: what synchronizes cannot be. It reads what its arrays hold by then."""
    torch = pytest.importorskip("torch")
    kernel = mhagen.build(SPEC, backend="cuda")
    first, second = operands(queries, keys), [-each for each in operands(queries, keys)]
    given, on_host = torch_arrays(first)
    kernel.attention(*given)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = kernel.attention(*given)
    for array, other in zip(given, second, strict=True):
        array.copy_(torch.from_numpy(other))
    graph.replay()
    assert_right(found, second, on_host)


def test_a_stream_is_the_callers() -> None:
    torch = pytest.importorskip("torch")
    kernel = mhagen.build(SPEC, backend="cuda")
    arrays = operands(70, 130)
    given, on_host = torch_arrays(arrays)
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        found = kernel.attention(*given)
    passed = kernel.attention(*given, stream=stream)
    stream.synchronize()
    assert_right(found, arrays, on_host)
    assert_right(passed, arrays, on_host)


def test_rows_may_lie_apart_or_unaligned() -> None:
    torch = pytest.importorskip("torch")
    kernel = mhagen.build(SPEC, backend="cuda")
    arrays = operands(70, 130)
    for gap in (8, 3):
        given = [
            torch.nn.functional.pad(torch.from_numpy(each).cuda(), (0, gap), value=torch.nan)[..., :64]
            for each in arrays
        ]
        assert_right(kernel.attention(*given), arrays, lambda found: found.cpu().numpy())


def test_what_is_wrong_is_told() -> None:
    pytest.importorskip("torch")
    kernel = mhagen.build(SPEC, backend="cuda")
    (query, key, value), _ = torch_arrays(operands(70, 130))
    with pytest.raises(InputError, match="memory of the host"):
        kernel.attention(query.cpu(), key, value)
    with pytest.raises(InputError, match="float32"):
        kernel.attention(query.float(), key, value)
    with pytest.raises(InputError, match="detach"):
        kernel.attention(query.requires_grad_(), key, value)

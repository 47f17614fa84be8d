"""A call of attention() up to the CUDA driver, for which a stand-in writes down what it is asked."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from gpu.attention import module_of
from gpu.libcuda import Library, OnGpu, installed
from mhagen.backend import cuda
from mhagen.base.digest import digest
from mhagen.base.errors import InputError, UnsupportedError
from mhagen.pipeline import compile_to_gpu_source
from mhagen.runtime import gpu_arrays, gpu_driver, gpu_launch, gpu_streams

SPEC: dict[str, Any] = {
    "name": "called",
    "dtype": "float16",
    "heads": {"query": 4, "key_value": 2, "dim": 64},
    "scores": {"modify": "score + slope[h] * (k - q)"},
    "mask": {"keep": "k <= q", "align": "end"},
    "inputs": {"slope": {"shape": ["query_heads"]}},
}
STREAM = 0x5EED
HEADS = ("query", "key", "value", "out")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    return installed(monkeypatch)


@cache
def built(arch: str) -> Any:
    return cuda.load_gpu(compile_to_gpu_source(SPEC, arch)[2])


@pytest.fixture(params=["sm_80", "sm_90a"])
def module(request: pytest.FixtureRequest) -> Any:
    """Of either family of kernels: what is called is the same."""
    found = built(request.param)
    for kernel in (found.KERNEL, found.UNALIGNED, found.PARTS, found.UNALIGNED_PARTS, found.MERGING):
        kernel._loaded.clear()
    return found


def arrays(queries: int = 5, keys: int = 9, gap: int = 0) -> dict[str, Any]:
    def rows(address: int, heads: int, length: int) -> OnGpu:
        row = 2 * (64 + gap)
        return OnGpu(address, (3, heads, length, 64), "<f2", (heads * length * row, length * row, row, 2))

    return {
        "query": rows(1 << 20, 4, queries),
        "key": rows(2 << 20, 2, keys),
        "value": rows(3 << 20, 2, keys),
        "out": rows(4 << 20, 4, queries),
        "slope": OnGpu(5 << 20, (4,), "<f4"),
        "stream": STREAM,
    }


def test_addresses_strides_and_lengths_go_to_the_kernel(library: Library, module: Any) -> None:
    given = arrays()
    assert module.attention(**given) is given["out"]
    (how, values) = library.launched[0]
    assert how[:6] == (3 * 4 * 1, 1, 1, module.THREADS, 1, 1)
    assert (how[6], how[7].value) == (module.SHARED_BYTES, STREAM)
    assert values[:4] == [1 << 20, 4 * 5 * 128, 5 * 128, 128]
    assert values[16:19] == [3, 5, 9]
    assert values[19:22] == [9 - 5, 0, 5 << 20]
    assert values[22:] == [0] * module.KERNEL.counts_tasks


def test_as_many_blocks_of_threads_are_started_as_run_at_once_where_they_take_tasks(
    library: Library, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in has 9 multiprocessors; the tasks are counted in a word that is cleared before."""
    monkeypatch.setattr(gpu_launch, "can_allocate", lambda like: True)
    monkeypatch.setattr(
        gpu_arrays,
        "new_workspace",
        lambda *_: gpu_arrays.array_of("workspace", OnGpu(7 << 20, (1,), "<f4"), None),
    )
    module.attention(**arrays(queries=600))
    tasks = 3 * 4 * -(-600 // module.TILE_QUERIES)
    (how, values) = library.launched[0]
    if module.KERNEL.counts_tasks:
        assert (how[0], values[-1]) == (9, 7 << 20)
        assert library.called.index("cuMemsetD32Async") < library.called.index("cuLaunchKernel")
    else:
        assert how[0] == tasks
        assert "cuMemsetD32Async" not in library.called


def test_nobody_waits(library: Library, module: Any) -> None:
    module.attention(**arrays())
    assert not [name for name in library.called if "Synchronize" in name]


def test_rows_that_are_not_aligned_have_a_kernel_of_their_own(library: Library, module: Any) -> None:
    module.attention(**arrays(gap=1))
    assert (list(module.KERNEL._loaded), list(module.UNALIGNED._loaded)) == ([], [0])


def test_tasks_that_a_gpu_cannot_count_are_told(library: Library, module: Any) -> None:
    names = ("query", "key", "value", "out")
    rows = tuple(gpu_arrays.array_of(name, arrays()[name], None) for name in names)
    how = {"blocks": 2**31, "stream": gpu_streams.CallStream(0, "")}
    with pytest.raises(InputError, match=r"would need 2147483648 tasks"):
        module.KERNEL.attend(module.UNALIGNED, rows, (), **how)
    assert not library.launched


def test_a_call_without_queries_launches_nothing(library: Library, module: Any) -> None:
    module.attention(**arrays(queries=0))
    assert not library.launched


def test_few_queries_are_attended_from_in_parts_of_the_keys(
    library: Library, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def workspace(count: int, like: Any, stream: Any) -> Any:
        asked.append((count, stream))
        return gpu_arrays.array_of("workspace", OnGpu(6 << 20, (count,), "<f4"), None)

    monkeypatch.setattr(module, "can_allocate", lambda like: True)
    monkeypatch.setattr(module, "new_workspace", workspace)
    module.attention(**arrays(queries=2, keys=600))
    (parts, given), (merging, same) = library.launched
    assert parts[:4] == (3 * 1 * 2 * 3, 1, 1, 32)  # parts, tiles, key/value heads, batch
    assert (merging[:4], merging[6]) == ((3 * 4 * 2, 1, 1, 32), 0)
    assert [(count, stream.handle) for count, stream in asked] == [(3 * 4 * 2 * 3 * (64 + 2), STREAM)]
    assert given[-2] == 6 << 20
    assert given[:-1] == same[:-1]


@pytest.mark.parametrize(("queries", "keys"), [(2, 256), (17, 600)])
def test_few_keys_and_many_queries_are_not(
    library: Library, module: Any, monkeypatch: pytest.MonkeyPatch, queries: int, keys: int
) -> None:
    monkeypatch.setattr(module, "can_allocate", lambda like: True)
    module.attention(**arrays(queries=queries, keys=keys))
    assert len(library.launched) == 1


class OfJax(OnGpu):
    """JAX's arrays are of a class of jaxlib."""

    __module__ = "jaxlib._jax"


def test_who_has_arrays_of_jax_is_told_how_to_get_results_as_such(library: Library, module: Any) -> None:
    given = arrays()
    query = OfJax(given["query"].address, given["query"].shape)
    with pytest.raises(
        UnsupportedError, match=r"torch\.from_dlpack\(query\).*jax\.dlpack\.from_dlpack\(result\)"
    ):
        module.attention(**{**given, "query": query, "out": None})
    assert module.attention(**{**given, "query": query}) is given["out"]
    assert len(library.launched) == 1


class OfNumba(OnGpu):
    """Numba's arrays know no bfloat16."""

    __module__ = "numba.cuda"


@pytest.mark.parametrize(("array", "told"), [(OfNumba, "in bfloat16 .* of numba"), (OnGpu, "of gpu: pass")])
def test_results_that_a_library_has_no_arrays_for_are_not_supported(
    library: Library, array: type[OnGpu], told: str
) -> None:
    module = module_of({**SPEC, "name": "called_in_bfloat16", "dtype": "bfloat16"}, None)
    given = {name: OnGpu(each.address, each.shape, "<V2") for name, each in arrays().items() if name in HEADS}
    given["query"] = array(given["query"].address, given["query"].shape, "<V2")
    slope = OnGpu(5 << 20, (4,), "<f4")
    with pytest.raises(UnsupportedError, match=told):
        module.attention(**{**given, "out": None}, slope=slope)
    assert module.attention(**given, slope=slope) is given["out"]


def test_rows_that_run_backwards_are_as_good_as_others(library: Library, module: Any) -> None:
    """The kernel gets the address of the first, and strides below 0."""
    given = arrays()
    strides = (-9 * 128 * 2, -9 * 128, -128, 2)
    given["key"] = OnGpu((2 << 20) + 3 * 2 * 9 * 128 - 128, (3, 2, 9, 64), "<f2", strides)
    module.attention(**given)
    assert library.launched[0][1][4:8] == [given["key"].address, *strides[:3]]
    assert list(module.KERNEL._loaded) == [0], "they are aligned"


def given_for(batch: int, queries: int, keys: int) -> dict[str, OnGpu]:
    """What has no element lies at 0, as the interface asks."""
    shapes = {
        "query": (batch, 4, queries, 64), "key": (batch, 2, keys, 64), "value": (batch, 2, keys, 64),
        "out": (batch, 4, queries, 64), "slope": (batch, 4), "bias": (batch, queries, keys),
    }  # fmt: skip
    return {
        name: OnGpu(0 if 0 in shape else (number + 1) << 20, shape, "<f2" if len(shape) == 4 else "<f4")
        for number, (name, shape) in enumerate(shapes.items())
    }


BIASED: dict[str, Any] = {
    **SPEC,
    "name": "called_for_nothing",
    "scores": {"modify": "score + slope[b, h] + bias[b, q, k]"},
    "inputs": {"slope": {"shape": ["batch", "query_heads"]}, "bias": {"shape": ["batch", "queries", "keys"]}},
}


@pytest.mark.parametrize("lengths", [(0, 5, 9), (3, 0, 9), (0, 5, 0), (3, 0, 0), (0, 0, 0)])
def test_where_nobody_attends_arrays_and_inputs_may_have_no_element(
    library: Library, lengths: tuple[int, int, int]
) -> None:
    given: dict[str, Any] = given_for(*lengths)
    assert module_of(BIASED, None).attention(**given) is given["out"]
    assert not library.launched


def test_where_queries_meet_no_key_an_input_with_no_element_is_not_supported(library: Library) -> None:
    given: dict[str, Any] = given_for(3, 5, 0)
    with pytest.raises(UnsupportedError, match=r"bias has shape \(3, 5, 0\): .* needs one element"):
        module_of(BIASED, None).attention(**given)
    others = {name: array for name, array in given.items() if name != "bias"}
    module_of(SPEC, None).attention(**{**others, "slope": OnGpu(5 << 20, (4,), "<f4")})
    assert len(library.launched) == 1, "without such an input it is"


def test_libraries_that_make_no_arrays_to_write_to_are_served_by_tiles(library: Library, module: Any) -> None:
    module.attention(**arrays(queries=2, keys=600))
    assert len(library.launched) == 1


MIXED: dict[str, Any] = {
    **SPEC,
    "name": "mixed",
    "heads": {**SPEC["heads"], "pruned": [1]},
    "groups": [{"heads": [3], "mask": {"keep": "k < q"}}],
}


def test_every_kind_of_heads_has_a_launch(library: Library) -> None:
    module = cuda.load_gpu(compile_to_gpu_source(MIXED, "sm_80")[2])
    kernels = [each for each in vars(module).values() if isinstance(each, gpu_launch.GpuKernel)]
    module.attention(**arrays())
    assert [how[0] for how, _ in library.launched] == [3 * module.CLEARERS, 3 * 2, 3]
    assert [how[3] for how, _ in library.launched] == [32, module.THREADS, module.THREADS]
    assert library.launched[0][1] == library.launched[1][1] == library.launched[2][1]
    # A module has kernels for arrays that are not aligned too: of tiles and of parts, of each kind.
    assert len(cuda.gpu_kernels(module)) == len(kernels) - 4 == 2 * 3 + 1


def test_statistics_of_second_passes_come_behind_the_first(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = {**SPEC, "name": "called_twice", "outputs": {"statistics": ["top_4", "max", "received", "argmax"]}}
    module = cuda.load_gpu(compile_to_gpu_source(spec, "sm_80")[2])
    made = []

    def empty(like: Any, shape: tuple[int, ...], dtype: str) -> Any:
        made.append((shape, dtype))
        return OnGpu((16 + len(made)) << 20, shape, {"int64": "<i8", "float32": "<f4"}[dtype])

    monkeypatch.setattr(gpu_arrays, "empty", empty)
    library.first = "19q3i"  # with the places of what the first pass makes
    result = module.attention(**arrays(queries=70, keys=130))
    of_queries, of_keys = (3, 4, 70), (3, 4, 130)
    leaders = [
        ((*of_queries, 4), "int64"),
        (of_queries, "float32"),
        (of_keys, "float32"),
        (of_queries, "int64"),
    ]
    assert made == [*leaders, *2 * [((3 * 4 * 70,), "float32")]]
    assert [each.address >> 20 for each in result[1:]] == [17, 18, 19, 20]
    (_, first), (leading, led), (receiving, received) = library.launched
    assert (leading[:4], receiving[:4]) == ((2 * 4 * 3, 1, 1, 128), (3 * 4 * 3, 1, 1, 128))
    assert [place >> 20 for place in first[16:19]] == [18, 21, 22]
    assert (led[: len(first)], received[: len(first)]) == (first, first)
    assert [place >> 20 for place in (*led[len(first) :], *received[len(first) :])] == [17, 20, 19]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an array of the host": (
        {"key": np.zeros((3, 2, 9, 64), np.float16)},
        "key is in the memory of the host",
    ),
    "no array": ({"key": 3}, "key is a int"),
    "a dtype": ({"key": OnGpu(2 << 20, (3, 2, 9, 64), "<f4")}, "key has dtype float32; needs float16"),
    "a shape": ({"value": OnGpu(3 << 20, (3, 2, 8, 64))}, "value has shape"),
    "gaps": ({"key": OnGpu(2 << 20, (3, 2, 9, 64), "<f2", (9984, 992, 256, 4))}, "without gaps"),
    "elements that lie between": (
        {"key": OnGpu(2 << 20, (3, 2, 9, 64), "<f2", (9999, 999, 128, 2))},
        "key has elements between multiples of their 2 bytes: pass a contiguous copy",
    ),
    "an input that runs backwards": (
        {"slope": OnGpu(5 << 20, (4,), "<f4", (-4,))},
        "needs its elements side",
    ),
    "numbers that run backwards": (
        {"key": OnGpu(2 << 20, (3, 2, 9, 64), "<f2", (2304, 1152, 128, -2))},
        "needs its last axis without gaps",
    ),
    "out that runs backwards into query": (
        {"out": OnGpu((1 << 20) + 64 * 1024, (3, 4, 5, 64), "<f2", (-8192 * 4, -640, -128, 2))},
        "out shares memory with query",
    ),
    "out backwards with rows on one another": (
        {"out": OnGpu(9 << 20, (3, 4, 5, 64), "<f2", (-2560, -640, -64, 2))},
        "needs a place for each element",
    ),
    "a far offset": ({"query_offset": 1 << 29}, "query_offset is 536870912"),
    "an offset that is a real": ({"query_offset": 1.5}, "query_offset is 1.5 of type float; needs an int"),
    "out in query": ({"out": OnGpu(1 << 20, (3, 4, 5, 64))}, "out shares memory with query"),
    "out from the middle of value on": (
        {"out": OnGpu((3 << 20) + 3 * 2 * 9 * 128 - 128, (3, 4, 5, 64))},
        "out shares memory with value",
    ),
    "out that ends in value": (
        {"out": OnGpu((3 << 20) - 3 * 4 * 5 * 128 + 128, (3, 4, 5, 64))},
        "out shares memory with value",
    ),
    "out that ends in an input": (
        {"out": OnGpu((5 << 20) - 3 * 4 * 5 * 128 + 8, (3, 4, 5, 64))},
        "out shares memory with slope",
    ),
    "out that ends in the offsets": (
        {
            "query_offset": OnGpu(6 << 20, (3,), "<i8"),
            "out": OnGpu((6 << 20) - 3 * 4 * 5 * 128 + 8, (3, 4, 5, 64)),
        },
        "out shares memory with query_offset",
    ),
    "an input on another GPU": ({"slope": OnGpu(1 << 32, (4,), "<f4")}, r"on the GPUs \[0, 1\]"),
    "offsets on another GPU": ({"query_offset": OnGpu(1 << 32, (3,), "<i8")}, r"on the GPUs \[0, 1\]"),
    "a stream": ({"stream": "default"}, "stream is a str"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_call_is_told(library: Library, module: Any, mistake: str) -> None:
    change, told = WRONG[mistake]
    with pytest.raises(InputError, match=told):
        module.attention(**{**arrays(), **change})
    assert not library.launched


@pytest.mark.parametrize("heads", [4, 8])
def test_out_may_lie_beside_what_is_read_and_between_its_rows(
    library: Library, module: Any, heads: int
) -> None:
    """Of one array with 4 or 8 heads, those of query come first, and those of out last."""
    strides = (heads * 5 * 128, 5 * 128, 128, 2)
    place = heads * 5 * 128 * 3 if heads == 4 else 4 * 5 * 128
    out = OnGpu((1 << 20) + place, (3, 4, 5, 64), "<f2", strides)
    query = OnGpu(1 << 20, (3, 4, 5, 64), "<f2", strides)
    module.attention(**{**arrays(), "query": query, "out": out})
    assert len(library.launched) == 1


def test_a_gpu_that_is_too_old_is_told(library: Library, module: Any) -> None:
    library.capability = (7, 5)
    with pytest.raises(UnsupportedError, match=r"generated for sm_\w+, but GPU 0 is sm_75"):
        module.attention(**arrays())


def test_without_a_driver_it_is_told(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_driver, "DRIVER", "libnosuchdriver.so")
    gpu_driver.the_driver.cache_clear()
    with pytest.raises(UnsupportedError, match="no CUDA driver"):
        module.KERNEL.launch((), blocks=1, stream=0, device=0)


def test_what_shapes_a_kernel_is_in_its_key() -> None:
    module = built("sm_80")
    keys = {digest(module.KERNEL.key), digest(module.UNALIGNED.key)}
    for changes in ({"constants": {"a": 1}}, {"mask": {"keep": "k < q"}}, {"dtype": "bfloat16"}):
        other = cuda.load_gpu(compile_to_gpu_source({**SPEC, **changes}, "sm_80")[2])
        keys.add(digest(other.KERNEL.key))
    keys.add(digest(cuda.load_gpu(compile_to_gpu_source(SPEC, "sm_90")[2]).KERNEL.key))
    assert len(keys) == 5  # a constant that nobody reads shapes nothing


NOT_YET: dict[str, tuple[dict[str, Any], str]] = {
    "float64": ({"dtype": "float64"}, "float16, bfloat16 and float32, not yet in float64"),
    "wide heads": ({"heads": {"query": 4, "dim": 512}}, "up to 256"),
}


@pytest.mark.parametrize("what", NOT_YET)
def test_what_is_not_supported_yet_is_told(what: str) -> None:
    changes, told = NOT_YET[what]
    with pytest.raises(UnsupportedError, match=told):
        compile_to_gpu_source({**SPEC, **changes}, "sm_80")

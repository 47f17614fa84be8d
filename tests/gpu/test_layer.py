"""Layers on GPUs: their products are a library's, so they are run on the host, around the oracle."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mhagen
from gpu.attention import built
from gpu.libcuda import installed
from mhagen.base.errors import InputError, UnsupportedError
from mhagen.pipeline import compile_to_gpu_source
from mhagen.runtime.gpu_libraries import REDUCTIONS, SUMS_IN_FULL, ArrayLibrary
from mhagen.runtime.gpu_offset import bind_gpu_offset
from mhagen.runtime.gpu_streams import CallStream, stream_of
from mhagen.runtime.sizes import Sizes

SPEC: Mapping[str, Any] = {
    "name": "layer_of_gpu",
    "dtype": "float16",
    "heads": {"query": 4, "key_value": 2, "dim": 16},
    "mask": {"keep": "k <= q"},
    "projections": {"model_dim": 24, "bias": True, "output_bias": True},
}
ROTARY = {"base": 10000.0, "dim": 8}
LAYERS = {
    "plain": {},
    "behind the keys": {"mask": {"keep": "k <= q", "align": "end"}},
    "rows first": {"layout": "bshd"},
    "half": {"projections": {"model_dim": 24, "rotary": {"base": 500.0}}},
    "interleaved": {"projections": {"model_dim": 24, "rotary": {**ROTARY, "layout": "interleaved"}}},
    "normalised": {"projections": {"model_dim": 24, "qk_norm": {"eps": 1e-5}, "rotary": ROTARY}},
    "scaled": {
        "projections": {
            "model_dim": 24,
            "rotary": {
                **ROTARY,
                "scaling": {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 4},
            },
        }
    },
    "pruned": {"heads": {"query": 4, "key_value": 2, "dim": 16, "pruned": [1]}},
    "a whole group pruned": {"heads": {"query": 4, "key_value": 2, "dim": 16, "pruned": [2, 3]}},
    "statistics": {"outputs": {"statistics": ["lse"]}},
}


def numbers(shape: tuple[int, ...], seed: int) -> NDArray[np.float16]:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.5).astype(np.float16)


def weights_of(spec: Mapping[str, Any]) -> dict[str, NDArray[np.float16]]:
    """Random weights for all that the layer multiplies, and what no pruned head may read."""
    layer, heads = spec["projections"], spec["heads"]
    width, dim = layer["model_dim"], heads["dim"]
    rows = {"q": heads["query"] * dim, "k": heads["key_value"] * dim, "v": heads["key_value"] * dim}
    made = {f"w{name}": numbers((count, width), seed) for seed, (name, count) in enumerate(rows.items())}
    made["wo"] = numbers((width, rows["q"]), 7)
    if layer.get("bias"):
        made |= {f"b{name}": numbers((count,), 10 + seed) for seed, (name, count) in enumerate(rows.items())}
    if layer.get("output_bias"):
        made["bo"] = numbers((width,), 20)
    if "qk_norm" in layer:
        made |= {"q_norm": numbers((dim,), 30), "k_norm": numbers((dim,), 31)}
    for head in heads.get("pruned", ()):
        made["wq"][head * dim : (head + 1) * dim] = np.nan
        made["wo"][:, head * dim : (head + 1) * dim] = np.nan
    return made


class OnHost(ArrayLibrary):
    """NumPy in place of CuPy, which has its functions; it has no GPU to make the current one."""

    def __init__(self) -> None:
        super().__init__(np)

    def used(self, like: Any, stream: Any, *others: Any) -> Any:
        return nullcontext()


class Host:
    """A library of arrays in the memory of the host: products are the same there."""

    def __init__(self, name: str) -> None:
        self.torch = pytest.importorskip("torch") if name == "torch" else None

    def given(self, array: NDArray[Any]) -> Any:
        return array if self.torch is None else self.torch.from_numpy(array)

    def by_the_oracle(self, spec: Mapping[str, Any], module: Any) -> Callable[..., Any]:
        """In place of attention(), which wants arrays on a GPU: the reference of the attention alone."""
        alone = mhagen.reference({key: value for key, value in spec.items() if key != "projections"})

        def attend(query: Any, key: Any, value: Any, *, query_offset: Any, out: Any, stream: Any) -> Any:
            offset = query_offset if isinstance(query_offset, int) else np.asarray(query_offset)
            arrays = (np.asarray(each) for each in (query, key, value))
            result = alone.attention(*arrays, query_offset=offset)
            found = result[0] if isinstance(result, tuple) else result
            out[...] = self.given(found.astype(np.float16))
            return module.Attention(out, *result[1:]) if isinstance(result, tuple) else out

        return attend


@pytest.fixture(params=["numpy", "torch"])
def host(request: pytest.FixtureRequest) -> Host:
    return Host(request.param)


def assert_close(found: Any, wanted: NDArray[Any]) -> None:
    """Queries, keys, values and heads are rounded to float16 on their way: a few units of the last place."""
    error = np.abs(np.asarray(found, np.float64) - wanted).max()
    assert error <= 2e-3 * np.abs(wanted).max()


def spec_of(**changes: Any) -> dict[str, Any]:
    return {**SPEC, **changes}


def module_for(
    spec: Mapping[str, Any], host: Host, monkeypatch: pytest.MonkeyPatch, arch: str = "sm_80"
) -> Any:
    module = built(json.dumps(spec), None, arch)
    monkeypatch.setattr(module, "attention", host.by_the_oracle(spec, module))
    if host.torch is None:
        monkeypatch.setattr(module.LINEAR, "library", lambda _: OnHost())
    return module


@pytest.mark.parametrize("changes", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("crosses", [False, True], ids=["its own context", "a context"])
def test_a_layer_is_its_products_around_the_attention(
    changes: Mapping[str, Any], crosses: bool, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(**changes)
    module, weights = module_for(spec, host, monkeypatch), weights_of(spec)
    x, context = numbers((2, 5, 24), 40), numbers((2, 9, 24), 41) if crosses else None
    held = {name: host.given(array) for name, array in weights.items()}
    found = module.layer(host.given(x), held, context=None if context is None else host.given(context))
    read = {name: np.nan_to_num(array) for name, array in weights.items()}  # the oracle multiplies all
    wanted = mhagen.reference(spec).layer(x, read, context=context)
    results = zip(found, wanted, strict=True) if isinstance(wanted, tuple) else [(found, wanted)]
    for mine, right in results:
        assert_close(mine, right)


def test_weights_may_come_packed_and_be_checked_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    module, weights = module_for(spec, host, monkeypatch), weights_of(spec)
    packed = {name: array for name, array in weights.items() if name in ("wo", "bo")}
    packed["wqkv"] = np.concatenate([weights[name] for name in ("wq", "wk", "wv")])
    packed["bqkv"] = np.concatenate([weights[name] for name in ("bq", "bk", "bv")])
    x = host.given(numbers((1, 3, 24), 50))
    one, other = (
        module.layer(x, module.prepare({name: host.given(array) for name, array in given.items()}))
        for given in (weights, packed)
    )
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize("shape", [(0, 3, 24), (2, 0, 24)], ids=["batch", "queries"])
def test_without_a_batch_or_queries_there_is_nothing(
    shape: tuple[int, ...], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = module_for(SPEC, host, monkeypatch)
    weights = {name: host.given(array) for name, array in weights_of(SPEC).items()}
    context = host.given(numbers((shape[0], 5, 24), 1))
    found = module.layer(host.given(numbers(shape, 0)), weights, context=context)
    assert np.asarray(found).shape == shape


def test_other_formats_and_sums_that_pytorch_is_told_to_take_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host("torch")
    module, torch = module_for(SPEC, host, monkeypatch), host.torch
    weights = {name: host.given(array) for name, array in weights_of(SPEC).items()}
    x, matmul, seen = host.given(numbers((1, 3, 24), 50)), torch.backends.cuda.matmul, []
    plain = module.layer(x, weights)
    linear = torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional,
        "linear",
        lambda *given: seen.extend(getattr(matmul, name) for name in REDUCTIONS) or linear(*given),
    )
    before = [getattr(matmul, name) for name in REDUCTIONS]
    with torch.autocast("cpu", dtype=torch.bfloat16), SUMS_IN_FULL.of(torch):
        found = module.layer(x, weights)
    assert found.dtype == torch.float16
    assert torch.equal(found, plain)
    assert [getattr(matmul, name) for name in REDUCTIONS] == before == [True, True]
    assert not any(seen)


def test_arrays_of_cupy_are_multiplied_on_their_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[Any] = []

    @contextmanager
    def entering(what: Any) -> Iterator[None]:
        entered.append(what)
        yield
        entered.append("left")

    class Device:
        id = 3

        def __enter__(self) -> None:
            entered.append("device 3")

        def __exit__(self, *why: object) -> None:
            entered.append("left")

    class Array:
        device = Device()

    Array.__module__ = "cupy"
    cuda = SimpleNamespace(
        ExternalStream=lambda *given: entering(given),
        get_current_stream=lambda: SimpleNamespace(ptr=9 if entered[-1] == "device 3" else 0),
    )
    library = ArrayLibrary(SimpleNamespace(cuda=cuda))
    monkeypatch.setitem(sys.modules, "cupy", library.module)
    assert stream_of(None, Array()).handle == 9, "it is asked where the array is"
    assert entered == ["device 3", "left"]
    driver = installed(monkeypatch)
    for stream, inside, waits in ((None, [], []), (9, [], []), (7, [(7, 3)], [(9, 7)])):
        entered.clear()
        driver.waits.clear()
        with library.used(Array(), stream):
            assert entered[-1 - len(inside) :] == ["device 3", *inside]
        assert entered[-1 - len(inside) :] == ["left"] * (1 + len(inside))
        assert driver.waits == waits, "products wait for what is on the stream that was current"


def test_the_stream_of_a_layer_waits_for_all_that_is_read_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so PyTorch is told, where it is not the current one."""
    host, seen = Host("torch"), []
    module = module_for(SPEC, host, monkeypatch)
    weights = {name: host.given(array) for name, array in weights_of(SPEC).items()}
    x, context = host.given(numbers((2, 5, 24), 40)), host.given(numbers((2, 9, 24), 41))
    offset = host.given(np.array([1, 2]))
    monkeypatch.setattr(CallStream, "wait_for_current", lambda self, like: seen.append(like))
    module.layer(x, weights, context=context, query_offset=offset)
    assert [id(each) for each in seen] == [id(x), id(context), id(offset)]


@pytest.mark.parametrize("number", [np.int64(3), np.int32(3)])
def test_a_number_of_numpy_is_one_offset_for_all(
    number: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(projections={"model_dim": 24, "rotary": ROTARY})
    module = module_for(spec, host, monkeypatch)
    weights = {name: host.given(array) for name, array in weights_of(spec).items()}
    x = host.given(numbers((2, 5, 24), 40))
    one, other = (module.layer(x, weights, query_offset=each) for each in (number, 3))
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert bind_gpu_offset(number, 0, Sizes(), CallStream(0, "")).first == 3


def test_an_offset_that_is_none_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(projections={"model_dim": 24, "rotary": ROTARY})
    module = module_for(spec, host, monkeypatch)
    weights = {name: host.given(array) for name, array in weights_of(spec).items()}
    x = host.given(numbers((2, 5, 24), 40))
    for given, message in (
        (1.5, "query_offset is 1.5 of type float; needs an int, or an int64 array"),
        (True, "query_offset is True of type bool"),
        (np.float64(2.0), "of type float64"),
        ([1, 2], r"query_offset is \[1, 2\] of type list"),
        (1 << 29, r"query_offset is 536870912; needs to lie between"),
        (host.given(np.array([1, 2], np.int32)), "query_offset has dtype int32; needs int64"),
        (host.given(np.array([1, 2, 3])), r"query_offset has shape \(3,\); needs 2 along the axis 'batch'"),
        (host.given(np.array(3)), r"query_offset has shape \(\); needs 1 axes"),
    ):
        with pytest.raises(InputError, match=message):
            module.layer(x, weights, query_offset=given)


def test_arrays_that_are_not_where_x_is_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host("torch")
    spec = spec_of(projections={**SPEC["projections"], "rotary": ROTARY})
    module = module_for(spec, host, monkeypatch)
    x, on_host = host.given(numbers((2, 5, 24), 40)), weights_of(spec)
    weights = {name: host.given(array) for name, array in on_host.items()}
    for name in weights:
        with pytest.raises(InputError, match=f"{name} is an array of numpy; needs one of torch, as x is"):
            module.layer(x, {**weights, name: on_host[name]})
        with pytest.raises(InputError, match=f"{name} is on meta; needs to be on cpu, where x is"):
            module.layer(x, {**weights, name: weights[name].to("meta")})
    with pytest.raises(InputError, match="context is an array of numpy"):
        module.layer(x, weights, context=numbers((2, 5, 24), 40))
    with pytest.raises(InputError, match="query_offset is an array of numpy"):
        module.layer(x, weights, query_offset=np.array([1, 2]))


@pytest.mark.parametrize("offset", [3, [3, 0]], ids=["one for all", "one for each"])
def test_queries_turn_by_their_own_positions(
    offset: Any, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(projections={"model_dim": 24, "rotary": ROTARY})
    module, weights = module_for(spec, host, monkeypatch), weights_of(spec)
    x, context = numbers((2, 5, 24), 40), numbers((2, 9, 24), 41)
    held = {name: host.given(array) for name, array in weights.items()}
    given = offset if isinstance(offset, int) else host.given(np.array(offset))
    found = module.layer(host.given(x), held, context=host.given(context), query_offset=given)
    wanted = mhagen.reference(spec).layer(x, weights, context=context, query_offset=offset)
    assert_close(found, wanted)


def test_what_is_wrong_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    module = module_for(spec, host, monkeypatch)
    weights = {name: host.given(array) for name, array in weights_of(spec).items()}
    x = host.given(numbers((1, 3, 24), 50))
    for given, message in (
        ({**weights, "wq": weights["wk"]}, r"wq has shape \(32, 24\); needs 64"),
        (
            {**weights, "wo": host.given(np.zeros((24, 64), np.float32))},
            "wo has dtype float32; needs float16",
        ),
        ({name: array for name, array in weights.items() if name != "bv"}, "weights lacks bv"),
        ({**weights, "bias": weights["bo"]}, "has unknown bias"),
        ({**weights, "wv": [1.0]}, "wv is a list; needs an array on a GPU"),
        ([1.0], "weights is a list; needs a mapping"),
    ):
        with pytest.raises(InputError, match=message):
            module.layer(x, given)
    with pytest.raises(InputError, match=r"x has shape \(3, 24\); needs 3 axes"):
        module.layer(x[0], weights)
    with pytest.raises(InputError, match=r"context has shape .* needs 1 along the axis 'batch'"):
        module.layer(x, weights, context=host.given(numbers((2, 4, 24), 51)))
    other = module_for(spec_of(heads={"query": 2, "dim": 16}), host, monkeypatch)
    with pytest.raises(InputError, match="prepared for another layer"):
        other.layer(x, module.prepare(weights))
    wider = module_for(spec_of(projections={**SPEC["projections"], "model_dim": 32}), host, monkeypatch)
    with pytest.raises(InputError, match="prepared for another layer"):
        wider.layer(host.given(numbers((1, 3, 32), 50)), module.prepare(weights))


def test_other_libraries_multiply_nothing() -> None:
    class Array:
        shape, dtype = (1, 3, 24), np.dtype(np.float16)

    module = built(json.dumps(spec_of()), None, "sm_80")
    with pytest.raises(UnsupportedError, match="layer\\(\\) multiplies by PyTorch"):
        module.layer(Array(), {})


def test_hopper_has_the_same_layer() -> None:
    texts = [compile_to_gpu_source(spec_of(), arch)[2].text for arch in ("sm_80", "sm_90a")]
    layers = [text[text.index("LINEAR = GpuLinear(") :] for text in texts]
    assert layers[0] == layers[1]

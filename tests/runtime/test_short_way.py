"""The short way in: which calls take it, what it leaves as it was, and what it costs when it says no."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend import cpu
from mhagen.base.errors import InputError
from mhagen.pipeline import compile_to_source
from mhagen.runtime.headers import headers_are_known
from mhagen.runtime.launch import Kernel, direct_dtypes
from mhagen.schedule.numbers import numbers_of
from mhagen.schedule.sight import Shape
from mhagen.schedule.ways import takes_short_way
from mhagen.schedule.workload import workload_of

SPEC: dict[str, Any] = {"name": "short", "heads": {"query": 2, "key_value": 1, "dim": 32}}
Array = np.ndarray[Any, Any]


class Subclass(np.ndarray):
    pass


def arrays(queries: int = 3, keys: int = 5, dtype: str = "float32") -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    shapes = ((1, 2, queries, 32), (1, 1, keys, 32), (1, 1, keys, 32))
    query, key, value = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return query, key, value


@pytest.fixture(scope="module")
def built() -> mhagen.pipeline.Kernel:
    return mhagen.build(SPEC)


def test_a_query_of_any_size_in_a_few_bytes_is_refused_by_name(built: mhagen.pipeline.Kernel) -> None:
    _, key, value = arrays()
    vast = np.broadcast_to(np.zeros((), "V2000000000"), (1, 2, 3, 32))
    with pytest.raises(InputError, match=r"^query has dtype"):
        built.attention(vast, key, value)


def test_a_refused_call_waits_for_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    other = {**SPEC, "name": "never_compiled"}
    module = cpu.load(compile_to_source(other, tune="never")[2])

    def load(self: Kernel) -> None:
        raise AssertionError("compiled for nothing")

    monkeypatch.setattr(Kernel, "load", load)
    query, key, value = arrays()
    for wrong in (query.astype(np.float64), key):
        with pytest.raises(InputError):
            module.attention(wrong, key, value)
    with pytest.raises(InputError, match=r"^key"):
        module.attention(query, query, value)
    with pytest.raises(InputError, match=r"^query_offset"):
        module.attention(query, key, value, query_offset=1.5)


LATER = """
import sys
import numpy as np
import bf
bits = np.zeros((1, 2, 3, 32), np.uint16)
rows = bits[:, :1]
assert bf.attention(bits, rows, rows).dtype == np.uint16 and "ml_dtypes" not in sys.modules
import ml_dtypes
query, key = bits.view(ml_dtypes.bfloat16), rows.view(ml_dtypes.bfloat16)
for kernel in (bf.KERNEL, bf.DECODE):
    kernel.load()
    assert kernel.attend(query, key, key, None, None).dtype == ml_dtypes.bfloat16
    assert kernel.attend(bits, rows, rows, None, None).dtype == np.uint16
    assert kernel.attend(query.astype(np.float32), key, key, None, None) is None
"""


def test_bfloat16_takes_the_short_way_also_where_its_library_comes_later(tmp_path: Path) -> None:
    source = compile_to_source({**SPEC, "name": "bf", "dtype": "bfloat16"}, tune="never")[2]
    cpu.write(source, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", LATER],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_half_imported_has_no_dtype_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", ModuleType("ml_dtypes"))
    assert direct_dtypes("bfloat16") == (np.dtype(np.uint16),)


@pytest.mark.parametrize(
    "other", [None, 1.5, "query", object(), [1.0], np.float32(1), np.ones(()), Subclass((1, 1, 5, 32))]
)
def test_what_is_no_plain_array_of_four_axes_is_left_to_the_long_way(
    built: mhagen.pipeline.Kernel, other: Any
) -> None:
    query, key, value = arrays()
    for name, kernel in (("KERNEL", built.module.KERNEL), ("DECODE", built.module.DECODE)):
        direct = kernel._direct
        assert direct.call(query, key, value, query.copy()) is not None, name
        for place in range(4):
            given = [query, key, value, query.copy()]
            given[place] = other
            assert direct.call(*given) is not given[3], (name, place)


@pytest.mark.parametrize("empty", ["batch", "queries", "keys"])
def test_empty_calls_are_left_to_the_long_way(built: mhagen.pipeline.Kernel, empty: str) -> None:
    batch, queries, keys = (0 if empty == name else 2 for name in ("batch", "queries", "keys"))
    query = np.ones((batch, 2, queries, 32), np.float32)
    key = np.ones((batch, 1, keys, 32), np.float32)
    for kernel in (built.module.KERNEL, built.module.DECODE):
        assert kernel.attend(query, key, key, None, None) is None


GROUPED: dict[str, Any] = {"name": "short_grouped", "heads": {"query": 32, "key_value": 8, "dim": 128}}


@pytest.mark.parametrize(
    ("spec", "batch", "queries", "keys"),
    [
        *(
            (SPEC, 1, q, k)
            for q, k in ((9, 5), (13, 5), (139, 139), (140, 140), (1, 1), (1, 4096), (1, 4097))
        ),
        *((SPEC, batch, 1, 1) for batch in (112, 113)),
        *((GROUPED, 1, q, k) for q, k in ((4, 100), (8, 100), (8, 1), (1, 1000), (13, 13))),
    ],
)
def test_the_cost_model_knows_which_calls_take_it(
    spec: dict[str, Any], batch: int, queries: int, keys: int
) -> None:
    built = mhagen.build(spec)
    module, heads, dim = built.module, spec["heads"], spec["heads"]["dim"]
    query = np.ones((batch, heads["query"], queries, dim), np.float32)
    key = np.ones((batch, heads["key_value"], keys, dim), np.float32)
    kernel = module.DECODE if queries <= module.DECODE_QUERIES else module.KERNEL
    takes_it = kernel.attend(query, key, key, None, None) is not None
    work, table = workload_of(built.program.attention), built.source.table
    schedule, target = table.pick(Shape(batch, queries, keys), 1), built.source.target
    numbers = numbers_of(work.dtype, target, (work.dim,))
    assert takes_short_way(work, schedule, numbers, Shape(batch, queries, keys)) == takes_it


def test_an_output_over_an_input_is_left_to_the_long_way(built: mhagen.pipeline.Kernel) -> None:
    query, key, value = arrays()
    for kernel in (built.module.KERNEL, built.module.DECODE):
        assert kernel.attend(query, key, value, None, query) is None


def test_references_are_counted_right(built: mhagen.pipeline.Kernel) -> None:
    query, key, value = arrays()
    out, wrong = np.empty_like(query), key[:, :, ::-1]
    for kernel in (built.module.KERNEL, built.module.DECODE):
        given = (query, key, value, out, wrong, kernel._direct.call.__self__)
        before = [sys.getrefcount(each) for each in given]
        for _ in range(100_000):
            kernel.attend(query, key, value, None, out)
            kernel.attend(query, wrong[:, :, :, ::-1], value, None, out)
        assert [sys.getrefcount(each) for each in given] == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_takes_the_short_way(built: mhagen.pipeline.Kernel) -> None:
    call = arrays()
    expected = built.attention(*call).tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if built.attention(*call).tobytes() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers")
def test_a_call_from_a_signal_handler_disturbs_no_other(built: mhagen.pipeline.Kernel) -> None:
    call, other = arrays(), arrays(queries=7, keys=9)
    expected, of_other = built.attention(*call).tobytes(), built.attention(*other).tobytes()
    found: list[bool] = []
    before = signal.signal(
        signal.SIGALRM, lambda *_: found.append(built.attention(*other).tobytes() == of_other)
    )
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        right = all(built.attention(*call).tobytes() == expected for _ in range(5_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert right and found and all(found)


WRITTEN_DOWN = sys.implementation.name == "cpython" and (3, 11) <= sys.version_info[:2] <= (3, 13)


@pytest.mark.skipif(
    not (WRITTEN_DOWN and sys.platform == "linux" and platform.machine() == "x86_64"), reason="other headers"
)
def test_the_headers_of_arrays_are_as_they_are_written_down() -> None:
    """Where they are not, all is right and slow, and no other test would tell."""
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        assert headers_are_known()

"""Tuning for GPUs, end to end, with stand-ins for who compiles and for the GPU that times."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mhagen
from mhagen.backend.cuda import GpuSource
from mhagen.base.errors import InputError, MhagenError, UnsupportedError, VerificationError
from mhagen.base.target import SM_80, SM_90A
from mhagen.pipeline import compile_to_gpu_source
from mhagen.schedule.gpu_space import GpuPlan, steps_between
from mhagen.schedule.gpu_tuned import gpu_records
from mhagen.schedule.tuned import TunedWarning
from mhagen.schedule.tuned import warn as warn_once
from mhagen.tuning import gpu_bench, gpu_contest
from mhagen.tuning.gpu_bench import bench_for
from mhagen.tuning.gpu_contest import NO_GAIN, NONE_RIGHT
from mhagen.tuning.gpu_result import GpuTuning
from mhagen.tuning.problem import Array
from tuning.planted_for_gpus import Sieving

SPEC: dict[str, Any] = {"name": "tuned", "dtype": "float16", "heads": {"query": 2, "dim": 16}}
SHAPES = [(1, 70, 70), (2, 33, 40)]
DEFAULT = compile_to_gpu_source(SPEC, "sm_80", tune="never")[2].schedule


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is found is kept apart from what other tests build."""
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("require_gpu_compiler", "require_ptxas"):
        monkeypatch.setattr(f"mhagen.tuning.gpu_tune.{name}", lambda: None)
    warn_once.cache_clear()
    return tmp_path / "cache"


def attend(plan: GpuPlan, bench: Bench, *, out: Array, **arrays: Any) -> Array:
    """What stands for a kernel: the reference, and what is planted."""
    if plan in bench.errors:
        raise bench.errors[plan]
    if plan not in bench.silent:
        out[...] = mhagen.reference(SPEC).attention(**arrays) + bench.off.get(plan, 0.0)
    return out


@dataclass(frozen=True)
class Bench:
    """A simulated GPU: a call takes the seconds that are planted for its schedule, and some noise."""

    name: str = "Planted"
    seconds_of: Mapping[GpuPlan, float] = field(default_factory=dict)
    off: Mapping[GpuPlan, float] = field(default_factory=dict)
    errors: Mapping[GpuPlan, MhagenError] = field(default_factory=dict)
    silent: frozenset[GpuPlan] = frozenset()  # their kernels write nothing
    slow_queries: int = 0  # calls with so many queries take twice as long, but for the default
    noise: Any = field(default_factory=lambda: cycle((1.0, 1.01, 0.99, 1.004, 0.996, 1.002, 1.0)))

    def attention(self, source: GpuSource) -> Callable[..., Any]:
        return partial(attend, source.schedule, self)

    def put(self, array: Array) -> Array:
        return array

    def fetch(self, array: Array, dtype: Any) -> Array:
        assert array.dtype == dtype == np.float16
        return array.copy()

    def seconds(self, call: Any, count: int) -> list[float]:
        plan = call.args[0]
        is_slow = call.keywords["query"].shape[2] == self.slow_queries and plan != DEFAULT
        return [self.seconds_of.get(plan, 1e-3) * (1 + is_slow) * next(self.noise) for _ in range(count)]


def tuned(bench: Bench | None = None, sieve: Sieving | None = None, **changes: Any) -> GpuTuning:
    given = {"arch": "sm_80", "budget": 20.0, "sieve": sieve or Sieving(), "bench": bench, **changes}
    return mhagen.tune_for_gpu(SPEC, SHAPES, **given)


def built(**changes: Any) -> GpuPlan:
    return compile_to_gpu_source(SPEC, "sm_80", **changes)[2].schedule


def second() -> GpuPlan:
    return tuned().sifted[1].plan


def document() -> dict[str, Any]:
    (path,) = gpu_records()
    return json.loads(path.read_text())


def test_without_a_gpu_nothing_is_chosen_and_the_record_says_so() -> None:
    found = tuned()
    assert (found.chosen, found.gpu, found.reason) == (DEFAULT, "", "not measured: no GPU here")
    assert [each.plan for each in found.tried] == [each.plan for each in found.sifted[:4]]
    said = document()
    assert (said["reason"], said["schedule"]) == ("not measured: no GPU here", None)
    assert (len(said["candidates"]), said["untried"]) == (4, len(found.sifted) - 4)
    assert built() == DEFAULT


def test_a_default_that_is_dropped_gives_way_to_what_is_most_like_it() -> None:
    def against(plan: GpuPlan) -> str:
        return "it spills 40 bytes" if plan == DEFAULT else ""

    found = tuned(sieve=Sieving(against=against))
    assert steps_between(DEFAULT, found.chosen) == (False, 1)
    assert found.reason == "of the default, it spills 40 bytes; not measured: no GPU here"
    assert built() == found.chosen
    assert built(tune="never") == DEFAULT
    assert compile_to_gpu_source(SPEC, "sm_86")[2].schedule == DEFAULT, "it was found for another GPU"
    other = {**SPEC, "mask": {"keep": "k <= q"}}
    assert compile_to_gpu_source(other, "sm_80")[2].schedule == DEFAULT, "and for another spec"


def test_where_all_are_dropped_or_nothing_is_known_the_default_stays() -> None:
    assert tuned(sieve=Sieving(against=lambda plan: "it spills")).chosen == DEFAULT
    found = tuned(sieve=Sieving(known=0))
    assert found.chosen == DEFAULT
    assert found.reason == "the default was not compiled in time; not measured: no GPU here"
    assert not found.rows()


def test_a_schedule_that_is_faster_beyond_the_noise_is_used_by_later_builds() -> None:
    fast = second()
    found = tuned(Bench(seconds_of={fast: 0.8e-3}))
    assert (found.chosen, found.gpu) == (fast, "Planted")
    assert re.fullmatch(r"(19|20|21)\.\d% faster", found.reason)
    assert [each.shape.queries for each in found.outcomes] == [70, 33]
    assert all(0.78 < each.ratio.high < 0.82 < each.noise.low for each in found.outcomes)
    assert document()["gpu"] == "Planted"
    assert built() == fast


@pytest.mark.parametrize(("seconds", "noise"), [(0.995e-3, 1e-4), (0.97e-3, 0.2)])
def test_a_gain_within_the_noise_is_none(seconds: float, noise: float) -> None:
    drawn = np.random.default_rng(0).uniform(1 - noise, 1 + noise, 1 << 14)
    found = tuned(Bench(seconds_of={second(): seconds}, noise=iter(drawn)))
    assert (found.chosen, found.reason) == (DEFAULT, NO_GAIN)
    assert built() == DEFAULT


def test_no_call_pays_for_another() -> None:
    found = tuned(Bench(seconds_of={second(): 0.4e-3}, slow_queries=33, off={}))
    assert found.chosen == second(), "twice 0.4 is still less than 1"
    found = tuned(Bench(seconds_of={second(): 0.6e-3}, slow_queries=33))
    assert found.chosen == DEFAULT
    assert "may be slower in one of the calls" in found.reason


def test_a_wrong_or_refused_schedule_is_dropped_however_fast_it_is() -> None:
    _, wrong, refused, good, *_ = (each.plan for each in tuned().sifted)
    found = tuned(
        Bench(
            seconds_of={wrong: 0.1e-3, refused: 0.1e-3, good: 0.9e-3},
            off={wrong: 0.05},
            errors={refused: UnsupportedError("no such instruction")},
        )
    )
    assert found.chosen == good
    reasons = {each.plan: each.why_not for each in found.sifted}
    assert reasons[wrong].startswith("wrong: it is 0.05")
    assert reasons[refused] == "refused: no such instruction"
    assert "dropped: " in str(found)


def test_a_schedule_that_writes_nothing_wins_nothing_by_what_others_wrote() -> None:
    silent = second()
    found = tuned(Bench(seconds_of={silent: 0.1e-3}, silent=frozenset({silent})))
    assert (found.chosen, built()) == (DEFAULT, DEFAULT)
    reasons = {each.plan: each.why_not for each in found.sifted}
    assert reasons[silent] == "wrong: it is inf off the default schedule"


def test_where_no_other_schedule_is_right_the_default_is_kept() -> None:
    others = {each.plan for each in tuned().sifted if each.plan != DEFAULT}
    found = tuned(Bench(silent=frozenset(others)))
    assert (found.chosen, found.reason, found.ratios) == (DEFAULT, NONE_RIGHT, ())
    assert document()["gpu"] == "Planted"


def test_a_gain_that_a_gpu_no_longer_finds_is_not_used_by_later_builds() -> None:
    fast = second()
    for seconds, expected in ((0.5e-3, fast), (1.2e-3, DEFAULT), (0.5e-3, fast)):
        found = tuned(Bench(seconds_of={fast: seconds, DEFAULT: 1e-3}))
        assert (found.chosen, built()) == (expected, expected)
        assert found.record_path


@pytest.mark.parametrize("bench", [None, Bench()], ids=["no GPU", "no time"])
def test_what_a_gpu_has_found_stays_where_nothing_is_found_and_the_result_says_so(
    bench: Bench | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = second()
    tuned(Bench(seconds_of={fast: 0.5e-3}))
    monkeypatch.setattr(gpu_contest, "rounds_of", lambda bench, calls, rounds, until: [[] for _ in calls])
    found = tuned(bench)
    assert (found.chosen, found.record_path, built()) == (fast, "", fast)
    assert re.search(
        r"later builds use .*: Planted has found so before; (not measured|there was no time)", str(found)
    )


def test_a_default_that_is_wrong_is_an_error_and_nothing_is_kept() -> None:
    with pytest.raises(VerificationError, match=r"the default schedule of tuned is 0\.05"):
        tuned(Bench(off={DEFAULT: 0.05}))
    assert not gpu_records()


def test_a_record_that_is_damaged_is_one_warning_and_a_miss() -> None:
    tuned(Bench(seconds_of={second(): 0.5e-3}))
    (path,) = gpu_records()
    said = document()
    for damaged in ("[", json.dumps({**said, "schedule": {**said["schedule"], "block_keys": 24}})):
        path.write_text(damaged)
        warn_once.cache_clear()
        with pytest.warns(TunedWarning, match="is not used"):
            assert built() == DEFAULT


def test_calls_that_are_decoded_have_no_schedule_to_tune() -> None:
    with pytest.raises(InputError, match="give shapes of more than 32 queries"):
        mhagen.tune_for_gpu(SPEC, [(1, 1, 4096)], arch="sm_80", sieve=Sieving())
    assert mhagen.tune_for_gpu(SPEC, [(1, 1, 100)], arch="sm_80", sieve=Sieving()).chosen == DEFAULT


def test_what_no_kernel_does_or_nobody_means_is_refused() -> None:
    with pytest.raises(InputError, match="one shape at least"):
        mhagen.tune_for_gpu(SPEC, [], sieve=Sieving())
    with pytest.raises(InputError, match="arch is 'sm_70'"):
        tuned(arch="sm_70")
    with pytest.raises(InputError, match="budget"):
        tuned(budget=0.1)
    with pytest.raises(InputError, match="jobs"):
        tuned(jobs=0)
    with pytest.raises(UnsupportedError):
        mhagen.tune_for_gpu({**SPEC, "dtype": "float64"}, arch="sm_80", sieve=Sieving())


def test_only_a_gpu_of_that_class_times_its_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_bench, "gpu_of_this_machine", lambda: None)
    assert bench_for(SM_80) == (None, "no GPU here")
    monkeypatch.setattr(gpu_bench, "gpu_of_this_machine", lambda: SM_90A)
    assert bench_for(SM_80) == (None, "the GPU here is sm_90a, and these are for sm_80")


def test_the_table_has_a_line_for_each_schedule_that_passes() -> None:
    found = replace(tuned(sieve=Sieving(against=lambda p: "it spills" if p.stages == 3 else "")), gpu="x")
    assert len(found.rows()) == sum(each.passes for each in found.sifted)
    text = str(found)
    assert text.startswith("tuned, float16, sm_80: 4 of 192 schedules compiled in")
    assert "default, chosen" in text
    assert "2 stages, 4 warps of 2 tiles, keeps queries" in text


def test_of_a_layer_the_attention_is_tuned() -> None:
    layer = {**SPEC, "projections": {"model_dim": 32}}
    fast, bench = second(), Bench(seconds_of={second(): 0.8e-3})
    found = mhagen.tune_for_gpu(layer, SHAPES, arch="sm_80", sieve=Sieving(), bench=bench)
    assert found.chosen == fast
    assert compile_to_gpu_source(layer, "sm_80")[2].schedule == fast
    assert built() == DEFAULT

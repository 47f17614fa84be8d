"""Kernels on a simulated GPU, beside others: who is judged, timed, left out, and what is asked of whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from gpu.toolchain import needs_compiler, needs_ptxas

from mhagen.backend.acceptance import Example
from mhagen.base.errors import InputError, UnsupportedError
from mhagen.base.target import SM_80, SM_90, SM_90A
from mhagen.schedule.gpu_plan import GpuSchedule, GpuSizes
from mhagen.schedule.hopper_plan import HopperSchedule
from mhagen.spec.load import load_spec
from mhagen.tuning import gpu_prepared, gpu_race
from mhagen.tuning.bench import Pace, problem_of_row
from mhagen.tuning.gpu_call import problem_on_gpu
from mhagen.tuning.gpu_grid import (
    CUDNN,
    FLASH,
    FLEX,
    GPU_DTYPES,
    GPU_GRID,
    GPU_NAMES,
    bar_of,
    gpu_rows_named,
    is_plain,
)
from mhagen.tuning.gpu_prepared import Work, figures, figures_of_works, prepare, work_of
from mhagen.tuning.gpu_race import (
    GpuPeer,
    GpuTimed,
    NamedCall,
    gpu_targets,
    operands_of_host,
    race,
)
from mhagen.tuning.gpu_static import prediction_of
from mhagen.tuning.outcome import Role
from mhagen.tuning.peer import Absent
from mhagen.tuning.problem import Problem
from tuning.planted_for_gpus import Reckoning

SPEC: dict[str, Any] = {"name": "raced", "dtype": "float16", "heads": {"query": 2, "dim": 64}}
SIZES = GpuSizes(128, 128)


@dataclass(frozen=True)
class Stage(Reckoning):
    """A call takes a millisecond for all; four of them, one after the other, take four."""

    def seconds(self, call: Any, count: int) -> list[float]:
        return [1e-3 * getattr(call, "keywords", {}).get("calls", 1)] * count

    def repeated(self, call: Any, count: int) -> Any:
        call()
        return partial(many, calls=count)

    def copying(self) -> tuple[Any, int]:
        return lambda: None, 10**6

    def operands(self, problem: Problem) -> Any:
        return operands_of_host(self, problem)


def many(calls: int) -> None:
    """So many calls."""


def peer(name: str, off: float = 0.0, is_for: Any = lambda problem: True) -> GpuPeer:
    def make(problem: Problem, arrays: Mapping[str, Any]) -> Any:
        out = arrays["query"].copy()
        return partial(Reckoning(SPEC, off).attention(COMPARED), **arrays, out=out)

    return GpuPeer(name, make, is_for)


@dataclass(frozen=True)
class Compared:
    target: str = "its own"


COMPARED = Compared()


def refusing(problem: Problem, arrays: Any) -> Any:
    raise UnsupportedError("it has no window")


def raced(
    stage: Stage, *peers: Any, shape: tuple[int, int, int] = (1, 9, 9), **changes: Any
) -> tuple[GpuTimed, ...]:
    problem = problem_on_gpu(load_spec({**SPEC, **changes}), Example(*shape, seed=0))
    named = NamedCall("row", "a call", problem)
    return race(stage, named, stage.operands(problem), (SM_90, SM_90A), peers, Pace(3))


def test_both_families_and_all_peers_that_are_right_take_turns() -> None:
    peers = (
        peer(FLASH), peer("Wrong", 0.5), GpuPeer("Other", refusing, lambda problem: True),
        peer("Not asked", is_for=lambda problem: False), Absent("Away", "it is not installed"),
    )  # fmt: skip
    found = raced(Stage(SPEC), *peers)
    assert [each.family for each in found] == ["mma.sync", "wgmma"]
    for each in found:
        outcome = each.outcome
        assert [timed.name for timed in outcome.timed] == [each.target.name, FLASH]
        assert all(timed.rounds == (1e-3,) * 3 for timed in outcome.timed)
        assert (outcome.is_failure, outcome.ours.error < 3e-3) == (False, True)
        said = {absent.name: absent.reason for absent in outcome.absent}
        assert said.pop("Wrong").startswith("its result differs by 3.1e-01")
        assert said == {"Other": "it has no window", "Away": "it is not installed"}
    assert [dict(each.bars) for each in found] == [{FLASH: 1.0}, {}]


def test_what_is_wrong_is_not_timed_and_a_failure() -> None:
    for each in raced(Stage(SPEC, off=0.5), peer(FLASH)):
        assert (each.outcome.timed, each.outcome.is_failure) == ((), True)
        assert each.outcome.problem.startswith("its result differs by 3.1e-01")


def test_what_no_kernel_does_is_told_and_no_failure() -> None:
    for each in raced(Stage(SPEC), dtype="float64"):
        assert (each.outcome.timed, each.outcome.is_failure) == ((), False)
        assert "float64" in each.outcome.problem


@pytest.mark.parametrize(
    ("queries", "keys", "families"), [(4, 4096, ["mma.sync"]), (1, 100, ["mma.sync", "wgmma"])]
)
def test_few_queries_are_decoded_where_keys_are_many(queries: int, keys: int, families: list[str]) -> None:
    found = raced(Stage(SPEC), shape=(1, queries, keys))
    assert [each.family for each in found] == families
    few = [each.schedule.startswith("mma 16 x 32, 4 stages, 1 warp") for each in found]
    assert few == [len(families) == 1] * len(families)
    assert work_of(load_spec(SPEC), "sm_90", queries, keys).is_decoded is few[0]


def test_decoding_is_timed_by_graphs_against_a_copy() -> None:
    (found,) = raced(Stage(SPEC), peer("PyTorch SDPA"), shape=(2, 1, 300))
    assert found.outcome.ours.rounds == (1e-3,) * 3, "four calls take four milliseconds"
    assert found.outcome.of(Role.BANDWIDTH).rounds == (1e-3,) * 3
    assert found.outcome.share.median == pytest.approx(2 * 2 * 300 * 128 * 2 / 10**6)
    assert found.bar == 0.85


def test_what_multiplies_is_said_of_the_schedule() -> None:
    found = raced(Stage(SPEC), dtype="float32")
    assert [each.family for each in found] == ["fma", "fma"]


def test_of_a_layer_the_attention_is_measured() -> None:
    (found, _) = raced(Stage(SPEC), projections={"model_dim": 32})
    assert found.outcome.ours.operations == 4 * 2 * 81 * 64


def test_targets_are_those_of_the_gpu_or_of_hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    for own, expected in ((None, (SM_90, SM_90A)), (SM_90A, (SM_90, SM_90A)), (SM_80, (SM_80,))):
        monkeypatch.setattr(gpu_race, "gpu_of_this_machine", lambda own=own: own)
        assert gpu_targets(None) == expected
        assert gpu_targets(SM_80) == (SM_80,)


def test_rows_are_legal_specs_of_16k_tokens_with_names_of_their_own() -> None:
    assert len(set(GPU_NAMES)) == len(GPU_GRID)
    for row in GPU_GRID:
        for dtype in GPU_DTYPES:
            problem = problem_of_row(row, dtype)
            assert problem.is_decoding or row.batch * row.queries == 16384
    assert {row.batch for row in GPU_GRID if row.queries == 1} == {8, 16, 32, 64}
    assert {row.queries for row in GPU_GRID} >= {512, 1024, 2048, 4096, 8192, 16384}


def test_rows_are_found_by_their_names_or_by_words_of_them() -> None:
    assert [row.name for row in gpu_rows_named(" Window ")] == ["window"]
    assert [row.name for row in gpu_rows_named("causal d128 s512")] == ["causal d128 s512"]
    assert len(gpu_rows_named("d64")) == 12
    assert [row.name for row in gpu_rows_named("decode")] == [f"decode b{batch}" for batch in (8, 16, 32, 64)]
    with pytest.raises(InputError, match="did you mean `window`"):
        gpu_rows_named("windw")


def test_what_is_asked_for_depends_on_the_peer_the_call_and_the_gpu() -> None:
    def asked(row: str, *targets: Any) -> list[list[float | None]]:
        problem = problem_of_row(gpu_rows_named(row)[0], GPU_DTYPES[0])
        return [[bar_of(peer, problem, each) for peer in (FLASH, CUDNN, FLEX)] for each in targets]

    on_hopper, on_ampere = (SM_90, SM_90A), SM_80
    assert asked("causal d128 s4096", *on_hopper) == [[1.0, None, None], [None, 0.85, 1.2]]
    assert asked("causal d128 s1024", SM_90A) == asked("dense d64 s4096", SM_90A) == [[None, None, 1.2]]
    assert asked("window", on_ampere) == [[1.0, None, 1.2]]
    assert asked("decode b8", *on_hopper) == [[None] * 3] * 2
    plain = {row.name for row in GPU_GRID if is_plain(problem_of_row(row, GPU_DTYPES[0]))}
    assert {"window", "alibi", "softcap"} == set(GPU_NAMES) - plain


def test_predictions_lie_on_both_sides_of_what_was_measured() -> None:
    """On an H200, d128, dense: 352 and 631 of 989 TFLOP/s."""
    mma = prediction_of(GpuSchedule(4, 2, 64, 1, False), SIZES, SM_90)
    hopper = prediction_of(HopperSchedule(2, 128, 2), SIZES, SM_90A)
    assert mma.low < 0.356 < mma.high < 0.64
    assert 0.6 < hopper.low < 0.67 < hopper.high <= 1.0


def test_calls_of_one_kernel_are_one_work() -> None:
    spec = load_spec(SPEC)
    long, short, few = (work_of(spec, "sm_90", *each) for each in ((4096, 4096), (512, 512), (1, 8192)))
    assert long == short == work_of(load_spec({**SPEC, "name": "other"}), "sm_90", 64, 64)
    assert (few.spec, few.is_decoded, long.is_decoded) == (long.spec, True, False)


def test_several_are_compiled_at_once_and_told_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(gpu_prepared, "pool", lambda: ThreadPoolExecutor(2))
    monkeypatch.setattr(gpu_prepared, "compile_to_gpu_source", lambda spec, arch: (spec, arch))
    monkeypatch.setattr(gpu_prepared, "load_gpu_kernel", lambda spec, arch: done.append(arch))
    works = [Work("{}", arch) for arch in ("sm_80", "sm_90", "sm_90a")]
    prepare(works, 60.0)
    assert set(done) == {work.arch for work in works}
    monkeypatch.setattr(gpu_prepared, "figures", lambda work: work.arch)
    assert list(figures_of_works(works)) == [work.arch for work in works]

    def refuse(spec: Any, arch: str) -> None:
        raise UnsupportedError("no such kernel")

    monkeypatch.setattr(gpu_prepared, "load_gpu_kernel", refuse)
    with pytest.raises(UnsupportedError, match="no such kernel"):
        prepare(works, 60.0)


@needs_compiler
@needs_ptxas
def test_a_kernel_that_has_not_run_has_figures_and_a_refused_one_a_reason() -> None:
    small = {"name": "sieved", "dtype": "float16", "heads": {"query": 2, "dim": 16}}
    found = figures(Work(json.dumps(small), "sm_80"))
    assert (found.spilled_bytes, found.warps) == (0, 4 * found.blocks)
    assert 0.0 < found.prediction.low < found.prediction.high <= 1.0
    assert "float64" in figures(Work(json.dumps({**small, "dtype": "float64"}), "sm_80"))

"""A campaign keeps to its budget, survives its candidates, and goes on where it ended."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.errors import InputError, UnsupportedError
from mhagen.base.target import AVX2, NEON
from mhagen.pipeline import build
from mhagen.runtime.host import host_target
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import Bounds, ScheduleTable, faults
from mhagen.schedule.tuned import Circumstances, table_file
from mhagen.spec.load import load_spec
from mhagen.tuning.campaign import Campaign, Plan, Progress, require_strategy
from mhagen.tuning.candidates import Model, space, subject_of
from mhagen.tuning.evaluator import Answer, Json, LocalEvaluator, RemoteEvaluator, circumstances_here
from mhagen.tuning.isolated import Limits, Reply, Work
from mhagen.tuning.known import Known
from mhagen.tuning.ledger import CheckTimes, Ledger
from mhagen.tuning.optuna_search import Suggested
from mhagen.tuning.records import Records, RecordWarning
from mhagen.tuning.request import keys_of
from mhagen.tuning.result import End, Tuning
from mhagen.tuning.trial import Call, Trial
from mhagen.tuning.tune import calls_of, tune, tune_now
from mhagen.tuning.verdict import Verdict

from . import planted

HERE = str(Path(__file__).parent)
SPEC = load_spec({"name": "tuned", "heads": {"query": 2, "dim": 32}, "mask": {"keep": "k <= q"}})
DEFAULT = subject_of(SPEC, host_target("float32")).default
PAGE, NEXT = Call(Shape(1, 300, 300)), Call(Shape(1, 1, 2000, 1999))
SPOILED = {Verdict.WRONG, Verdict.CRASHED, Verdict.HUNG, Verdict.MEMORY, Verdict.REFUSED}
QUICK = 0.5
WORKS = (
    ("planted:check", "planted:measure"),
    ("planted:is_fine", "planted:measure"),
    ("planted:is_fine", "planted:crash_when_timed"),
    ("planted:is_fine", "planted:measure_alike"),
    ("planted:is_fine", "planted:measure_slower"),
    ("planted:is_fine", "planted:measure_luckily"),
    ("planted:check_slowly", "planted:measure"),
    ("planted:is_fine", "planted:crash_at_the_end"),
    ("planted:differ_as_a_module", "planted:measure"),
    ("planted:is_fine", "planted:measure_one_length"),
)


def run(
    folder: Path,
    calls: tuple[Call, ...] = (PAGE,),
    *,
    check: str = "planted:check",
    measure: str = "planted:measure",
    budget: float = 60.0,
    **plan: Any,
) -> Tuning:
    """A campaign of planted candidates: nothing is compiled, and their times follow from their sizes."""
    return Campaign(Plan(SPEC, calls, budget, **plan), evaluator(check, measure), Records(folder)).run()


@cache
def evaluator(check: str, measure: str) -> LocalEvaluator:
    """Processes that several tests use, one after the other."""
    return LocalEvaluator(keys_of(SPEC), threads=1, jobs=1, works=(check, measure), path=(HERE,))


@pytest.fixture(scope="module", autouse=True)
def ending() -> Iterator[None]:
    yield
    for works in WORKS:
        evaluator(*works).close()
    evaluator.cache_clear()


@pytest.fixture(scope="module")
def exhausted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tuning, Records]]:
    """The whole space, most of which goes wrong."""
    folder = tmp_path_factory.mktemp("records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mhagen.tuning.workshop.CHECK_SECONDS", QUICK)  # for those that hang
        found = run(folder, strategy="exhaustive")
    yield found, Records(folder)


def test_a_candidate_that_goes_wrong_is_recorded_and_the_run_goes_on(
    exhausted: tuple[Tuning, Records],
) -> None:
    found, records = exhausted
    assert found.end is End.SPACE
    assert {each.verdict for each in found.tried} == {Verdict.OK, *SPOILED}
    kept = {(each.schedule, each.verdict) for each in records.all() if each.stage == "search"}
    assert {(each.trial.schedule, each.verdict) for each in found.tried} == kept


def test_the_last_comparison_is_recorded_round_by_round(exhausted: tuple[Tuning, Records]) -> None:
    found, records = exhausted
    by_stage = {each.stage: each for each in records.all() if each.stage != "search"}
    assert set(by_stage) == {"finalist", "twin", "final"}
    finalist, twin = by_stage["finalist"], by_stage["twin"]
    assert finalist.schedule == found.outcomes[0].schedule and finalist.verdict is Verdict.OK
    assert twin.schedule == found.default and len(twin.seconds) == len(finalist.seconds) > 0


def test_what_goes_wrong_in_the_last_comparison_is_recorded_and_told(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:is_fine", measure="planted:crash_at_the_end")
    (outcome,) = found.outcomes
    assert outcome.kept_default and "the last comparison crashed" in outcome.reason
    finalists = [each for each in Records(tmp_path).all() if each.stage == "finalist"]
    assert {each.verdict for each in finalists} == {Verdict.CRASHED}
    assert finalists[-1].detail == outcome.reason


def test_a_module_that_is_wrong_is_not_used(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:differ_as_a_module")
    (outcome,) = found.outcomes
    assert outcome.kept_default and "the module that would be used is wrong" in outcome.reason
    assert found.table == ScheduleTable.of(found.default)


def test_a_module_that_loses_outside_of_its_call_serves_that_call_alone(tmp_path: Path) -> None:
    found = run(
        tmp_path, check="planted:is_fine", measure="planted:measure_one_length", strategy="exhaustive"
    )
    (outcome,) = found.outcomes
    assert not outcome.kept_default
    assert found.table.last == found.default
    assert found.table.entries[0].range.queries == Bounds(300, 300)


def test_what_an_earlier_run_has_gained_stays(tmp_path: Path) -> None:
    first = run(tmp_path, (PAGE,), check="planted:is_fine")
    second = run(tmp_path, (NEXT,), check="planted:is_fine")
    assert second.table.pick(PAGE.shape, 1) == first.table.pick(PAGE.shape, 1) != first.default
    assert second.table.pick(NEXT.shape, 1).chunk_keys == 2048
    third = run(tmp_path, (NEXT,), check="planted:is_fine", measure="planted:crash_at_the_end")
    assert third.table.pick(PAGE.shape, 1) == first.table.pick(PAGE.shape, 1)
    assert third.table.pick(NEXT.shape, 1).chunk_keys == 2048, "it was compared before, and not now"


def test_a_run_that_confirms_nothing_leaves_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(LocalEvaluator, "close", lambda self: None)
    first, again = (
        tune(SPEC, [(1, 300, 300)], evaluator=evaluator("planted:is_fine", measure), budget=20.0)
        for measure in ("planted:measure", "planted:crash_at_the_end")
    )
    assert first.is_tuned and first.table_path == again.table_path
    assert again.table == first.table == build(SPEC).source.table


def test_that_the_default_is_the_fastest_is_kept_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(LocalEvaluator, "close", lambda self: None)
    path = written(tmp_path)
    slower = evaluator("planted:is_fine", "planted:measure_slower")
    found = tune(path, [(1, 300, 300)], evaluator=slower, budget=20.0, strategy="model", save=True)
    assert found.measured and found.outcomes[0].ratio is None
    assert found.rows()[0][1:3] == ("1 ms", "1 ms"), "it was timed beside the candidates"
    assert found.table_path == str(table_file(path)) and table_file(path).is_file()
    assert build(path).source.table == found.table == ScheduleTable.of(found.default)


def test_where_nothing_was_tried_nothing_is_said_of_it_and_nothing_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(LocalEvaluator, "close", lambda self: None)
    path = written(tmp_path)
    slow = evaluator("planted:check_slowly", "planted:measure")
    found = tune(path, [(1, 300, 300)], evaluator=slow, budget=3.0, save=True)
    assert "no other candidate was measured" in found.outcomes[0].reason
    assert not table_file(path).exists() and f"not saved: nothing was measured, so {table_file(path)}" in str(
        found
    )


def written(folder: Path) -> Path:
    """The spec as a file."""
    path = folder / "tuned.toml"
    path.write_text("name = 'tuned'\nheads = {query = 2, dim = 32}\nmask.keep = 'k <= q'\n")
    return path


def test_what_is_ready_is_timed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One check in four hangs: where that is quiet, the others are timed meanwhile."""
    monkeypatch.setattr("mhagen.tuning.workshop.CHECK_SECONDS", QUICK)
    quiet = LocalEvaluator(
        keys_of(SPEC), threads=1, jobs=2, works=("planted:check_some_slowly", "planted:measure"), path=(HERE,)
    )
    quiet.is_quiet_while_checking = True
    with closing(quiet):
        found = Campaign(Plan(SPEC, (PAGE,), 8.0), quiet, Records(tmp_path)).run()
    assert found.measured >= 4


def test_every_candidate_of_the_space_has_a_verdict(exhausted: tuple[Tuning, Records]) -> None:
    found, _ = exhausted
    subject = subject_of(SPEC, host_target("float32"))
    everything = {schedule for schedule in space(subject, PAGE) if schedule != subject.default}
    assert {each.trial.schedule for each in found.tried} == everything


def test_the_default_is_replaced_by_the_fastest_that_is_right(exhausted: tuple[Tuning, Records]) -> None:
    found, _ = exhausted
    right = [each for each in found.tried if each.verdict is Verdict.OK]
    (outcome,) = found.outcomes
    assert not outcome.kept_default and outcome.ratio.high < 1
    assert outcome.schedule == min(right, key=lambda each: each.ratio).trial.schedule
    assert found.table.pick(PAGE.shape, 1) == outcome.schedule


def test_the_outcome_is_recorded_with_its_reason(exhausted: tuple[Tuning, Records]) -> None:
    found, records = exhausted
    (final,) = [each for each in records.all() if each.stage == "final"]
    assert final.kept and final.schedule == found.outcomes[0].schedule
    assert "faster than the default, beyond the noise" in final.detail


def test_a_candidate_that_crashes_while_it_is_timed_is_found_among_the_others(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:is_fine", measure="planted:crash_when_timed", strategy="model")
    verdicts = {(each.trial.schedule.key_rows, each.verdict) for each in found.tried}
    assert verdicts == {(4, Verdict.CRASHED), (8, Verdict.OK)}


def test_a_climb_goes_beyond_the_grid(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:is_fine")
    (outcome,) = found.outcomes
    assert outcome.schedule.block_keys == 384 and outcome.schedule.key_rows == 4
    assert found.end is End.SPACE


def test_one_module_has_one_tile_for_all_calls(tmp_path: Path) -> None:
    calls = (PAGE, Call(Shape(4, 300, 300)), Call(Shape(1, 2000, 2000)), NEXT)
    found = run(tmp_path, calls, check="planted:is_fine")
    assert not faults(found.table, found.target)
    assert len({each.schedule.key_rows for each in found.outcomes}) == 1
    assert found.table.pick(NEXT.shape, 1).chunk_keys == 2048


def test_nothing_is_measured_twice(tmp_path: Path) -> None:
    first = run(tmp_path, check="planted:is_fine")
    again = run(tmp_path, check="planted:is_fine")
    assert first.measured and not again.measured
    assert all(each.is_recalled for each in again.tried)
    assert again.table == first.table
    assert run(tmp_path, check="planted:is_fine", is_fresh=True).measured == first.measured


@pytest.mark.parametrize("mishap", [Verdict.HUNG, Verdict.MEMORY, Verdict.CRASHED])
def test_one_mishap_condemns_no_candidate_and_two_do(tmp_path: Path, mishap: Verdict) -> None:
    """It may have been the fault of what else ran; what was wrong stays wrong."""
    schedule = replace(DEFAULT, block_keys=DEFAULT.block_keys // 2)
    trial, reply = Trial(PAGE, schedule), Reply(mishap, detail="it took too long")
    assert not ledger(tmp_path).recall(trial)
    ledger(tmp_path).fail(trial, reply, ledger(tmp_path).here)
    assert not ledger(tmp_path).recall(trial)
    ledger(tmp_path).fail(trial, reply, ledger(tmp_path).here)
    again = ledger(tmp_path)
    assert again.recall(trial) and again.tried[trial].verdict is mishap
    again.take(trial, [[1e-3, 2e-3]] * 3, CheckTimes(), again.here)
    last = ledger(tmp_path)
    assert last.recall(trial) and last.tried[trial].ratio == 0.5, "it did work once"


def test_what_was_wrong_once_is_wrong(tmp_path: Path) -> None:
    trial = Trial(PAGE, replace(DEFAULT, block_keys=DEFAULT.block_keys // 2))
    ledger(tmp_path).fail(trial, Reply(Verdict.WRONG, detail="it differs"), ledger(tmp_path).here)
    assert ledger(tmp_path).recall(trial)


def ledger(folder: Path) -> Ledger:
    """The account of a campaign that has just begun."""
    subject = subject_of(SPEC, host_target("float32"))
    here = circumstances_here(keys_of(SPEC))
    return Ledger(subject, Model(subject), (PAGE,), here, Records(folder), is_fresh=False)


def test_an_interrupted_campaign_keeps_what_it_has_measured(tmp_path: Path) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.measured >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Campaign(Plan(SPEC, (PAGE,), 60.0), evaluator(*WORKS[1]), Records(tmp_path), interrupt).run()
    kept = len(list(Records(tmp_path).all()))
    assert kept >= 3
    assert sum(each.is_recalled for each in run(tmp_path, check="planted:is_fine").tried) == kept


def test_records_that_cannot_be_written_are_not_said_to_be_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(RecordWarning, match="are not kept|cannot be read"):
        found = run(tmp_path / "file", check="planted:is_fine", measure="planted:measure_alike")
    assert found.measured > 0 and found.records_path == ""
    assert run(tmp_path, check="planted:is_fine", measure="planted:measure_alike").records_path


def test_the_last_word_to_who_watches_is_what_was_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    take = Ledger.take

    def take_and_interrupt(*arguments: Any) -> None:
        take(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "take", take_and_interrupt)
    watch = evaluator(*WORKS[1]), Records(tmp_path), lambda progress: told.append(progress.measured)
    with pytest.raises(KeyboardInterrupt):
        Campaign(Plan(SPEC, (PAGE,), 20.0, "model"), *watch).run()
    assert told[-1] == len(list(Records(tmp_path).all())) == 1


def test_the_default_is_kept_where_nothing_is_faster(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:is_fine", measure="planted:measure_alike")
    (outcome,) = found.outcomes
    assert outcome.kept_default and outcome.schedule == found.default
    assert found.table.is_one and found.table.last == found.default


def test_a_gain_that_the_end_does_not_confirm_is_no_gain(tmp_path: Path) -> None:
    found = run(tmp_path, check="planted:is_fine", measure="planted:measure_luckily")
    assert min(each.ratio for each in found.tried) < 0.95
    (outcome,) = found.outcomes
    assert outcome.kept_default and "not beyond the noise" in outcome.reason
    (final,) = [each for each in Records(tmp_path).all() if each.stage == "final"]
    assert final.kept is False and final.detail == outcome.reason


class Simulated:
    """An evaluator whose work is done at once, and turns the clock by what it takes."""

    jobs, is_quiet_while_checking = 1, False

    def __init__(self, clock: list[float], check: Work, check_seconds: float) -> None:
        self.clock, self.work, self.check_seconds = clock, check, check_seconds
        self.here = circumstances_here(keys_of(SPEC))

    def describe(self, spec: Json) -> Circumstances:
        return self.here

    def check(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        is_default = [vars(DEFAULT)] == request["schedules"]
        seconds = 2.0 if is_default else self.check_seconds
        content = {"compile_seconds": seconds / 2, "check_seconds": seconds / 2, "error": 0.0}
        return self.done(seconds, Reply(Verdict.OK, content, seconds=seconds), limits, until)

    def measure(self, request: Json, limits: Limits, until: float) -> Future[Answer]:
        content = self.work(request)
        calls = sum(own for pairs in content["seconds"].values() for own, _ in pairs)
        seconds = 0.3 + 2 * calls + request["seconds"]
        return self.done(seconds, Reply(Verdict.OK, content, seconds=seconds), limits, until)

    def done(self, seconds: float, reply: Reply, limits: Limits, until: float) -> Future[Answer]:
        most = max(0.0, min(limits.seconds, until - self.clock[0]))
        if seconds > most:
            reply = Reply(Verdict.HUNG, seconds=most, was_cut_short=most < limits.seconds)
        self.clock[0] += min(seconds, most)
        future: Future[Answer] = Future()
        future.set_result(Answer(reply, self.here))
        return future

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What a campaign takes for the time: it stands still but where work is done."""
    now = [1000.0]
    for module in ("budget", "campaign", "workshop"):
        monkeypatch.setattr(f"mhagen.tuning.{module}.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("check_seconds", [0.5, 4.0, 1e9], ids=["quick", "slow", "hanging"])
@pytest.mark.parametrize("budget", [0.3, 3.0, 6.0, 60.0, 600.0])
def test_a_budget_is_kept(tmp_path: Path, clock: list[float], budget: float, check_seconds: float) -> None:
    """Candidates that hang use up all that they are given."""
    worker = Simulated(clock, planted.measure, check_seconds)
    found = Campaign(Plan(SPEC, (PAGE,), budget), worker, Records(tmp_path)).run()
    assert found.seconds == clock[0] - 1000.0 <= budget
    assert found.outcomes[0].call == PAGE
    assert bool(found.measured) == (check_seconds < budget / 10)
    assert found.is_tuned == (check_seconds < budget / 100)


def simulated(folder: Path, clock: list[float], budget: float) -> Tuning:
    """A campaign in which every check takes 2 s."""
    return Campaign(
        Plan(SPEC, (PAGE,), budget), Simulated(clock, planted.measure, 2.0), Records(folder)
    ).run()


def test_the_first_candidate_may_have_what_the_end_can_spare(tmp_path: Path, clock: list[float]) -> None:
    """Of 7 s the default takes 2; what is usually kept for the end would leave a check 1.6."""
    found = simulated(tmp_path, clock, 7.0)
    assert found.measured and found.shortage is None and found.seconds <= 7.0


def test_where_nothing_could_be_tried_a_budget_that_is_enough_is_named(
    tmp_path: Path, clock: list[float]
) -> None:
    short = simulated(tmp_path, clock, 3.5)
    assert "0 of 48 candidates tried in" in short.headline
    said = r"one takes about 2\.\d s to compile, compare and time here, and 1\.0 s were left; give a"
    assert re.search(said, short.headline), short.headline
    assert short.shortage is not None and simulated(tmp_path, clock, short.shortage.enough).measured
    shorter = simulated(tmp_path / "other", clock, 1.0)
    assert "the default was not compiled and compared in the 0.7 s" in shorter.headline


def test_candidates_that_hang_hold_up_no_campaign(tmp_path: Path) -> None:
    start = time.monotonic()
    found = run(tmp_path, check="planted:check_slowly", budget=3.0)
    assert time.monotonic() - start < 60, "each would take ten minutes"
    assert found.outcomes[0].call == PAGE


def test_the_budget_counts_from_when_the_command_began(tmp_path: Path, clock: list[float]) -> None:
    worker = Simulated(clock, planted.measure, 0.5)
    found = Campaign(Plan(SPEC, (PAGE,), 60.0, began=clock[0] - 50.0), worker, Records(tmp_path)).run()
    assert 50.0 < found.seconds <= 60.0


def test_the_next_are_checked_while_others_are_timed_where_that_is_quiet(tmp_path: Path) -> None:
    quiet = evaluator(*WORKS[1])
    quiet.is_quiet_while_checking = True
    try:
        found = run(tmp_path, check="planted:is_fine", strategy="exhaustive")
    finally:
        quiet.is_quiet_while_checking = False
    assert found.measured == len(found.tried) == found.space - 1
    assert found.compiled == found.space + 1, (
        "each once, and the module that has the fastest beside the default"
    )


def test_only_this_machine_can_be_measured_now() -> None:
    other = AVX2 if host_target("float32") != AVX2 else NEON
    with pytest.raises(UnsupportedError, match="are not measured here"):
        tune_now(SPEC, other)


@pytest.mark.parametrize("name", ["cpu", "machine"])
def test_the_records_of_another_machine_are_where_a_search_begins(tmp_path: Path, name: str) -> None:
    first = run(tmp_path / "there", check="planted:is_fine")
    elsewhere = [
        replace(each, circumstances=replace(each.circumstances, **{name: "another"}))
        for each in Records(tmp_path / "there").all()
    ]
    Records(tmp_path / "here").merge(elsewhere)
    found = run(tmp_path / "here", check="planted:is_fine")
    assert not any(each.is_recalled for each in found.tried), "they are never taken as results"
    begun = [each.trial.schedule for each in found.tried[:3]]
    assert first.outcomes[0].schedule in begun


@pytest.mark.parametrize("strategy", ["model", "climb", "exhaustive", "optuna"])
def test_every_strategy_finds_a_faster_schedule(tmp_path: Path, strategy: str) -> None:
    if strategy == "optuna":
        pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'mhagen[optuna]'")
    found = run(tmp_path, (PAGE, NEXT), check="planted:is_fine", strategy=strategy, budget=8.0)
    assert found.is_tuned and found.strategy == strategy
    assert all(outcome.gain >= 0 for outcome in found.outcomes)


def test_optuna_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'mhagen\[optuna\]'"):
        require_strategy("optuna")


def test_optuna_suggests_the_same_each_time() -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'mhagen[optuna]'")
    subject = subject_of(SPEC, host_target("float32"))
    first, second = (
        Suggested(subject, Model(subject), (PAGE,), {}).propose(Known(subject, (PAGE,)), 6) for _ in range(2)
    )
    assert first == second and len(first) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": 0}, "budget is 0"),
        ({"budget": 1}, "3 seconds at least"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"shapes": []}, "one shape"),
        ({"shapes": [(1, 2)]}, "a shape is batch, queries and keys"),
        ({"shapes": [(1, 0, 3)]}, "positive integers"),
        ({"shapes": [{"batch": 1, "queries": 2}]}, "a shape is"),
        ({"threads": 0}, "threads has 0"),
        ({"threads": 2.5}, r"threads has 2\.5 and needs positive integers"),
        ({"threads": [1, True]}, "threads has True"),
        ({"budget": "60"}, "budget is '60' and needs"),
        ({"jobs": -1}, "jobs is -1 and needs a positive integer"),
        ({"jobs": 0}, "jobs is 0"),
        ({"jobs": 1.0}, "jobs is 1.0"),
        ({"strategy": "climp"}, "did you mean `climb`"),
        ({"save": True}, "this one has none"),
        ({"shapes": [Shape(1, 2, 8, 3)]}, "has query_offset 3, and is tuned with 6 only"),
    ],
    ids=str,
)
def test_what_cannot_be_tuned_is_told(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tune(SPEC, **{"shapes": [(1, 8, 8)], **arguments})


def test_shapes_and_threads_are_combined() -> None:
    calls = calls_of(SPEC, [(1, 8, 8), {"batch": 2, "queries": 1, "keys": 9}, Shape(1, 8, 8)], (1, 2))
    assert [(str(call), call.shape.query_offset) for call in calls] == [
        ("b=1,q=8,k=8", 0),
        ("b=1,q=8,k=8, 2 threads", 0),
        ("b=2,q=1,k=9", 8),
        ("b=2,q=1,k=9, 2 threads", 8),
    ]


def tuned_with(executor: Executor, folder: Path) -> Tuning:
    """Evaluated by the executor's workers."""
    remote = RemoteEvaluator(executor, works=WORKS[1], path=(HERE,))
    return Campaign(Plan(SPEC, (NEXT,), 30.0, "model"), remote, Records(folder)).run()


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_any_executor_evaluates(tmp_path: Path, kind: str) -> None:
    spawned = get_context("spawn")
    with ThreadPoolExecutor(1) if kind == "threads" else ProcessPoolExecutor(1, spawned) as executor:
        found = tuned_with(executor, tmp_path)
    assert found.measured and found.is_tuned
    assert {each.verdict for each in found.tried} == {Verdict.OK}


def test_a_worker_that_fails_ends_the_campaign_with_its_error(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor, pytest.raises(UnsupportedError, match="no process"):
        remote = RemoteEvaluator(executor, works=("no_module:work", "no_module:work"))
        Campaign(Plan(SPEC, (PAGE,), 30.0), remote, Records(tmp_path)).run()


def test_dask_workers_evaluate(tmp_path: Path) -> None:
    """One worker for each kind of machine: here there is one kind."""
    distributed = pytest.importorskip("distributed", reason="dask is absent: pip install 'mhagen[dask]'")
    workers = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)
    with workers as cluster, distributed.Client(cluster) as client:
        found = tuned_with(client.get_executor(), tmp_path)
    assert found.measured and found.is_tuned
    assert {each.circumstances for each in Records(tmp_path).all()} == {found.circumstances}


def test_what_another_kind_of_machine_has_measured_is_filed_there(tmp_path: Path) -> None:
    class Elsewhere(LocalEvaluator):
        """Says that it measures on another CPU than it was asked about."""

        def measure(self, request: Any, limits: Any, until: float) -> Any:
            self._circumstances = replace(self._circumstances, cpu="another")
            return super().measure(request, limits, until)

    elsewhere = Elsewhere(keys_of(SPEC), threads=1, jobs=1, works=WORKS[1], path=(HERE,))
    with closing(elsewhere):
        found = Campaign(Plan(SPEC, (PAGE,), 20.0, "model"), elsewhere, Records(tmp_path)).run()
    timed = [each for each in Records(tmp_path).all() if each.stage == "search"]
    assert timed and {each.circumstances.cpu for each in timed} == {"another"}
    assert all(each.kept_default for each in found.outcomes) and not found.tried

"""Workers elsewhere are asked within the time that is left, and hold nothing when they are not asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mhagen.base.errors import UnsupportedError
from mhagen.spec.load import load_spec
from mhagen.tuning import evaluator
from mhagen.tuning.evaluator import RemoteEvaluator, describe, evaluate, own_host
from mhagen.tuning.isolated import Limits
from mhagen.tuning.request import keys_of

HERE = str(Path(__file__).parent)
SPEC = keys_of(load_spec({"name": "tuned", "heads": {"query": 2, "dim": 32}}))
REQUEST = {"spec": SPEC, "do": "answer"}
LIMITS = Limits(seconds=20.0, memory_bytes=1 << 30)


class Deaf(Executor):
    """A worker that says what it is, if it says anything, and then does nothing."""

    def __init__(self, is_mute: bool = False) -> None:
        self.is_mute, self.asked = is_mute, []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **names: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if function is describe and not self.is_mute:
            future.set_result(function(*arguments))
        else:
            self.asked.append((future, *arguments))
        return future


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true in a second or two."""
    end = time.monotonic() + 3
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_worker_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "GRACE_SECONDS", 0.2)
    with closing(RemoteEvaluator(Deaf())) as remote:
        remote.describe(SPEC)
        for ask in (remote.check, remote.measure):
            answer = ask(REQUEST, LIMITS, time.monotonic() + 0.5).result(timeout=3)
            assert answer.reply.was_cut_short and "no worker" in answer.reply.detail


def test_a_worker_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "WORKER_SECONDS", 0.2)
    with (
        closing(RemoteEvaluator(Deaf(is_mute=True))) as remote,
        pytest.raises(UnsupportedError, match="no worker"),
    ):
        remote.describe(SPEC)


def test_as_many_are_asked_at_once_as_there_are_workers() -> None:
    """What has waited is sent with the time that is left then, and not at all if there is none."""
    deaf = Deaf()
    with closing(RemoteEvaluator(deaf, jobs=2)) as remote:
        remote.describe(SPEC)
        until = time.monotonic() + 1.5
        answers = [remote.check(REQUEST, LIMITS, until) for _ in range(4)]
        assert soon(lambda: len(deaf.asked) == 2)
        time.sleep(0.5)
        assert len(deaf.asked) == 2
        deaf.asked[0][0].set_exception(RuntimeError("it fell over"))
        assert soon(lambda: len(deaf.asked) == 3)
        assert deaf.asked[2][1]["seconds"] <= deaf.asked[0][1]["seconds"] - 0.5
        with pytest.raises(RuntimeError, match="it fell over"):
            answers[0].result()
        time.sleep(max(0.0, until - time.monotonic()))
        deaf.asked[1][0].set_exception(RuntimeError("it fell over"))
        assert answers[3].result(timeout=3).reply.was_cut_short
        assert len(deaf.asked) == 3


def test_a_host_that_idles_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    question = {"work": "planted:work", "path": (HERE,), "limits": vars(LIMITS), "seconds": 20.0}
    monkeypatch.setattr(evaluator, "IDLE_SECONDS", 0.2)
    assert evaluate({**question, "request": REQUEST})["reply"]["verdict"] == "ok"
    host = own_host("planted:work", (HERE,))
    assert soon(lambda: host.isolation._process is None)
    monkeypatch.setattr(evaluator, "IDLE_SECONDS", 60.0)
    assert evaluate({**question, "request": REQUEST})["reply"]["verdict"] == "ok"
    time.sleep(0.3)
    assert host.isolation._process is not None
    host.isolation.close()


def test_who_waits_for_a_host_waits_within_its_time() -> None:
    """One piece at a time, and waiting counts."""
    question = {"work": "planted:work", "path": (HERE,), "limits": vars(LIMITS), "request": REQUEST}
    host = own_host("planted:work", (HERE,))
    with ThreadPoolExecutor(1) as workers:
        with host._lock:  # as whoever is served holds it
            waiting = workers.submit(evaluate, {**question, "seconds": 0.5})
            assert waiting.result(timeout=60)["was_cut_short"]
        assert not workers.submit(evaluate, {**question, "seconds": 60.0}).result()["was_cut_short"]
    host.isolation.close()

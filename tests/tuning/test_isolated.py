"""What goes wrong in a child stays there, and is told apart."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mhagen.base.errors import UnsupportedError
from mhagen.tuning.evaluator import run_until
from mhagen.tuning.isolated import Isolation, Limits, line_within
from mhagen.tuning.verdict import Verdict

HERE = str(Path(__file__).parent)
LIMITS = Limits(seconds=10.0, memory_bytes=1 << 30)


@pytest.fixture(scope="module")
def host() -> Iterator[Isolation]:
    isolation = Isolation("planted:work", path=(HERE,))
    yield isolation
    isolation.close()


def test_a_piece_of_work_is_done_in_a_process_of_its_own(host: Isolation) -> None:
    replies = [host.run({"do": "answer", "echo": number}, LIMITS) for number in range(3)]
    assert [reply.verdict for reply in replies] == [Verdict.OK] * 3
    assert [reply.content["echo"] for reply in replies] == [0, 1, 2]
    assert len({os.getpid(), *(reply.content["process"] for reply in replies)}) == 4


@pytest.mark.parametrize(
    ("deed", "verdict", "words"),
    [
        ("differ", Verdict.WRONG, "it differs"),
        ("refuse", Verdict.REFUSED, "no such instruction"),
        ("raise", Verdict.CRASHED, "ZeroDivisionError: division by zero"),
        ("crash", Verdict.CRASHED, "SIGSEGV"),
        ("exit", Verdict.CRASHED, "exit code 7"),
        ("allocate", Verdict.MEMORY, "memory"),
        ("be killed", Verdict.MEMORY, "SIGKILL"),
    ],
)
def test_what_goes_wrong_has_a_verdict(host: Isolation, deed: str, verdict: Verdict, words: str) -> None:
    reply = host.run({"do": deed}, LIMITS)
    assert reply.verdict is verdict
    assert words in reply.detail
    assert host.run({"do": "answer"}, LIMITS).is_good, "the next piece is done"


@pytest.mark.parametrize("deed", ["hang", "spin"])
def test_what_takes_too_long_is_ended(host: Isolation, deed: str) -> None:
    start = time.monotonic()
    reply = host.run({"do": deed}, Limits(0.5, 1 << 30))
    assert reply.verdict is Verdict.HUNG
    assert time.monotonic() - start < 60, "it would take ten minutes"
    assert host.run({"do": "answer"}, LIMITS).is_good


def test_what_a_candidate_prints_is_no_reply(host: Isolation) -> None:
    assert host.run({"do": "print", "echo": 1}, LIMITS).content["echo"] == 1


def test_a_lost_host_is_started_again(host: Isolation) -> None:
    assert host.run({"do": "kill the host"}, LIMITS).verdict is Verdict.MEMORY
    assert host.run({"do": "answer"}, LIMITS).is_good


def test_a_closed_host_leaves_no_process() -> None:
    isolation = Isolation("planted:work", path=(HERE,))
    process = isolation.run({"do": "answer"}, LIMITS).content["process"]
    isolation.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.fixture
def slow() -> Iterator[Isolation]:
    """A host that needs over a second to start."""
    isolation = Isolation("slow_to_start:work", path=(HERE,))
    yield isolation
    isolation.close()


def test_a_failed_start_is_not_the_answer_to_the_next_question(
    slow: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mhagen.tuning.isolated.START_SECONDS", 0.3)
    with pytest.raises(UnsupportedError, match="no process for candidates"):
        slow.run({"do": "answer"}, LIMITS)
    monkeypatch.undo()
    for number in range(2):
        assert slow.run({"do": "answer", "echo": number}, LIMITS).content["echo"] == number


def test_an_answer_to_another_question_is_no_verdict(
    host: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.run({"do": "answer"}, LIMITS)
    document = {"verdict": "wrong", "number": -1}
    monkeypatch.setattr("mhagen.tuning.isolated.json.loads", lambda _: document)
    reply = host.run({"do": "answer"}, LIMITS)
    monkeypatch.undo()
    assert reply.was_cut_short and reply.verdict is Verdict.HUNG
    assert host.run({"do": "answer"}, LIMITS).is_good, "it is started again"


def test_descriptors_beyond_those_of_select_are_read() -> None:
    resource, fcntl = pytest.importorskip("resource"), pytest.importorskip("fcntl")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= 1100:
        pytest.skip(f"this process may have {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1100), hard))
    source, sink = os.pipe()
    try:
        with os.fdopen(fcntl.fcntl(source, fcntl.F_DUPFD, 1050), "rb") as stream:
            assert line_within(stream, 0.0) is None
            os.write(sink, b"said\n")
            assert line_within(stream, 5.0) == b"said\n"
    finally:
        os.close(source)
        os.close(sink)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_value_error_of_ours_is_no_lost_host(host: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(stream: object, seconds: float) -> None:
        raise ValueError("seconds are no number")

    host.run({"do": "answer"}, LIMITS)
    monkeypatch.setattr("mhagen.tuning.isolated.line_within", fail)
    with pytest.raises(ValueError, match="no number"):
        host.run({"do": "answer"}, LIMITS)
    monkeypatch.undo()
    host.close()


def test_a_start_ends_when_its_time_is_up(slow: Isolation, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SECONDS_TO_START", "600")
        start = time.monotonic()
        assert run_until(slow, {"do": "answer"}, LIMITS, start + 0.5).was_cut_short
        assert time.monotonic() - start < 60
    assert run_until(slow, {"do": "answer"}, LIMITS, time.monotonic() + 60).is_good

"""Threads that a caller wakes are not put behind it on its own processor."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from unittest.mock import Mock, patch

import pytest

from mhagen.runtime import placement
from mhagen.runtime.placement import CURRENT_PROCESSOR, Apart
from mhagen.runtime.threads import Team

pytestmark = pytest.mark.skipif(
    CURRENT_PROCESSOR is None, reason="this system does not say where threads run"
)


@pytest.fixture
def processors() -> Iterator[list[int]]:
    """Two that this thread may use; afterwards it may use all again that it could before."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("there is one processor")
    yield sorted(allowed)[:2]
    os.sched_setaffinity(0, allowed)


class Sleeper:
    """A thread that does nothing, by its number in the system."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.over.wait, daemon=True)
        self.thread.start()
        assert self.thread.native_id is not None
        self.number = self.thread.native_id

    def end(self) -> None:
        self.over.set()
        self.thread.join()


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    made = Sleeper()
    yield made
    made.end()


def test_a_thread_is_kept_off_the_processor_of_its_caller_and_follows_it(
    processors: list[int], sleeper: Sleeper
) -> None:
    apart = Apart()
    for mine, other in (processors, processors[::-1]):
        os.sched_setaffinity(0, {mine})
        os.sched_setaffinity(0, set(processors))  # it may move, but has no reason to
        with patch.object(placement, "CURRENT_PROCESSOR", lambda mine=mine: mine):
            apart.keep([sleeper.number])
        assert os.sched_getaffinity(sleeper.number) == {other}


def test_the_caller_itself_may_run_where_it_could(processors: list[int], sleeper: Sleeper) -> None:
    before = os.sched_getaffinity(0)
    Apart().keep([sleeper.number])
    assert os.sched_getaffinity(0) == before


def test_nothing_is_asked_while_the_caller_stays(sleeper: Sleeper) -> None:
    apart = Apart()
    with patch.object(placement, "CURRENT_PROCESSOR", lambda: 0):
        apart.keep([sleeper.number])
        with patch.object(os, "sched_getaffinity", Mock(side_effect=AssertionError)):
            apart.keep([sleeper.number])


def test_new_threads_are_moved_too(processors: list[int], sleeper: Sleeper) -> None:
    apart, another = Apart(), Sleeper()
    with patch.object(placement, "CURRENT_PROCESSOR", lambda: processors[0]):
        apart.keep([sleeper.number])
        apart.keep([sleeper.number, another.number])
    assert processors[0] not in os.sched_getaffinity(another.number)
    another.end()


def test_on_a_single_processor_all_stay_on_it(processors: list[int], sleeper: Sleeper) -> None:
    before = os.sched_getaffinity(sleeper.number)
    os.sched_setaffinity(0, processors[:1])
    Apart().keep([sleeper.number])
    assert os.sched_getaffinity(sleeper.number) == before


def test_a_thread_that_has_ended_or_may_not_be_moved_disturbs_nothing(sleeper: Sleeper) -> None:
    gone = Sleeper()
    gone.end()
    with patch.object(placement, "CURRENT_PROCESSOR", lambda: 0):
        Apart().keep([gone.number])
        with patch.object(os, "sched_setaffinity", Mock(side_effect=PermissionError)) as forbidden:
            Apart().keep([sleeper.number])
        assert len(os.sched_getaffinity(0)) == 1 or forbidden.called


def test_where_nothing_says_where_threads_run_they_are_left_alone(sleeper: Sleeper) -> None:
    with (
        patch.object(placement, "CURRENT_PROCESSOR", None),
        patch.object(os, "sched_setaffinity", Mock(side_effect=AssertionError)),
    ):
        Apart().keep([sleeper.number])


def test_a_team_works_on_other_processors_than_its_caller(processors: list[int]) -> None:
    team, found = Team(), dict[int, int]()
    together = threading.Barrier(2)
    here = CURRENT_PROCESSOR
    assert here is not None

    def task(index: int) -> None:
        together.wait(10)
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            found[index] = here()

    for mine in processors:
        os.sched_setaffinity(0, {mine})
        os.sched_setaffinity(0, set(processors))
        with patch.object(placement, "CURRENT_PROCESSOR", lambda mine=mine: mine):
            team.run(2, task)
        assert found[1] != mine

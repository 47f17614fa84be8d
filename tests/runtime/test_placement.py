"""Threads that a caller wakes are not put behind it on its own processor."""

from __future__ import annotations

import os
import threading
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


def test_a_thread_is_moved_once_while_its_caller_stays(processors: list[int], sleeper: Sleeper) -> None:
    apart, moves = Apart(), Mock(wraps=os.sched_setaffinity)
    with (
        patch.object(placement, "CURRENT_PROCESSOR", lambda: processors[0]),
        patch.object(os, "sched_setaffinity", moves),
    ):
        for _ in range(3):
            apart.keep([sleeper.number])
    assert moves.call_count == 1


def test_a_caller_that_may_run_elsewhere_takes_its_threads_along(
    processors: list[int], sleeper: Sleeper
) -> None:
    apart = Apart()
    with patch.object(placement, "CURRENT_PROCESSOR", lambda: processors[0]):
        os.sched_setaffinity(0, processors[:1])
        apart.keep([sleeper.number])
        os.sched_setaffinity(0, processors)
        apart.keep([sleeper.number])
    assert os.sched_getaffinity(sleeper.number) == {processors[1]}


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
        for name in ("sched_setaffinity", "sched_getaffinity"):
            with patch.object(os, name, Mock(side_effect=PermissionError)) as forbidden:
                Apart().keep([sleeper.number])
            assert forbidden.called


def test_where_nothing_says_where_threads_run_they_are_left_alone(sleeper: Sleeper) -> None:
    with (
        patch.object(placement, "CURRENT_PROCESSOR", None),
        patch.object(os, "sched_setaffinity", Mock(side_effect=AssertionError)),
    ):
        Apart().keep([sleeper.number])


def test_the_workers_of_a_team_are_kept_off_its_caller_and_no_more_than_are_asked_for(
    processors: list[int],
) -> None:
    team = Team()
    numbers = dict[int, int]()

    def task(index: int) -> None:
        numbers[index] = threading.get_native_id()
        together.wait(10)

    with patch.object(placement, "CURRENT_PROCESSOR", lambda: processors[0]):
        for count in (3, 2):
            together = threading.Barrier(count)
            team.run(count, task)
    places = [os.sched_getaffinity(numbers[index]) for index in (0, 1, 2)]
    assert places[0] == os.sched_getaffinity(0)
    assert places[1] == places[2] == places[0] - {processors[0]}
    with (
        patch.object(placement, "CURRENT_PROCESSOR", lambda: processors[1]),
        patch.object(os, "sched_setaffinity", Mock(wraps=os.sched_setaffinity)) as moves,
    ):
        team.run(2, lambda _: None)
    assert moves.call_count == 1

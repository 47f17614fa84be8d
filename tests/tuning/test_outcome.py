"""The numbers that rounds amount to."""

from __future__ import annotations

import pytest

from mhagen.tuning.outcome import Outcome, Role, Spread, Timed, ratios, spread


def timed(role: Role, *rounds: float, operations: float = 0.0, bytes: float = 0.0, name: str = "") -> Timed:
    return Timed(role, name or role.value, "form", operations, bytes, None, rounds)


def outcome(*candidates: Timed, is_decoding: bool = False) -> Outcome:
    return Outcome("P0", "title", "float32", 2, is_decoding, candidates)


OURS = timed(Role.OURS, 1.0, 2.0, 4.0, operations=8.0, bytes=6.0)


def test_ratios_are_taken_round_by_round() -> None:
    peer = timed(Role.PEER, 3.0, 4.0, 4.0)
    assert ratios(peer, OURS) == (3.0, 2.0, 1.0)
    assert outcome(OURS, peer).against(peer) == Spread(2.0, 1.5, 2.5)


def test_the_median_of_ratios_is_not_the_ratio_of_medians() -> None:
    peer = timed(Role.PEER, 4.0, 2.0, 1.0)
    assert peer.seconds / OURS.seconds == 1.0
    assert outcome(OURS, peer).against(peer).median == 1.0
    slow = timed(Role.PEER, 9.0, 2.0, 40.0)
    assert (slow.seconds / OURS.seconds, outcome(OURS, slow).against(slow).median) == (4.5, 9.0)


def test_the_share_of_the_peak_is_that_of_each_round() -> None:
    """8 operations in 1, 2, 4 seconds, where the probe does 16 in 1, 1, 2 seconds."""
    found = outcome(OURS, timed(Role.PEAK, 1.0, 1.0, 2.0, operations=16.0))
    assert found.rate == 4.0
    assert found.share == Spread(0.25, 0.25, 0.375)


def test_decoding_has_a_share_of_the_bandwidth() -> None:
    limits = (timed(Role.PEAK, 1, 1, 1, operations=1.0), timed(Role.BANDWIDTH, 1.0, 1.0, 1.0, bytes=12.0))
    found = outcome(OURS, *limits, is_decoding=True)
    assert found.rate == 3.0
    assert found.share is not None
    assert found.share.median == 0.25


def test_a_row_beside_is_compared_by_the_time_of_an_operation() -> None:
    found = outcome(OURS, timed(Role.BESIDE, 1.0, 1.0, 1.0, operations=2.0))
    assert found.beside is not None
    assert found.beside.median == 2.0 * 2.0 / 8.0


def test_the_speed_up_is_the_time_on_one_thread_over_ours() -> None:
    found = outcome(OURS, timed(Role.ONE_THREAD, 2.0, 3.0, 8.0))
    assert found.speed_up is not None
    assert found.speed_up.median == 2.0


def test_what_was_not_measured_has_no_numbers() -> None:
    found = outcome()
    assert (found.ours, found.rate, found.share, found.beside, found.speed_up) == (None,) * 5


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [((3.0,), Spread(3.0, 3.0, 3.0)), ((1.0, 2.0, 3.0, 4.0, 5.0), Spread(3.0, 2.0, 4.0))],
)
def test_half_of_all_numbers_lie_within_a_spread(numbers: tuple[float, ...], expected: Spread) -> None:
    assert spread(numbers) == expected

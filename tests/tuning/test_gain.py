"""A gain is a gain when it is beyond the noise, and a table holds what was decided."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest

from mhagen.base.target import AVX2, AVX512, AVX512_BF16, TARGETS, Target
from mhagen.schedule.choose import DEFAULTS
from mhagen.schedule.plan import SIZES_OF_A_CALL, SIZES_OF_SUMS, Schedule
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import faults
from mhagen.schedule.ways import decodes
from mhagen.spec.load import load_spec
from mhagen.tuning.buckets import ends_of, others_of, table_of
from mhagen.tuning.candidates import Subject, neighbours, space, subject_of
from mhagen.tuning.decide import Failure, Finals, Module, gains, losers, outcome_of
from mhagen.tuning.gain import Interval, interval, is_gain, loses, may_lose
from mhagen.tuning.known import Known
from mhagen.tuning.trial import Call, Trial
from mhagen.tuning.verdict import Verdict

DEFAULT = DEFAULTS["avx512"]
OTHER = replace(DEFAULT, block_keys=512)
TILED = replace(DEFAULT, key_rows=4, query_vectors=4)
PAGE, TEXTS, NEXT = Call(Shape(1, 1024, 1024)), Call(Shape(16, 128, 128)), Call(Shape(1, 1, 4096, 4095))
CALLS = (PAGE, TEXTS, NEXT)


def test_an_interval_holds_the_median_as_often_as_it_says() -> None:
    rng = random.Random(0)
    for count in (6, 9, 20):
        found = [interval([rng.gauss(0, 1) for _ in range(count)]) for _ in range(2000)]
        assert sum(each.low <= 0 <= each.high for each in found) / len(found) > 0.94
        assert all(each.low <= each.median <= each.high for each in found)


def test_few_placements_tell_nothing() -> None:
    noise = interval([1.0] * 5)
    assert not is_gain(interval([0.5] * 5), noise)
    assert is_gain(interval([0.5] * 6), noise)


@pytest.mark.parametrize(
    ("ratio", "twin", "gains"),
    [
        ((0.90, 0.88, 0.92), (1.00, 0.99, 1.01), True),
        ((0.97, 0.95, 1.01), (1.00, 0.99, 1.01), False),
        ((0.97, 0.95, 0.98), (0.99, 0.96, 1.01), False),
        ((1.02, 1.01, 1.03), (1.00, 0.97, 1.05), False),
    ],
)
def test_noise_is_what_the_default_shows_beside_itself(
    ratio: tuple[float, ...], twin: tuple[float, ...], gains: bool
) -> None:
    found, noise = (Interval(*each, placements=9) for each in (ratio, twin))
    assert is_gain(found, noise) == gains


@pytest.mark.parametrize(
    ("ratio", "may", "does"),
    [
        ((1.00, 0.99, 1.01), False, False),
        ((1.00, 0.98, 1.02), True, False),
        ((0.99, 0.95, 1.05), True, False),
        ((1.005, 1.001, 1.009), False, False),
        ((1.02, 1.01, 1.03), True, True),
    ],
)
def test_doubt_counts_against_tiles_that_calls_share(ratio: tuple[float, ...], may: bool, does: bool) -> None:
    found = Interval(*ratio, placements=9)
    assert (may_lose(found), loses(found)) == (may, does)
    assert may_lose(replace(found, placements=5)) and not loses(replace(found, placements=5))


def placed(rng: random.Random, ratio: float, spread: float = 0.02) -> tuple[tuple[float, ...], ...]:
    """Nine placements of six rounds: where arrays lie makes all rounds of a placement faster or slower."""
    places = [1e-3 * ratio * (1 + rng.gauss(0, spread)) for _ in range(9)]
    return tuple(tuple(place * (1 + rng.gauss(0, 0.005)) for _ in range(6)) for place in places)


def test_what_is_no_faster_hardly_ever_gains_however_arrays_lie() -> None:
    rng, runs = random.Random(0), 2000
    found = [Finals(placed(rng, 1), placed(rng, 1), placed(rng, 1)) for _ in range(runs)]
    assert sum(is_gain(each.ratio, each.noise) for each in found) / runs < 0.01
    pooled = [
        interval(
            [a / b for pair in zip(each.own, each.default, strict=True) for a, b in zip(*pair, strict=True)]
        )
        for each in found
    ]
    assert sum(each.high < 1 for each in pooled) / runs > 0.05, "rounds of a placement are not independent"


def test_what_is_faster_by_more_than_arrays_do_gains() -> None:
    rng, runs = random.Random(0), 500
    found = [Finals(placed(rng, 1, 0.01), placed(rng, 1, 0.01), placed(rng, 0.95, 0.01)) for _ in range(runs)]
    assert sum(is_gain(each.ratio, each.noise) for each in found) / runs > 0.9


def finals(ratio: float, spread: float = 0.001) -> Finals:
    rng = random.Random(0)
    return Finals(placed(rng, 1, spread), placed(rng, 1, spread), placed(rng, ratio, spread))


def module(**chosen: Schedule) -> Module:
    schedules = {call: chosen.get(name, DEFAULT) for name, call in (("page", PAGE), ("texts", TEXTS))}
    tiles = next(iter(chosen.values()))
    base = replace(DEFAULT, key_rows=tiles.key_rows, query_vectors=tiles.query_vectors)
    return Module(schedules, base, table_of(schedules, base), base != DEFAULT)


FAILED = Failure("the last comparison crashed", Verdict.CRASHED)


@pytest.mark.parametrize(
    ("moves", "page", "texts", "lost"),
    [
        (False, finals(0.9), finals(1.0), ()),
        (False, finals(1.0), finals(1.0), (PAGE,)),
        (False, finals(0.9), finals(1.05), (TEXTS,)),
        (False, finals(0.9), FAILED, (TEXTS,)),
        (True, finals(0.9), finals(0.9), ()),
        (True, finals(0.9), finals(1.0), ()),
        (True, finals(0.9), finals(1.02), (TEXTS,)),
        (True, finals(0.9), finals(1.0, 0.02), (TEXTS,)),
    ],
)
def test_no_call_pays_for_another(
    moves: bool, page: Finals, texts: Finals | Failure, lost: tuple[Call, ...]
) -> None:
    tried = module(page=TILED, texts=TILED) if moves else module(page=OTHER)
    found = [outcome_of(tried, call, DEFAULT, each) for call, each in ((PAGE, page), (TEXTS, texts))]
    assert losers(tried, found) == lost
    assert gains(found) == (PAGE not in lost)
    assert all(each.reason for each in found)


def test_the_reason_is_what_has_happened() -> None:
    tried = module(page=OTHER)
    reasons = {
        finals(0.9): "10.0% faster than the default, beyond the noise",
        finals(1.0): "the gain is not beyond the noise",
        FAILED: "the default is kept: the last comparison crashed",
        Failure("there was not enough time to confirm a gain"): "not enough time",
    }
    for final, words in reasons.items():
        assert words in outcome_of(tried, PAGE, DEFAULT, final).reason
    assert (
        "no candidate that was measured was faster" in outcome_of(tried, TEXTS, DEFAULT, finals(1.0)).reason
    )


def test_the_ends_of_ranges_are_known() -> None:
    tuned = table_of({PAGE: OTHER}, DEFAULT, 2)
    lengths = [(each.shape.queries, each.shape.keys) for each in ends_of(tuned, (PAGE,))]
    assert lengths == [(512, 512), (2048, 2048)]
    assert not ends_of(table_of({PAGE: OTHER}, DEFAULT, 1), (PAGE,))
    assert all(tuned.pick(each.shape, 1) == DEFAULT for each in others_of(tuned))


def test_a_table_serves_each_call_with_its_schedule_and_what_is_far_away_with_the_default() -> None:
    small, few = replace(DEFAULT, block_keys=128), replace(DEFAULT, chunk_keys=2048)
    table = table_of({PAGE: OTHER, TEXTS: small, NEXT: few}, DEFAULT)
    assert not faults(table, AVX512)
    picked = {
        (1, 1024, 1024): OTHER,
        (1, 4096, 4096): OTHER,
        (1, 4097, 4097): DEFAULT,
        (1, 362, 362): small,
        (1, 363, 363): OTHER,
        (99, 128, 128): small,
        (1, 16, 16): DEFAULT,
        (1, 1, 4096): few,
        (1, DEFAULT.decode_queries, 2000): few,
        (1, DEFAULT.decode_queries + 1, 2000): DEFAULT,
        (1, 1, 500): DEFAULT,
    }
    assert {lengths: table.pick(Shape(*lengths), 1) for lengths in picked} == picked


def test_batch_and_threads_choose_the_size_of_tasks_and_nothing_else() -> None:
    many, wide = Call(Shape(64, 1024, 1024)), Call(Shape(1, 1024, 1024), threads=8)
    chosen = {
        PAGE: replace(OTHER, tile_queries=128),
        many: replace(OTHER, tile_queries=256, block_keys=1024),
        wide: replace(OTHER, tile_queries=64),
    }
    table = table_of(chosen, DEFAULT)
    assert not faults(table, AVX512)
    assert [table.pick(call.shape, call.threads).tile_queries for call in chosen] == [128, 256, 64]
    assert (
        len({tuple(getattr(table.pick(c.shape, c.threads), n) for n in SIZES_OF_SUMS) for c in chosen}) == 1
    )


def test_many_calls_make_a_legal_table() -> None:
    lengths = (16, 100, 128, 500, 1024, 3000, 9000)
    calls = [Call(Shape(b, q, k, k - q), t) for b, q, k, t in product((1, 8), lengths, lengths, (1, 2))]
    rng = random.Random(0)
    sizes = {call: replace(DEFAULT, block_keys=rng.choice((128, 256, 512))) for call in calls}
    assert not faults(table_of(sizes, DEFAULT), AVX512)


def subject(target: Target, **keys: object) -> Subject:
    dtype = target.pair_dtype or "float32"
    spec = {"name": "some", "dtype": dtype, "heads": {"query": 4, "dim": 64}, **keys}
    return subject_of(load_spec(spec), target)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("layer", [False, True], ids=["attention", "layer"])
def test_every_candidate_is_legal_and_tried_once(target: Target, layer: bool) -> None:
    tuned = subject(target, **({"projections": {"model_dim": 256}} if layer else {}))
    for call in (PAGE, NEXT, Call(Shape(1, 4, 4))):
        grid = space(tuned, call)
        near = [each for schedule in grid for each in neighbours(tuned, call, schedule)]
        assert grid[0] == tuned.default and near
        assert all(map(tuned.is_legal, (*grid, *near)))
        assert len({tuned.footprint(call, each) for each in grid}) == len(grid)


def test_few_queries_are_tuned_by_what_their_way_reads() -> None:
    tuned = subject(AVX512)
    for schedule in neighbours(tuned, NEXT, tuned.default):
        changed = [name for name, size in vars(schedule).items() if size != getattr(tuned.default, name)]
        assert set(changed) <= {"chunk_keys", "decode_rows"}


def test_a_step_may_lead_to_the_other_way_of_few_queries() -> None:
    tuned, call = subject(AVX2), Call(Shape(1, 4, 400, 396))
    other = [each for each in neighbours(tuned, call, tuned.default) if not decodes(each, call.shape)]
    assert [each.decode_queries for each in other] == [3]
    back = [each for each in neighbours(tuned, call, other[0]) if decodes(each, call.shape)]
    assert back


def test_sums_of_narrow_products_stay_in_one_piece() -> None:
    tuned = subject(AVX512_BF16, projections={"model_dim": 256})
    depths = {each.linear_depth for each in neighbours(tuned, PAGE, tuned.default)}
    assert depths == {tuned.default.linear_depth}


def test_a_candidate_that_fails_is_not_chosen_however_fast_it_was() -> None:
    tuned = subject(AVX512)
    default = tuned.default
    fast = replace(default, chunk_keys=1024)
    known = Known(tuned, (NEXT,))
    known.add(Trial(NEXT, fast), [0.5, 0.5])
    assert known.jointly()[NEXT].chunk_keys == 1024
    same = replace(fast, block_keys=2 * default.block_keys)
    known.fail(Trial(NEXT, same))
    assert known.is_tried(Trial(NEXT, fast)) and known.is_tried(Trial(NEXT, same))
    assert known.best(NEXT) == known.jointly()[NEXT] == default
    assert known.doubtful(NEXT, 3, 9) == ()
    known.fail(Trial(NEXT, replace(default, block_keys=2 * default.block_keys)))
    assert known.best(NEXT) == default, "to this call it is the default, which has been checked"


def test_what_another_machine_has_timed_is_passed_over_here() -> None:
    tuned = subject(AVX512)
    fast, other = (replace(tuned.default, chunk_keys=keys) for keys in (1024, 2048))
    known = Known(tuned, (NEXT,))
    known.add(Trial(NEXT, fast), [0.5])
    for schedule in (fast, other):
        known.pass_over(Trial(NEXT, schedule))
    assert known.is_tried(Trial(NEXT, other)) and known.ratio(Trial(NEXT, other)) is None
    assert known.best(NEXT) == fast


def test_tiles_of_a_module_are_chosen_for_all_calls_together() -> None:
    tuned = subject(AVX512)
    default = tuned.default
    tiled = replace(default, key_rows=4, query_vectors=4)
    known = Known(tuned, (PAGE, TEXTS, NEXT))
    known.add(Trial(PAGE, tiled), [0.5])
    assert known.best(PAGE) == tiled
    assert known.jointly()[PAGE] == default, "nobody knows what its tiles do to the other calls"
    known.add(Trial(TEXTS, tiled), [1.2])
    known.add(Trial(NEXT, replace(default, chunk_keys=1024)), [0.9])
    best = known.jointly()
    assert {each.key_rows for each in best.values()} == {4}
    assert best[NEXT].chunk_keys == 1024
    shared = [{n: s for n, s in vars(each).items() if n not in SIZES_OF_A_CALL} for each in best.values()]
    assert shared[0] == shared[1] == shared[2]
    known.add(Trial(TEXTS, tiled), [2.2, 2.2])
    assert known.jointly()[PAGE] == default
    near = known.with_tiles_of(default)
    assert near is not None and near[1][NEXT].chunk_keys == 1024

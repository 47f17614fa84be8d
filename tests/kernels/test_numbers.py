"""What is known of an attention without knowing it: claims that need no oracle, and hostile numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .calls import Array, Call, Shape, assert_right, named, same_bits
from .specs import BIASED, BY_NAME, CASES, CHOSEN, DISTANCE, FLAT, REMAINDER, Case, case, register

PLAIN = BY_NAME["plain"]
SHAPES = st.builds(
    Shape,
    batch=st.just(2),
    queries=st.integers(1, 70),
    keys=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
)
LOWEST = float(np.finfo(np.float32).min)
HEADROOM = 8 * np.log(2)  # how far scores may rise before the running maximum does


def padded(dtype: str, bias: str) -> Case:
    given = {"modify": "score + bias[b, k]", "bias": f"{bias} batch keys", "lse": False}
    return register(case(f"padded_{dtype}", "2/1 24/40", dtype=dtype, **given))


def divided(dtype: str, length: int) -> Case:
    keep = f"floor(q / {length}) == floor(k / {length})"
    return register(case(f"divided_{dtype}", "1/1 16/16", dtype=dtype, keep=keep))


PADDED = (
    *(padded(dtype, "float32") for dtype in ("float32", "bfloat16", "float16")),
    padded("float64", "float64"),
)
DIVIDED = (divided("float32", 82), divided("float64", 98))
STEEP = register(
    case(
        "steep", "1/1 16/16", modify="score + slope[h] * (k - q)", keep="k <= q", slope="float32 query_heads"
    )
)


def biased(bias: Array, seed: int = 0, scores: float = 0.0) -> Call:
    """A call whose scores are these (queries, keys), plus noise; the second head has them negated."""
    queries, keys = bias.shape
    call = Shape(1, queries, keys, seed, scores).random(BIASED)
    return call | {"bias": np.stack([bias, -bias]).astype(np.float32)}


def assert_biased_right(bias: Array, scores: float = 0.0) -> None:
    call = biased(bias, scores=scores)
    assert_right(BIASED.spec, BIASED.module.attention(**call), call | {"query_offset": 0})


# Known without an oracle


@pytest.mark.parametrize("kind", ["normal", "denormal", "huge", "minus zero"])
@given(shape=SHAPES)
def test_one_visible_key_gives_its_value_exactly(kind: str, shape: Shape) -> None:
    scale = {"normal": 1.0, "denormal": 1e-40, "huge": 5e37, "minus zero": -0.0}[kind]
    call = shape.random(CHOSEN)
    call["value"] = (call["value"] * scale).astype(np.float32)
    seen = np.random.default_rng(shape.seed).integers(0, shape.keys, (2, 1, shape.queries))
    call["chosen"] = seen[:, 0, :, None] == np.arange(shape.keys)
    out = named(CHOSEN.spec, CHOSEN.module.attention(**call))["out"]
    np.testing.assert_array_equal(out, np.take_along_axis(call["value"], seen[..., None], axis=2))


@pytest.mark.parametrize("case", [BY_NAME["plain"], BY_NAME["softcap"], CHOSEN], ids=repr)
@given(shape=SHAPES)
def test_equal_values_come_out_as_they_are(case: Case, shape: Shape) -> None:
    call = shape.random(case)
    call["value"] = np.full_like(call["value"], 3.7)
    if case is CHOSEN:
        call["chosen"][..., 0] = True
    np.testing.assert_allclose(named(case.spec, case.module.attention(**call))["out"], 3.7, rtol=4e-6)


@pytest.mark.parametrize("case", CASES, ids=repr)
@pytest.mark.parametrize("power", [-20, 5, 20])
def test_values_times_a_power_of_two_give_the_output_times_it(case: Case, power: int) -> None:
    call = Shape(2, 40, 70, seed=2).random(case)
    larger = call | {"value": np.ldexp(call["value"], power)}
    one, other = (named(case.spec, case.module.attention(**each)) for each in (call, larger))
    np.testing.assert_array_equal(np.ldexp(one["out"], power), other["out"])


@given(shape=SHAPES)
def test_the_order_of_keys_changes_nothing_but_rounding(shape: Shape) -> None:
    call = shape.random(PLAIN)
    order = np.random.default_rng(shape.seed).permutation(shape.keys)
    shuffled = call | {name: call[name][:, :, order] for name in ("key", "value")}
    np.testing.assert_allclose(
        PLAIN.module.attention(**shuffled), PLAIN.module.attention(**call), rtol=1e-5, atol=1e-5
    )


@given(shape=SHAPES)
def test_equal_scores_give_the_mean_of_the_values(shape: Shape) -> None:
    call = shape.random(PLAIN)
    call["query"][...] = -0.0
    mean = call["value"].mean(axis=2, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(PLAIN.module.attention(**call) - mean, 0, atol=2e-6)


def test_no_head_or_batch_entry_of_zeros_disturbs_the_others() -> None:
    case = BY_NAME["around"]
    call = Shape(3, 50, 60, seed=8).random(case)
    silent = {name: array.copy() for name, array in call.items()}
    for array in silent.values():
        array[1] = 0
    one, other = (case.module.attention(**each) for each in (call, silent))
    for entry in (0, 2):
        np.testing.assert_array_equal(one.out[entry], other.out[entry])


@pytest.mark.parametrize("case", [FLAT, DISTANCE], ids=repr)
def test_scores_need_not_look_at_the_products(case: Case) -> None:
    call = Shape(2, 40, 70, seed=2).random(case) | {"query_offset": 3}
    assert_right(case.spec, case.module.attention(**call), call)


def test_a_remainder_of_large_numbers_is_exact() -> None:
    """Whether or not a real holds the quotient, or the product of it and the divisor."""
    step = np.concatenate([np.arange(1, 70) / 8, 10.0 ** np.arange(-44, 38)]).astype(np.float32)
    call = Shape(1, 2 * len(step), 1).random(REMAINDER) | {"step": np.concatenate([step, -step])}
    expected = np.remainder(np.float64(-2137549), call["step"].astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(REMAINDER.module.attention(**call).lse[0, 0], expected)


# Hostile numbers


@pytest.mark.parametrize("scores", [100.0, 1e4, 1e6])
@pytest.mark.parametrize(
    "case", [BY_NAME[name] for name in ("plain", "shared", "softcap", "dilated")], ids=repr
)
def test_scores_in_the_hundreds_and_far_above_stay_right(case: Case, scores: float) -> None:
    call = Shape(2, 70, 300, seed=3, scores=scores).random(case) | {"query_offset": 200}
    assert_right(case.spec, case.module.attention(**call), call)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("bias", [LOWEST, -1e38, -1e9, -1e4, 1e38, -LOWEST])
def test_huge_biases_are_numbers_like_others(bias: float, share: float) -> None:
    """finfo.min is not -inf: a query whose keys all have it gives their mean, as in PyTorch."""
    chosen = np.random.default_rng(0).random((70, 300)) < share
    assert_biased_right(np.where(chosen, bias, 0.0), scores=1.0)


@pytest.mark.parametrize("padded", [1, 8, 17, 250, 256, 600])
@pytest.mark.parametrize("case", PADDED, ids=repr)
def test_keys_in_front_that_all_queries_score_lowest_count_for_nothing(case: Case, padded: int) -> None:
    """As an additive mask that pads on the left has them: whole tiles and blocks before the first score."""
    call = Shape(2, 40, 700, seed=padded).random(case)
    low = np.finfo(call["bias"].dtype).min
    call["bias"][...] = np.where(np.arange(700) < padded, low, 0)
    assert_right(case.spec, case.module.attention(**call), call | {"query_offset": 0})


@pytest.mark.parametrize("case", DIVIDED, ids=repr)
def test_an_exact_quotient_is_not_rounded_down_below_itself(case: Case) -> None:
    """Documents of 82 or 98 positions end where they end: q * (1 / 82) would lie below q / 82."""
    call = Shape(1, 400, 400).random(case) | {"query_offset": 0}
    assert_right(case.spec, case.module.attention(**call), call)


def test_an_evenly_rising_bias_overflows_only_where_it_is_too_large() -> None:
    call = Shape(1, 40, 40).random(STEEP) | {"slope": np.array([1e38], np.float32), "query_offset": 0}
    assert_right(STEEP.spec, STEEP.module.attention(**call), call)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.98, 1.0])
def test_a_score_of_minus_infinity_counts_as_no_key(share: float) -> None:
    chosen = np.random.default_rng(0).random((70, 300)) < share
    call = biased(np.zeros((70, 300)), scores=1.0)
    call["bias"][:, chosen] = -np.inf
    assert_right(BIASED.spec, BIASED.module.attention(**call), call | {"query_offset": 0})


@pytest.mark.parametrize("step", [0.5, 0.99, 1.0, 1.01, 3.0])
@pytest.mark.parametrize("every", ["key", "tile", "block"])
@pytest.mark.parametrize("shape", ["rising", "staggered", "sawtooth"])
def test_scores_that_rise_by_about_the_headroom_of_the_maximum(step: float, every: str, shape: str) -> None:
    schedule = BIASED.schedule
    keys = np.arange(3 * schedule.block_keys + 5)
    queries = np.arange(70)[:, None]
    width = {"key": 1, "tile": schedule.key_rows, "block": schedule.block_keys}[every]
    bias = (
        step
        * HEADROOM
        * {
            "rising": keys // width + 0 * queries,
            "staggered": (keys + queries) // width % 40,
            "sawtooth": keys // width * (queries % 3) % 17,
        }[shape]
    )
    assert_biased_right(bias)


def test_small_scores_and_denormal_queries_are_not_flushed() -> None:
    call = Shape(1, 5, 40).random(PLAIN)
    call["query"] *= np.float32(1e-30)
    call["key"] *= np.float32(1e30)
    assert_right(PLAIN.spec, PLAIN.module.attention(**call), call | {"query_offset": 0})
    call["value"] *= np.float32(1e-38)
    out = PLAIN.module.attention(**call)
    assert np.abs(out).max() > 0
    larger = PLAIN.module.attention(**call | {"value": np.ldexp(call["value"], 60)})
    np.testing.assert_allclose(out, np.ldexp(larger.astype(np.float64), -60), rtol=0, atol=2e-44)


@pytest.mark.parametrize("case", [PLAIN, BY_NAME["everything"]], ids=repr)
def test_a_call_repeated_gives_the_same_bits(case: Case) -> None:
    call = Shape(2, 130, 300, seed=12).random(case)
    first = case.module.attention(**call)
    for _ in range(20):
        same_bits(case.spec, case.module.attention(**call), first)

"""What attention means, as claims on the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy import inf, nan

from mhagen.base.errors import InputError
from mhagen.expr.evaluate import evaluate
from mhagen.expr.tree import children
from mhagen.ir.reference import Reference
from mhagen.spec.load import load_spec


def reference(query_heads=2, dim=3, **tables):
    heads = {"query": query_heads, "dim": dim} | tables.pop("heads", {})
    return Reference(load_spec({"name": "claim", "heads": heads, **tables}))


def random_operands(heads=2, key_heads=2, queries=4, keys=5, dim=3, batch=2, seed=0):
    generator = np.random.default_rng(seed)
    query = generator.normal(size=(batch, heads, queries, dim))
    return query, *(generator.normal(size=(batch, key_heads, keys, dim)) for _ in "kv")


def one_row(query, keys, values, scale, modify=lambda s, k: s, sees=lambda k: True):
    """The attention of one query, as a loop over the keys."""
    seen = [k for k in range(len(keys)) if sees(k)]
    powers = [math.exp(modify(scale * (query @ keys[k]), k)) for k in seen]
    total = sum(powers)
    out = sum(
        (power / total * values[k] for power, k in zip(powers, seen, strict=True)), np.zeros_like(values[0])
    )
    return out, math.log(total) if seen else -inf


CAUSAL = {"keep": "k <= q"}
LSE = {"statistics": ["lse"]}


# Order: scale, modify, keep, softmax, values


def test_attention_is_what_a_loop_over_queries_and_keys_computes():
    attend = reference(
        6,
        heads={"key_value": 2},
        scores={"scale": 0.7, "modify": "cap * tanh(score / cap) + slope[h] * (k - q)"},
        mask={"keep": "k <= q and (q - k < 3 or k == first[b])"},
        constants={"cap": 2.0},
        inputs={"slope": {"shape": ["query_heads"]}, "first": {"shape": ["batch"], "dtype": "int32"}},
        outputs=LSE,
    )
    query, key, value = random_operands(heads=6, queries=4, keys=7)
    slope, first, offsets = np.linspace(-1, 1, 6), [1, 0], [2, -1]
    out, lse = attend.attention(query, key, value, slope=slope, first=first, query_offset=offsets)
    for b, h, m in np.ndindex(2, 6, 4):
        q = m + offsets[b]
        wanted, wanted_lse = one_row(
            query[b, h, m],
            key[b, h // 3],
            value[b, h // 3],
            0.7,
            modify=lambda s, k, q=q, h=h: 2.0 * math.tanh(s / 2.0) + slope[h] * (k - q),
            sees=lambda k, q=q, b=b: k <= q and (q - k < 3 or k == first[b]),
        )
        np.testing.assert_allclose(out[b, h, m], wanted)
        np.testing.assert_allclose(lse[b, h, m], wanted_lse)


def test_modify_reads_the_scaled_score():
    attend = reference(1, 1, scores={"scale": 0.5, "modify": "max(score, 1.0)"}, outputs=LSE)
    _, lse = attend.attention([[[[1.0]]]], [[[[1.0]]]], [[[[1.0]]]])
    assert lse.item() == 1.0


def test_keep_has_the_last_word_over_modify():
    attend = reference(1, 1, scores={"modify": "1000.0 * k"}, mask={"keep": "k < 1"})
    out = attend.attention([[[[1.0]]]], [[[[1.0], [1.0]]]], [[[[3.0], [4.0]]]])
    assert out.item() == 3.0


def test_the_default_scale_is_one_over_the_root_of_dim():
    operands = random_operands(dim=4)
    implied = reference(dim=4).attention(*operands)
    assert (reference(dim=4, scores={"scale": 0.5}).attention(*operands) == implied).all()


def test_a_value_may_be_wider_than_a_key():
    attend = reference(heads={"value_dim": 5})
    query, key, _ = random_operands()
    assert attend.attention(query, key, np.ones((2, 2, 5, 5))).shape == (2, 2, 4, 5)


# Queries that see nothing, and what they may not see


def test_a_query_that_sees_no_key_gives_zero_and_lse_minus_infinity():
    attend = reference(mask={"keep": "k < q"}, outputs=LSE)
    out, lse = attend.attention(*random_operands())
    assert (out[:, :, 0] == 0).all() and (lse[:, :, 0] == -inf).all()
    assert np.isfinite(lse[:, :, 1:]).all()


def test_attention_over_no_keys_gives_zero():
    out, lse = reference(outputs=LSE).attention(*random_operands(keys=0))
    assert (out == 0).all() and (lse == -inf).all()


@pytest.mark.parametrize("lengths", [{"queries": 0}, {"batch": 0}, {"keys": 0, "queries": 0}])
def test_lengths_of_zero_are_lengths(lengths):
    attend = reference(
        mask={"keep": "valid[b, k]"}, inputs={"valid": {"shape": ["batch", "keys"], "dtype": "bool"}}
    )
    query, key, value = random_operands(**lengths)
    assert attend.attention(query, key, value, valid=np.ones(key.shape[::2], bool)[:, :]).shape == query.shape


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_what_a_query_may_not_see_never_reaches_it(bad):
    attend = reference(mask=CAUSAL, outputs=LSE)
    query, key, value = random_operands(queries=5)
    clean = attend.attention(query, key, value)
    key[:, :, 3], value[:, :, 3] = bad, bad
    for spoilt, wanted in zip(attend.attention(query, key, value), clean, strict=True):
        assert (spoilt[:, :, :3] == wanted[:, :, :3]).all()


def test_a_nan_that_modify_makes_of_a_hidden_score_never_reaches_the_query():
    attend = reference(scores={"modify": "score + log(q - k)"}, mask={"keep": "k < q"}, outputs=LSE)
    for result in attend.attention(*random_operands()):
        assert not np.isnan(result).any()


def test_a_query_that_sees_nothing_gives_zero_beside_any_nan():
    attend = reference(mask={"keep": "q >= 2"})
    query, key, value = random_operands()
    key[...], value[...] = nan, nan
    out = attend.attention(query, key, value)
    assert (out[:, :, :2] == 0).all() and np.isnan(out[:, :, 2:]).all()


def test_a_nan_in_a_visible_key_reaches_the_queries_that_see_it_alone():
    attend = reference(mask=CAUSAL, outputs=LSE)
    query, key, value = random_operands(queries=5)
    key[0, 1, 3, 0] = nan
    for result in attend.attention(query, key, value):
        undefined = np.isnan(result.reshape(2, 2, 5, -1)).all(axis=3)
        assert undefined[0, 1, 3:].all() and undefined.sum() == 2


def test_a_nan_in_a_visible_value_reaches_its_own_column():
    query, key, value = random_operands()
    value[1, 0, 2, 1] = nan
    undefined = np.isnan(reference().attention(query, key, value))
    assert undefined[1, 0, :, 1].all() and undefined.sum() == 4


# Positions


def test_queries_stand_at_the_first_keys_by_default():
    query, key, value = random_operands(queries=2)
    value[:, :, 2:] = nan
    assert np.isfinite(reference(mask=CAUSAL).attention(query, key, value)).all()


def test_aligned_ends_put_the_last_query_at_the_last_key():
    query, key, value = random_operands(queries=2, keys=5)
    by_default = reference(mask=CAUSAL | {"align": "end"}).attention(query, key, value)
    assert (by_default == reference(mask=CAUSAL).attention(query, key, value, query_offset=3)).all()


def test_an_offset_may_differ_for_each_batch_entry():
    attend = reference(mask=CAUSAL)
    query, key, value = random_operands()
    both = attend.attention(query, key, value, query_offset=np.array([1, -1]))
    for entry, offset in enumerate((1, -1)):
        alone = attend.attention(*(x[entry : entry + 1] for x in (query, key, value)), query_offset=offset)
        np.testing.assert_allclose(both[entry], alone[0])


def test_an_index_outside_an_array_is_clamped_to_it():
    inputs = {"bias": {"shape": [2]}}
    attend = reference(1, 1, scores={"modify": "bias[k - 1]"}, inputs=inputs, outputs=LSE)
    _, lse = attend.attention([[[[1.0]]]], np.ones((1, 1, 4, 1)), np.ones((1, 1, 4, 1)), bias=[0.0, 1.0])
    np.testing.assert_allclose(lse.item(), math.log(2 * 1 + 2 * math.e))


def test_both_layouts_give_the_same_numbers_in_their_own_order():
    query, key, value = random_operands()
    rows = [x.swapaxes(1, 2) for x in (query, key, value)]
    out, lse = reference(outputs=LSE).attention(query, key, value)
    rows_out, rows_lse = reference(layout="bshd", outputs=LSE).attention(*rows)
    np.testing.assert_allclose(rows_out.swapaxes(1, 2), out)
    np.testing.assert_allclose(rows_lse, lse)


# Results


def test_statistics_come_in_a_named_tuple():
    result = reference(outputs=LSE).attention(*random_operands())
    assert result._fields == ("out", "lse")
    assert result.lse.shape == (2, 2, 4) and result.lse.dtype == result.out.dtype == np.float64


def test_without_statistics_the_result_is_the_array():
    assert isinstance(reference().attention(*random_operands()), np.ndarray)


def test_float32_arguments_are_widened_before_anything_is_computed():
    narrow = [x.astype(np.float32) for x in random_operands()]
    wide = [x.astype(np.float64) for x in narrow]
    assert (reference().attention(*narrow) == reference().attention(*wide)).all()


def test_out_is_written_and_returned():
    operands = random_operands()
    out = np.empty((2, 2, 4, 3), np.float32)
    assert reference().attention(*operands, out=out) is out
    np.testing.assert_allclose(out, reference().attention(*operands), rtol=1e-6)


# The layer

LAYER = {"model_dim": 8, "bias": True, "output_bias": True}


def weights_of(generator, rows, width=8):
    shapes = {f"w{name}": (n, width) for name, n in rows.items()} | {
        f"b{name}": (n,) for name, n in rows.items()
    }
    shapes |= {"wo": (width, rows["q"]), "bo": (width,)}
    return {name: generator.normal(size=shape) for name, shape in shapes.items()}


def layer_and_weights(**tables):
    layer = reference(4, heads={"key_value": 2}, projections=LAYER, mask=CAUSAL, **tables)
    return layer, weights_of(np.random.default_rng(0), {"q": 12, "k": 6, "v": 6})


def split(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


@pytest.mark.parametrize("keys", [None, 7])
def test_a_layer_is_projections_attention_and_output_linear(keys):
    layer, w = layer_and_weights()
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2, 5, 8))
    context = None if keys is None else generator.normal(size=(2, keys, 8))
    source = x if context is None else context
    out = layer.attention(
        split(x @ w["wq"].T + w["bq"], 4),
        split(source @ w["wk"].T + w["bk"], 2),
        split(source @ w["wv"].T + w["bv"], 2),
    )
    wanted = out.swapaxes(1, 2).reshape(2, 5, 12) @ w["wo"].T + w["bo"]
    np.testing.assert_allclose(layer.layer(x, w, context=context), wanted)


def test_a_layer_that_is_its_own_context_is_self_attention():
    layer, weights = layer_and_weights()
    x = np.random.default_rng(1).normal(size=(2, 5, 8))
    np.testing.assert_allclose(layer.layer(x, weights, context=x), layer.layer(x, weights))


def test_a_layer_returns_its_statistics_too():
    layer, weights = layer_and_weights(outputs=LSE)
    result = layer.layer(np.ones((2, 5, 8)), weights)
    assert result.out.shape == (2, 5, 8) and result.lse.shape == (2, 4, 5)


# Bad calls


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": np.ones((2, 2, 5))}, "key has shape (2, 2, 5) and needs (batch = 2, 2, keys, 3)"),
        ({"key": np.ones((1, 2, 5, 3))}, "key has shape (1, 2, 5, 3) and needs (batch = 2, 2, keys, 3)"),
        (
            {"value": np.ones((2, 2, 6, 3))},
            "value has shape (2, 2, 6, 3) and needs (batch = 2, 2, keys = 5, 3)",
        ),
        ({"query": np.ones((2, 2, 4, 4))}, "query has shape (2, 2, 4, 4) and needs (batch, 2, queries, 3)"),
        ({"query": np.full((2, 2, 4, 3), "a")}, "query holds <U1 and needs float32"),
        ({"query": np.ones((2, 2, 4, 3), complex)}, "query holds complex128 and needs float32"),
        ({"segment": np.ones((2, 5))}, "segment holds float64 and needs int32"),
        (
            {"segment": np.full((2, 5), 2**40)},
            "segment holds 1099511627776 to 1099511627776 and needs numbers",
        ),
        ({"segment": np.ones((2, 4), int)}, "segment has shape (2, 4) and needs (batch = 2, keys = 5)"),
        ({"key": [[1.0], [1.0, 2.0]]}, "key is not an array: "),
        ({"query_offset": [[0], [1, 2]]}, "query_offset is not an array: "),
        ({"query_offset": 0.5}, "query_offset holds float64 and needs integers"),
        ({"query_offset": [1, 2, 3]}, "query_offset has shape (3,) and needs () or (batch = 2,)"),
        ({"query_offset": 2**31 - 3}, "query_offset puts queries at 2147483645 to 2147483648 and needs"),
        ({"out": np.ones((2, 2, 4, 2))}, "out needs to be an array of real numbers with shape (2, 2, 4, 3)"),
        ({"slope": 1.0}, "attention() has no slope; it takes segment"),
    ],
)
def test_a_bad_argument_is_named_with_what_it_has_and_what_it_needs(changes, message):
    attend = reference(
        mask={"keep": "segment[b, k] == 0"},
        inputs={"segment": {"shape": ["batch", "keys"], "dtype": "int32"}},
    )
    operands = dict(zip(("query", "key", "value"), random_operands(), strict=True))
    with pytest.raises(InputError) as caught:
        attend.attention(**{**operands, "segment": np.zeros((2, 5), int), **changes})
    assert str(caught.value).startswith(message)


def test_an_input_of_the_spec_cannot_be_left_out():
    attend = reference(scores={"modify": "score + slope[h]"}, inputs={"slope": {"shape": ["query_heads"]}})
    with pytest.raises(InputError, match=r"attention\(\) needs slope"):
        attend.attention(*random_operands())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("bq"), "weights needs bq"),
        (lambda w: w.update(bx=w["bq"]), "weights has no bx; it takes wq, wk, wv, wo, bq, bk, bv, bo"),
        (lambda w: w.update(wq=w["wq"].T), "wq has shape (8, 12) and needs (12, 8)"),
    ],
)
def test_a_bad_weight_is_named(change, message):
    layer, weights = layer_and_weights()
    change(weights)
    with pytest.raises(InputError) as caught:
        layer.layer(np.ones((2, 5, 8)), weights)
    assert str(caught.value) == message


def test_packed_weights_of_unequal_rows_are_named():
    layer, weights = layer_and_weights()
    packed = {"wqkv": [[1.0], [1.0, 2.0]], "wo": weights["wo"]}
    with pytest.raises(InputError, match="wqkv is not an array: "):
        layer.layer(np.ones((2, 5, 8)), packed)


def test_keys_of_unequal_rows_have_no_weights():
    with pytest.raises(InputError, match="key is not an array: "):
        reference().weights(random_operands()[0], [[1.0], [1.0, 2.0]])


def test_weights_are_a_mapping():
    layer, weights = layer_and_weights()
    with pytest.raises(InputError, match="weights is a list and needs to be a mapping"):
        layer.layer(np.ones((2, 5, 8)), list(weights.values()))


def test_a_spec_without_projections_has_no_layer():
    with pytest.raises(InputError, match="has no layer"):
        reference().layer(np.ones((1, 2, 8)), {})


# Heads that differ


def test_weights_are_those_of_each_heads_own_mask_and_none_of_a_pruned_head():
    groups = [{"heads": [1], "mask": {"keep": "k <= q"}}]
    attend = reference(3, heads={"pruned": [2]}, groups=groups)
    query, key, _ = random_operands(heads=3, key_heads=3)
    weights, _ = attend.weights(query, key)
    assert (weights[:, 0] > 0).all()
    assert (weights[:, 1] > 0).sum() == 2 * (1 + 2 + 3 + 4)
    assert (weights[:, 2] == 0).all()


@pytest.mark.parametrize("pruned", [[0], list(range(0, 1000, 2))], ids=["one", "every second"])
def test_what_a_thousand_heads_see_is_no_deeper_than_what_two_see(pruned):
    spec = load_spec({"name": "many", "heads": {"query": 1000, "dim": 2, "pruned": pruned}})
    heads = np.arange(1000)
    seen = evaluate(spec.visible_expression, {"h": heads, "q": 0, "k": 0, "b": 0}, {})
    np.testing.assert_array_equal(seen, ~np.isin(heads, pruned))
    assert depth(spec.visible_expression) <= 4


def depth(expression):
    return 1 + max(map(depth, children(expression)), default=0)


def test_what_a_thousand_groups_see_is_no_deeper_than_what_two_see():
    groups = [{"heads": [head], "mask": {"keep": f"q - k < {head}"}} for head in range(1000)]
    spec = load_spec({"name": "many", "heads": {"query": 1000, "dim": 2}, "groups": groups})
    assert depth(spec.visible_expression) <= 6


def test_what_all_heads_see_is_one_condition():
    groups = [{"heads": [1], "mask": {"keep": "k <= q"}}]
    spec = load_spec({"name": "seen", "heads": {"query": 3, "dim": 2, "pruned": [2]}, "groups": groups})
    places = {"h": np.arange(3)[:, None, None], "q": np.arange(2)[:, None], "k": np.arange(2), "b": 0}
    seen = np.broadcast_to(evaluate(spec.visible_expression, places, {}), (3, 2, 2))
    np.testing.assert_array_equal(seen, [np.ones((2, 2)), [[1, 0], [1, 1]], np.zeros((2, 2))])

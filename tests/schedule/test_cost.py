"""The cost model: identities that hold whatever its rates are."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

import pytest

from mhagen.base.target import AVX2, AVX512, AVX512_BF16, NEON, TARGETS, Target
from mhagen.ir.program import build_program
from mhagen.passes import PASSES, run_passes
from mhagen.schedule.choose import USUAL_SHAPES, choose_schedule, fastest
from mhagen.schedule.cost import Cost, load_of, modelled, tasks_of, threads_of
from mhagen.schedule.counts import Counts, Tiling, count
from mhagen.schedule.machine import Machine, Rates, typical_machine
from mhagen.schedule.numbers import numbers_of
from mhagen.schedule.sight import Shape, Sight
from mhagen.schedule.workload import workload_of
from mhagen.spec.load import load_spec
from mhagen.tuning.looking import sight_of

from .graphs import CAUSAL, program, work

LONG = Shape(1, 1024, 1024)
FORMATS = [
    (AVX512, "float32"),
    (AVX512, "float64"),
    (AVX512, "float16"),
    (AVX512_BF16, "bfloat16"),
    (AVX2, "bfloat16"),
]
each_format = pytest.mark.parametrize(
    ("target", "dtype"), FORMATS, ids=[f"{target.name}-{dtype}" for target, dtype in FORMATS]
)


def cost(
    shape: Shape,
    *,
    target: Target = AVX512,
    dtype: str = "float32",
    keep: str | None = None,
    machine: Machine | None = None,
) -> Cost:
    asked = work(dtype, keep=keep)
    schedule = choose_schedule(program(dtype, keep=keep).attention, target)
    sight = sight_of(asked.op.keep, asked.query_heads, shape, {})
    return modelled(asked, schedule, sight, machine or typical_machine(target))


def counts(shape: Shape) -> Counts:
    """Of what AVX-512 does in float32, without a mask."""
    asked, schedule = work(), choose_schedule(program().attention, AVX512)
    tiling = Tiling(asked, schedule, numbers_of(asked.dtype, AVX512, (asked.dim,)), shape)
    return count(tiling, Sight(shape), typical_machine(AVX512).rates)


@each_format
def test_twice_the_batch_is_twice_the_work(target: Target, dtype: str) -> None:
    one, two = (cost(replace(LONG, batch=batch), target=target, dtype=dtype) for batch in (1, 2))
    assert two.operations == 2 * one.operations
    assert two.bytes == 2 * one.bytes
    started = typical_machine(target).rates.call_seconds
    assert two.seconds - started == pytest.approx(2 * (one.seconds - started))


def test_a_single_block_is_staged_whole_whatever_its_queries_see() -> None:
    keep = "k <= q and q - k < 16"
    asked, schedule = work("bfloat16", keep=keep), choose_schedule(program("bfloat16").attention, AVX512_BF16)
    numbers, rates = numbers_of(asked.dtype, AVX512_BF16, (asked.dim,)), typical_machine(AVX512_BF16).rates
    for keys, is_single in ((schedule.block_keys, True), (4 * schedule.block_keys, False)):
        shape = Shape(1, keys, keys)
        tiling = Tiling(asked, schedule, numbers, shape)
        found, all_of_it = (
            count(tiling, sight, rates).staged_vectors
            for sight in (sight_of(asked.op.keep, asked.query_heads, shape, {}), Sight(shape))
        )
        assert (found == all_of_it) is is_single


@each_format
def test_a_causal_mask_about_halves_the_work(target: Target, dtype: str) -> None:
    dense = cost(LONG, target=target, dtype=dtype)
    causal = cost(LONG, target=target, dtype=dtype, keep=CAUSAL)
    assert causal.operations / dense.operations == pytest.approx(0.5, rel=0.01)
    assert causal.bytes == dense.bytes
    assert 0.48 < causal.seconds / dense.seconds < 0.62


def test_operations_and_bytes_are_exact() -> None:
    found = cost(Shape(3, 100, 200))
    assert found.operations == 4 * 3 * 4 * 100 * 200 * 64
    assert found.bytes == 4 * 3 * 4 * 64 * (2 * 100 + 2 * 200)
    assert cost(Shape(3, 100, 200), dtype="float16").bytes == found.bytes / 2


@each_format
@pytest.mark.parametrize("shape", [Shape(1, 1, 1), Shape(1, 1, 4096), Shape(2, 17, 130), LONG])
@pytest.mark.parametrize("keep", [None, CAUSAL])
def test_no_part_is_negative_and_together_they_are_the_call(
    target: Target, dtype: str, shape: Shape, keep: str | None
) -> None:
    found = cost(shape, target=target, dtype=dtype, keep=keep)
    parts = asdict(found.parts)
    assert min(parts.values()) >= 0
    assert found.seconds == pytest.approx(sum(parts.values()))


@each_format
def test_no_call_is_faster_than_the_peak(target: Target, dtype: str) -> None:
    machine = typical_machine(target)
    products = cost(LONG, target=target, dtype=dtype)
    lanes = target.lanes_of(dtype) * (2 if target.pair_dtype == dtype else 1)
    assert products.operations / products.seconds < machine.fma_peak * lanes / target.lanes


def test_no_mask_costs_no_masking_and_no_whole_tile_wastes() -> None:
    parts = cost(LONG).parts
    assert parts.masks == parts.waste == 0


def test_tails_and_diagonals_waste() -> None:
    assert cost(Shape(1, 1000, 1001)).parts.waste > 0
    assert cost(LONG, keep=CAUSAL).parts.waste > 0


def test_heads_that_differ_take_as_long_as_each_would_in_a_kernel_of_its_own() -> None:
    """Also where a change of scores is one part's alone, and heads are pruned."""
    some, others, changed = (0, 3), (1, 4, 6, 7), "20.0 * tanh(score / 20.0)"
    mixed = {
        "name": "mixed",
        "heads": {"query": 8, "dim": 64, "pruned": [2, 5]},
        "scores": {"modify": changed},
        "mask": {"keep": "k <= q and q - k < 200"},
        "groups": [{"heads": [*some], "scores": {"modify": "score"}, "mask": {"keep": CAUSAL}}],
    }
    alone = [
        {**mixed, "groups": [], "heads": {"query": len(others), "dim": 64}},
        {"name": "alone", "heads": {"query": len(some), "dim": 64}, "mask": {"keep": CAUSAL}},
    ]
    together, *apart = (seconds(spec, LONG) for spec in (mixed, *alone))
    assert together == pytest.approx(sum(apart), rel=0.15)


def seconds(spec: dict[str, object], shape: Shape) -> float:
    loaded = load_spec(spec)
    graph = build_program(loaded).map(lambda graph: run_passes(graph, PASSES)).attention
    asked = workload_of(graph)
    sight = sight_of(loaded.visible_expression, asked.query_heads, shape, {})
    return modelled(asked, choose_schedule(graph, AVX512), sight, typical_machine(AVX512)).seconds


def test_few_queries_take_the_time_that_reading_takes() -> None:
    machine, shape = typical_machine(AVX512), Shape(8, 1, 4096)
    found = cost(shape)
    assert found.decodes
    reading = found.bytes / machine.read_bandwidth
    assert reading < found.seconds < 1.05 * reading


def test_arrays_that_stay_in_the_second_level_cache_are_not_read() -> None:
    near, far = cost(Shape(1, 16, 16)), cost(replace(LONG, batch=16))
    assert near.bytes <= AVX512.l2_bytes < far.bytes
    assert (near.reading, near.parts.memory) == (0.0, 0.0)
    assert far.reading == far.bytes / typical_machine(AVX512).read_bandwidth


def test_queries_that_fit_one_vector_have_narrow_tiles() -> None:
    lanes = AVX512.lanes
    one, two = (counts(Shape(1, queries, 64)) for queries in (lanes, lanes + 1))
    for name in ("score_steps", "score_vectors", "packed_vectors", "score_pairs"):
        assert 2 * getattr(one, name) == getattr(two, name)
    assert one.score_tiles == two.score_tiles


def test_a_short_call_stays_on_one_thread_however_much_it_reads() -> None:
    """Eight rows of each of 8 heads on one: work for two threads, and keys for the short way."""
    spec = load_spec({"name": "short", "heads": {"query": 8, "key_value": 1, "dim": 128}})
    graph = build_program(spec).map(lambda g: run_passes(g, PASSES)).attention
    asked, schedule = workload_of(graph), choose_schedule(graph, AVX512)
    machine = replace(typical_machine(AVX512), threads=2)
    short, long = (modelled(asked, schedule, Sight(Shape(1, 8, keys)), machine) for keys in (1024, 1025))
    assert (short.threads, long.threads) == (1, 2)


def test_decoding_begins_a_task_for_each_chunk_and_each_32_rows() -> None:
    spec = load_spec({"name": "grouped", "heads": {"query": 32, "key_value": 8, "dim": 128}})
    graph = build_program(spec).map(lambda g: run_passes(g, PASSES)).attention
    asked, schedule = workload_of(graph), choose_schedule(graph, AVX512)
    tasks = {
        (queries, keys): tasks_of(asked, schedule, Shape(2, queries, keys), is_few=True)
        for queries in (1, 8, 9)
        for keys in (schedule.chunk_keys, schedule.chunk_keys + 1)
    }
    assert list(tasks.values()) == [2 * 8 * count for count in (1, 2, 1, 2, 2, 4)]


def test_threads_share_the_work() -> None:
    machine = typical_machine(AVX512)
    one, two = (cost(LONG, machine=replace(machine, threads=count)) for count in (1, 2))
    assert (one.threads, two.threads) == (1, 2)
    assert 1.8 < one.seconds / two.seconds < 2


def test_threads_that_cannot_share_evenly_wait() -> None:
    machine = replace(typical_machine(AVX512), threads=5)
    assert cost(LONG, machine=machine).parts.idle > 0


def test_a_small_call_wakes_no_thread() -> None:
    machine = replace(typical_machine(AVX512), threads=8)
    assert cost(Shape(1, 16, 16), machine=machine).threads == 1


def test_pruned_heads_wake_no_thread() -> None:
    """A kernel counts the heads that it computes."""
    heads = {"query": 8, "dim": 64, "pruned": [0, 1, 2, 3, 4, 5]}
    graph = build_program(load_spec({"name": "pruned", "heads": heads}))
    pruned = workload_of(graph.map(lambda each: run_passes(each, PASSES)).attention)
    both = replace(pruned, of=(0,) * 8)
    shape, machine = Shape(1, 256, 256), typical_machine(AVX512)
    loads = [load_of(each, shape, machine, False) for each in (pruned, both)]
    assert [threads_of(load, 64, 64) for load in loads] == [2, 8]


def test_everything_that_is_counted_has_a_rate() -> None:
    counted = {field.name for field in fields(Counts)} - {"score_pairs", "value_pairs", "modified_steps"}
    others = {"load", "latency", "decode_steps", "call_seconds", "short_way_seconds", "exposed"}
    assert counted == {field.name for field in fields(Rates)} - others


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_schedule_is_kept_unless_another_is_faster_by_far(target: Target) -> None:
    default = choose_schedule(program().attention, target)
    assert fastest(default, work(), target) == default


def test_a_bad_default_is_replaced() -> None:
    default = choose_schedule(program().attention, NEON)
    bad = replace(default, key_rows=1, query_vectors=1, tile_queries=16, value_rows=1, value_vectors=1)
    machine, chosen = typical_machine(NEON), fastest(bad, work(), NEON)
    assert chosen != bad
    for shape in USUAL_SHAPES:
        sight = sight_of(None, 4, shape, {})
        assert (
            modelled(work(), chosen, sight, machine).seconds < modelled(work(), bad, sight, machine).seconds
        )

"""Graph and schedule to what each key receives, which is known once the sums of all queries are.

A task is a block of keys of a head; it goes through all groups of queries in their order, so no sum depends
on who computes it.
"""

from __future__ import annotations

from .facts import WEIGHING, Lowering
from .model import Lines, Names
from .second_model import ReceiveModel, SecondWalk
from .second_tiles import positions, receive_blocks
from .switches import switch_of, view_parameters

NO_RECEIVE = ReceiveModel(False, (), (), (), (), False)


def receive_model(facts: Lowering) -> ReceiveModel:
    """NO_RECEIVE where nobody asks."""
    if not facts.receives:
        return NO_RECEIVE
    walks = tuple(receive_walk(part) for part in facts.parts)
    calls = [(walk.parameters, task_arguments(walk)) for walk in walks]
    switched = switch_of("receive_keys", "What keys receive, as the head's part does.", calls, facts)
    return ReceiveModel(
        is_there=True,
        walks=walks,
        switches=switched.switches,
        parameters=second_parameters(facts, (*WEIGHING, "received")),
        arguments=switched.arguments,
        reads_positions=any(walk.has_position for walk in walks),
    )


def second_parameters(facts: Lowering, results: Names) -> Names:
    """Those of the entry point of a second pass."""
    return (
        *("query", "query_batch", "query_head", "query_stride"),
        *("key", "key_batch", "key_head", "key_stride"),
        *(*results, "batch", "queries", "keys", "offsets"),
        *(array.parameter for array in facts.captured.values()),
        *("counter", "scratch", "worker"),
    )


def receive_walk(facts: Lowering) -> SecondWalk:
    here = {"q_first": "position"}
    (block,) = (each for each in receive_blocks(facts) if each.name == f"receive_from_group{facts.suffix}")
    return SecondWalk(
        name=f"receive_keys{facts.suffix}",
        parameters=(
            *("scratch", "query", "query_stride", "rows", "key", "key_stride", "block_keys"),
            *(*WEIGHING, "received"),
            *(here.get(name, name) for name in positions(facts)),
            *facts.place(facts.block_names),
        ),
        has_position="q_first" in positions(facts),
        masked=facts.view_code is not None,
        visibility=f"visibility{facts.suffix}",
        view_of_block=(
            *("q_first", "q_first + count - 1", "k_first", "k_first + block_keys - 1"),
            *view_parameters(facts)[4:],
        ),
        start_lines=start_lines(facts, "query + first * query_stride", "rows - first"),
        block=block.name,
        block_arguments=block.parameters,
        reaches=False,
        reached="",
        reach_arguments=(),
    )


def start_lines(facts: Lowering, query: str, rows: str) -> Lines:
    """How a group of queries is packed."""
    pack = f"pack_queries{facts.suffix}"
    if not facts.numbers.staged:
        return (f"{pack}({query}, query_stride, {rows}, panel)",)
    return (
        f"widen_keys({query}, query_stride, count, scratch + SECOND_QUERIES)",
        f"{pack}(scratch + SECOND_QUERIES, KEY_LINE, count, panel)",
    )


def task_arguments(walk: SecondWalk) -> Names:
    here = {"query": "query_at", "rows": "queries", "key": "key_at", "k_first": "first_key"}
    here |= {name: f"{name}_at" for name in (*WEIGHING, "received")}
    return tuple(here.get(name, name) for name in walk.parameters)

"""Graph and schedule to second passes: what is made of scores that have to be computed once more.

Lanes are queries, as in the first pass, and scores are computed by the same lines.
"""

from __future__ import annotations

from ..ir.graph import QUERY_OFFSET
from ..spec.fields import Layout
from ..spec.statistic import LEADERS
from .facts import WEIGHING, Lowering
from .functions import second_function_names
from .lead import NO_LEAD, lead_model
from .model import Lines, Names, TileModel
from .part_model import PartModel
from .receive import NO_RECEIVE, receive_model
from .second_model import LeadModel, ReceiveModel, SecondBlock, SecondKernel, SecondModel
from .second_tiles import lead_blocks, lead_tiles, places, receive_blocks, receive_tiles

NO_SECOND = SecondModel(False, (), (), (), (), (), NO_RECEIVE, NO_LEAD, ())


def second_model(facts: Lowering, tile: TileModel, parts: tuple[PartModel, ...]) -> SecondModel:
    """All second passes that the statistics need; NO_SECOND where none does."""
    if not facts.receives and not facts.leading:
        return NO_SECOND
    receive, lead = receive_model(facts), lead_model(facts)
    kernels = (receive_kernel(facts, tile, parts, receive), lead_kernel(facts, tile, parts, lead))
    return SecondModel(
        is_there=True,
        vectors=tuple(range(facts.schedule.query_vectors)),
        places=places(facts),
        tiles=(*receive_tiles(facts), *lead_tiles(facts)),
        blocks=(*receive_blocks(facts), *lead_blocks(facts)),
        array_lines=array_lines(facts),
        receive=receive,
        lead=lead,
        kernels=tuple(kernel for kernel in kernels if kernel.functions),
    )


def array_lines(facts: Lowering) -> Lines:
    """Arrays of results. Of pruned heads, and where there is no query or no key, nobody writes."""
    queries, dtype = 'sizes["batch"], QUERY_HEADS, sizes["queries"]', f"np.{facts.numbers.statistic.value}"
    received = f'received = np.zeros((sizes["batch"], QUERY_HEADS, sizes["keys"]), {dtype})'
    return (
        *((received,) if facts.receives else ()),
        *(
            f"{name} = np.full(({queries}{f', {LEADERS[name]}' if LEADERS[name] > 1 else ''}), -1, np.int64)"
            for name in facts.leading
        ),
    )


def receive_kernel(
    facts: Lowering, tile: TileModel, parts: tuple[PartModel, ...], receive: ReceiveModel
) -> SecondKernel:
    blocks = receive_blocks(facts)
    tiles = tuple(each.name for each in receive_tiles(facts))
    own = own_functions("receive_tasks", tiles, blocks, receive) if receive.is_there else ()
    names = second_function_names(facts, tile, parts, own, reached=False) if own else ()
    results, tasks = (*WEIGHING, "received"), "batch * QUERY_HEADS * -(-keys // SECOND_KEYS)"
    return second_kernel(facts, "receive", names, results, tasks)


def lead_kernel(
    facts: Lowering, tile: TileModel, parts: tuple[PartModel, ...], lead: LeadModel
) -> SecondKernel:
    blocks = lead_blocks(facts)
    tiles = tuple(each.name for each in lead_tiles(facts))
    own = own_functions("lead_tasks", ("insert_score", *tiles), blocks, lead) if lead.is_there else ()
    names = second_function_names(facts, tile, parts, own, reached=True) if own else ()
    return second_kernel(
        facts, "lead", names, facts.leading, "batch * QUERY_HEADS * -(-queries // GROUP_QUERIES)"
    )


def own_functions(
    entry: str, tiles: Names, blocks: tuple[SecondBlock, ...], walked: ReceiveModel | LeadModel
) -> Names:
    """The functions that a second pass has for itself, callees first."""
    return (
        *tiles,
        *(block.name for block in blocks),
        *(walk.name for walk in walked.walks),
        *(switch.name for switch in walked.switches),
        entry,
    )


def second_kernel(facts: Lowering, name: str, functions: Names, results: Names, tasks: str) -> SecondKernel:
    captured, given = tuple(facts.captured), (*results, QUERY_OFFSET)
    heads = "_heads" if facts.graph.layout is Layout.BSHD else ""
    return SecondKernel(
        kernel=name.upper(),
        name=name,
        functions=functions,
        parameters=("query", "key", *given, *captured),
        arguments=(f"query{heads}", f"key{heads}", *given, *captured),
        layer_arguments=("query", "key", *given, *captured),
        kernel_arguments=(
            *("address(query)", "*query.strides[:3]", "address(key)", "*key.strides[:3]"),
            *(f"address({result})" for result in results),
            *("batch", "queries", "keys", f"address({QUERY_OFFSET})"),
            *(f"address({array})" for array in captured),
        ),
        tasks=tasks,
    )

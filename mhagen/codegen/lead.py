"""Graph and schedule to the keys with the greatest scores of each query.

A task is a group of queries of a head; it goes through the keys in their order, so of equal scores the key
that is kept first is the one of the lowest number.
"""

from __future__ import annotations

from ..spec.statistic import LEADERS
from .facts import Lowering
from .model import Lines, Names
from .receive import second_parameters, start_lines
from .second_model import LeadModel, SecondWalk
from .second_tiles import lead_blocks, positions
from .switches import switch_of, view_parameters

NO_LEAD = LeadModel(False, (), (), (), (), (), (), False)


def lead_model(facts: Lowering) -> LeadModel:
    """NO_LEAD where nobody asks."""
    if not facts.leading:
        return NO_LEAD
    walks = tuple(lead_walk(part) for part in facts.parts)
    calls = [(walk.parameters, task_arguments(facts, walk)) for walk in walks]
    switched = switch_of("lead_group", "The keys of a group, as the head's part has them.", calls, facts)
    return LeadModel(
        is_there=True,
        walks=walks,
        result_lines=tuple(line for name in facts.leading for line in result_lines(name)),
        switches=switched.switches,
        parameters=second_parameters(facts, facts.leading),
        arguments=switched.arguments,
        address_lines=tuple(
            f"{name}_at = {name} + {8 * LEADERS[name]} * ((b * QUERY_HEADS + h) * queries + first_query)"
            for name in facts.leading
        ),
        reads_positions=any(walk.has_position for walk in walks),
    )


def result_lines(name: str) -> Lines:
    """The numbers of keys of a query; `held` is where the first of them is kept."""
    count = LEADERS[name]
    if count == 1:
        return (f"store_int64({name} + 8 * query_number, load_int32(held))",)
    place = f"{name} + {8 * count} * query_number + 8 * place"
    return (
        f"for place in range({count}):",
        f"    store_int64({place}, load_int32(held + place * LEADER))",
    )


def lead_walk(facts: Lowering) -> SecondWalk:
    here, reach = {"q_first": "position"}, facts.reach_code
    (block,) = (each for each in lead_blocks(facts) if each.name == f"lead_in_block{facts.suffix}")
    known = {"number": "first_key", "key": "block", "key_stride": "block_stride", "k_first": "first_key"}
    places = () if reach is None else facts.place(reach.names)
    return SecondWalk(
        name=f"lead_group{facts.suffix}",
        parameters=(
            *("scratch", "query", "query_stride", "rows", "key", "key_stride", "all_keys"),
            *facts.leading,
            *(here[name] for name in positions(facts) if name in here),
            *facts.place(facts.block_names | (frozenset() if reach is None else reach.names)),
        ),
        has_position="q_first" in positions(facts),
        masked=facts.view_code is not None,
        visibility=f"visibility{facts.suffix}",
        view_of_block=(
            *("q_first", "q_first + count - 1", "first_key", "first_key + block_keys - 1"),
            *view_parameters(facts)[4:],
        ),
        start_lines=start_lines(facts, "query", "rows"),
        block=block.name,
        block_arguments=tuple(known.get(name, name) for name in block.parameters),
        reaches=reach is not None,
        reached=f"reached_keys{facts.suffix}",
        reach_arguments=("position", "position + count - 1", "all_keys", *places),
    )


def task_arguments(facts: Lowering, walk: SecondWalk) -> Names:
    here = {"query": "query_at", "rows": "queries - first_query", "key": "key_at", "all_keys": "keys"}
    here |= {name: f"{name}_at" for name in facts.leading}
    return tuple(here.get(name, name) for name in walk.parameters)

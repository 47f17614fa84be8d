"""Graph and schedule to the second pass: what each key receives, once the sums of all queries are known.

Lanes are queries, as in the first pass, and scores are computed by the same lines. A task is a block of keys
of a head; it goes through all groups of queries in their order, so no sum depends on who computes it.
"""

from __future__ import annotations

from ..ir.graph import QUERY_OFFSET
from ..spec.fields import Layout
from .cells import Code
from .facts import WEIGHING, Lowering
from .model import Lines, Names
from .scores import cell_lines, score_comments, seen, tile_parameters
from .second_model import SecondModel, SecondPart, SecondTile
from .switches import switch_of, view_parameters

TILE = ("panel", "sums", "key", "key_stride")
NO_SECOND = SecondModel(False, (), (), (), (), (), (), False, (), (), (), (), ())


def second_model(facts: Lowering) -> SecondModel:
    if not facts.receives:
        return NO_SECOND
    parts = tuple(second_part(part) for part in facts.parts)
    calls = [(part.parameters, task_arguments(part)) for part in parts]
    switched = switch_of("receive_keys", "What keys receive, as the head's part does.", calls, facts)
    captured, given = tuple(facts.captured), (*WEIGHING, "received", QUERY_OFFSET)
    heads = "_heads" if facts.graph.layout is Layout.BSHD else ""
    return SecondModel(
        is_there=True,
        vectors=tuple(range(facts.schedule.query_vectors)),
        places=places(facts),
        parts=parts,
        switches=switched.switches,
        parameters=second_parameters(facts),
        arguments=switched.arguments,
        reads_positions=any(part.has_position for part in parts),
        array_lines=array_lines(facts),
        receive_parameters=("query", "key", *given, *captured),
        receive_arguments=(f"query{heads}", f"key{heads}", *given, *captured),
        layer_arguments=("query", "key", *given, *captured),
        kernel_arguments=(
            *("address(query)", "*query.strides[:3]", "address(key)", "*key.strides[:3]"),
            *(f"address({name})" for name in (*WEIGHING, "received")),
            *("batch", "queries", "keys", f"address({QUERY_OFFSET})"),
            *(f"address({name})" for name in captured),
        ),
    )


def array_lines(facts: Lowering) -> Lines:
    """Arrays of results. Of pruned heads, and where there is no query, nobody writes."""
    dtype = f"np.{facts.numbers.statistic.value}"
    return (f'received = np.zeros((sizes["batch"], QUERY_HEADS, sizes["keys"]), {dtype})',)


def second_parameters(facts: Lowering) -> Names:
    return (
        *("query", "query_batch", "query_head", "query_stride"),
        *("key", "key_batch", "key_head", "key_stride"),
        *(*WEIGHING, "received", "batch", "queries", "keys", "offsets"),
        *(array.parameter for array in facts.captured.values()),
        *("counter", "scratch", "worker"),
    )


def second_part(facts: Lowering) -> SecondPart:
    place, masked = facts.place(facts.block_names), facts.view_code is not None
    positions = tuple(name for name in ("position", "k_first") if reads(facts, name))
    full, partial = (second_tile(facts, is_partial) for is_partial in (False, True))
    views = view_parameters(facts)[4:]
    last = "q_first + count - 1"
    return SecondPart(
        tiles=(full, partial),
        group_name=f"receive_from_group{facts.suffix}",
        group_parameters=(
            *("panel", "sums", "key", "key_stride", "block_keys", "count"),
            *(("view",) if masked else ()),
            *("q_first" if name == "position" else name for name in positions),
            *place,
        ),
        name=f"receive_keys{facts.suffix}",
        parameters=(
            *("scratch", "query", "query_stride", "rows", "key", "key_stride", "block_keys"),
            *(*WEIGHING, "received", *positions, *place),
        ),
        has_position="position" in positions,
        masked=masked,
        visibility=f"visibility{facts.suffix}",
        view_of_group=("q_first", last, "k_first", "k_first + block_keys - 1", *views),
        view_of_tile=("q_first", last, "k_first + row", "k_first + row + tile_keys - 1", *views),
        full=full.name,
        full_arguments=tile_arguments(full.parameters),
        partial=partial.name,
        partial_arguments=tile_arguments(partial.parameters),
        start_lines=start_lines(facts),
    )


def reads(facts: Lowering, name: str) -> bool:
    """Does a part need this position? All of them under a mask, else those that scores read."""
    used = facts.full_code.names | facts.partial_code.names
    return facts.view_code is not None or {"position": "q_first"}.get(name, name) in used


def start_lines(facts: Lowering) -> Lines:
    pack = f"pack_queries{facts.suffix}"
    if not facts.numbers.staged:
        return (f"{pack}(query + first * query_stride, query_stride, rows - first, panel)",)
    return (
        "widen_keys(query + first * query_stride, query_stride, count, scratch + SECOND_QUERIES)",
        f"{pack}(scratch + SECOND_QUERIES, KEY_LINE, count, panel)",
    )


def second_tile(facts: Lowering, partial: bool) -> SecondTile:
    code: Code = facts.partial_code if partial else facts.full_code
    rows, suffix = range(facts.schedule.key_rows), facts.suffix
    name = f"receive_tile{'_partial' if partial else ''}{suffix}"
    last = "min({i}, tile_keys - 1)" if partial else "{i}"
    address = f"key + {last} * key_stride"
    return SecondTile(
        name=name,
        doc=f"As receive_tile{suffix}, where keys are hidden, or rows or queries lie past the end."
        if partial
        else "Score KEY_ROWS keys that a whole group of queries sees, and add up what each receives.",
        parameters=(*TILE, *(("tile_keys", "count") if partial else ()), *tile_parameters(facts, code)),
        key_rows=tuple("key" if i == 0 else address.format(i=i) for i in rows),
        lines=(
            *(f"# {comment}" for comment in score_comments(facts, keep=partial)),
            *cell_lines(facts, code, facts.schedule.query_vectors, partial=partial),
            *received_lines(facts, partial),
        ),
    )


def places(facts: Lowering) -> Lines:
    return tuple(f"{j} * VECTOR" for j in range(facts.schedule.query_vectors))


def received_lines(facts: Lowering, partial: bool) -> Lines:
    """Weights of all cells, added up along the queries: lanes are added up when all have been here."""
    columns, rows = range(facts.schedule.query_vectors), range(facts.schedule.key_rows)
    sign = "-" if facts.scales_in_exponent else ""
    lines = [f"origin{j} = {sign}load(panel + SECOND_ORIGINS + {at})" for j, at in enumerate(places(facts))]
    lines += [f"portion{j} = load(panel + SECOND_PORTIONS + {at})" for j, at in enumerate(places(facts))]
    if partial:
        lines += [f"there{j} = lane_numbers() + {j} * LANES < count" for j in columns]
    for i in rows:
        for j in columns:
            lines += weight_lines(facts, i, j, partial)
        sum_place = f"sums + {i} * VECTOR"
        lines.append(f"store({sum_place}, load({sum_place}) + {' + '.join(f'weight{j}' for j in columns)})")
    return tuple(lines)


def weight_lines(facts: Lowering, i: int, j: int, partial: bool) -> Lines:
    difference = f"s{i}_{j} - origin{j}"
    if facts.scales_in_exponent:
        difference = f"fma(s{i}_{j}, {facts.own('QUERY_SCALE')}, origin{j})"
    weight = f"weight{j} = {facts.power(difference)} * portion{j}"
    if not partial:
        return (weight,)
    visible = " & ".join(text for text in (seen(facts, i, j), f"there{j}") if text)
    return weight, f"weight{j} = where({visible}, weight{j}, 0.0)"


def tile_arguments(parameters: Names) -> Names:
    here = {"sums": "sums + row * VECTOR", "key": "key + row * key_stride", "k_first": "k_first + row"}
    return tuple(here.get(name, name) for name in parameters)


def task_arguments(part: SecondPart) -> Names:
    here = {
        "query": "query_at",
        "rows": "queries",
        "key": "key_at",
        **{name: f"{name}_at" for name in WEIGHING},
        "received": "received_at",
        "k_first": "first_key",
    }
    return tuple(here.get(name, name) for name in part.parameters)

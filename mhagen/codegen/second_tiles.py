"""The functions of second passes that score tiles, and go through the tiles of a block of keys."""

from __future__ import annotations

from collections.abc import Callable

from .cells import Code
from .facts import Lowering
from .model import Lines, Names
from .scores import cell_lines, score_comments, seen, tile_parameters
from .second_model import SecondBlock, SecondTile
from .switches import view_parameters

RECEIVE = ("panel", "sums", "key", "key_stride")
LEAD = ("panel", "leaders", "number", "key", "key_stride")
# The lines behind the scores of a tile, which may be seen in part.
Ending = Callable[[Lowering, bool], Lines]


def receive_tiles(facts: Lowering) -> tuple[SecondTile, ...]:
    if not facts.receives:
        return ()
    doc = "Score KEY_ROWS keys that a whole group of queries sees, and add up what each receives."
    return tuple(tile for part in facts.parts for tile in tiles(part, "receive", doc, received_lines))


def lead_tiles(facts: Lowering) -> tuple[SecondTile, ...]:
    if not facts.leading:
        return ()
    doc = "Score KEY_ROWS keys that a whole group of queries sees, and keep the greatest scores."
    return tuple(tile for part in facts.parts for tile in tiles(part, "lead", doc, leading_lines))


def tiles(facts: Lowering, verb: str, doc: str, ending: Ending) -> tuple[SecondTile, SecondTile]:
    """For tiles seen whole, and for those seen in part."""
    return tile_of(facts, verb, doc, ending, False), tile_of(facts, verb, doc, ending, True)


def tile_of(facts: Lowering, verb: str, doc: str, ending: Ending, partial: bool) -> SecondTile:
    rows, suffix = range(facts.schedule.key_rows), facts.suffix
    address = f"key + {'min({i}, tile_keys - 1)' if partial else '{i}'} * key_stride"
    apart = f"As {verb}_tile{suffix}, where keys are hidden, or rows or queries lie past the end."
    return SecondTile(
        name=f"{verb}_tile{'_partial' if partial else ''}{suffix}",
        doc=apart if partial else doc,
        parameters=tile_parameters_of(facts, verb, partial),
        key_rows=tuple("key" if i == 0 else address.format(i=i) for i in rows),
        lines=(
            *(f"# {comment}" for comment in score_comments(facts, keep=partial)),
            *cell_lines(facts, code_of(facts, partial), facts.schedule.query_vectors, partial=partial),
            *ending(facts, partial),
        ),
    )


def code_of(facts: Lowering, partial: bool) -> Code:
    return facts.partial_code if partial else facts.full_code


def tile_parameters_of(facts: Lowering, verb: str, partial: bool) -> Names:
    own = RECEIVE if verb == "receive" else LEAD
    last = ("tile_keys", "count") if verb == "receive" else ("tile_keys",)
    return (*own, *(last if partial else ()), *tile_parameters(facts, code_of(facts, partial)))


def places(facts: Lowering) -> Lines:
    """Where the vectors of a group lie in a row of it."""
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


def leading_lines(facts: Lowering, partial: bool) -> Lines:
    """Scores that top the last of those that are kept; a NaN tops nothing."""
    columns, rows = range(facts.schedule.query_vectors), range(facts.schedule.key_rows)
    cells = [(i, j) for i in rows for j in columns]
    lines = [f"last{j} = load(leaders + LAST_LEADER + {place})" for j, place in enumerate(places(facts))]
    if partial:
        lines += [
            f"s{i}_{j} = where({seen(facts, i, j)}, s{i}_{j}, MINUS_INFINITY)"
            for i, j in cells
            if seen(facts, i, j)
        ]
    lines.append("rises = s0_0 > last0")
    lines += [f"rises = rises | (s{i}_{j} > last{j})" for i, j in cells[1:]]
    lines.append("if any_lane(rises):")
    for i, j in cells:
        lines.append(f"    insert_score(leaders + {j} * VECTOR, s{i}_{j}, number + {i})")
    return tuple(lines)


def receive_blocks(facts: Lowering) -> tuple[SecondBlock, ...]:
    if not facts.receives:
        return ()
    doc = "What the keys of a block receive from one packed group of queries: hidden tiles are skipped."
    return tuple(block_of(part, "receive", "receive_from_group", doc) for part in facts.parts)


def lead_blocks(facts: Lowering) -> tuple[SecondBlock, ...]:
    if not facts.leading:
        return ()
    doc = "Keep the greatest scores of one packed group of queries in a block: hidden tiles are skipped."
    return tuple(block_of(part, "lead", "lead_in_block", doc) for part in facts.parts)


def block_of(facts: Lowering, verb: str, name: str, doc: str) -> SecondBlock:
    masked = facts.view_code is not None
    made = ("sums",) if verb == "receive" else ("leaders", "number")
    parameters = ("panel", *made, "key", "key_stride", "block_keys", "count")
    place = (*(("view",) if masked else ()), *positions(facts), *facts.place(facts.block_names))
    full, partial = (tile_parameters_of(facts, verb, is_partial) for is_partial in (False, True))
    queries, keys = ("q_first", "q_first + count - 1"), ("k_first + row", "k_first + row + tile_keys - 1")
    return SecondBlock(
        name=f"{name}{facts.suffix}",
        doc=doc,
        parameters=(*parameters, *place),
        masked=masked,
        visibility=f"visibility{facts.suffix}",
        view_of_tile=(*queries, *keys, *view_parameters(facts)[4:]),
        full=f"{verb}_tile{facts.suffix}",
        full_arguments=tile_arguments(full),
        partial=f"{verb}_tile_partial{facts.suffix}",
        partial_arguments=tile_arguments(partial),
    )


def positions(facts: Lowering) -> Names:
    """The positions that a part needs: both under a mask, else those that scores read."""
    used = facts.full_code.names | facts.partial_code.names
    return tuple(name for name in ("q_first", "k_first") if facts.view_code is not None or name in used)


def tile_arguments(parameters: Names) -> Names:
    here = {
        "sums": "sums + row * VECTOR",
        "number": "number + row",
        "key": "key + row * key_stride",
        "k_first": "k_first + row",
    }
    return tuple(here.get(name, name) for name in parameters)

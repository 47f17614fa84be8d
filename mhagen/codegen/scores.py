"""The functions that score one register tile: for tiles seen whole, and for those seen in part."""

from __future__ import annotations

from .cells import Code
from .facts import Lowering
from .model import Names
from .part_model import ScoreVariant
from .statistics import kept_lines
from .wrapped import expression_lines

TILE = ("state", "weights", "row", "key", "key_stride")


def score_variants(facts: Lowering) -> tuple[ScoreVariant, ...]:
    """Tiles seen whole and in part; and both for so few queries that one vector holds them."""
    vectors = facts.schedule.query_vectors
    both = (full_variant, partial_variant)
    whole = tuple(variant(facts, "score_tile", vectors) for variant in both)
    return whole if vectors == 1 else (*whole, *(variant(facts, "score_tile_narrow", 1) for variant in both))


def full_variant(facts: Lowering, name: str, vectors: int) -> ScoreVariant:
    rows = range(facts.schedule.key_rows)
    queries = "one vector" if is_narrow(facts, vectors) else "one group"
    return ScoreVariant(
        name=f"{name}{facts.suffix}",
        doc=f"Score KEY_ROWS keys, all of them seen, for {queries} of queries, and store their weights.",
        parameters=(*TILE, *lane(facts, vectors), *tile_parameters(facts, facts.full_code)),
        is_narrow=is_narrow(facts, vectors),
        vectors=tuple(range(vectors)),
        places=places(facts, vectors),
        key_rows=tuple("key" if i == 0 else f"key + {i} * key_stride" for i in rows),
        comments=score_comments(facts, keep=False),
        lines=cell_lines(facts, facts.full_code, vectors, partial=False),
        peak_lines=peak_lines(facts, vectors, partial=False),
        weight_lines=weight_lines(facts, vectors, partial=False),
        rises=" | ".join(f"rises{j}" for j in range(vectors)),
    )


def partial_variant(facts: Lowering, name: str, vectors: int) -> ScoreVariant:
    rows, code = range(facts.schedule.key_rows), facts.partial_code
    return ScoreVariant(
        name=f"{name}_partial{facts.suffix}",
        doc=f"As {name}{facts.suffix}, where keys are hidden from some queries or lie past the end.",
        parameters=(*TILE, "tile_keys", *lane(facts, vectors), *tile_parameters(facts, code)),
        is_narrow=is_narrow(facts, vectors),
        vectors=tuple(range(vectors)),
        places=places(facts, vectors),
        # Rows past the end repeat the last key, so that nothing behind it is read.
        key_rows=tuple("key" if i == 0 else f"key + min({i}, tile_keys - 1) * key_stride" for i in rows),
        comments=score_comments(facts, keep=True),
        lines=cell_lines(facts, code, vectors, partial=True),
        peak_lines=peak_lines(facts, vectors, partial=True),
        weight_lines=weight_lines(facts, vectors, partial=True),
        rises=" | ".join(f"rises{j}" for j in range(vectors)),
    )


def is_narrow(facts: Lowering, vectors: int) -> bool:
    return vectors < facts.schedule.query_vectors


def lane(facts: Lowering, vectors: int) -> Names:
    """What says which vector of the group is scored, where that is one alone."""
    return ("lane",) if is_narrow(facts, vectors) else ()


def places(facts: Lowering, vectors: int) -> Names:
    if is_narrow(facts, vectors):
        return ("lane",)
    return tuple(f"{j} * VECTOR" for j in range(vectors))


def tile_parameters(facts: Lowering, code: Code) -> Names:
    positions = tuple(name for name in ("q_first", "k_first") if name in code.names)
    return positions + facts.place(code.names)


def score_comments(facts: Lowering, *, keep: bool) -> Names:
    op, lines = facts.work.op, list[str]()
    if op.modify is not None:
        lines += expression_lines("modify: ", op.modify)
    if keep and op.keep is not None:
        lines += expression_lines("keep: ", op.keep)
    return tuple(lines)


def cell_lines(facts: Lowering, code: Code, vectors: int, *, partial: bool) -> Names:
    """The lines of a tile: values of the tile, of each row, of each column, then cell by cell."""
    rows, columns = range(facts.schedule.key_rows), range(vectors)
    lines, scale = list(code.tile), facts.own("QUERY_SCALE")
    if facts.scales_scores and not code.scales:
        lines += [f"s{i}_{j} = s{i}_{j} * {scale}" for i in rows for j in columns]
    if "k" in code.names:
        row = "k_first + min({i}, tile_keys - 1)" if partial else "k_first + {i}"
        lines += [("k{i} = " + row).format(i=i) for i in rows]
    lines += [line.format(i=i) for i in rows for line in code.rows]
    if "q" in code.names:
        numbers = "wide(lane_numbers())" if code.wide else "lane_numbers()"
        lines += [f"q{j} = {numbers} + (q_first + {j} * LANES)" for j in columns]
    lines += [line.format(j=j) for j in columns for line in code.columns]
    lines += [line.format(i=i, j=j) for i in rows for j in columns for line in code.cells]
    if partial:
        lines += [f"inside{i} = tile_keys > {i}" for i in rows if i > 0]
    return tuple(lines)


def seen(facts: Lowering, i: int, j: int) -> str:
    """The text that says whether a cell of a partial tile is seen. Its first key is never past the end."""
    kept = f"seen{i}_{j}" if facts.work.op.keep is not None else ""
    inside = f"inside{i}" if i > 0 else ""
    return " & ".join(text for text in (kept, inside) if text)


def peak_lines(facts: Lowering, vectors: int, *, partial: bool) -> Names:
    hidden = (
        "MINUS_INFINITY" if facts.scales_in_exponent else "LOWEST"
    )  # the lowest, scaled, would top itself
    lines = []
    for j in range(vectors):
        for i in range(facts.schedule.key_rows):
            visible = seen(facts, i, j) if partial else ""
            if visible:
                lines += [f"seen{i}_{j} = {visible}"] if visible != f"seen{i}_{j}" else []
                lines.append(f"s{i}_{j} = where(seen{i}_{j}, s{i}_{j}, {hidden})")
            lines.append(f"peak{j} = s0_{j}" if i == 0 else f"peak{j} = maximum(peak{j}, s{i}_{j})")
        if facts.scales_in_exponent:
            lines.append(f"peak{j} = peak{j} * {facts.own('QUERY_SCALE')}")
    return tuple(lines)


def weight_lines(facts: Lowering, vectors: int, *, partial: bool) -> Names:
    """The weights of a tile, and what it adds to what is kept beside their sums."""
    return (*lines_of_weights(facts, vectors, partial), *kept_lines(facts, places(facts, vectors)))


def lines_of_weights(facts: Lowering, vectors: int, partial: bool) -> Names:
    rows, columns = range(facts.schedule.key_rows), tuple(enumerate(places(facts, vectors)))
    lowered = tuple(f"lowered{j} = -maximum{j}" for j, _ in columns) if facts.scales_in_exponent else ()
    if facts.numbers.pairs:
        pairs = (weight_pair(facts, i, j, at, partial) for i in rows[::2] for j, at in columns)
        ones = "ones = pack_pairs(splat(1.0), splat(1.0))"
        return (*lowered, ones, *(line for pair in pairs for line in pair))
    return tuple(line for i in rows for j, at in columns for line in one_weight(facts, i, j, at, partial))


def one_weight(facts: Lowering, i: int, j: int, place: str, partial: bool) -> Names:
    store = f"store(weights + {i} * ROW + {place}, weight)"
    return (*weight_of_cell(facts, "weight", i, j, partial), added(i, j, "weight"), store)


def weight_pair(facts: Lowering, i: int, j: int, place: str, partial: bool) -> Names:
    """Two keys beneath each other make a pair; rows come in twos."""
    even = weight_of_cell(facts, "even", i, j, partial)
    odd = weight_of_cell(facts, "odd", i + 1, j, partial)
    sums = () if facts.sums_pairs else (added(i, j, "even"), added(i + 1, j, "odd"))
    name = f"sum{j}" if facts.sums_pairs else f"rounded{j}"
    total = "splat(0.0)" if i == 0 else name
    pair = ("pair = pack_pairs(even, odd)", f"{name} = dot_pairs(pair, ones, {total})")
    return (*even, *odd, *sums, *pair, f"store_pairs(weights + {i // 2} * ROW + {place}, pair)")


def added(i: int, j: int, name: str) -> str:
    # A sum of its own for each tile: fewer numbers are added up one after the other, so less is lost.
    return f"sum{j} {'=' if i == 0 else '+='} {name}"


def weight_of_cell(facts: Lowering, name: str, i: int, j: int, partial: bool) -> Names:
    difference = f"s{i}_{j} - maximum{j}"
    if facts.scales_in_exponent:
        difference = f"fma(s{i}_{j}, {facts.own('QUERY_SCALE')}, lowered{j})"
    gap = (f"gap = {difference}",) if facts.keeps_gaps else ()
    weight: Names = (f"{name} = {facts.power('gap' if facts.keeps_gaps else difference)}",)
    if partial and seen(facts, i, j):
        weight += (f"{name} = where(seen{i}_{j}, {name}, HIDDEN_WEIGHT)",)
    return (*gap, *weight, *gap_lines(facts, name, i, j))


def gap_lines(facts: Lowering, name: str, i: int, j: int) -> Names:
    """The entropy's part of a cell; a gap below the lowest number would make NaN of a weight of 0."""
    if not facts.keeps_gaps:
        return ()
    start = "splat(0.0)" if i == 0 else f"gaps{j}"
    return (f"gaps{j} = fma({name}, maximum(gap, LOWEST), {start})",)

"""Graph and schedule to the kernel for few queries: rows of queries against chunks of keys."""

from __future__ import annotations

from .blocks import task_parameters
from .cells import Code
from .facts import Lowering
from .model import DecodeModel, DotVariant, Names, SumVariant
from .order import bundles, head_of_row, members, most_members
from .part_model import RowsModel
from .sinks import sink_of_row, sink_place
from .statistics import chunk_gap_lines, lines_of_row, merge_gap_lines
from .switches import switch_of

MOST_SUMS = 16  # registers that sums of values may take: with values and weights they fit 32 and, halved, 16
MOST_HELD = 16  # vectors of a query that are held in registers over all keys


ROWS = ("scratch", "key", "key_stride", "first", "count", "first_row", "rows")
CHUNK = ("scratch", "key", "key_stride", "chunk_keys", "value", "value_stride", "first_row", "rows")


def rows_model(facts: Lowering) -> RowsModel:
    """How rows of queries of one part are scored, weighed and merged."""
    views = facts.view_code
    masked, has_views = views is not None, has_views_of_all(facts)
    return RowsModel(
        pack=pack(facts, tail=False),
        pack_tail=pack(facts, tail=True) if facts.depth % facts.lanes else "",
        score_parameters=("products", "scores", "peaks", "count", *score_place(facts)),
        score_lines=score_lines(facts),
        score_arguments=("sums + TURN + i * VECTOR", "scores", "peaks", "count", *score_arguments(facts)),
        row_lines=row_lines(facts),
        weight=facts.power("score - maximum0"),
        views=has_views,
        always_partial=masked and not has_views,
        rows_parameters=(*ROWS, *rows_place(facts)),
        rows_arguments=rows_arguments(facts),
        values_parameters=", ".join(values_parameters(masked)),
        values_arguments=values_arguments(masked, has_views),
        view_of_chunk=view(facts, "first_key", "first_key + chunk_keys - 1"),
        view_of_keys=view(facts, "first_key + first", "first_key + first + count - 1"),
        chunk_parameters=chunk_parameters(facts),
        factor=facts.power("load_each(place) - top"),
        finish_lines=lines_of_row(facts),
        sink=sink_of_row(facts),
        merge_parameters=merge_parameters(facts),
    )


def has_views_of_all(facts: Lowering) -> bool:
    """Are tiles classified for all rows at once? Not where the mask differs between heads."""
    return facts.view_code is not None and "h" not in facts.view_code.names


def decode_model(facts: Lowering) -> DecodeModel:
    numbers, parts = facts.numbers, facts.parts
    packs = switch_of(
        "pack_rows",
        "Pack rows as their heads' part does.",
        [(pack_parameters(each), pack_arguments(each)) for each in parts],
        facts,
    )
    chunks = switch_of(
        "attend_chunk",
        "Attend to a chunk as the heads' part does.",
        [(chunk_parameters(each), chunk_arguments(each)) for each in parts],
        facts,
    )
    merges = switch_of(
        "merge_row",
        "Merge a row as its head's part does.",
        [(merge_parameters(each), merge_arguments(each)) for each in parts],
        facts,
    )
    return DecodeModel(
        key_vector=key_vector(facts),
        dots=tuple(dot_variant(facts, rows) for rows in row_counts(facts)),
        store_weight=store_weight(facts),
        weight_bytes=numbers.stored.bytes if numbers.pairs else numbers.bytes,
        sums=tuple(sum_variant(facts, rows) for rows in sum_counts(facts)),
        finite_totals=tuple((f"total{j}", value_load(facts, j, "place")) for j in range(facts.value_vectors)),
        seen_lines=seen_lines(facts),
        gap_lines=chunk_gap_lines(facts),
        merge_gap_lines=merge_gap_lines(facts),
        parameters=task_parameters(facts, ("partials", "arrivals", "counter", "scratch", "worker")),
        reads_positions=any(reads_positions(each) for each in parts),
        bundles=bundles(facts),
        members=members(facts),
        most_members=most_members(facts),
        head_of_row=head_of_row(facts, "row"),
        pack_parameters=pack_parameters(facts),
        pack_arguments=packs.arguments,
        chunk_arguments=chunks.arguments,
        merge_arguments=merges.arguments,
        switches=(*packs.switches, *chunks.switches, *merges.switches),
    )


def reads_positions(facts: Lowering) -> bool:
    return "position" in chunk_place(facts) or "q_first" in sink_place(facts, facts.row_sink_code)


def pack_parameters(facts: Lowering) -> Names:
    bundle = () if facts.work.is_plain else ("first_place", "members")
    return ("query", "query_head", "query_stride", "first_row", "rows", *bundle, "target")


def pack_arguments(facts: Lowering) -> Names:
    here = {"query": "query_at", "target": "scratch"}
    return tuple(here.get(name, name) for name in pack_parameters(facts))


def chunk_parameters(facts: Lowering) -> Names:
    return (*CHUNK, "partial", *chunk_place(facts))


def merge_parameters(facts: Lowering) -> Names:
    sink = sink_place(facts, facts.row_sink_code)
    return ("partial", "chunks", "chunk_bytes", "out", *facts.statistics, *sink)


def merge_arguments(facts: Lowering) -> Names:
    sink = sink_place(facts, facts.row_sink_code)
    return (
        *("row_at", "chunks", "chunk_bytes", "out_at"),
        *(f"{name}_at" for name in facts.statistics),
        *("position + query_number" if name == "q_first" else name for name in sink),
    )


def row_counts(facts: Lowering) -> tuple[int, ...]:
    """How many rows are multiplied with a key at once: many, then one by one."""
    return tuple(dict.fromkeys((facts.schedule.decode_rows, 1)))


def sum_counts(facts: Lowering) -> tuple[int, ...]:
    """How many rows of sums fit the registers, the rows then one by one."""
    registers = MOST_SUMS if facts.target.registers >= 32 else MOST_SUMS // 2
    most = max(1, registers // facts.value_vectors)
    return tuple(dict.fromkeys((min(facts.schedule.decode_rows, most), 1)))


def key_vector(facts: Lowering) -> str:
    """The constant that has the bytes of a key that one vector takes."""
    numbers = facts.numbers
    return "STORED_VECTOR" if numbers.narrow and not numbers.pairs else "VECTOR"


def pack(facts: Lowering, *, tail: bool) -> str:
    numbers = facts.numbers
    line = "line + WHOLE_DEPTH // LANES * VECTOR" if tail else "line + vector * VECTOR"
    place = "place" if tail else f"place + vector * {key_vector(facts)}"
    load = key_load_of(facts, place, "DEPTH - WHOLE_DEPTH" if tail else "")
    return f"store_pairs({line}, {load})" if numbers.pairs else f"store({line}, {load} * {facts.own('QUERY_SCALE')})"


def key_load_of(facts: Lowering, place: str, count: str) -> str:
    """The text that reads a vector of a query or key, or the first of its columns."""
    numbers = facts.numbers
    if numbers.pairs:
        return f"load_pairs_first({place}, {count})" if count else f"load_pairs({place})"
    return numbers.read(place, count)


def key_load(facts: Lowering, j: int, base: str) -> str:
    place = f"{base} + {j} * {key_vector(facts)}" if j else base
    is_tail = (j + 1) * facts.lanes > facts.depth
    return key_load_of(facts, place, "DEPTH - WHOLE_DEPTH" if is_tail else "")


def dot_variant(facts: Lowering, rows: int) -> DotVariant:
    return dot_one_row(facts) if rows == 1 else dot_rows(facts, rows)


def dot_one_row(facts: Lowering) -> DotVariant:
    """One row: its vectors stay in registers if there are few; sums of lanes are added up at the end."""
    numbers, vectors = facts.numbers, -(-facts.depth // facts.lanes)
    load = "load_pairs" if numbers.pairs else "load"
    places = [f"{load}(queries + {j} * VECTOR)" for j in range(vectors)]
    held = vectors <= MOST_HELD
    chains = min(2, vectors)  # two chains of multiply-adds hide their latency
    lines = [f"query{j} = {place}" for j, place in enumerate(places)] if held else []
    lines += ["for i in range(keys):", "    place = key + i * key_stride"]
    lines += [f"    sum{c} = splat(0.0)" for c in range(chains)]
    for j, place in enumerate(places):
        name, query = f"sum{j % chains}", f"query{j}" if held else place
        lines.append(f"    {name} = {numbers.multiply}({key_load(facts, j, 'place')}, {query}, {name})")
    lines.append(f"    store(sums + i * VECTOR, {' + '.join(f'sum{c}' for c in range(chains))})")
    return DotVariant("dot_one_row", "one row", 1, (*lines, "store(sums + TURN, sum_lanes(sums))"))


def dot_rows(facts: Lowering, rows: int) -> DotVariant:
    """Some rows by as many keys as give one sum to each lane, so that all are added up at once.

    They are fetched ahead: reading several keys by turns, the processor's own prefetchers see no stream.
    """
    numbers, vectors, keys = facts.numbers, -(-facts.depth // facts.lanes), facts.lanes // rows
    load = "load_pairs" if numbers.pairs else "load"
    lines = [f"for i in range(0, keys, {keys}):", "    place0 = key + i * key_stride"]
    lines += [f"    place{u} = key + min(i + {u}, keys - 1) * key_stride" for u in range(1, keys)]
    lines += [f"    sum{r * keys + u} = splat(0.0)" for r in range(rows) for u in range(keys)]
    for j in range(vectors):
        lines += [f"    prefetch_far(place{u} + FAR_BYTES + {j} * CACHE_LINE)" for u in range(keys)]
        lines += [f"    key{u} = {key_load(facts, j, f'place{u}')}" for u in range(keys)]
        for r in range(rows):
            lines.append(f"    query = {load}(queries + {r} * QUERY_LINE + {j} * VECTOR)")
            sums = [f"sum{r * keys + u}" for u in range(keys)]
            lines += [
                f"    {name} = {numbers.multiply}(key{u}, query, {name})" for u, name in enumerate(sums)
            ]
    lines += [f"    {line}" for line in added_up(facts.lanes)]
    # Lanes are rows of keys now: each row's go to its products, eight bytes at a time.
    lines.append("    store(sums, sum0)")
    size = keys * numbers.bytes
    lines.append(f"    products = sums + TURN + {numbers.bytes} * i")
    lines += [
        f"    store_int64(products + {r * numbers.vector_bytes + at}, load_int64(sums + {r * size + at}))"
        for r in range(rows)
        for at in range(0, size, 8)
    ]
    return DotVariant(f"dot_{rows}_rows", f"{rows} rows", rows, tuple(lines))


def added_up(lanes: int) -> Names:
    """All lanes of sum0, sum1, ... to one lane each of sum0."""
    lines, step = [], 1
    while step < lanes:
        lines += [f"sum{i} = add_halves_{step}(sum{i}, sum{i + step})" for i in range(0, lanes, 2 * step)]
        step *= 2
    return tuple(lines)


def sum_variant(facts: Lowering, rows: int) -> SumVariant:
    """Weighted values of some rows, all columns at once."""
    numbers, vectors = facts.numbers, range(facts.value_vectors)
    step = "range(0, keys, 2)" if numbers.pairs else "range(keys)"
    lines = [f"for i in {step}:", "    place = value + i * value_stride"]
    if rows > 1:
        count = numbers.together * facts.value_vectors // (facts.numbers.bytes // numbers.stored.bytes)
        lines += [f"    prefetch_far(place + FAR_BYTES + {j} * CACHE_LINE)" for j in range(count)]
    if numbers.pairs:
        lines += ["    both = min(keys - 1 - i, 1)", "    below = place + both * value_stride"]
    lines += [f"    {line}" for line in value_lines(facts)]
    size = numbers.stored.bytes if numbers.pairs else numbers.bytes
    load = "load_pair_each" if numbers.pairs else "load_each"
    for r in range(rows):
        lines.append(f"    weight = {load}(weights + {r} * SCORES_LINE + {size} * i)")
        lines += [f"    sum{r}_{j} = {numbers.multiply}(weight, value{j}, sum{r}_{j})" for j in vectors]
    return SumVariant(
        name=f"add_{'one_row' if rows == 1 else f'{rows}_rows'}",
        doc="one row" if rows == 1 else f"{rows} rows",
        rows=rows,
        sums=tuple(
            (f"sum{r}_{j}", f"partial + {r} * PARTIAL_ROW + {j} * VECTOR")
            for r in range(rows)
            for j in vectors
        ),
        lines=tuple(lines),
    )


def value_lines(facts: Lowering) -> Names:
    """Reads all columns of a key, or of two as pairs: two vectors of pairs from each two whole vectors."""
    lines: list[str] = []
    whole = facts.work.value_dim // (2 * facts.lanes) if facts.numbers.pairs else 0
    for j in range(whole):
        shift = f" + {j} * VECTOR" if j else ""
        lines += [
            f"above = load_pairs(place{shift})",
            f"odd = keep_pairs(load_pairs(below{shift}), both, both)",
            f"value{2 * j} = zip_low(above, odd)",
            f"value{2 * j + 1} = zip_high(above, odd)",
        ]
    rest = range(2 * whole, facts.value_vectors)
    return (*lines, *(f"value{j} = {value_vector(facts, j)}" for j in rest))


def value_vector(facts: Lowering, j: int) -> str:
    """The text that reads a vector of values as it is multiplied: of two keys, as pairs."""
    if not facts.numbers.pairs:
        return value_load(facts, j, "place")
    shift = f" + {j} * STORED_VECTOR" if j else ""
    if (j + 1) * facts.lanes > facts.work.value_dim:
        return f"keep_pairs(load_zipped_first(place{shift}, below{shift}, VALUE_TAIL), 1, both)"
    return f"keep_pairs(load_zipped(place{shift}, below{shift}), 1, both)"


def value_load(facts: Lowering, j: int, base: str) -> str:
    """The text that reads a vector of stored values."""
    size = "STORED_VECTOR" if facts.numbers.narrow else "VECTOR"
    is_tail = (j + 1) * facts.lanes > facts.work.value_dim
    return facts.numbers.read(f"{base} + {j} * {size}" if j else base, "VALUE_TAIL" if is_tail else "")


def seen_lines(facts: Lowering) -> Names:
    """One row; values of hidden keys are left out, one by one, so that what they are does not matter."""
    numbers, vectors = facts.numbers, range(facts.value_vectors)
    if numbers.pairs:
        lines = [
            "for i in range(0, keys, 2):",
            "    place = value + i * value_stride",
            "    below = place + min(keys - 1 - i, 1) * value_stride",
            "    even = 0 if load_int16(weights + 2 * i) == HIDDEN_BITS else 1",
            "    both = 0 if load_int16(weights + 2 * i + 2) == HIDDEN_BITS else 1",
            "    weight = load_pair_each(weights + 2 * i)",
        ]
        values = {j: value_vector(facts, j).replace("1, both)", "even, both)") for j in vectors}
    else:
        lines = [
            "for i in range(keys):",
            f"    if load_bits(weights + {numbers.bytes} * i) == HIDDEN_BITS:",
            "        continue",
            "    place = value + i * value_stride",
            f"    weight = load_each(weights + {numbers.bytes} * i)",
        ]
        values = {j: value_vector(facts, j) for j in vectors}
    for j in vectors:
        lines.append(f"    at = partial + {j} * VECTOR")
        lines.append(f"    store(at, {numbers.multiply}(weight, {values[j]}, load(at)))")
    return tuple(lines)


def store_weight(facts: Lowering) -> str:
    if facts.numbers.pairs:
        return f"store_{facts.numbers.stored.value}_lanes(scores + 2 * first, weight)"
    return f"store(scores + {facts.numbers.bytes} * first, weight)"


def score_lines(facts: Lowering) -> Names:
    """A row's products to scores: added up, scaled, modified, masked."""
    code = facts.decode_code
    lines = ["s0_0 = load(products)"]
    if facts.numbers.pairs:
        lines.append(f"s0_0 = s0_0 * {facts.own('QUERY_SCALE')}")
    lines += numbers_of_axes(code)
    lines += [
        line.format(i=0, j=0) for part in (code.tile, code.rows, code.columns, code.cells) for line in part
    ]
    seen = "(lane_numbers() < count)"
    if facts.work.op.keep is not None:
        seen = f"seen0_0 & {seen}"
    return (*lines, f"s0_0 = where({seen}, s0_0, MINUS_INFINITY)")


def numbers_of_axes(code: Code) -> Names:
    lanes = "wide(lane_numbers())" if code.wide else "lane_numbers()"
    return (
        *(("q0 = q_first",) if "q" in code.names else ()),
        *((f"k0 = {lanes} + k_first",) if "k" in code.names else ()),
    )


def score_place(facts: Lowering) -> Names:
    code = facts.decode_code
    return tuple(name for name in ("q_first", "k_first") if name in code.names) + facts.place(code.names)


def score_arguments(facts: Lowering) -> Names:
    here = {"q_first": "q_row", "k_first": "first_key + first"}
    return tuple(here.get(name, name) for name in score_place(facts))


def row_lines(facts: Lowering) -> Names:
    """What differs between rows: the position of the query and its head."""
    place, row = score_place(facts), "(first_row + row + i)"
    head = head_of_row(facts, row)
    counted = f"first_head + {head}" if facts.work.is_plain else head
    return (
        *((f"q_row = position + {row} // {members(facts)}",) if "q_first" in place else ()),
        *((f"h = {counted}",) if "h" in place else ()),
    )


def rows_place(facts: Lowering) -> Names:
    """What score_rows is told of where it is."""
    names = facts.decode_code.names
    return place_of_rows(
        facts,
        position="q_first" in names,
        first_key="k_first" in names,
        heads="h" in names,
        members="q_first" in names,
        names=names,
    )


def place_of_rows(
    facts: Lowering, *, position: bool, first_key: bool, heads: bool, members: bool, names: frozenset[str]
) -> Names:
    """Positions, the heads of rows, and what expressions read; a plain kernel has its heads in a row."""
    places = {"position": position, "first_key": first_key}
    if facts.work.is_plain:
        places |= {"first_head": heads}
    else:
        places |= {"first_place": heads, "members": heads or members}
    return tuple(name for name, used in places.items() if used) + facts.place(names - {"h"})


def rows_arguments(facts: Lowering) -> Names:
    here = {"key": "key + first * key_stride"}
    return (*(here.get(name, name) for name in ROWS), *rows_place(facts))


def chunk_arguments(facts: Lowering) -> Names:
    here = {"key": "key_at", "value": "value_at"}
    names = (here.get(name, name) for name in CHUNK)
    return (*names, "partial + chunk * chunk_bytes", *chunk_place(facts))


def values_parameters(masked: bool) -> Names:
    finite = ("finite",) if masked else ()
    return ("scratch", "value", "value_stride", "low", "high", "rows", "partial", *finite)


def values_arguments(masked: bool, has_views: bool) -> Names:
    low, high = ("low", "high") if has_views else ("0", "chunk_keys")
    here = {"low": low, "high": high}
    return tuple(here.get(name, name) for name in values_parameters(masked))


def chunk_place(facts: Lowering) -> Names:
    """What attend_chunk is told of where it is."""
    views = facts.view_code.names if facts.view_code is not None else frozenset()
    names = facts.decode_code.names | (views - {"h"})
    has_views = has_views_of_all(facts)
    return place_of_rows(
        facts,
        position=has_views or "q_first" in names,
        first_key=has_views or "k_first" in names,
        heads="h" in names,
        members=has_views or "q_first" in names,
        names=names,
    )


def view(facts: Lowering, low: str, high: str) -> Names:
    """The arguments of visibility for all rows and a range of keys."""
    place = facts.place(facts.view_code.names) if facts.view_code is not None else ()
    count = members(facts)
    first, last = f"position + first_row // {count}", f"position + (first_row + rows - 1) // {count}"
    return (first, last, low, high, *place)

"""The two products of decoding: rows of queries with keys, and their weights with values."""

from __future__ import annotations

from .constants import CACHE_LINE
from .facts import Lowering
from .model import DotVariant, Names, SumVariant

INDEPENDENT = 8  # multiply-adds that hide the latency of one
MOST_SUMS = 16  # registers that sums of values may take: with values and weights they fit 32 and, halved, 16


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
    return (
        f"store_pairs({line}, {load})"
        if numbers.pairs
        else f"store({line}, {load} * {facts.own('QUERY_SCALE')})"
    )


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


def dot_variants(facts: Lowering) -> tuple[DotVariant, ...]:
    """How rows are multiplied with keys: many at once, then one by one.

    Those that read keys first take one after the other, in the order of addresses: that is what processors
    fetch ahead. The rows behind them find keys near: two at once then halve the reads of queries.
    """
    many = facts.schedule.decode_rows
    one = dot_variant(facts, "dot_one_row", "row < rows", rows=1, step=1)
    if many == 1:
        return (one,)
    whole = f"row + {many} <= rows"
    if holds_queries(facts, many):
        return dot_variant(facts, f"dot_{many}_rows", whole, rows=many, step=1), one
    first = dot_variant(facts, f"dot_first_{many}_rows", f"row == 0 and {whole}", rows=many, step=1)
    return first, dot_variant(facts, f"dot_{many}_rows", whole, rows=many, step=2), one


def holds_queries(facts: Lowering, rows: int) -> bool:
    """Do the vectors of so many queries fit half of the registers?"""
    return facts.target.holds(rows * facts.numbers.vectors_of(facts.work.dim))


def dot_variant(facts: Lowering, name: str, condition: str, *, rows: int, step: int) -> DotVariant:
    """Some rows by one key or two in each turn; sums of lanes are added up at the end."""
    numbers, vectors = facts.numbers, facts.numbers.vectors_of(facts.work.dim)
    load, held = "load_pairs" if numbers.pairs else "load", holds_queries(facts, rows)
    chains = min(2, -(-INDEPENDENT // (rows * step)), vectors)
    places = {
        (r, j): f"{load}(queries + {r} * QUERY_LINE + {j} * VECTOR)"
        for r in range(rows)
        for j in range(vectors)
    }
    lines = [f"query{r}_{j} = {place}" for (r, j), place in places.items()] if held else []
    turns = "keys" if step == 1 else f"0, keys, {step}"
    lines += [f"for i in range({turns}):", "    place0 = key + i * key_stride"]
    lines += [f"    place{u} = key + min(i + {u}, keys - 1) * key_stride" for u in range(1, step)]
    sums = [(r, u, c) for r in range(rows) for u in range(step) for c in range(chains)]
    lines += [f"    sum{r}_{u}_{c} = splat(0.0)" for r, u, c in sums]
    for j in range(vectors):
        lines += [f"    {line}" for line in far_keys(facts, j) if rows > 1 and step == 1]
        lines += [f"    key{u} = {key_load(facts, j, f'place{u}')}" for u in range(step)]
        for r in range(rows):
            query = f"query{r}_{j}" if held else "query"
            lines += [] if held else [f"    query = {places[r, j]}"]
            names = [f"sum{r}_{u}_{j % chains}" for u in range(step)]
            lines += [
                f"    {name} = {numbers.multiply}(key{u}, {query}, {name})" for u, name in enumerate(names)
            ]
    for r, u in ((r, u) for r in range(rows) for u in range(step)):
        total = " + ".join(f"sum{r}_{u}_{c}" for c in range(chains))
        lines.append(f"    store(sums + ({r} * LANES + i + {u}) * VECTOR, {total})")
    totals = [
        f"store(sums + TURN + {r} * VECTOR, sum_lanes(sums + {r} * LANES * VECTOR))" for r in range(rows)
    ]
    return DotVariant(name, condition, rows_name(rows).replace("_", " "), rows, (*lines, *totals))


def far_keys(facts: Lowering, j: int) -> Names:
    """Fetches the cache line that vector j of a key begins, of a key far ahead.

    Not where pairs are multiplied: these are read so fast that processors see a stream, and asking for more
    makes it slower.
    """
    at = j * facts.lanes * facts.numbers.stored.bytes
    wanted = not facts.numbers.pairs and at % CACHE_LINE == 0
    return (f"prefetch_far(place0 + FAR_BYTES + {at // CACHE_LINE} * CACHE_LINE)",) if wanted else ()


def rows_name(rows: int) -> str:
    return "one_row" if rows == 1 else f"{rows}_rows"


def sum_variant(facts: Lowering, rows: int) -> SumVariant:
    """Weighted values of some rows, all columns at once."""
    numbers, vectors = facts.numbers, range(facts.value_vectors)
    step = "range(0, keys, 2)" if numbers.pairs else "range(keys)"
    lines = [f"for i in {step}:", "    place = value + i * value_stride"]
    if rows > 1:
        size = numbers.together * facts.work.value_dim * numbers.stored.bytes
        count = -(-size // CACHE_LINE)
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
        name=f"add_{rows_name(rows)}",
        doc=rows_name(rows).replace("_", " "),
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

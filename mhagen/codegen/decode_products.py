"""The two products of decoding: rows of queries with keys, and their weights with values."""

from __future__ import annotations

from .facts import Lowering
from .model import DotVariant, Names, SumVariant

MOST_SUMS = 16  # registers that sums of values may take: with values and weights they fit 32 and, halved, 16
MOST_HELD = 16  # vectors of a query that are held in registers over all keys


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

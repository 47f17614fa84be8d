"""Graph and schedule to the register tiles of the attention kernel."""

from __future__ import annotations

from ..base.dtypes import DType
from ..expr.tree import Kind
from .cells import LOADS, RUNS, Code
from .facts import Lowering
from .mask_model import ExtentModel
from .model import DepthSpan, Names, TileModel, ValueColumn, ValueTile
from .tiles import EXTENT_LOADS, EXTENTS

VALUE_PARAMETERS = (
    *("weights", "lines", "value", "value_stride", "accumulators"),
    *("single", "shares", "out", "out_stride", "rows"),
)
MOST_SPANS, SPAN_STEPS = 4, 16  # of products of float64: more parts, or shorter ones, lose no fewer digits


def tile_model(facts: Lowering) -> TileModel:
    schedule, lanes = facts.schedule, facts.lanes
    codes = [code for part in facts.parts for code in codes_of(part)]
    views = [part.view_code for part in facts.parts if part.view_code is not None]
    runs = sorted(
        {dtype for code in codes if code is not None for dtype in code.runs}, key=lambda dtype: dtype.value
    )
    tiles, columns = value_tiles(facts)
    return TileModel(
        key_rows=tuple(range(schedule.key_rows)),
        spans=depth_spans(facts),
        value_rows=tuple(range(schedule.value_rows)),
        value_rows_up=tuple(reversed(range(schedule.value_rows))),
        depth_tail=facts.depth % lanes != 0,
        dim_tail=facts.work.dim % lanes != 0,
        value_tail=facts.work.value_dim % lanes != 0,
        packed_width="LANES if rows <= LANES else GROUP_QUERIES" if schedule.query_vectors > 1 else "LANES",
        has_narrow=schedule.query_vectors > 1,
        value_tiles=tiles,
        value_columns=columns,
        value_parameters=VALUE_PARAMETERS,
        run_loads=tuple((RUNS[d], f"load_{d.value}_lanes", LOADS[d][1], d.bytes) for d in runs),
        extents=extents({dtype for view in views for dtype in view.extents}),
        bounds_runs=any(view.bounds_runs for view in views),
        bounds_reals=any(view.bounds_reals for view in views),
    )


def depth_spans(facts: Lowering) -> tuple[DepthSpan, ...]:
    """float64 has no wider format to sum in: sums of parts lose fewer digits than one sum."""
    count = 1
    if facts.numbers.computed is DType.FLOAT64:
        count = max(1, min(MOST_SPANS, facts.depth // SPAN_STEPS))
    ends = [facts.depth * i // count for i in range(1, count)]
    bounds = zip(["", *map(str, ends)], [*map(str, ends), "DEPTH"], strict=True)
    steps = (f"{first}, {end}" if first else end for first, end in bounds)
    return tuple(DepthSpan(each, is_more=i > 0) for i, each in enumerate(steps))


def extents(dtypes: set[DType]) -> tuple[ExtentModel, ...]:
    """The functions that bound captured arrays of these for visibility."""
    return tuple(
        ExtentModel(
            name=EXTENTS[dtype],
            load=EXTENT_LOADS[dtype],
            bytes=dtype.bytes,
            is_real=dtype.kind is Kind.REAL,
            note="; NaN if one is not finite" if dtype.kind is Kind.REAL else "",
        )
        for dtype in sorted(dtypes, key=lambda dtype: dtype.value)
    )


def codes_of(facts: Lowering) -> tuple[Code | None, ...]:
    """All that reads captured arrays in the functions of a part."""
    return facts.full_code, facts.partial_code, facts.decode_code, facts.sink_code, facts.row_sink_code


def value_tiles(facts: Lowering) -> tuple[tuple[ValueTile, ...], tuple[ValueColumn, ...]]:
    """The columns of the values, cut into tiles; the last vector may be filled in part."""
    lanes, widest = facts.lanes, facts.schedule.value_vectors
    tiles: dict[str, ValueTile] = {}
    columns = []
    for first in range(0, facts.value_vectors, widest):
        count = min(widest, facts.value_vectors - first)
        width = min(count * lanes, facts.work.value_dim - first * lanes)
        name = f"add_values_{width}"
        tiles[name] = ValueTile(
            name=name,
            columns=width,
            vectors=tuple(range(count)),
            loads=tuple(vector_load(facts, j, width) for j in range(count)),
            stores=tuple(vector_store(facts, j, width) for j in range(count)),
        )
        columns.append(value_column(facts, name, first))
    return tuple(tiles.values()), tuple(columns)


def value_column(facts: Lowering, name: str, first: int) -> ValueColumn:
    """The call of a value tile whose columns begin at a vector."""
    line = first * facts.numbers.vector_bytes
    out = first * facts.numbers.stored_vector_bytes
    return ValueColumn(
        name=name,
        arguments=(
            *("rows_at", "lines", shifted("value_at", line), "value_stride", shifted("accumulators", line)),
            *("single", "shares", shifted("out_at", out), "out_stride", "query_count - query"),
        ),
    )


def shifted(address: str, offset: int) -> str:
    return f"{address} + {offset}" if offset else address


def vector_load(facts: Lowering, j: int, columns: int) -> str:
    """The text that reads a vector of values; staged ones are filled up to whole vectors."""
    numbers = facts.numbers
    place = f"place + {j} * VECTOR" if j else "place"
    is_whole = numbers.narrow or columns >= (j + 1) * facts.lanes
    load = "load_pairs" if numbers.pairs else "load"
    return f"{load}({place})" if is_whole else f"load_first({place}, VALUE_TAIL)"


def vector_store(facts: Lowering, j: int, columns: int) -> tuple[str, str, str]:
    """The word that writes a vector of results, its place, and what follows the value."""
    numbers = facts.numbers
    size = "STORED_VECTOR" if numbers.narrow else "VECTOR"
    place = f"place + {j} * {size}" if j else "place"
    if columns >= (j + 1) * facts.lanes:
        return numbers.store, place, ""
    return numbers.store_first, place, ", VALUE_TAIL"


def finite_loads(facts: Lowering) -> Names:
    return tuple(vector_load(facts, j, facts.work.value_dim) for j in range(facts.value_vectors))

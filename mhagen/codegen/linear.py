"""Schedule and formats to the register tile and the tasks of a layer's products."""

from __future__ import annotations

from .facts import Lowering
from .finish import finish_functions, finish_parameters, has_finish, turning_arguments
from .layer_model import LinearModel
from .model import Names


def linear_model(facts: Lowering) -> LinearModel:
    """The tile writes the output; where heads are finished first, it writes sums into the scratch."""
    numbers, schedule, finishes = facts.numbers, facts.schedule, has_finish(facts)
    return LinearModel(
        dtype=numbers.stored.value,
        pairs=numbers.pairs,
        splits=not numbers.narrow,
        rows=tuple(range(schedule.linear_rows)),
        vectors=tuple(range(schedule.linear_vectors)),
        step=numbers.step,
        out_bytes=numbers.stored.bytes,
        store_first="store_first" if finishes else numbers.store_first,
        stored_vector="STORED_VECTOR" if numbers.narrow and not finishes else "VECTOR",
        tile_parameters=(
            *("x", "x_stride", "rows", "panel", "depth", "sums_at", "out_stride", "bias"),
            *(("starts",) if not numbers.narrow else ()),
            "columns",
        ),
        parameters=(
            *("x", "x_stride", "rows", "panels", "biases", "places", "strip_count", "depth", "out"),
            *finish_parameters(facts),
            *("counter", "scratch", "worker"),
        ),
        tile_arguments=(
            *(f"x + row * x_stride + {numbers.step} * start", "x_stride", "end_row - row"),
            *("weights", "inputs"),
            *(place_in_strip(facts) if finishes else place_in_output(facts)),
            "bias",
            *(("start == 0",) if not numbers.narrow else ()),
            "columns - column" if finishes else "columns",
        ),
        functions=("linear_tile", *finish_functions(facts), "linear_tasks"),
        turning_arguments=turning_arguments(facts.program.self_layer),
    )


def place_in_output(facts: Lowering) -> Names:
    size = facts.numbers.stored.bytes
    return f"head + {size} * row * head_columns", f"{size} * head_columns"


def place_in_strip(facts: Lowering) -> Names:
    return f"lines + (row - first_row) * STRIP_ROW + {facts.numbers.bytes} * column", "STRIP_ROW"

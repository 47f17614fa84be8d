"""The formats of a kernel as the words its templates are filled with."""

from __future__ import annotations

from ..schedule.numbers import Numbers
from .model import NumbersModel


def numbers_model(numbers: Numbers) -> NumbersModel:
    pairs, stored = numbers.pairs, numbers.stored.value
    return NumbersModel(
        computed=numbers.computed.value,
        pairs=pairs,
        staged=numbers.staged,
        realigns=numbers.realigns,
        bytes=numbers.bytes,
        step=numbers.step,
        load_key="load_pair_each" if pairs else "load_each",
        load_line="load_pairs" if pairs else "load",
        multiply=numbers.multiply,
        zero="lane_numbers() * 0" if pairs else "0.0",
        transpose="transpose_pairs" if pairs else "transpose_tile",
        pack_note="" if pairs else ", and scale it",
        staged_parameter=", staged" if numbers.staged else "",
        row_vector="STORED_VECTOR" if numbers.narrow else "VECTOR",
        load=f"load_{stored}_lanes" if numbers.narrow else "load",
        load_first=f"load_{stored}_first" if numbers.narrow else "load_first",
        fetch="prefetch" if numbers.narrow else "prefetch_far",
        store=numbers.store,
        store_first=numbers.store_first,
        line_of_row=line(numbers, "row"),
        line_of_end=line(numbers, "end"),
        line_of_tile_end=line(numbers, "(row + KEY_ROWS)"),
        line_of_low=line(numbers, "low"),
        line_of_partial=line(numbers, "partial_first"),
        lines_of_block=lines(numbers, "block_keys"),
        lines_seen=lines(numbers, "high - low"),
        lines_partial=lines(numbers, "partial_end - partial_first"),
    )


def line(numbers: Numbers, row: str) -> str:
    """The line of weights that a row of keys has, rows in whole tiles."""
    return f"{row} // 2" if numbers.pairs else row


def lines(numbers: Numbers, rows: str) -> str:
    """How many lines so many rows have."""
    return f"({rows} + 1) // 2" if numbers.pairs else rows

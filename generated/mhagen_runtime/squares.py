"""Squares of lanes turned over: in registers, on their way from memory, or added up at once."""

from __future__ import annotations

from llvmlite import ir

from .registers import I32, I64, MEMORY, read

PART = 16  # bytes, inside of which any lane changes places in one step


def transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Every square of lanes turned over: rounds that swap ever larger blocks (Eklundh).

    With fewer rows than lanes, they hold lanes / rows squares side by side.
    """
    count, lanes, step = len(rows), rows[0].type.count, 1
    while step < count:
        low = [i if not i & step else lanes + (i ^ step) for i in range(lanes)]
        high = [i | step if not i & step else lanes + i for i in range(lanes)]
        turned = list(rows)
        for i in (i for i in range(count) if not i & step):
            for place, mask in ((i, low), (i | step, high)):
                order = ir.Constant(ir.VectorType(I32, lanes), mask)
                turned[place] = builder.shuffle_vector(rows[i], rows[i | step], order)
        rows, step = turned, 2 * step
    return rows


def turned_over(builder: ir.IRBuilder, rows: list[ir.Value], kind: ir.VectorType) -> list[ir.Value]:
    """The columns of a square of lanes in memory, from the addresses of its rows.

    A register is loaded from parts of 16 bytes of several rows, so that lanes stay inside of their part.
    """
    per = PART // MEMORY[kind.element][1]
    parts = kind.count // per
    part = ir.VectorType(kind.element, per)
    columns = []
    for number in range(parts):
        at = ir.Constant(I64, number * PART)
        found = [read(builder, builder.add(row, at), part, align=2) for row in rows]
        columns += transpose(builder, [joined(builder, found[i::per]) for i in range(per)])
    return columns


def joined(builder: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    """One vector of all these, of which there are a power of two."""
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        order = ir.Constant(ir.VectorType(I32, count), list(range(count)))
        parts = [builder.shuffle_vector(*parts[i : i + 2], order) for i in range(0, len(parts), 2)]
    return parts[0]


def add_across(builder: ir.IRBuilder, rows: list[ir.Value]) -> ir.Value:
    """Lane i: the sum of all lanes of row i. As transpose, but each round adds the two that it makes."""
    step = 1
    while len(rows) > 1:
        rows = [add_halves(builder, rows[i], rows[i + 1], step) for i in range(0, len(rows), 2)]
        step *= 2
    return rows[0]


def add_halves(builder: ir.IRBuilder, x: ir.Value, y: ir.Value, step: int) -> ir.Value:
    """Lanes of x added up in twos that lie `step` apart where lane & step is 0, and of y where it is not."""
    lanes = x.type.count
    low = [i if not i & step else lanes + (i ^ step) for i in range(lanes)]
    high = [i | step if not i & step else lanes + i for i in range(lanes)]
    orders = (ir.Constant(ir.VectorType(I32, lanes), order) for order in (low, high))
    return builder.fadd(*(builder.shuffle_vector(x, y, order) for order in orders))

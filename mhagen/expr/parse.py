"""From the text of an expression to its typed tree; every mistake is found, and its place."""

from __future__ import annotations

from collections.abc import Mapping

from .ranges import range_problems
from .reader import ArrayType as ArrayType
from .reader import Reader, Scope
from .syntax import ExpressionErrors as ExpressionErrors
from .syntax import read_syntax, source_of
from .tree import NAMES, Expr, Kind, Number


def parse_expression(
    text: str,
    *,
    names: Mapping[str, Kind] = NAMES,
    constants: Mapping[str, Number | None],
    arrays: Mapping[str, ArrayType | None],
) -> Expr:
    """The tree of an expression over these names, constants and arrays.

    A constant or array that is None is declared with a mistake of its own: nothing is said about its use.

    Raises   ExpressionErrors with every mistake found, also that an integer can leave 64 bits or an integer
             divisor can be 0. It holds none if the expression cannot be read only for the use of a None.
    """
    source = source_of(text)
    reader = Reader(source, Scope(names, constants, arrays))
    expr = reader.read(read_syntax(source))
    if expr is None or reader.problems:
        raise ExpressionErrors(tuple(dict.fromkeys(reader.problems)))
    dtypes = {name: array.dtype for name, array in arrays.items() if array is not None}
    if problems := range_problems(expr, source, dtypes):
        raise ExpressionErrors(problems)
    return expr

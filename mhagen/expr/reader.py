"""Reads Python's syntax tree as an expression: what each node means, and all that is wrong with it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatchmethod

from ..base.dtypes import DType
from ..base.errors import Diagnostic
from ..base.source import Source, Span
from ..base.spelling import did_you_mean
from .kinds import (
    CONDITIONS,
    INTEGERS,
    KIND_IN_WORDS,
    NUMBERS,
    OF_ALIKE,
    OF_CONDITIONS,
    arguments_in_words,
    result_kind,
    takes,
)
from .tree import (
    FUNCTIONS,
    INTEGER_LIMIT,
    NAMES,
    REAL_LIMIT,
    Apply,
    Constant,
    Element,
    Expr,
    Kind,
    Literal,
    Name,
    Number,
    Operator,
)

_OPERATORS: Mapping[type[ast.AST], Operator] = {
    ast.Add: Operator.ADD,
    ast.Sub: Operator.SUBTRACT,
    ast.Mult: Operator.MULTIPLY,
    ast.Div: Operator.DIVIDE,
    ast.FloorDiv: Operator.FLOOR_DIVIDE,
    ast.Mod: Operator.MODULO,
    ast.Pow: Operator.POWER,
    ast.USub: Operator.NEGATE,
    ast.Not: Operator.NOT,
    ast.And: Operator.AND,
    ast.Or: Operator.OR,
    ast.Lt: Operator.LESS,
    ast.LtE: Operator.LESS_EQUAL,
    ast.Gt: Operator.GREATER,
    ast.GtE: Operator.GREATER_EQUAL,
    ast.Eq: Operator.EQUAL,
    ast.NotEq: Operator.NOT_EQUAL,
}
# Python's operators that expressions do not have, and what to write.
_FOREIGN: Mapping[type[ast.AST], tuple[str, str]] = {
    ast.BitAnd: ("&", "write `and`"),
    ast.BitOr: ("|", "write `or`"),
    ast.BitXor: ("^", "write `**` for a power, `!=` between conditions"),
    ast.Invert: ("~", "write `not`"),
    ast.MatMult: ("@", "write `*`"),
    ast.LShift: ("<<", "write `* 2 ** n`"),
    ast.RShift: (">>", "write `// 2 ** n`"),
    ast.Is: ("is", "write `==`"),
    ast.IsNot: ("is not", "write `!=`"),
    ast.In: ("in", "write `==`, once for each"),
    ast.NotIn: ("not in", "write `!=`, once for each"),
    ast.UAdd: ("+", "drop it"),
}
_VOCABULARY = "only names, numbers, operators and " + ", ".join(FUNCTIONS)
# For what a place takes: the code of a mistake, and what to do about it.
_WRONG_KIND = {
    NUMBERS: ("needs-number", "write where(condition, 1, 0)"),
    CONDITIONS: ("needs-condition", "compare it, for instance `!= 0`"),
    INTEGERS: ("needs-integer", "divide with //, choose with where()"),
}


@dataclass(frozen=True)
class ArrayType:
    """What an expression must know of a run-time array."""

    dtype: DType
    rank: int

    @property
    def kind(self) -> Kind:
        return self.dtype.kind

    @property
    def indices(self) -> str:
        """Indices that an example has."""
        return {1: "h", 2: "b, q"}.get(self.rank, ", ".join(("b", "h", "q", "k")[: self.rank]))


@dataclass(frozen=True)
class Scope:
    """The names an expression may use; None stands for one that is declared with a mistake of its own."""

    names: Mapping[str, Kind]
    constants: Mapping[str, Number | None]
    arrays: Mapping[str, ArrayType | None]

    def known(self) -> tuple[str, ...]:
        return (*self.names, *self.constants, *self.arrays)


class Reader:
    """Reads one expression. What cannot be read is noted and gives None, so that all the rest is read too."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self.source = source
        self.scope = scope
        self.problems: list[Diagnostic] = []

    def note(self, node: ast.expr, code: str, message: str, label: str, remedy: str = "") -> None:
        span = Span(self.source, 1, *_stretch(node))
        self.problems.append(Diagnostic(code, message, label, remedy, span))

    @singledispatchmethod
    def read(self, node: ast.expr) -> Expr | None:
        self.note(node, "not-in-language", "expressions have nothing like this", _VOCABULARY)
        return None

    @read.register
    def _(self, node: ast.Constant) -> Expr | None:
        return self._number(node, node.value)

    def _number(self, node: ast.expr, value: object) -> Expr | None:
        if not isinstance(value, bool | int | float):
            advice = "write a number, True or False"
            self.note(node, "not-in-language", "this is neither a number nor a condition", advice)
            return None
        limit = REAL_LIMIT if isinstance(value, float) else INTEGER_LIMIT
        if abs(value) > limit:
            self.note(
                node, "number-out-of-range", "this number is too large", f"at most {limit} in magnitude"
            )
            return None
        return Literal(value, *_stretch(node))

    @read.register
    def _(self, node: ast.Name) -> Expr | None:
        name = node.id
        if name in self.scope.names:
            return Name(name, *_stretch(node))
        value = self.scope.constants.get(name)
        if value is not None:
            return Constant(name, value, *_stretch(node))
        if name not in self.scope.constants:
            self._note_name(node, name)
        return None

    def _note_name(self, node: ast.expr, name: str) -> None:
        if name in self.scope.arrays:
            self.note(node, "needs-index", f"`{name}` is an array", "index it", self._indexed(name))
        elif name in FUNCTIONS:
            self.note(node, "needs-arguments", f"`{name}` is a function", f"call it: {name}(...)")
        elif name in NAMES:
            self.note(node, "unknown-name", f"`{name}` cannot be read here", self._known())
        else:
            remedy = did_you_mean(name, self.scope.known()) or f"{self._known()}; others are to be declared"
            self.note(node, "unknown-name", f"`{name}` is not declared", "", remedy)

    def _known(self) -> str:
        return "known here are " + ", ".join(self.scope.known())

    def _indexed(self, name: str) -> str:
        array = self.scope.arrays[name]
        return f"for instance {name}[{'h' if array is None else array.indices}]"

    @read.register
    def _(self, node: ast.Subscript) -> Expr | None:
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        operands = self._operands(indices, INTEGERS, "an index is an integer")
        array = self._array(node.value)
        if array is None or operands is None or not isinstance(node.value, ast.Name):
            return None
        name = node.value.id
        if len(operands) != array.rank:
            message = f"`{name}` takes one index for each of its axes"
            self.note(
                node, "wrong-index-count", message, f"{array.rank}, not {len(operands)}", self._indexed(name)
            )
            return None
        return Element(name, operands, array.kind, *_stretch(node))

    def _array(self, node: ast.expr) -> ArrayType | None:
        if isinstance(node, ast.Name) and node.id in self.scope.arrays:
            return self.scope.arrays[node.id]
        known = {*NAMES, *self.scope.constants, *FUNCTIONS}
        if isinstance(node, ast.Name) and node.id not in known:
            self._note_name(node, node.id)
        else:
            arrays = ", ".join(self.scope.arrays) or "none is declared here"
            self.note(node, "not-an-array", "only an input can be indexed", "inputs", arrays)
        return None

    @read.register
    def _(self, node: ast.Call) -> Expr | None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        operator = FUNCTIONS.get(name)
        if operator is None:
            remedy = did_you_mean(name, FUNCTIONS) or "there are " + ", ".join(FUNCTIONS)
            what = f"`{name}`" if name else "this"
            self.note(node.func, "unknown-function", f"{what} is not a function of expressions", "", remedy)
        elif node.keywords or not takes(operator, len(node.args)):
            self.note(
                node,
                "wrong-argument-count",
                f"`{name}` takes {arguments_in_words(operator)}",
                "none by name" if node.keywords else f"this has {len(node.args)}",
            )
        elif operator is Operator.WHERE:
            return self._where(node, *node.args)
        else:
            return self._apply(node, operator, node.args)
        for argument in node.args:
            self.read(argument)
        return None

    @read.register
    def _(self, node: ast.IfExp) -> Expr | None:
        return self._where(node, node.test, node.body, node.orelse)

    def _where(self, node: ast.expr, test: ast.expr, *branches: ast.expr) -> Expr | None:
        asked = self._operands((test,), CONDITIONS, "a choice is made by a condition")
        values = self._alike(branches, "both choices are numbers, or both are conditions")
        if asked is None or values is None:
            return None
        operands = (*asked, *values)
        return Apply(Operator.WHERE, operands, result_kind(Operator.WHERE, operands), *_stretch(node))

    @read.register
    def _(self, node: ast.BoolOp) -> Expr | None:
        return self._apply(node, _OPERATORS[type(node.op)], node.values)

    @read.register
    def _(self, node: ast.UnaryOp) -> Expr | None:
        operand = node.operand
        if isinstance(node.op, ast.USub) and isinstance(operand, ast.Constant):
            value = operand.value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return self._number(node, -value)  # `-2` is a literal; in `-2 ** q` the operand is the power
        return self._operation(node, node.op, (operand,))

    @read.register
    def _(self, node: ast.BinOp) -> Expr | None:
        return self._operation(node, node.op, (node.left, node.right))

    @read.register
    def _(self, node: ast.Compare) -> Expr | None:
        sides = (node.left, *node.comparators)
        parts = [
            self._operation(_between(left, right), op, (left, right))
            for op, left, right in zip(node.ops, sides, sides[1:], strict=False)
        ]
        found = tuple(part for part in parts if part is not None)
        if len(found) < len(parts):
            return None
        return found[0] if len(found) == 1 else Apply(Operator.AND, found, Kind.CONDITION, *_stretch(node))

    def _operation(self, node: ast.expr, op: ast.AST, operands: Sequence[ast.expr]) -> Expr | None:
        if type(op) in _OPERATORS:
            return self._apply(node, _OPERATORS[type(op)], operands)
        spelling, remedy = _FOREIGN[type(op)]
        self.note(node, "not-in-language", f"expressions have no operator `{spelling}`", remedy)
        for operand in operands:
            self.read(operand)
        return None

    def _apply(self, node: ast.expr, operator: Operator, nodes: Sequence[ast.expr]) -> Expr | None:
        name = "-" if operator is Operator.NEGATE else operator.value
        if operator in OF_CONDITIONS:
            operands = self._operands(nodes, CONDITIONS, f"`{name}` takes conditions")
        elif operator in OF_ALIKE:
            operands = self._alike(nodes, f"`{name}` compares two numbers or two conditions")
        else:
            operands = self._operands(nodes, NUMBERS, f"`{name}` takes numbers")
        if operands is None:
            return None
        return Apply(operator, operands, result_kind(operator, operands), *_stretch(node))

    def _operands(
        self, nodes: Sequence[ast.expr], kinds: frozenset[Kind], message: str
    ) -> tuple[Expr, ...] | None:
        operands = tuple(self.read(node) for node in nodes)
        return self._checked(nodes, operands, kinds, message)

    def _alike(self, nodes: Sequence[ast.expr], message: str) -> tuple[Expr, ...] | None:
        operands = tuple(self.read(node) for node in nodes)
        numeric = any(operand is not None and operand.kind in NUMBERS for operand in operands)
        return self._checked(nodes, operands, NUMBERS if numeric else CONDITIONS, message)

    def _checked(
        self,
        nodes: Sequence[ast.expr],
        operands: Sequence[Expr | None],
        kinds: frozenset[Kind],
        message: str,
    ) -> tuple[Expr, ...] | None:
        code, remedy = _WRONG_KIND[kinds]
        for node, operand in zip(nodes, operands, strict=True):
            if operand is not None and operand.kind not in kinds:
                self.note(node, code, message, f"this is {KIND_IN_WORDS[operand.kind]}", remedy)
        usable = tuple(operand for operand in operands if operand is not None and operand.kind in kinds)
        return usable if len(usable) == len(nodes) else None


def _stretch(node: ast.expr) -> tuple[int, int]:
    # Units: columns count from 1. The text is one line of ASCII, so Python's byte offsets are characters.
    end = node.end_col_offset if node.end_col_offset is not None else node.col_offset + 1
    return node.col_offset + 1, end - node.col_offset


def _between(left: ast.expr, right: ast.expr) -> ast.expr:
    # The place of `b < c` in `a < b < c`, which has no node of its own.
    place = ast.Constant(value=None)
    place.col_offset, place.end_col_offset = left.col_offset, right.end_col_offset
    return place

"""Reads the textual form of a graph (`ir/text.py` says what it looks like)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum
from functools import cache
from typing import NoReturn, TypeAlias, TypeVar, cast, get_type_hints

from ..base.errors import Diagnostic, InputError
from ..base.source import Source, Span
from ..expr.parse import ArrayType, ExpressionErrors, parse_expression
from ..expr.tree import NAMES, Expr, Number
from ..spec.fields import Align, Layout
from . import fused_ops, head_ops, ops, pick_ops, softmax_ops
from .graph import Graph, Node, Value
from .op import Op
from .types import SHORT_NAMES, Dimension, TensorType

Item = TypeVar("Item")
Choice = TypeVar("Choice", bound=Enum)
FieldValue: TypeAlias = "int | float | str | Enum | Expr | Op | tuple[FieldValue, ...]"
DTYPES = {short: dtype for dtype, short in SHORT_NAMES.items()}
VOCABULARY: Mapping[str, type[Op]] = {
    op.mnemonic(): op
    for op in (
        ops.Linear,
        ops.SplitHeads,
        ops.ConcatHeads,
        ops.HeadsFirst,
        ops.HeadsLast,
        ops.RepeatHeads,
        head_ops.NormalizeHeads,
        head_ops.Rotary,
        ops.Scores,
        ops.Scale,
        ops.ModifyScores,
        ops.Mask,
        softmax_ops.Softmax,
        softmax_ops.LogSumExp,
        softmax_ops.MaxScore,
        softmax_ops.Entropy,
        softmax_ops.Confidence,
        softmax_ops.Received,
        softmax_ops.TopKeys,
        softmax_ops.ArgMax,
        ops.WeightedValues,
        pick_ops.PickHeads,
        pick_ops.GateHeads,
        fused_ops.ProjectHeads,
        fused_ops.StreamedAttention,
        fused_ops.GroupedAttention,
        fused_ops.OutputLinear,
    )
}


TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
    |(?P<value>%\w+)
    |(?P<number>-inf\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)
    |(?P<string>"[^"\n]*")
    |(?P<word>[A-Za-z_]\w*)
    |(?P<mark>.)""",
    re.VERBOSE,
)
SORTS = {
    "value": "a value, as %name",
    "word": "a name",
    "number": "a number",
    "string": "a string",
    "end": "the end",
}


@cache
def field_hints() -> Mapping[type[Op], Mapping[str, object]]:
    """What the fields of every op are annotated with."""
    return {kind: get_type_hints(kind) for kind in VOCABULARY.values()}


@dataclass(frozen=True)
class _Token:
    sort: str
    text: str
    place: int


def parse_graph(text: str, name: str = "graph text") -> Graph:
    """The graph that the text describes; it is read, not verified.

    Raises   InputError with the place of the first mistake
    """
    return _Reader(Source(name, text)).graph()


def _tokens(text: str) -> tuple[_Token, ...]:
    found = (_Token(str(match.lastgroup), match[0], match.start()) for match in TOKEN.finditer(text))
    return (*(token for token in found if token.sort != "space"), _Token("end", "", len(text)))


class _Reader:
    """Reads the tokens from left to right; a method reads what it is named after."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens = _tokens(source.text)
        self.index = 0
        self.constants: dict[str, Number] = {}
        self.arrays: dict[str, ArrayType] = {}

    def graph(self) -> Graph:
        self.mark("graph")
        name = self.word()
        self.mark("{")
        layout, align = self.setting("layout", Layout), self.setting("align", Align)
        self.constants = dict(self.lines("constant", self.constant))
        inputs = self.lines("input", self.typed_value)
        self.arrays = {each.name: _array_type(each.type) for each in inputs}
        nodes = []
        while self.token.sort == "value":
            nodes.append(self.node())
        outputs = self.lines("output", self.output)
        self.mark("}")
        self.take("end")
        return Graph(name, inputs, tuple(nodes), outputs, align, layout)

    def lines(self, keyword: str, read: Callable[[], Item]) -> tuple[Item, ...]:
        items = []
        while self.accept(keyword):
            items.append(read())
        return tuple(items)

    def setting(self, name: str, choices: type[Choice]) -> Choice:
        self.mark(name)
        self.mark("=")
        return self.choice(choices)

    def constant(self) -> tuple[str, Number]:
        name = self.word()
        self.mark("=")
        return name, self.truth() if self.token.sort == "word" else self.number()

    def output(self) -> tuple[str, str]:
        shown = self.word()
        self.mark("=")
        return shown, self.value()

    def typed_value(self) -> Value:
        name = self.value()
        self.mark(":")
        return Value(name, self.tensor_type())

    def tensor_type(self) -> TensorType:
        dtype = self.one_of(DTYPES)
        self.mark("[")
        return TensorType(dtype, self.listed(self.dimension, "]"))

    def dimension(self) -> Dimension:
        return self.word() if self.token.sort == "word" else int(self.take("number"))

    def node(self) -> Node:
        results = [self.typed_value()]
        while self.accept(","):
            results.append(self.typed_value())
        self.mark("=")
        op, operands = self.call()
        return Node(op, operands, tuple(results))

    def call(self) -> tuple[Op, tuple[str, ...]]:
        place = self.token
        kind = self.one_of(VOCABULARY)
        self.mark("(")
        arguments = self.listed(lambda: self.argument(kind), ")")
        values = dict(argument for argument in arguments if isinstance(argument, tuple))
        for field in fields(kind):
            if field.default is MISSING and field.name not in values:
                self.fail(place, f"{kind.mnemonic()} needs {field.name}=")
        operands = tuple(argument for argument in arguments if isinstance(argument, str))
        return cast(Callable[..., Op], kind)(**values), operands

    def argument(self, kind: type[Op]) -> str | tuple[str, FieldValue]:
        """An operand, or a field of the op with its value."""
        if self.token.sort == "value":
            return self.value()
        name = self.one_of({field.name: field.name for field in fields(kind)})
        self.mark("=")
        return name, self.field_value(field_hints()[kind][name])

    def field_value(self, hint: object) -> FieldValue:
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self.choice(hint)
        if hint is bool:
            return self.truth()
        if self.token.sort == "string":
            return self.expression()
        if self.token.text == "(":
            return self.part()
        return self.number()

    def part(self) -> FieldValue:
        """A part of a tuple: another one, an op without operands, a name or a number."""
        if self.accept("("):
            return self.listed(self.part, ")")
        if self.token.sort == "word" and self.tokens[self.index + 1].text == "(":
            return self.call()[0]
        return self.dimension()

    def expression(self) -> Expr:
        token = self.token
        text = self.take("string")[1:-1]
        try:
            return parse_expression(text, names=NAMES, constants=self.constants, arrays=self.arrays)
        except ExpressionErrors as errors:
            raise InputError(tuple(self.moved(each, token.place) for each in errors.diagnostics)) from None

    def listed(self, read: Callable[[], Item], closing: str) -> tuple[Item, ...]:
        items = []
        while not self.accept(closing):
            items.append(read())
            if self.token.text != closing:
                self.mark(",")
        return tuple(items)

    def one_of(self, choices: Mapping[str, Item]) -> Item:
        token = self.token
        name = self.word()
        if name not in choices:
            self.fail(token, f"{name!r} is none of {', '.join(choices)}")
        return choices[name]

    def choice(self, choices: type[Choice]) -> Choice:
        token = self.token
        self.index += 1
        spelt = {str(choice.value): choice for choice in choices}
        if token.text not in spelt:
            self.fail(token, f"{token.text!r} is none of {', '.join(spelt)}")
        return spelt[token.text]

    def number(self) -> int | float:
        text = self.take("number")
        return int(text) if text.lstrip("-").isdigit() else float(text)

    def truth(self) -> bool:
        return self.one_of({"True": True, "False": False})

    def value(self) -> str:
        return self.take("value")[1:]

    def word(self) -> str:
        return self.take("word")

    def mark(self, text: str) -> None:
        if not self.accept(text):
            self.fail(self.token, f"expected {text!r}")

    def accept(self, text: str) -> bool:
        found = self.token.text == text
        self.index += found
        return found

    def take(self, sort: str) -> str:
        token = self.token
        if token.sort != sort:
            self.fail(token, f"expected {SORTS[sort]}")
        self.index += 1
        return token.text

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def fail(self, token: _Token, message: str) -> NoReturn:
        span = self.span(token.place, max(1, len(token.text)))
        raise InputError((Diagnostic("graph-text", message, span=span),))

    def moved(self, problem: Diagnostic, quote: int) -> Diagnostic:
        """A problem of an expression, shown behind the quote where the expression begins."""
        if problem.span is None:
            return problem
        return replace(problem, span=self.span(quote + problem.span.column, problem.span.length))

    def span(self, place: int, length: int) -> Span:
        before = self.source.text[:place]
        return Span(self.source, before.count("\n") + 1, place - before.rfind("\n"), length)


def _array_type(tensor: TensorType) -> ArrayType:
    return ArrayType(dtype=tensor.dtype, rank=len(tensor.shape))

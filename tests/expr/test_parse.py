"""Reading expressions: what is understood, and that nothing but an error comes of anything else."""

from __future__ import annotations

import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhagen.base.dtypes import DType
from mhagen.base.errors import Diagnostic
from mhagen.expr.parse import ArrayType, ExpressionErrors, parse_expression
from mhagen.expr.tree import Apply, Constant, Element, Expr, Kind, Literal, Name, Operator, to_text, walk

from .random_expressions import ARRAYS, CONSTANTS


def parse(text: str) -> Expr:
    return parse_expression(text, constants=CONSTANTS, arrays=ARRAYS)


def problems(text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(ExpressionErrors) as caught:
        parse(text)
    return caught.value.diagnostics


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("q", Kind.INTEGER),
        ("q + k", Kind.INTEGER),
        ("q + 1.0", Kind.REAL),
        ("q / k", Kind.REAL),
        ("q // 2", Kind.INTEGER),
        ("score // 2", Kind.REAL),
        ("q % 7", Kind.INTEGER),
        ("q ** 2", Kind.INTEGER),
        ("(q - k) ** 2", Kind.INTEGER),
        ("h ** 2", Kind.INTEGER),
        ("2 ** h", Kind.REAL),
        ("2 ** -1", Kind.REAL),
        ("score ** 2", Kind.REAL),
        ("-2 ** 2", Kind.INTEGER),
        ("min(q, k, 3)", Kind.INTEGER),
        ("max(q, 0.5)", Kind.REAL),
        ("abs(q)", Kind.INTEGER),
        ("floor(score)", Kind.REAL),
        ("exp(q)", Kind.REAL),
        ("where(q < k, 1, 2.0)", Kind.REAL),
        ("where(q < k, q < 1, k < 1)", Kind.CONDITION),
        ("0 <= k < q", Kind.CONDITION),
        ("causal and not q < k", Kind.CONDITION),
        ("segment[b, q] == segment[b, k]", Kind.CONDITION),
        ("visible[q, k] != visible[k, q]", Kind.CONDITION),
        ("slope[segment[b, q % 4]]", Kind.REAL),
        ("True", Kind.CONDITION),
    ],
)
def test_the_kind_of_a_result_follows_from_its_operands(text: str, kind: Kind) -> None:
    assert parse(text).kind is kind


def test_a_chain_of_comparisons_joins_its_links() -> None:
    low = Apply(Operator.LESS_EQUAL, (Literal(0), Name("k")), Kind.CONDITION)
    high = Apply(Operator.LESS, (Name("k"), Name("q")), Kind.CONDITION)
    assert parse("0 <= k < q") == Apply(Operator.AND, (low, high), Kind.CONDITION)


def test_a_choice_can_be_written_as_python_does() -> None:
    assert parse("1.0 if k <= q else score") == parse("where(k <= q, 1.0, score)")


def test_a_minus_before_a_number_is_part_of_it() -> None:
    assert parse("-3") == Literal(-3)
    assert parse("--3") == Apply(Operator.NEGATE, (Literal(-3),), Kind.INTEGER)
    assert parse("-3 ** 2") == Apply(Operator.NEGATE, (parse("3 ** 2"),), Kind.INTEGER)


def test_constants_keep_their_names() -> None:
    assert parse("cap") == Constant("cap", 30.0)


def test_arrays_are_indexed_by_integers_of_any_expression() -> None:
    assert parse("slope[h + 1]") == Element("slope", (parse("h + 1"),), Kind.REAL)


def test_white_space_of_any_sort_separates() -> None:
    assert parse("\n  k <= q\r\n\tand q < 5 ") == parse("k <= q and q < 5")


def test_equal_numbers_of_different_kinds_are_different_expressions() -> None:
    assert len({Literal(1), Literal(1.0), Literal(True)}) == 3
    assert Literal(0.0) != Literal(-0.0)
    assert Constant("x", 1) != Constant("x", 1.0)


def test_every_node_knows_its_place() -> None:
    text = "cap * tanh(score / cap) + slope[h] * (k - q)"
    expr = parse(text)
    assert {text[node.column - 1 : node.column - 1 + node.length] for node in walk(expr)} >= {
        text,
        "tanh(score / cap)",
        "slope[h]",
        "k - q",
        "h",
    }


def test_the_place_of_a_node_is_not_part_of_its_value() -> None:
    assert parse("q+k") == parse("   q   +   k")


def test_all_mistakes_are_found_at_once() -> None:
    found = problems("capp * tahn(score) + slope[q / 2] + (q and k) + slop[h]")
    assert [problem.code for problem in found] == [
        "unknown-name",
        "unknown-function",
        "needs-integer",
        "needs-condition",
        "needs-condition",
        "unknown-name",
    ]


def test_a_mistake_inside_a_chain_is_told_once() -> None:
    assert len(problems("q < qq < k")) == 1


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("widnow", "`window`"),
        ("slop[h]", "`slope`"),
        ("tahn(score)", "`tanh`"),
        ("scroe", "`score`"),
        ("q && k", "`and`"),
        ("q < 1 || k < 1", "`or`"),
        ("q = k", "`==`"),
        ("q => k", "`>=`"),
        ("!q", "`not`"),
        ("(q < k) & (k < 3)", "`and`"),
        ("q ^ 2", "`**`"),
        ("q ≤ k", "<="),
        ("q \u2212 k", "-"),
    ],
)
def test_what_was_meant_is_offered(text: str, remedy: str) -> None:
    assert remedy in problems(text)[0].advice


def test_an_integer_that_could_wrap_around_is_refused_where_it_arises() -> None:
    (found,) = problems("1 + q * q * q * q")
    assert found.code == "integer-overflow"
    assert found.span is not None
    assert (found.span.column, found.span.length) == (5, 9)  # q * q * q


def test_an_integer_that_cannot_wrap_around_is_accepted() -> None:
    assert parse("min(abs(q), 1000) ** 3 * max(-5, min(h, 5))").kind is Kind.INTEGER


@pytest.mark.parametrize("text", ["q // k", "q % h", "q // (k - 5)", "q % (window - 256)", "q // 0"])
def test_an_integer_divisor_that_can_be_zero_is_refused(text: str) -> None:
    assert [found.code for found in problems(text)] == ["divisor-can-be-zero"]


@pytest.mark.parametrize(
    "text", ["q // (k + 1)", "q % -3", "q // max(1, k)", "score // k", "q / k", "q % window"]
)
def test_other_divisors_are_accepted(text: str) -> None:
    parse(text)


def test_arithmetic_on_int64_arrays_is_refused_and_comparing_them_is_not() -> None:
    arrays = {"ids": ArrayType(DType.INT64, 1)}
    parse_expression("ids[q] == ids[k]", constants={}, arrays=arrays)
    with pytest.raises(ExpressionErrors, match="declare arrays int32"):
        parse_expression("ids[q] - ids[k] == 0", constants={}, arrays=arrays)


def test_of_names_that_are_declared_wrongly_nothing_is_said() -> None:
    with pytest.raises(ExpressionErrors) as caught:
        parse_expression("cap * slope[h, q] + 1", constants={"cap": None}, arrays={"slope": None})
    assert caught.value.diagnostics == ()


HOSTILE = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "[x for x in (1).__class__.__mro__]",
    "(lambda: 1)()",
    "(yield)",
    "await q",
    "q; import os",
    "q\x0cimport os",
    "print(q)",
    "eval('1')",
    "exec",
    "q if (k := 3) else 1",
    "f'{q!r:{k}}'",
    "b'q'",
    "...",
    "None",
    "1j",
    "q.__class__",
    "slope[:]",
    "slope[*q]",
    "slope[h][h]",
    "min(*q)",
    "max(**q)",
    "{q: k}",
    "{q}",
    "(q, k)",
    "q, k",
    "\\\nq",
    "q #",
    "\ufeffq",
    "q\u200b",
    "\u202eq",
    "\x00",
    "9" * 500,
    "0x" + "f" * 500,
    "1e999",
    "1" + "_1" * 200,
    "q" * 513,
    "-" * 500 + "q",
    "not " * 120 + "True",
    "(" * 255 + "q" + ")" * 255,
    "[" * 250,
    "q**" * 120 + "q",
    "9**9**9**9**9**9",
    "2**2147483647 < q",
    "q" + "<q" * 200,
    "q if q else " * 40 + "q",
    "exp(" * 100 + "q" + ")" * 100,
    "slope[" * 80 + "h" + "]" * 80,
    "1 is 1",
    "'a' 'b'",
    "1 if 1else 1",
    "0_7",
    "07",
    "*q",
    "q:=1",
    "lambda q: q",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_at_once_and_in_silence(text: str) -> None:
    start = time.process_time()  # what others do on this machine takes time too
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if text.startswith("9**9**"):  # a real power, computed in no time: infinity
            parse(text)
        else:
            problems(text)
    assert time.process_time() - start < 0.5


WORDS = """
q k h b score cap window causal slope segment visible
where abs min max exp log tanh floor True and or not if else
+ - * / // % ** < <= > >= == != ( ) [ ] , 0 1 2.5 1e3 is in lambda : = . ' " & | ~ @ ; { }
"""
TOKENS = st.sampled_from([*WORDS.split(), "\n"])


@settings(max_examples=1000, deadline=None)
@given(st.lists(TOKENS, max_size=25))
def test_any_text_gives_an_expression_or_an_expression_error(tokens: list[str]) -> None:
    text = " ".join(tokens)
    try:
        assert to_text(parse(text))
    except ExpressionErrors as errors:
        assert errors.diagnostics
        assert str(errors).startswith("error[")


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60))
def test_any_characters_give_an_expression_or_an_expression_error(text: str) -> None:
    try:
        parse(text)
    except ExpressionErrors as errors:
        assert str(errors)

"""What an error says, and whose fault it is."""

from __future__ import annotations

import pickle

import pytest

from mhagen.base.errors import (
    Diagnostic,
    InputError,
    InternalError,
    MhagenError,
    SpecError,
    UnsupportedError,
    VerificationError,
)
from mhagen.base.source import Source, Span

LINES = ["[heads]", "query = 12", "key_value = 5"]
SOURCE = Source("gqa.toml", "\n".join(LINES) + "\n")
HEADS = Diagnostic(
    "heads-not-divisible",
    "5 key/value heads cannot serve 12 query heads",
    "must divide query = 12 (line 2)",
    "1, 2, 3, 4, 6 or 12",
    Span(SOURCE, 3, 13),
    "heads.key_value",
)


def test_an_error_says_what_where_why_and_what_to_do() -> None:
    assert str(SpecError((HEADS,))).splitlines() == [
        "error[heads-not-divisible]: 5 key/value heads cannot serve 12 query heads",
        "  gqa.toml:3:13",
        "    3 | key_value = 5",
        "      |             ^ must divide query = 12 (line 2): 1, 2, 3, 4, 6 or 12",
    ]


def test_without_a_text_the_key_tells_the_place() -> None:
    error = Diagnostic("wrong-type", "dim cannot be true", "needs an integer", place="heads.dim")
    assert str(error).splitlines() == [
        "error[wrong-type]: dim cannot be true",
        "  heads.dim",
        "    needs an integer",
    ]


def test_all_mistakes_are_in_one_text() -> None:
    assert str(SpecError((HEADS, HEADS))).count("error[heads-not-divisible]") == 2


def test_of_very_many_mistakes_the_first_are_shown_and_all_are_kept() -> None:
    error = SpecError((HEADS,) * 60)
    assert str(error).count("error[heads-not-divisible]") == 50
    assert str(error).endswith("\n\nand 10 more")
    assert len(error.diagnostics) == 60


@pytest.mark.parametrize(
    ("kind", "code"),
    [(SpecError, 2), (InputError, 2), (UnsupportedError, 2), (VerificationError, 1), (InternalError, 3)],
)
def test_the_class_of_an_error_decides_the_exit_code(kind: type[MhagenError], code: int) -> None:
    assert kind("text").exit_code == code
    assert str(kind("text")) == "text"
    assert issubclass(kind, MhagenError)


def test_a_bad_argument_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="query has rank 3"):
        raise InputError("query has rank 3")


def test_errors_cross_processes() -> None:
    copy = pickle.loads(pickle.dumps(SpecError((HEADS,))))
    assert type(copy) is SpecError
    assert copy.diagnostics == (HEADS,)


def picture(line: str, column: int, length: int = 1) -> list[str]:
    return Span(Source("s", line), 1, column, length).picture("here").splitlines()


def test_carets_stand_under_what_they_mean() -> None:
    assert picture("a = bcd", 5, 3) == ["  s:1:5", "    1 | a = bcd", "      |     ^^^ here"]


def test_carets_never_leave_the_line() -> None:
    assert picture("abc", 2, 99)[-1] == "      |  ^^ here"
    assert picture("abc", 4)[-1] == "      |    ^ here"
    assert Span(Source("s", "abc"), 7, 1).picture("here").splitlines()[1:] == ["    7 |", "      | ^ here"]


def test_wide_characters_push_the_caret() -> None:
    assert picture("注意 x", 4)[-1] == "      |      ^ here"


def test_a_tab_or_an_escape_is_shown_as_a_blank() -> None:
    assert picture("\ta\x1b[31m", 2) == ["  s:1:2", "    1 |  a [31m", "      |  ^ here"]


def test_of_a_long_line_the_part_around_the_caret_is_shown() -> None:
    _, text, carets = picture("x" * 5000 + "y" + "x" * 5000, 5001)
    assert len(text) < 120
    assert text[carets.index("^")] == "y"


def test_lines_end_where_toml_ends_them() -> None:
    assert Source("s", "a\x0bb\u2028c\r\nd").line(2) == "d"
    assert Source("s", "a\r\nb").line(1) == "a"

"""From the text of an expression to Python's syntax tree, never executed, within fixed limits."""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings

from ..base.errors import Diagnostic, MhagenError
from ..base.source import Source, Span

MOST_CHARACTERS = 512
MOST_NODES = 128
MOST_DEPTH = 16


class ExpressionErrors(MhagenError):
    """The mistakes of one expression; the spans of its diagnostics are places in its text."""

    exit_code = 2


# What people write for an operator, and what it is here. Only looked for in what is not Python's syntax.
_MISSPELT = (
    (re.compile(r"< +="), "<="),
    (re.compile(r"> +="), ">="),
    (re.compile(r"! +="), "!="),
    (re.compile(r"(?<![<>=!])= +="), "=="),
    (re.compile(r"&&"), "and"),
    (re.compile(r"\|\|"), "or"),
    (re.compile(r"!(?!=)"), "not"),
    (re.compile(r"=<"), "<="),
    (re.compile(r"=>"), ">="),
    (re.compile(r"<>"), "!="),
    (re.compile(r"(?<![<>=!])=(?!=)"), "=="),
    (re.compile(r"\?"), "where(condition, x, y)"),
)
_ASCII_FOR = {
    "\u2264": "<=",  # less than or equal to
    "\u2265": ">=",  # greater than or equal to
    "\u2260": "!=",  # not equal to
    "\u00d7": "*",  # multiplication sign
    "\u00b7": "*",  # middle dot
    "\u00f7": "/",  # division sign
    "\u2212": "-",  # minus sign
    "\u2013": "-",  # en dash
    "\u2227": "and",  # logical and
    "\u2228": "or",  # logical or
    "\u00ac": "not",  # not sign
    "\u00a0": "a space",  # no-break space
}


def source_of(text: str) -> Source:
    """The text as one line: every white space counts as a blank, so columns are offsets."""
    return Source("expression", re.sub(r"[\t\r\n]", " ", text))


def read_syntax(source: Source) -> ast.expr:
    """Python's tree of the text; what its nodes mean, and which are allowed, is for `parse_expression`.

    Raises   ExpressionErrors if it is not Python's syntax, or too long, or too deep.
    """
    _refuse_characters(source)
    shift = len(source.text) - len(source.text.lstrip())
    tree = _parse(source, shift)
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset += shift
            node.end_col_offset = (node.end_col_offset or 0) + shift
    _refuse_size(source, tree)
    return tree


def _refuse_characters(source: Source) -> None:
    text = source.text
    if not text.strip():
        raise _error(
            source, 1, 1, "empty-expression", "the expression is empty", "write one, or drop the key"
        )
    if len(text) > MOST_CHARACTERS:
        message = f"the expression has {len(text)} characters"
        raise _error(source, 1, 1, "expression-too-large", message, f"at most {MOST_CHARACTERS} are allowed")
    problems = tuple(
        _strange_character(source, column, character)
        for column, character in enumerate(text, start=1)
        if not (character.isascii() and character.isprintable()) or character in "#\\"
    )
    if problems:
        raise ExpressionErrors(problems[:8])


def _strange_character(source: Source, column: int, character: str) -> Diagnostic:
    plain = _ASCII_FOR.get(character) or unicodedata.normalize("NFKC", character)
    remedy = f"write {plain}" if plain.isascii() and plain.isprintable() and plain != character else ""
    shown = f"{character!r} (U+{ord(character):04X})" if character not in "#\\" else repr(character)
    return Diagnostic(
        "strange-character",
        f"the expression holds {shown}",
        "only printable ASCII, without # and \\",
        remedy,
        Span(source, 1, column),
    )


def _parse(source: Source, shift: int) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of a suspicious but harmless `1 is 1`; refused later, with a place
            return ast.parse(source.text[shift:].rstrip(), mode="eval").body
    except SyntaxError as error:
        # Python gives offset 0 where the text ends too early.
        place = shift + error.offset if error.offset else len(source.text.rstrip()) + 1
        raise _syntax_error(source, place) from None
    except (ValueError, MemoryError, RecursionError):
        raise _too_large(source) from None


def _syntax_error(source: Source, column: int) -> ExpressionErrors:
    message = "this is not an expression"
    for pattern, meant in _MISSPELT:
        if found := pattern.search(source.text):
            return _error(
                source, found.start() + 1, len(found[0]), "expression-syntax", message, f"write `{meant}`"
            )
    is_cut_short = column > len(source.text.rstrip())
    advice = "something is missing here" if is_cut_short else "this cannot be understood"
    return _error(source, column, 1, "expression-syntax", message, advice)


def _refuse_size(source: Source, tree: ast.expr) -> None:
    pending: list[tuple[ast.AST, int]] = [(tree, 1)]
    nodes = 0
    while pending:
        node, depth = pending.pop()
        nodes += isinstance(node, ast.expr)
        if nodes > MOST_NODES or depth > MOST_DEPTH:
            raise _too_large(source)
        pending += [(child, depth + 1) for child in ast.iter_child_nodes(node)]


def _too_large(source: Source) -> ExpressionErrors:
    advice = f"at most {MOST_NODES} operations and operands, nested {MOST_DEPTH} deep"
    length = len(source.text)
    return _error(
        source, 1, length, "expression-too-large", "the expression is too large or too deep", advice
    )


def _error(source: Source, column: int, length: int, code: str, message: str, label: str) -> ExpressionErrors:
    return ExpressionErrors((Diagnostic(code, message, label, span=Span(source, 1, column, length)),))

"""Expressions of a spec as people read them in a module: broken over lines where they are long."""

from __future__ import annotations

from textwrap import wrap

from ..expr.tree import Expr, to_text

WIDTH = 104  # of a line and four columns before it


def expression_lines(label: str, expr: Expr) -> tuple[str, ...]:
    """The label and the expression; lines after the first begin below it."""
    return tuple(
        wrap(
            label + to_text(expr),
            WIDTH,
            subsequent_indent=" " * len(label),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )

"""A table as plain text and as a piece of HTML: what a terminal and a notebook show of a result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

Rows = Sequence[Sequence[str]]


def text_table(heads: Sequence[str], rows: Rows) -> str:
    """Columns as wide as their longest cell."""
    lines = (heads, *rows)
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )
    return "\n".join(line.rstrip() for line in padded)


def html_table(title: str, heads: Sequence[str], rows: Rows, remarks: Iterable[str]) -> str:
    """A caption, a table and a list, everything in them escaped; a notebook's own style does the rest."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    items = "".join(f"<li>{escape(remark)}</li>" for remark in remarks)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p>{escape(title)}</p>{table}<ul>{items}</ul></div>"

"""Shapes of arrays, as the texts of checks and of documents."""

from __future__ import annotations

from collections.abc import Callable

from ..spec.fields import Layout

Axis = int | str
AXES: dict[Layout, Callable[[Axis, Axis, Axis], tuple[Axis, ...]]] = {
    Layout.BHSD: lambda heads, length, dim: ("batch", heads, length, dim),
    Layout.BSHD: lambda heads, length, dim: ("batch", length, heads, dim),
}


def quoted(axis: int | str) -> str:
    """An axis as the text that bind() takes: a constant of the module, a number, or a quoted length."""
    if axis in ("batch", "queries", "keys"):
        return f'"{axis}"'
    return axis.upper() if isinstance(axis, str) else str(axis)


def axes_text(axes: tuple[int | str, ...]) -> str:
    inside = ", ".join(axis if isinstance(axis, str) and axis.isupper() else quoted(axis) for axis in axes)
    return f"({inside},)" if len(axes) == 1 else f"({inside})"


def shape_text(axes: tuple[int | str, ...]) -> str:
    """A shape for a docstring: plain numbers and names."""
    inside = ", ".join(str(axis) for axis in axes)
    return f"({inside},)" if len(axes) == 1 else f"({inside})"

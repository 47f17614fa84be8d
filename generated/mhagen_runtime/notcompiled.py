"""What the vocabulary's words are to plain Python: names with signatures, and no meaning."""

from __future__ import annotations

# mypy checks kernels against these signatures, loosely: a vector, a mask and an address are all `int` here.
Vector = int
Mask = int
Address = int


class NotCompiledError(RuntimeError):
    """A name of the vocabulary was called from plain Python."""


def compiled_only(name: str) -> NotCompiledError:
    return NotCompiledError(f"{name} has a meaning in compiled kernels only")

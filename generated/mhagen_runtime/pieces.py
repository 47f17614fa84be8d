"""The text of an LLVM module in pieces, one a function: kernels of a process share most of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

METADATA = re.compile(r"(?<= )!(\d+)")
MOST_KEPT = 1000  # pieces: about 30 MB of text


@dataclass(frozen=True)
class Piece:
    """A function for arguments of some types, lowered into a module of its own.

    Members  description: how Numba describes the function to those that call it
             declared, defined: the text of what stands in the module, by name
             callees: the functions that it calls
    """

    description: Any
    declared: Mapping[str, str]
    defined: Mapping[str, str]
    callees: tuple[Piece, ...]


def piece_of(module: ir.Module, description: Any, callees: Iterable[Piece]) -> Piece:
    """The text of a module, where metadata stands out of line only in the whole."""
    known = {each.name: each for each in module.metadata}

    def text(value: Any) -> str:
        return METADATA.sub(lambda found: written_out(known[found[1]]), str(value))

    def written_out(node: Any) -> str:
        return METADATA.sub(lambda found: written_out(known[found[1]]), str(node).partition(" = ")[2])

    declared: dict[str, str] = {}
    defined: dict[str, str] = {}
    for name, value in module.globals.items():
        is_declared = isinstance(value, ir.Function) and value.is_declaration
        (declared if is_declared else defined)[name] = text(value)
    return Piece(description, declared, defined, tuple(callees))


def whole(header: str, entries: Iterable[Piece]) -> str:
    """The text of all that these call, directly or not, each behind what it calls."""
    ordered: dict[int, Piece] = {}
    for entry in entries:
        put_behind_callees(entry, ordered)
    defined: dict[str, str] = {}
    declared: dict[str, str] = {}
    for piece in ordered.values():
        defined |= piece.defined
        declared |= piece.declared
    outside = [text for name, text in declared.items() if name not in defined]
    return "\n".join((header, *outside, *defined.values()))


def put_behind_callees(piece: Piece, ordered: dict[int, Piece]) -> None:
    for callee in piece.callees:
        if id(callee) not in ordered:
            put_behind_callees(callee, ordered)
    ordered.setdefault(id(piece), piece)


class Kept:
    """Pieces that a process made last, by a digest of all that shapes them."""

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}

    def find(self, key: str) -> Piece | None:
        piece = self.pieces.pop(key, None)
        if piece is not None:
            self.pieces[key] = piece  # the last to go
        return piece

    def keep(self, key: str, piece: Piece) -> None:
        while len(self.pieces) >= MOST_KEPT:
            del self.pieces[next(iter(self.pieces))]
        self.pieces[key] = piece

"""Reads which symbols a relocatable ELF file defines and which it wants from elsewhere.

LLVM ends the process when it cannot resolve a symbol, so this is asked before LLVM sees the file.

Source   System V ABI, chapter 4: object files
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian: what mhagen generates for x86_64 and aarch64
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMBOL_TABLE = 2
_UNDEFINED = 0
_LOCAL = 0


class NotElf(Exception):
    """The bytes are not an object file this module can read."""


@dataclass(frozen=True)
class Symbols:
    """The global names of an object file."""

    defined: frozenset[str]
    undefined: frozenset[str]


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int


def read_symbols(code: bytes) -> Symbols:
    """The symbols of an object file.

    Raises   NotElf for anything else, however damaged.
    """
    try:
        sections = tuple(_sections(code))
        symbols = [symbol for section in sections for symbol in _symbols(code, section, sections)]
    except (struct.error, IndexError, ValueError) as error:
        raise NotElf(f"not a whole ELF object file: {error}") from error
    return Symbols(
        defined=frozenset(name for name, section in symbols if section != _UNDEFINED),
        undefined=frozenset(name for name, section in symbols if section == _UNDEFINED),
    )


def _sections(code: bytes) -> Iterator[_Section]:
    if not code.startswith(MAGIC):
        raise NotElf("not a 64-bit little-endian ELF object file")
    header = _HEADER.unpack_from(code)
    table, entry_bytes, count = header[6], header[11], header[12]
    if entry_bytes != _SECTION.size or table + count * entry_bytes > len(code):
        raise NotElf("the section table lies outside the file")
    for index in range(count):
        _, kind, _, _, offset, size, link, _, _, _ = _SECTION.unpack_from(code, table + index * entry_bytes)
        yield _Section(kind, offset, size, link)


def _symbols(code: bytes, section: _Section, sections: tuple[_Section, ...]) -> Iterator[tuple[str, int]]:
    if section.kind != _SYMBOL_TABLE:
        return
    names = sections[section.link]
    if max(section.offset + section.size, names.offset + names.size) > len(code):
        raise NotElf("the symbol table lies outside the file")
    text = code[names.offset : names.offset + names.size]
    for place in range(section.offset, section.offset + section.size, _SYMBOL.size):
        start, binding, _, home, _, _ = _SYMBOL.unpack_from(code, place)
        if binding >> 4 != _LOCAL:
            yield text[start : text.index(b"\0", start)].decode("ascii"), home

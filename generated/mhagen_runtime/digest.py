"""The one way that values are hashed: equal values give equal digests, in any process, on any machine.

Imports the standard library only: a copy travels with generated kernels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum

from .errors import InternalError


def digest(value: object) -> str:
    """SHA-256, in hex, of a value: str, bytes, int, float, bool, None, enum, tuple or frozen dataclass.

    The encoding tells types apart (1, 1.0, True and "1" differ) and gives each part its length, so that no
    two values share one. Of a dataclass all fields take part that take part in its `==`.

    Raises   InternalError for a value of another type, and for a dataclass that can change.
    """
    state = hashlib.sha256()
    for part in _encode(value):
        state.update(part)
    return state.hexdigest()


def _encode(value: object) -> Iterator[bytes]:
    match value:
        case tuple():
            yield _framed("tuple", str(len(value)).encode())
            for item in value:
                yield from _encode(item)
        case Enum():
            yield _framed("enum", f"{type(value).__qualname__}.{value.name}".encode())
        case _ if is_dataclass(value) and not isinstance(value, type):
            yield from _encode_dataclass(value)
        case _:
            yield _encode_scalar(value)


def _encode_dataclass(value: object) -> Iterator[bytes]:
    if not getattr(type(value), "__dataclass_params__").frozen:  # noqa: B009 (unknown to type checkers)
        raise InternalError(f"{type(value).__qualname__} can change, so it has no digest")
    compared = [field for field in fields(value) if field.compare]  # type: ignore[arg-type]
    yield _framed("dataclass", f"{type(value).__qualname__} {len(compared)}".encode())
    for field in compared:
        yield _framed("field", field.name.encode())
        yield from _encode(getattr(value, field.name))


def _encode_scalar(value: object) -> bytes:
    match value:
        case None:
            return _framed("none", b"")
        case bool():  # before int: a bool is one
            return _framed("bool", b"1" if value else b"0")
        case int():
            return _framed("int", hex(value).encode())  # str() refuses integers of over 4300 digits
        case float():
            return _framed("float", value.hex().encode())
        case str():
            return _framed("str", value.encode("utf-8", "surrogatepass"))
        case bytes():
            return _framed("bytes", value)
        case _:
            raise InternalError(f"a {type(value).__qualname__} has no digest")


def _framed(tag: str, payload: bytes) -> bytes:
    return f"{tag}:{len(payload)}:".encode() + payload

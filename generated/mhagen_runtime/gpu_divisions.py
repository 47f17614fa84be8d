"""Floor division of reals in CUDA kernels: quotients and remainders as NumPy's."""

from __future__ import annotations

from typing import Any

from numba import float32, uint32

from .ptx import bits_of, of_bits
from .ptx_reals import divide_exactly, remainder, round_down

SIGN = 1 << 31


def zero_with_sign_of(x: Any) -> Any:
    return of_bits(bits_of(x) & uint32(SIGN))


def is_off(rest: Any, y: Any) -> Any:
    """Does the remainder lie on the other side of 0 than the divisor?"""
    return rest != float32(0.0) and (rest < float32(0.0)) != (y < float32(0.0))


def real_modulo(x: Any, y: Any) -> Any:
    """x % y: what is left has the sign of y. NaN for y of 0 and for an infinite x."""
    rest = remainder(x, y)
    if rest == float32(0.0):
        return zero_with_sign_of(y)
    return rest + y if is_off(rest, y) else rest


def real_floor_divide(x: Any, y: Any) -> Any:
    """x // y, but x // 0 is x / 0; NaN for an infinite x."""
    plain = divide_exactly(x, y)
    if y == float32(0.0):
        return plain
    rest = remainder(x, y)
    whole = divide_exactly(x - rest, y)
    if is_off(rest, y):
        whole = whole - float32(1.0)
    if whole == float32(0.0):
        return zero_with_sign_of(plain)
    floored = round_down(whole)
    return floored + float32(1.0) if whole - floored > float32(0.5) else floored

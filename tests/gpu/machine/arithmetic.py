"""Steps that compute: registers in, registers out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from gpu.machine.source import Register, Step
from gpu.machine.threads import TYPES, Lanes, Mask, Threads

FLOATS = {"f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
LOGIC: dict[str, Callable[[Any, Any], Any]] = {
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
ROUNDINGS: dict[str, Callable[[Any], Any]] = {
    "rni": np.rint,
    "rzi": np.trunc,
    "rmi": np.floor,
    "rpi": np.ceil,
}


def divide(a: Lanes, b: Lanes) -> Lanes:
    if a.dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, b.dtype.type(1), b)
    whole = a // safe
    return whole + ((whole < 0) & (whole * safe != a)).astype(a.dtype) if a.dtype.kind == "i" else whole


def remainder(a: Lanes, b: Lanes) -> Lanes:
    return np.fmod(a, np.where(b == 0, b.dtype.type(1), b))


BINARY: dict[str, Callable[[Any, Any], Any]] = LOGIC | {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": divide,
    "rem": remainder,
    "min": np.fmin,
    "max": np.fmax,
    "copysign": lambda sign, size: np.copysign(size, sign),
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": np.negative,
    "abs": np.abs,
    "not": np.invert,
    "ex2": np.exp2,
    "lg2": np.log2,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "rcp": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "popc": lambda x: np.bitwise_count(x),
}


def binary(t: Threads, step: Step, mask: Mask) -> None:
    type_ = step.words[-1]
    function = BINARY[step.words[0]]
    if "NaN" in step.words:
        function = {"min": np.minimum, "max": np.maximum}[step.words[0]]
    a, b = t.read(step.operands[1], type_), t.read(step.operands[2], type_)
    t.write(step.operands[0], flushed(step, function(a, b)), mask)


def unary(t: Threads, step: Step, mask: Mask) -> None:
    x = flushed(step, t.read(step.operands[1], step.words[-1]))
    t.write(step.operands[0], flushed(step, UNARY[step.words[0]](x).astype(x.dtype)), mask)


def flushed(step: Step, x: Lanes) -> Lanes:
    """Subnormal numbers as zeros, where the step says ftz."""
    if "ftz" not in step.words:
        return x
    return np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(x.dtype.type(0), x), x)


def multiply(t: Threads, step: Step, mask: Mask) -> None:
    """mul and mad, whose product may be wide, or its upper half."""
    type_, words = step.words[-1], step.words
    a, b = t.read(step.operands[1], type_), t.read(step.operands[2], type_)
    if "wide" in words:
        wide = f"{type_[0]}{2 * int(type_[1:])}"
        product, type_ = a.astype(TYPES[wide]) * b.astype(TYPES[wide]), wide
    elif "hi" in words:
        bits = 8 * a.dtype.itemsize
        product = np.array([int(x) * int(y) >> bits for x, y in zip(a, b, strict=True)], a.dtype)
    else:
        product = a * b
    t.write(
        step.operands[0], product + t.read(step.operands[3], type_) if words[0] == "mad" else product, mask
    )


def fused(t: Threads, step: Step, mask: Mask) -> None:
    x, y, z = (t.read(operand, step.words[-1]) for operand in step.operands[1:])
    t.write(step.operands[0], (x.astype(np.float64) * y + z).astype(x.dtype), mask)


def shift(t: Threads, step: Step, mask: Mask) -> None:
    """Left or right; by the register's bits or more it is all gone, or all sign."""
    x, by = t.read(step.operands[1], step.words[-1]), t.read(step.operands[2], "u32")
    bits = 8 * x.dtype.itemsize
    most = np.minimum(by, bits - 1).astype(x.dtype)
    if step.words[0] == "shl":
        moved = np.where(by >= bits, x.dtype.type(0), x << most)
    else:
        moved = np.where((by >= bits) & (x.dtype.kind == "u"), x.dtype.type(0), x >> most)
    t.write(step.operands[0], moved, mask)


def funnel_shift(t: Threads, step: Step, mask: Mask) -> None:
    low, high, by = (t.read(operand, "u32").astype(np.uint64) for operand in step.operands[1:])
    by = by & 31 if "wrap" in step.words else np.minimum(by, 32)
    both = high << np.uint64(32) | low
    moved = (both << by) >> np.uint64(32) if step.words[1] == "l" else both >> by
    t.write(step.operands[0], moved.astype(np.uint32), mask)


def permute(t: Threads, step: Step, mask: Mask) -> None:
    """Each byte of the result is one of the eight of two registers, or its sign."""
    a, b, chosen = (t.read(operand, "u32").astype(np.uint64) for operand in step.operands[1:])
    both, result = b << np.uint64(32) | a, np.zeros(len(t), np.uint64)
    for index in range(4):
        nibble = chosen >> np.uint64(4 * index)
        byte = both >> (nibble & np.uint64(7)) * np.uint64(8) & np.uint64(255)
        byte = np.where(
            nibble & np.uint64(8), np.where(byte & np.uint64(128), 255, 0).astype(np.uint64), byte
        )
        result |= byte << np.uint64(8 * index)
    t.write(step.operands[0], result.astype(np.uint32), mask)


def insert_bits(t: Threads, step: Step, mask: Mask) -> None:
    type_ = step.words[-1]
    field, into = (t.read(operand, type_) for operand in step.operands[1:3])
    first, count = (t.read(operand, "u32").astype(field.dtype) for operand in step.operands[3:])
    one = field.dtype.type(1)
    bits = ((one << count) - one) << first
    t.write(step.operands[0], into & ~bits | field << first & bits, mask)


def extract_bits(t: Threads, step: Step, mask: Mask) -> None:
    type_ = step.words[-1]
    x = t.read(step.operands[1], type_)
    first, count = (t.read(operand, "u32").astype(x.dtype) for operand in step.operands[2:])
    if x.dtype.kind == "i":
        room = x.dtype.type(8 * x.dtype.itemsize) - count
        t.write(step.operands[0], x << (room - first) >> room, mask)
    else:
        one = x.dtype.type(1)
        t.write(step.operands[0], x >> first & ((one << count) - one), mask)


def select(t: Threads, step: Step, mask: Mask) -> None:
    target, yes, no, condition = step.operands
    type_ = step.words[-1]
    t.write(target, np.where(t.predicate(condition), t.read(yes, type_), t.read(no, type_)), mask)


def compare(t: Threads, step: Step, mask: Mask) -> None:
    """setp: unordered comparisons, of floats, hold of a NaN too; the result may be joined with another's."""
    type_, word = step.words[-1], step.words[1]
    a, b = t.read(step.operands[1], type_), t.read(step.operands[2], type_)
    if word in ("num", "nan"):
        is_nan = np.isnan(a) | np.isnan(b)
        holds = is_nan if word == "nan" else ~is_nan
    elif word.endswith("u"):
        holds = COMPARISONS[word[:-1]](a, b) | np.isnan(a) | np.isnan(b)
    else:
        holds = COMPARISONS[word](a, b)
        if word == "ne" and type_[0] == "f":
            holds = holds & ~np.isnan(a) & ~np.isnan(b)
    if len(step.operands) == 4:
        holds = LOGIC[step.words[2]](holds, t.predicate(step.operands[3]))
    t.write(step.operands[0], holds, mask)


def convert(t: Threads, step: Step, mask: Mask) -> None:
    to, of = step.words[-2:]
    if to in ("bf16x2", "f16x2"):
        high, low = (narrow(t.read(x, of), to[:-2]).astype(np.uint32) for x in step.operands[1:3])
        t.write(step.operands[0], high << np.uint32(16) | low, mask)
        return
    x = t.read(step.operands[1], of)
    x = x.view(FLOATS[of]).astype(np.float32) if of in FLOATS else x
    if to in FLOATS:
        t.write(step.operands[0], narrow(x, to), mask)
    elif x.dtype.kind == "f" and to[0] in "su":
        t.write(step.operands[0], whole(x, step.words, TYPES[to]), mask)
    elif x.dtype.kind == "f" and to[0] == "f":
        rounded = [ROUNDINGS[word](x) for word in step.words if word in ROUNDINGS]
        t.write(step.operands[0], flushed(step, (rounded or [x])[0].astype(TYPES[to])), mask)
    else:
        t.write(step.operands[0], x.astype(TYPES[to]), mask)


def narrow(x: Lanes, to: str) -> Lanes:
    """The bits of the nearest number of 16 bits."""
    bits = x.astype(FLOATS[to]).view(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), bits)


def whole(x: Lanes, words: tuple[str, ...], type_: np.dtype[Any]) -> Lanes:
    """A float as an integer: the nearest there is, 0 for NaN."""
    rounding = next(ROUNDINGS[word] for word in words if word in ROUNDINGS)
    limits = np.iinfo(type_)
    rounded = rounding(np.nan_to_num(x.astype(np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf))
    inside = np.clip(rounded, float(limits.min), float(limits.max))
    exact = np.where(inside >= float(limits.max), 0, inside).astype(type_)
    return np.where(inside >= float(limits.max), limits.max, exact).astype(type_)


def negate_predicate(t: Threads, step: Step, mask: Mask) -> None:
    t.write(step.operands[0], ~t.predicate(step.operands[1]), mask)


def logic(t: Threads, step: Step, mask: Mask) -> None:
    if step.words[-1] != "pred":
        return binary(t, step, mask)
    a, b = (t.predicate(operand) for operand in step.operands[1:])
    t.write(step.operands[0], LOGIC[step.words[0]](a, b), mask)
    return None


def complement(t: Threads, step: Step, mask: Mask) -> None:
    (negate_predicate if step.words[-1] == "pred" else unary)(t, step, mask)


def multiply_or_binary(t: Threads, step: Step, mask: Mask) -> None:
    (binary if step.words[-1][0] == "f" else multiply)(t, step, mask)


def count_leading_zeros(t: Threads, step: Step, mask: Mask) -> None:
    x = t.read(step.operands[1], step.words[-1])
    bits = 8 * x.dtype.itemsize
    t.write(step.operands[0], np.array([bits - int(each).bit_length() for each in x], np.uint32), mask)


def move(t: Threads, step: Step, mask: Mask) -> None:
    """A register to another, or to two halves and back. An accumulator in flight stays so."""
    target, origin = step.operands
    type_ = step.words[-1]
    if isinstance(target, tuple):
        part = f"b{int(type_[1:]) // len(target)}"
        pieces = t.read(origin, type_).view(TYPES[part]).reshape(len(t), len(target))
        for register, values in zip(target, pieces.T, strict=True):
            t.write(register, np.ascontiguousarray(values), mask)
    elif isinstance(origin, tuple):
        part = f"b{int(type_[1:]) // len(origin)}"
        joined = np.stack([t.read(register, part) for register in origin], 1)
        t.write(target, joined.view(TYPES[type_]).ravel(), mask)
    elif type_ == "pred":
        t.write(target, t.predicate(origin), mask)
    elif isinstance(origin, Register) and origin.name in t.in_flight:
        group = t.in_flight[origin.name]
        t.write(target, t.registers[origin.name], mask)
        assert isinstance(target, Register)
        t.in_flight[target.name] = group
    else:
        t.write(target, t.read(origin, type_), mask)


STEPS: dict[str, Callable[[Threads, Step, Mask], None]] = {
    **dict.fromkeys(("add", "sub", "div", "rem", "min", "max", "copysign"), binary),
    **dict.fromkeys(("and", "or", "xor"), logic),
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(("shl", "shr"), shift),
    "mul": multiply_or_binary,
    "mad": multiply,
    "fma": fused,
    "not": complement,
    "shf": funnel_shift,
    "prmt": permute,
    "bfi": insert_bits,
    "bfe": extract_bits,
    "selp": select,
    "setp": compare,
    "cvt": convert,
    "clz": count_leading_zeros,
    "mov": move,
}

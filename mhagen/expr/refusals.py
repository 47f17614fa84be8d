"""What Python asks of a value that is only known when a kernel runs, and what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from ..base.errors import Diagnostic, MhagenError
from .tree import FUNCTIONS


class TraceError(MhagenError):
    """A function does what no expression can do; raised in the line that does it."""

    exit_code = 2


def refusal(code: str, message: str, label: str, remedy: str = "") -> TraceError:
    """The error of one mistake."""
    return TraceError((Diagnostic(code, message, label, remedy),))


# Functions of expressions that have another name in Python, where min and max ask their operands for a bool.
PYTHON_NAMES = {"min": "minimum", "max": "maximum"}
VOCABULARY = ", ".join(f"mhagen.{PYTHON_NAMES.get(name, name)}" for name in FUNCTIONS)
# What PyTorch and NumPy call by other names.
_ELSEWHERE = {
    **{name: f"mhagen.{PYTHON_NAMES.get(name, name)}" for name in FUNCTIONS},
    **dict.fromkeys(("minimum", "fmin", "amin"), "mhagen.minimum"),
    **dict.fromkeys(("maximum", "fmax", "amax", "relu"), "mhagen.maximum"),
    **dict.fromkeys(("clamp", "clip"), "mhagen.minimum and mhagen.maximum"),
    **dict.fromkeys(("absolute", "fabs"), "mhagen.abs"),
    **dict.fromkeys(("logical_and", "bitwise_and"), "&"),
    **dict.fromkeys(("logical_or", "bitwise_or"), "|"),
    **dict.fromkeys(("logical_not", "bitwise_not"), "~"),
    # Asked for by FlexAttention's own functions of masks.
    **dict.fromkeys(
        ("new_ones", "new_zeros"), "f(b, h, q, k) & g(b, h, q, k) for and_masks(f, g), | for or_masks"
    ),
    "pow": "**",
    "remainder": "%",
}


def foreign(library: str, name: str) -> TraceError:
    """The error of a function of another library."""
    if name in _ELSEWHERE:
        label, remedy = f"write {_ELSEWHERE[name]}", ""
    else:
        label, remedy = "there are operators and", VOCABULARY
    return refusal("foreign-function", f"{library}.{name} cannot be traced", label, remedy)


def _refused(code: str, message: str, label: str, remedy: str = "") -> Callable[..., Any]:
    def refuse(self: object, *_: object, **__: object) -> NoReturn:
        raise refusal(code, message, label, remedy)

    return refuse


def _operator(spelling: str, remedy: str) -> Callable[..., Any]:
    return _refused("not-in-language", f"expressions have no operator `{spelling}`", remedy)


def _number(asked: str) -> Callable[..., Any]:
    message = f"{asked} needs a number, and this value is only known when the kernel runs"
    return _refused("not-yet-a-number", message, "leave it out; of other modules' functions, use", VOCABULARY)


def _sequence(asked: str) -> Callable[..., Any]:
    return _refused("not-a-sequence", f"{asked} needs a sequence", "this is one number", "an index gives one")


class Refusals:
    """What no traced value answers, and nothing else."""

    __slots__ = ()

    __bool__ = _refused(
        "not-yet-decided",
        "`if`, `and`, `or`, `not`, `in`, chained comparisons, min() and max() ask what is only known when "
        "the kernel runs",
        "write mhagen.where(condition, x, y), &, |, ~, (a < b) & (b < c), mhagen.minimum, mhagen.maximum",
        "& and | bind tighter than comparisons, so put these into parentheses",
    )
    __float__ = _number("a function of `math`, or float(),")
    __int__ = _number("int()")
    __complex__ = _number("complex()")
    __round__ = _number("round()")
    __trunc__ = _number("math.trunc()")
    __ceil__ = _number("math.ceil()")
    __hash__ = _refused(
        "not-yet-a-number",
        "a dict or a set needs a key, and this value is only known when the kernel runs",
        "declare an array under inputs=, take it as a parameter of the function, and index it",
    )
    __index__ = _refused(
        "not-yet-a-number",
        "range(), and an index into a list or an array from outside, need an integer, and this value is only "
        "known when the kernel runs",
        "declare the array under inputs=, take it as a parameter of the function, and index that",
    )
    __array__ = __index__
    __len__ = _sequence("len()")
    __iter__ = _sequence("a loop or an unpacking")
    __contains__ = _sequence("`in`")
    __setitem__ = _refused(
        "not-in-language", "expressions change no arrays", "return the new value from the function"
    )
    __xor__ = __rxor__ = _operator("^", "write ** for a power, != between conditions")
    __matmul__ = __rmatmul__ = _operator("@", "write *")
    __lshift__ = __rlshift__ = _operator("<<", "write * 2 ** n")
    __rshift__ = __rrshift__ = _operator(">>", "write // 2 ** n")
    __divmod__ = __rdivmod__ = _operator("divmod", "write // and %")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # Python and NumPy look for their protocols, and do without
            raise AttributeError(name)
        label = f"write {_ELSEWHERE[name]}" if name in _ELSEWHERE else "there are operators and"
        remedy = "" if name in _ELSEWHERE else VOCABULARY
        raise refusal("no-such-attribute", f"traced values have no attribute `{name[:64]}`", label, remedy)

"""What is timed beside a kernel: other software that does the same work, each in its best form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..backend.acceptance import distance
from ..base.dtypes import DType
from ..base.errors import UnsupportedError, VerificationError
from .measure import Candidate, interleave
from .problem import Array, Problem

# How far a peer may be from us, relative to max(1, the greatest): both round, in the products and at the end.
TOLERANCES = {DType.FLOAT32: 2e-5, DType.FLOAT64: 1e-9, DType.BFLOAT16: 2e-2, DType.FLOAT16: 3e-3}
Result = TypeVar("Result")
ROUNDS_OF_A_RACE = 3  # between the forms of a peer
REASON_LENGTH = 160
# What Python raises where a program is wrong. A peer that will not do something raises others.
FAULTS = (AssertionError, AttributeError, LookupError, MemoryError, NameError, TypeError)


@dataclass(frozen=True)
class Ready:
    """A form that was made for one problem: `run` is what is timed, `read` makes of its result an array.

    Shapes   of the array, float32 or float64: as the kernel's result
    """

    run: Candidate
    read: Callable[[Any], Array]


def is_attention(problem: Problem) -> bool:
    """What most forms are for."""
    return not problem.is_layer


@dataclass(frozen=True)
class Form:
    """One way to have a peer do the work, on so many threads.

    make      raises UnsupportedError, with the reason, if the peer lacks what the problem asks for
    is_for    whether it is worth a try: other forms of the peer are for other problems
    """

    name: str
    make: Callable[[Problem, int], Ready]
    is_for: Callable[[Problem], bool] = is_attention


@dataclass(frozen=True)
class Peer:
    """Software that is installed, in all the forms in which it might be fastest."""

    name: str
    forms: tuple[Form, ...]


@dataclass(frozen=True)
class Absent:
    """A peer that takes no part, and why.  is_fault: because of its adapter here."""

    name: str
    reason: str
    is_fault: bool = False


@dataclass(frozen=True)
class Chosen:
    """The fastest form of a peer whose result is right, and what has kept the others out.

    is_fault   some are kept out by their adapter here
    """

    name: str
    form: str
    run: Candidate
    error: float
    left_out: tuple[str, ...]
    is_fault: bool = False


def best_form(peer: Peer, problem: Problem, threads: int, expected: Array) -> Chosen | Absent:
    """Make all forms of a peer, compare each with the expected result once, and race those that are right."""
    forms = [form for form in peer.forms if form.is_for(problem)]
    if not forms:
        return Absent(
            peer.name, f"it does not do {'a whole layer' if problem.is_layer else 'attention alone'}"
        )
    tried = {form.name: attempt(form, problem, threads, expected) for form in forms}
    right = {name: found for name, found in tried.items() if not isinstance(found, Exception)}
    errors = {name: found for name, found in tried.items() if isinstance(found, Exception)}
    reasons = {name: reason(error) for name, error in errors.items()}
    is_fault = any(isinstance(error, FAULTS) for error in errors.values())
    if not right:
        return Absent(peer.name, joined(reasons), is_fault)
    name = fastest({name: run for name, (run, _) in right.items()})
    run, error = right[name]
    left_out = tuple(f"{form}: {why}" for form, why in reasons.items())
    return Chosen(peer.name, name, run, error, left_out, is_fault)


def attempt(
    form: Form, problem: Problem, threads: int, expected: Array
) -> tuple[Candidate, float] | Exception:
    """What to time and how far its result is from the expected one; or why there is nothing to time."""

    def work() -> tuple[Candidate, float]:
        ready = form.make(problem, threads)
        error = distance(ready.read(ready.run()), expected)
        require_close(error, problem.spec.dtype)
        return ready.run, error

    return tried(work)


def tried(work: Callable[[], Result]) -> Result | Exception:
    """What the work of foreign software gives, or what it raises."""
    try:
        return work()
    except Exception as error_of_peer:
        return error_of_peer


def require_close(error: float, dtype: DType) -> None:
    """Raises   VerificationError unless the error is within the tolerance of the format."""
    allowed = TOLERANCES[dtype]
    if not error <= allowed:
        raise VerificationError(f"its result differs by {error:.1e}, and {allowed:.0e} is allowed")


def reason(error: Exception) -> str:
    """An error of foreign software, in a line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    known = isinstance(error, UnsupportedError | VerificationError)
    text = first if known else f"{type(error).__name__}: {first}"
    if isinstance(error, FAULTS):
        text = f"its adapter is wrong, which is a bug in mhagen: {text}"
    return text if len(text) <= REASON_LENGTH else f"{text[:REASON_LENGTH]} ..."


def joined(reasons: Mapping[str, str]) -> str:
    """The reasons of all forms, those that are the same told once."""
    if len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{form}: {why}" for form, why in reasons.items())


def fastest(forms: Mapping[str, Candidate]) -> str:
    if len(forms) == 1:
        return next(iter(forms))
    timings = interleave(forms, ROUNDS_OF_A_RACE)
    return min(timings, key=lambda name: timings[name].median)

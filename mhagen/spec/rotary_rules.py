"""Whether the keys of [projections.rotary] fit together, and to the heads."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.errors import Diagnostic
from ..base.turning import Scaling
from .given import Given
from .problems import KeyPath, Problem
from .projections import READ_BY, RotaryScaling

ROTARY = ("projections", "rotary")
SCALING = (*ROTARY, "scaling")
# What a scaling that reads it has to be given, and an example.
NEEDED = {"factor": "8.0", "original_max_position_embeddings": "8192"}
# What is smaller, what is greater.
RAMPS = (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast"))


def rotary_problems(given: Given) -> Iterator[Problem]:
    """Every rule about rotary positions that is broken."""
    if given.at(*ROTARY) is None:
        return
    yield from _turns_pairs(given)
    yield from _turns_what_is_there(given)
    kind = _kind(given)
    if kind is not None:
        yield from _scaling_has_its_keys(given, kind)
    if kind in (Scaling.NTK, Scaling.DYNAMIC):
        yield from _stretches_more_than_a_pair(given)


def _kind(given: Given) -> Scaling | None:
    kind = given.at(*SCALING, "type")
    if isinstance(kind, Scaling):
        return kind
    return Scaling(kind) if isinstance(kind, str) else None


def _dim(given: Given) -> tuple[KeyPath, int | None]:
    """How many numbers of a head turn, and the key that says so."""
    if given.at(*ROTARY, "dim") is not None:
        return (*ROTARY, "dim"), given.integer(*ROTARY, "dim")
    return ("heads", "dim"), given.integer("heads", "dim")


def _turns_pairs(given: Given) -> Iterator[Problem]:
    path, dim = _dim(given)
    if dim is not None and dim % 2:
        message = f"rotary positions turn pairs of numbers, and {'.'.join(map(str, path))} = {dim} is odd"
        yield Problem(path, Diagnostic("rotary-needs-even-dim", message, f"{dim - 1} or {dim + 1}"))


def _turns_what_is_there(given: Given) -> Iterator[Problem]:
    dim, width = given.integer(*ROTARY, "dim"), given.integer("heads", "dim")
    if dim is not None and width is not None and dim > width:
        message = f"{dim} numbers of a head turn, and a head has {width}"
        diagnostic = Diagnostic("rotary-wider-than-heads", message, f"at most heads.dim = {width}")
        yield Problem((*ROTARY, "dim"), diagnostic, see=("heads", "dim"))


def _scaling_has_its_keys(given: Given, kind: Scaling) -> Iterator[Problem]:
    table = given.table(*SCALING)
    for key in table:
        if kind not in READ_BY.get(str(key), (kind,)):
            types = " and ".join(each.value for each in READ_BY[str(key)])
            message = f"scaling of type {kind.value} has no {key}"
            diagnostic = Diagnostic("wrong-scaling-key", message, "drop it", f"it is for {types}")
            yield Problem((*SCALING, str(key)), diagnostic, on_key=True)
    for key, example in NEEDED.items():
        if kind in READ_BY[key] and key not in table:
            message = f"scaling of type {kind.value} has no {key}"
            diagnostic = Diagnostic("missing-key", message, "add it", f"{key} = {example}")
            yield Problem(SCALING, diagnostic, on_key=True)
    for low, high in RAMPS:
        yield from _ramp_rises(given, low, high)


def _ramp_rises(given: Given, low: str, high: str) -> Iterator[Problem]:
    least, most = _number(given, low), _number(given, high)
    if least is not None and most is not None and least >= most:
        written = low if given.at(*SCALING, low) is not None else high
        message = f"{low} = {least} is not below {high} = {most}"
        diagnostic = Diagnostic("ramp-does-not-rise", message, f"{low} has to be below {high}")
        yield Problem((*SCALING, written), diagnostic)


def _number(given: Given, key: str) -> float | None:
    """What a key of the scaling says, or its default."""
    if key not in given.table(*SCALING):
        return float(RotaryScaling.model_fields[key].default)
    value = given.at(*SCALING, key)
    return float(value) if isinstance(value, int | float) else None


def _stretches_more_than_a_pair(given: Given) -> Iterator[Problem]:
    path, dim = _dim(given)
    if dim == 2:
        message = "one pair alone cannot turn more slowly by a greater base"
        diagnostic = Diagnostic("rotary-too-narrow", message, "4 or more; or scaling of type linear")
        yield Problem(path, diagnostic)

"""The part of the model that speaks of masks: what a tile looks like, and which keys are worth a look."""

from __future__ import annotations

from dataclasses import dataclass

Lines = tuple[str, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class ExtentModel:
    """One function that bounds the elements of a captured array."""

    name: str
    load: str
    bytes: int
    is_real: bool
    note: str


@dataclass(frozen=True)
class ViewModel:
    """Visibility: how tiles are classified."""

    masked: bool
    parameters: Names
    text_lines: Lines
    interval_lines: Lines
    interval_result: str


@dataclass(frozen=True)
class KeepModel:
    """How values of hidden keys are kept out, where any are hidden."""

    masked: bool
    finite_totals: tuple[tuple[str, str], ...]  # the name of a sum, and the load of a vector of values
    finite_total: str
    whole_columns: str  # the bytes of a row of values that are read in whole vectors
    loads_tail: bool


@dataclass(frozen=True)
class ReachModel:
    """The function that bounds the keys that some queries can see. Not there: the mask gives none."""

    is_there: bool
    parameters: Names
    lines: Lines
    first: str
    end: str
    task_parameters: Names  # of the same in whole score tiles, for a task
    whole: str  # whether all keys are gone through, which may be none

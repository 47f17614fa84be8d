"""What the templates of second passes over the scores are filled with: all decided, all named."""

from __future__ import annotations

from dataclasses import dataclass

from .model import ConstantLine, Lines, Names


@dataclass(frozen=True)
class LeaderModel:
    """A statistic that is keys."""

    name: str
    count: int


@dataclass(frozen=True)
class GpuLeadModel:
    """The kernel for the keys with the greatest scores, of one kind of heads, if anybody asks."""

    is_there: bool
    first_lines: Lines  # how the first block of keys is found,
    next_lines: Lines  # and the next one
    move_lines: Lines  # the next block becomes this one
    is_whole: str  # the condition that all queries see all keys of this block


@dataclass(frozen=True)
class GpuReceiveModel:
    """The kernel for what each key receives, of one kind of heads, if anybody asks."""

    is_there: bool
    tile_parameters: Names  # of next_tile()
    first_lines: Lines  # how the first tile of queries is found,
    next_lines: Lines  # and the next one
    move_lines: Lines
    is_whole: str


@dataclass(frozen=True)
class SecondKindModel:
    """What second passes are for one kind of heads."""

    lead: GpuLeadModel
    receive: GpuReceiveModel


@dataclass(frozen=True)
class GpuSecondModel:
    """Second passes over the scores. Not there: every statistic is made in the first."""

    is_there: bool
    fragments: str  # Numba's type of what is held of queries
    constants: tuple[ConstantLine, ...]  # what they are compiled with, in place of the module's
    leads: bool  # does somebody ask for the keys with the greatest scores,
    receives: bool  # and for what keys receive?
    lead_signature: str
    lead_parameters: Names
    results: tuple[LeaderModel, ...]
    result_parameters: Names  # of what writes them
    receive_signature: str
    receive_parameters: Names

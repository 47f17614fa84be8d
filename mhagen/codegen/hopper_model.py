"""What the templates of CUDA kernels for Hopper are filled with: all decided, all named."""

from __future__ import annotations

from dataclasses import dataclass

from .gpu_model import (
    BeforeModel,
    CellsModel,
    CopyModel,
    DecodeModel,
    FinishModel,
    GpuEntryModel,
    ViewModel,
)
from .gpu_second_model import GpuSecondModel
from .model import ConstantGroup, Lines, Names


@dataclass(frozen=True)
class CalledModel:
    """An instruction, by what it is for here."""

    name: str
    text: str


@dataclass(frozen=True)
class HopperKernelModel:
    """One kernel for Hopper, those of decoding, and what people call."""

    name: str
    target: str
    signature: str
    parameters: Names
    called: tuple[CalledModel, ...]
    mma: str  # of decoding, as the next two
    copies: tuple[CopyModel, ...]
    keeps_queries: bool
    pack: str
    exponent: str  # the bits of a number's exponent, in both halves
    carry: str  # added to it, overflows where the exponent has all bits
    unpack: str
    to_bits: str
    before: BeforeModel
    cell_functions: tuple[CellsModel, ...]  # of this kernel and of decoding, those that are there and differ
    modify: CellsModel
    hide: CellsModel
    infinities: CellsModel
    infinity_functions: tuple[CellsModel, ...]  # of this kernel and of decoding, those that differ
    view: ViewModel
    decode: DecodeModel
    second: GpuSecondModel
    first_lines: Lines  # how the first block of keys is found,
    next_lines: Lines  # the next one, by those who copy,
    later_lines: Lines  # and by those who multiply
    move_lines: Lines  # the next block becomes this one
    is_whole: str  # the condition that all queries see all keys of this block
    keeps_gaps: bool
    started: Names  # the sums of a row
    weighed: Names  # what weigh() reads and writes
    produced: Names  # what those who copy need for a tile,
    multiplied: Names  # and those who multiply
    takes_turns: bool  # do groups multiply one after the other?
    made: Names  # what weights are made of
    mended: Names  # what is needed to take values out that are not finite
    finish: FinishModel
    entry: GpuEntryModel


@dataclass(frozen=True)
class HopperModuleModel:
    """A module of a CUDA kernel for Hopper."""

    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    kernel: HopperKernelModel

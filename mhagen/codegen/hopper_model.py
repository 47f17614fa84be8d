"""What the templates of CUDA kernels for Hopper are filled with: all decided, all named."""

from __future__ import annotations

from dataclasses import dataclass

from .gpu_model import (
    CellsModel,
    ClearModel,
    CopyModel,
    DecodeModel,
    GpuEntryModel,
    GpuLayerModel,
    HeadsModel,
)
from .gpu_second_model import GpuSecondModel
from .model import ConstantGroup, Lines, Names


@dataclass(frozen=True)
class CalledModel:
    """An instruction, by what it is for here."""

    name: str
    text: str


@dataclass(frozen=True)
class HopperKindModel(HeadsModel):
    """What is compiled for one kind of heads: some threads copy, others multiply."""

    copied_lines: Lines  # how the first block of keys is found by those who copy,
    next_lines: Lines  # and the next one
    first_lines: Lines  # the same by those who multiply
    later_lines: Lines
    move_lines: Lines  # the next block becomes this one
    is_whole: str  # the condition that all queries see all keys of this block
    produced: Names  # what those who copy need for a tile,
    multiplied: Names  # and those who multiply
    made: Names  # what weights are made of
    mended: Names  # what is needed to take values out that are not finite


@dataclass(frozen=True)
class HopperKernelModel:
    """The kernels for Hopper of all kinds of heads, those of decoding, and what people call."""

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
    masked: bool  # has any kind of heads a mask?
    cell_functions: tuple[CellsModel, ...]  # of many and few queries, those that are there and differ
    infinity_functions: tuple[CellsModel, ...]  # of many and few queries, those that differ
    kinds: tuple[HopperKindModel, ...]
    decode: DecodeModel
    second: GpuSecondModel
    clear: ClearModel
    keeps_gaps: bool
    shifts: bool  # do scores lack what the keys of a row have in common?
    started: Names  # the sums of a row
    weighed: Names  # what weigh() reads and writes
    takes_turns: bool  # do groups multiply one after the other?
    entry: GpuEntryModel


@dataclass(frozen=True)
class HopperModuleModel:
    """A module of a CUDA kernel for Hopper."""

    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    kernel: HopperKernelModel
    layer: GpuLayerModel

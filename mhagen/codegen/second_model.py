"""What a template receives for statistics that need a second pass over the scores."""

from __future__ import annotations

from dataclasses import dataclass

from .part_model import SwitchModel

Lines = tuple[str, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class SecondTile:
    """One function that scores a register tile once more: one seen whole, or one seen in part."""

    name: str
    doc: str
    parameters: Names
    key_rows: Lines  # the address of each key, as text
    lines: Lines  # products into what is made of them


@dataclass(frozen=True)
class SecondBlock:
    """A function that goes through the tiles of a block of keys for one group of queries."""

    name: str
    doc: str
    parameters: Names
    masked: bool
    visibility: str
    view_of_tile: Names
    full: str
    full_arguments: Names
    partial: str
    partial_arguments: Names


@dataclass(frozen=True)
class SecondWalk:
    """A function of a part of the heads: through all groups of queries, or all blocks of keys, one by one."""

    name: str
    parameters: Names
    has_position: bool
    masked: bool
    visibility: str
    view_of_block: Names
    start_lines: Lines  # how a group of queries is packed
    block: str
    block_arguments: Names
    reaches: bool  # it begins and ends where the mask says
    reached: str
    reach_arguments: Names


@dataclass(frozen=True)
class ReceiveModel:
    """What each key receives. Not there: nobody asks for it."""

    is_there: bool
    walks: tuple[SecondWalk, ...]
    switches: tuple[SwitchModel, ...]
    parameters: Names
    arguments: Names
    reads_positions: bool


@dataclass(frozen=True)
class LeadModel:
    """The keys with the greatest scores of each query. Not there: nobody asks for them."""

    is_there: bool
    walks: tuple[SecondWalk, ...]
    result_lines: Lines
    switches: tuple[SwitchModel, ...]
    parameters: Names
    arguments: Names
    address_lines: Lines
    reads_positions: bool


@dataclass(frozen=True)
class SecondKernel:
    """A kernel of a second pass, and the function that runs it behind attend()."""

    kernel: str
    name: str
    functions: Names
    parameters: Names
    arguments: Names
    layer_arguments: Names
    kernel_arguments: Lines
    tasks: str


@dataclass(frozen=True)
class SecondModel:
    """All second passes. Not there: every statistic is made in the first."""

    is_there: bool
    vectors: tuple[int, ...]  # of a group of queries
    places: Lines
    tiles: tuple[SecondTile, ...]
    blocks: tuple[SecondBlock, ...]
    array_lines: Lines  # that make the arrays of results
    receive: ReceiveModel
    lead: LeadModel
    kernels: tuple[SecondKernel, ...]

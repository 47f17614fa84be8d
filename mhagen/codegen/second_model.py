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
    lines: Lines  # products into what keys receive


@dataclass(frozen=True)
class SecondPart:
    """The functions of one part of the heads."""

    tiles: tuple[SecondTile, ...]
    group_name: str  # of the function that goes through the keys of a block for one group of queries
    group_parameters: Names
    name: str  # of the one that goes through the queries
    parameters: Names
    has_position: bool
    masked: bool
    visibility: str
    view_of_group: Names
    view_of_tile: Names
    full: str
    full_arguments: Names
    partial: str
    partial_arguments: Names
    start_lines: Lines  # how a group of queries is packed


@dataclass(frozen=True)
class SecondModel:
    """The kernel of a second pass. Not there: every statistic is made in the first."""

    is_there: bool
    vectors: tuple[int, ...]  # of a group of queries
    places: Lines
    parts: tuple[SecondPart, ...]
    switches: tuple[SwitchModel, ...]
    parameters: Names
    arguments: Names
    reads_positions: bool
    array_lines: Lines  # that make the arrays of results
    receive_parameters: Names
    receive_arguments: Names
    layer_arguments: Names
    kernel_arguments: Lines

"""What a template receives: everything decided, everything named.

The fields of KernelModel and the variables of the templates are equal sets.
"""

from __future__ import annotations

from dataclasses import dataclass

Lines = tuple[str, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class ConstantLine:
    """One line `NAME = text  # comment` at the top of a module."""

    name: str
    text: str
    comment: str


@dataclass(frozen=True)
class ConstantGroup:
    """Constants under one heading."""

    title: str
    entries: tuple[ConstantLine, ...]


@dataclass(frozen=True)
class SupportImport:
    """Names that a module takes from one file of the runtime support beside it."""

    module: str
    names: Names


@dataclass(frozen=True)
class ScoreVariant:
    """One function that scores a register tile: for tiles seen whole, and for those seen in part."""

    name: str
    doc: str
    parameters: Names
    key_rows: Lines  # the address of each key, as text
    comment: str
    lines: Lines  # products into scores and visibility
    peak_lines: Lines
    rises: str
    weight_lines: Lines


@dataclass(frozen=True)
class ValueTile:
    """One function that adds weighted values to a register tile of some columns."""

    name: str
    columns: int
    vectors: tuple[int, ...]
    loads: Lines


@dataclass(frozen=True)
class ValueColumn:
    """The call of a value tile for some columns; under a mask, for some rows of the block."""

    name: str
    arguments: Names
    masked_arguments: Names


@dataclass(frozen=True)
class TileModel:
    """The register tiles of the attention kernel."""

    key_rows: tuple[int, ...]
    query_vectors: tuple[int, ...]
    value_rows: tuple[int, ...]
    dim_tail: bool
    value_tail: bool
    score_variants: tuple[ScoreVariant, ...]
    value_tiles: tuple[ValueTile, ...]
    value_columns: tuple[ValueColumn, ...]
    shrink: str  # by what all is rescaled when maxima have been raised
    run_loads: tuple[tuple[str, str, str], ...]  # name, load, take of functions that read neighbours
    extents: tuple[tuple[str, str, int], ...]  # name, load, bytes of functions that bound captured arrays


@dataclass(frozen=True)
class KeepModel:
    """Visibility: how tiles are classified, and how values of hidden keys are kept out."""

    masked: bool
    parameters: Names
    text: str
    interval_lines: Lines
    interval_result: str
    value_loads: Lines


@dataclass(frozen=True)
class BlockModel:
    """The parameters of attend_block and its parts, and the arguments of what they call."""

    parameters: Names
    score_parameters: Names
    score_arguments: Names
    rows_parameters: Names
    rows_arguments: Names
    view_of_block: Names
    view_of_tile: Names
    view_of_last_rows: Names
    view_of_first_rows: Names
    full_arguments: Names
    partial_arguments: Names


@dataclass(frozen=True)
class TaskModel:
    """The entry point of the kernel."""

    parameters: Names
    writes_lse: bool
    lse: str
    reads_positions: bool
    block_arguments: Names
    finish_parameters: Names
    finish_arguments: Names


@dataclass(frozen=True)
class LinearModel:
    """The register tile and entry point of the layer's products."""

    rows: tuple[int, ...]
    vectors: tuple[int, ...]
    parameters: Names
    tile_parameters: Names
    tile_arguments: Names


@dataclass(frozen=True)
class AttentionModel:
    """The function attention() and how it reaches the kernel."""

    doc_lines: Lines
    parameters: Names
    bind_lines: Lines
    view_lines: Lines
    statistics: Names
    attend_parameters: Names
    attend_arguments: Names
    kernel_arguments: Lines
    returns: str


@dataclass(frozen=True)
class ProductModel:
    """One product of the layer: its name in the module and the texts of its parts."""

    name: str
    depth: str
    parts: Lines


@dataclass(frozen=True)
class LayerModel:
    """The functions layer() and prepare()."""

    products: tuple[ProductModel, ...]
    prepare_arguments: Names
    prepare_doc_lines: Lines
    doc_lines: Lines
    parameters: Names
    bind_lines: Lines
    project_lines: Lines
    attend_arguments: Names
    returns: str


@dataclass(frozen=True)
class KernelModel:
    """A whole module."""

    name: str
    target: str
    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    support_imports: tuple[SupportImport, ...]
    functions: Names
    tile: TileModel
    keep: KeepModel
    block: BlockModel
    task: TaskModel
    attention: AttentionModel
    has_layer: bool
    linear: LinearModel
    layer: LayerModel

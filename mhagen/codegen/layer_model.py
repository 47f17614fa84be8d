"""What a template receives for a layer: its products, and the functions people call."""

from __future__ import annotations

from dataclasses import dataclass

Lines = tuple[str, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class LinearModel:
    """The register tile and entry point of the layer's products."""

    dtype: str
    pairs: bool
    splits: bool  # partial sums may lie in the output
    step: int  # bytes of x that one step of a product reads
    out_bytes: int
    store_first: str
    stored_vector: str
    rows: tuple[int, ...]
    vectors: tuple[int, ...]
    parameters: Names
    tile_parameters: Names
    tile_arguments: Names
    functions: Names
    turning_arguments: Names


@dataclass(frozen=True)
class FinishModel:
    """What becomes of the heads of queries and keys between their product and memory."""

    is_there: bool
    norms: bool
    turns: bool
    rests: bool  # heads have numbers that do not turn
    first_rest: str
    parameters: Names
    tail_parameters: Names
    prepare_lines: Lines
    arguments: Names
    tail_arguments: Names
    store_first: str
    out_bytes: int
    scratch_bytes: str
    places_doc: str


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

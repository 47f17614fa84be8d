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
    rows: tuple[int, ...]
    vectors: tuple[int, ...]
    parameters: Names
    tile_parameters: Names
    tile_arguments: Names


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

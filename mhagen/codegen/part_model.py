"""What a template receives for one part of the heads: all of them, or those of which the same is said."""

from __future__ import annotations

from dataclasses import dataclass

from .mask_model import ReachModel, ViewModel

Lines = tuple[str, ...]
Names = tuple[str, ...]


@dataclass(frozen=True)
class ScoreVariant:
    """One function that scores a register tile: for tiles seen whole, and for those seen in part."""

    name: str
    doc: str
    parameters: Names
    is_narrow: bool  # for one vector of a group, the one at `lane`
    vectors: tuple[int, ...]
    places: Lines  # of each vector in a row of the group, as text
    key_rows: Lines  # the address of each key, as text
    comments: Lines
    lines: Lines  # products into scores and visibility
    peak_lines: Lines
    rises: str
    weight_lines: Lines


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
    narrow_full_arguments: Names
    narrow_partial_arguments: Names
    narrow_seen_arguments: Names
    vector_parameters: Names
    vector_arguments: Names
    view_of_vector: Names


@dataclass(frozen=True)
class SinkModel:
    """The function that makes the sink's logit, and how it joins the sums."""

    is_there: bool
    name: str
    doc: str
    text: str
    parameters: Names
    arguments: Names
    lines: Lines
    result: str
    joins: Lines


@dataclass(frozen=True)
class RowsModel:
    """Decoding: how rows of queries are scored, weighed and merged."""

    pack: str
    pack_tail: str
    score_parameters: Names
    score_lines: Lines
    score_arguments: Names
    row_lines: Lines
    weight: str
    views: bool  # whole tiles are classified; not where the mask differs between heads
    always_partial: bool
    rows_parameters: Names
    rows_arguments: Names
    values_parameters: str
    values_arguments: Names
    span: str  # how many chunks are tasks, as text
    reaches: bool  # not all of them
    reach_parameters: Names
    reaches_by_head: bool  # heads that are computed together differ in which
    reach_of_head: Names
    head_of_member: str
    span_parameters: Names
    sets_of_span: str
    set_lines: Lines
    view_of_chunk: Names
    view_of_keys: Names
    chunk_parameters: Names
    factor: str
    finish_lines: Lines
    sink: SinkModel
    merge_parameters: Names


@dataclass(frozen=True)
class PartModel:
    """The functions of one part. Suffix: what their names end with, where there are others."""

    suffix: str
    scale: str  # what follows the arguments of transpose
    headroom: str
    lift: str
    shrink: str  # by what all is rescaled when maxima have been raised
    rescale_lines: Lines
    score_variants: tuple[ScoreVariant, ...]
    view: ViewModel
    reach: ReachModel
    block: BlockModel
    sink: SinkModel
    sums_parameters: Names
    sums_of_block: Names
    finish_lines: Lines
    finish_parameters: Names
    decode: RowsModel


@dataclass(frozen=True)
class CaseModel:
    """What is called for heads of one kind."""

    kind: int
    call: str
    arguments: Names


@dataclass(frozen=True)
class SwitchModel:
    """A function that calls the one of the part that a head belongs to."""

    name: str
    doc: str
    parameters: Names
    cases: tuple[CaseModel, ...]
    last_lines: Lines


@dataclass(frozen=True)
class OrderModel:
    """In which order heads are computed. Not there: all of them, one after the other."""

    is_there: bool
    prunes: bool
    is_uneven: bool  # bundles differ in how many members they have
    kept_heads: str
    seat_lines: Lines
    seat: str  # the place of a head's output
    next_lines: Lines
    next_seat: str
    head_lines: Lines
    turn_doc: str
    turn_lines: Lines
    turn_results: str
    next_results: str
    bundle_doc: str
    bundle_lines: Lines
    bundle_results: str
    clear_doc: str
    clear_parameters: Names
    clear_arguments: Names
    clear_all_parameters: Names
    cleared_rows: str
    blind: tuple[tuple[str, str], ...]  # the statistics of a query that sees no key

"""What a template receives: everything decided, everything named.

The fields of KernelModel and the variables of the templates are equal sets.
"""

from __future__ import annotations

from dataclasses import dataclass

from .layer_model import FinishModel, LayerModel, LinearModel
from .mask_model import ExtentModel, KeepModel
from .part_model import OrderModel, PartModel, SwitchModel
from .second_model import SecondModel

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
class NumbersModel:
    """The formats of a kernel, as the words that read, multiply and write them."""

    computed: str
    pairs: bool
    staged: bool
    realigns: bool
    bytes: int  # of a computed number
    step: int  # bytes of a key that one step of a product reads
    load_key: str
    load_line: str  # reads packed queries, weights of values, staged values
    multiply: str
    zero: str  # what every value is multiplied by to see whether it is finite
    transpose: str
    pack_note: str
    staged_parameter: str
    row_vector: str  # the constant that has the bytes of LANES stored numbers
    load: str
    load_first: str
    fetch: str  # brings what comes next near: two heads of 16 bits fit the first cache, of 32 do not
    store: str
    store_first: str
    line_of_row: str  # the line of weights that a row of keys has
    line_of_end: str
    line_of_tile_end: str
    line_of_low: str
    line_of_partial: str
    lines_of_block: str
    lines_seen: str
    lines_partial: str


@dataclass(frozen=True)
class ValueTile:
    """One function that adds weighted values to a register tile of some columns."""

    name: str
    columns: int
    vectors: tuple[int, ...]
    loads: Lines
    stores: tuple[tuple[str, str, str], ...]  # word, place, and what follows the value


@dataclass(frozen=True)
class ValueColumn:
    """The call of a value tile for some columns."""

    name: str
    arguments: Names


@dataclass(frozen=True)
class DepthSpan:
    """Steps of a product that are summed by themselves."""

    steps: str  # the arguments of range()
    is_more: bool  # others came before


@dataclass(frozen=True)
class TileModel:
    """The register tiles of the attention kernel."""

    key_rows: tuple[int, ...]
    spans: tuple[DepthSpan, ...]  # of the products of queries and keys
    value_rows: tuple[int, ...]
    value_rows_up: tuple[int, ...]  # from the last to the first
    depth_tail: bool  # of packed queries
    dim_tail: bool  # of rows of queries and keys
    value_tail: bool
    packed_width: str  # how many of a group's queries are packed
    has_narrow: bool  # one of them is for queries that fit one vector
    value_tiles: tuple[ValueTile, ...]
    value_columns: tuple[ValueColumn, ...]
    value_parameters: Names
    run_loads: tuple[
        tuple[str, str, str, int], ...
    ]  # name, load, take, bytes of functions that read neighbours
    extents: tuple[ExtentModel, ...]
    bounds_runs: bool  # of captured arrays of int32
    bounds_reals: bool


@dataclass(frozen=True)
class TaskModel:
    """The entry point of the kernel."""

    parameters: Names
    statistics: Names
    kept_rows: tuple[tuple[str, str], ...]  # beside the sums of a group, and what they start from
    keeps_gaps: bool
    single: str
    returns_without_keys: bool
    or_no_keys: str  # the end of the condition under which the kernel runs
    reads_positions: bool
    view_of_task: Names
    reaches: bool  # loops over keys begin and end where the mask says
    reach_of_task: Names
    start_arguments: Names
    block_arguments: Names
    finish_arguments: Names
    switches: tuple[SwitchModel, ...]


@dataclass(frozen=True)
class DotVariant:
    """One function that multiplies some rows of queries with keys, and when it is called."""

    name: str
    condition: str
    doc: str
    rows: int
    lines: Lines


@dataclass(frozen=True)
class SumVariant:
    """One function that adds weighted values to some rows."""

    name: str
    doc: str
    rows: int
    sums: tuple[tuple[str, str], ...]  # the name of each sum and its place
    lines: Lines


@dataclass(frozen=True)
class DecodeModel:
    """The kernel for few queries."""

    key_vector: str
    dots: tuple[DotVariant, ...]
    store_weight: str
    weight_bytes: int
    sums: tuple[SumVariant, ...]
    finite_totals: tuple[tuple[str, str], ...]
    seen_lines: Lines
    reaches: bool  # chunks that no query can see are no tasks
    end_lines: Lines
    tasks: str  # how many there are
    turn_lines: Lines
    turn: str  # a task's number among those of its part
    first_set: str
    span: str  # how many chunks a set of rows has that are tasks
    reach_arguments: Names
    gap_lines: Lines
    merge_gap_lines: Lines
    parameters: Names
    reads_positions: bool
    bundles: str  # how many sets of rows there are for a batch entry
    members: str  # how many query heads a set of rows has,
    most_members: str  # and at most
    head_of_row: str  # a row's head, counted from the one that `query` is the address of
    pack_parameters: Names
    pack_arguments: Names
    chunk_arguments: Names
    merge_arguments: Names
    switches: tuple[SwitchModel, ...]


@dataclass(frozen=True)
class WayModel:
    """One function that serves small calls by itself."""

    name: str
    doc: str
    fits: str  # the function that says whether a call is for it
    runs: str  # the entry point of its kernel
    more_memory: str
    memory_lines: Lines
    more_arguments: Names


@dataclass(frozen=True)
class DirectModel:
    """The short ways in."""

    is_there: bool
    bytes: int  # of a stored number
    heads_axis: int  # bytes from the first axis to the one of heads
    length_axis: int
    length_place: int  # which axis that is
    default_offset: str
    arrays: Names
    more_arguments: Names
    ways: tuple[WayModel, ...]


@dataclass(frozen=True)
class VariantModel:
    """A kernel of the same functions, compiled with other values of some constants."""

    name: str
    of: str
    arguments: Names


@dataclass(frozen=True)
class EntryModel:
    """What serves the calls of a range, and how attend() calls the sizes that it counts tasks with."""

    range: str
    kernel: str
    decode: str
    decode_queries: str
    chunk_keys: str
    rows_of_task: str


@dataclass(frozen=True)
class TableModel:
    """Schedules by the lengths of a call. Not there: one serves all."""

    is_there: bool
    parameters: Names
    lines: Lines
    asks_threads: bool
    threads: str  # what follows the arguments of a kernel's run()
    direct_arguments: Names
    variants: tuple[VariantModel, ...]
    entries: tuple[EntryModel, ...]
    served: EntryModel  # as attend() calls it


@dataclass(frozen=True)
class AttentionModel:
    """The function attention() and how it reaches the kernel."""

    doc_lines: Lines
    parameters: Names
    bind_lines: Lines
    view_lines: Lines
    statistics: tuple[tuple[str, str], ...]  # as callers know them, and what stands behind their types
    variables: Names  # and what they are called here
    blind_lines: Lines  # what they are where there are no keys
    out_dtype: str
    statistic_dtype: str
    statistic_shapes: str
    attend_parameters: Names
    attend_arguments: Names
    kernel_arguments: Lines
    returns: str


@dataclass(frozen=True)
class KernelModel:
    """The body of a module: the kernel, and the functions people call."""

    name: str
    target: str
    computed: str
    functions: Names
    decode_functions: Names
    numbers: NumbersModel
    tile: TileModel
    keep: KeepModel
    parts: tuple[PartModel, ...]
    order: OrderModel
    task: TaskModel
    decode: DecodeModel
    second: SecondModel
    table: TableModel
    direct: DirectModel
    attention: AttentionModel
    has_layer: bool
    linear: LinearModel
    finish: FinishModel
    layer: LayerModel


@dataclass(frozen=True)
class ModuleModel:
    """A whole module."""

    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    kernel: KernelModel


@dataclass(frozen=True)
class FrameModel:
    """What stands around the body of a module, among it what the body was found to need."""

    doc_lines: Lines
    names_results: bool  # results are a named tuple
    support_imports: tuple[SupportImport, ...]
    constants: tuple[ConstantGroup, ...]
    body: str

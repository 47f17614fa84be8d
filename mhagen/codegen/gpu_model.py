"""What the templates of CUDA kernels are filled with: all decided, all named."""

from __future__ import annotations

from dataclasses import dataclass

from .gpu_cells import RowValue
from .gpu_second_model import GpuSecondModel, LeaderModel, SecondKindModel
from .layer_model import ProductModel
from .model import ConstantGroup, ConstantLine, Lines, Names, SupportImport


@dataclass(frozen=True)
class CopyModel:
    """The function that copies rows of one array into shared memory."""

    name: str
    what: str
    chunks: str  # names of constants
    step: str
    rounds: str
    row_bytes: str
    width: str
    limit: str  # how many rows there are
    is_guarded: bool
    guard: str  # the condition that a thread has no part in a round
    inside: str  # the condition that a chunk holds numbers
    shift: str  # of the row, and what is left of it: what the places of its chunks are turned by
    mask: str


@dataclass(frozen=True)
class ShiftModel:
    """What all scores of a row lack, if they do."""

    is_there: bool
    columns: Lines  # computed once for all rows
    lines: Lines
    result: str


@dataclass(frozen=True)
class CellsModel:
    """A function that computes something in every cell of a score tile."""

    is_there: bool
    name: str
    doc: str
    comments: Names
    parameters: Names
    steep: tuple[CellsModel, ...]  # what it gives way to where `is_steep`, if it ever does
    shift: ShiftModel
    key_lines: Lines
    columns: Lines
    query_lines: Lines
    cells: Lines
    result: str


@dataclass(frozen=True)
class BeforeModel:
    """What is computed before the loop over keys."""

    task_lines: Lines
    kept: tuple[RowValue, ...]
    has_rows: bool
    needs_position: bool
    first_query: str
    row_lines: Lines


@dataclass(frozen=True)
class ViewModel:
    """Which blocks of keys are looked at, and which are masked."""

    masked: bool
    parameters: Names
    arguments: Names  # of visibility(), in next_block()
    next_arguments: Names
    text_lines: Lines
    lines: Lines
    result: str
    reaches: bool
    reach_parameters: Names
    reach_lines: Lines
    first: str
    end: str


@dataclass(frozen=True)
class TableModel:
    """A function from numbers to heads."""

    name: str
    doc: str
    lines: Lines


@dataclass(frozen=True)
class GpuOrderModel:
    """Which heads a kernel computes. No table: all of them, one after the other."""

    tables: tuple[TableModel, ...]
    heads: str  # the constant that says how many
    head_of_tile: str  # of the kernel for many queries, from the number of a head
    head_of_row: str  # of one that merges parts of the keys
    head_of_block: str  # of one that says what a block of keys receives
    bundles: str  # of heads that share a key/value head: the constants that say how many,
    members: str  # and how many heads one has
    first: str  # the variable that says where a bundle begins
    first_query_head: str  # of a bundle
    head_of_member: str


@dataclass(frozen=True)
class FillModel:
    """A block of keys that is fetched: how it is found, and the stage that it goes to."""

    find_lines: Lines
    block: str
    at: str


@dataclass(frozen=True)
class PaceModel:
    """When blocks are fetched."""

    in_turn: bool  # is there one place for keys and one for values, filled one after the other?
    wait: str  # the instruction that waits for what is used next
    comment: str


@dataclass(frozen=True)
class ProductsModel:
    """How weights come to the product with values."""

    fragments: str  # Numba's type of what is held of queries
    weights: str  # where they are
    hand_over: str  # brings them there
    add_values: str  # multiplies values with them


@dataclass(frozen=True)
class PipelineModel:
    """The blocks of keys that are on their way."""

    fills: tuple[FillModel, ...]  # before the loop
    next: FillModel
    move_lines: Lines  # the next block becomes this one
    is_whole: str  # the condition that all queries see all keys of this block


@dataclass(frozen=True)
class StoreModel:
    """One statistic of a row: where it goes, and its text."""

    place: str
    text: str


@dataclass(frozen=True)
class FinishModel:
    """What becomes of a row when all keys have been seen."""

    parameters: Names
    lines: Lines
    stores: tuple[StoreModel, ...]


@dataclass(frozen=True)
class DecodeModel:
    """The kernels for few queries: one for parts of the keys, one that merges parts."""

    signature: str
    parameters: Names  # of both
    constants: tuple[ConstantLine, ...]  # what the first is compiled with, in place of the module's
    unfinished: int  # groups of copies
    products: ProductsModel
    has_stores: bool


@dataclass(frozen=True)
class DecodedKindModel:
    """The same of one kind of heads."""

    reads_offset: bool  # does it matter where queries stand?
    position_type: str
    before: BeforeModel
    knows_rows: bool  # is what a row is, its query and head, asked for?
    modify: CellsModel
    hide: CellsModel
    infinities: CellsModel
    pipeline: PipelineModel
    views_heads: bool  # is what is visible different for the heads of a group?
    next_parameters: Names
    reaches_heads: bool
    reach_name: str
    reach_parameters: Names
    leave_parameters: Names
    sink_needs_position: bool
    finish_lines: Lines
    stores: tuple[StoreModel, ...]


@dataclass(frozen=True)
class GpuEntryModel:
    """The function people call."""

    function: str  # the kernel behind it
    counts_tasks: bool  # is it started for as many tasks as run at once, and takes the next ones itself?
    doc_lines: Lines
    parameters: Names
    bind_lines: Lines
    has_statistics: bool
    statistic_shapes: str
    statistics: tuple[tuple[str, str], ...]  # as callers know them, and what stands behind their types
    arguments: Lines
    returns: str


@dataclass(frozen=True)
class ClearModel:
    """The kernel that clears the output of pruned heads."""

    is_there: bool
    table: TableModel
    signature: str
    parameters: Names
    has_stores: bool
    stores: tuple[StoreModel, ...]
    leading: tuple[LeaderModel, ...]
    receives: bool
    has_rows: bool  # is anything written beside the output of a query?
    arguments: Lines


@dataclass(frozen=True)
class HeadsModel:
    """What is compiled for one kind of heads, those of which the same is said, whatever multiplies."""

    suffix: str  # what the names of its functions end with, where there are other kinds
    constants_suffix: str  # and those of its constants and kernels
    constants: tuple[ConstantLine, ...]  # what it is compiled with, in place of the module's
    order: GpuOrderModel
    reads_offset: bool  # does it matter where queries stand?
    before: BeforeModel
    modify: CellsModel
    hide: CellsModel
    infinities: CellsModel
    view: ViewModel
    decode: DecodedKindModel
    second: SecondKindModel
    finish: FinishModel


@dataclass(frozen=True)
class GpuKindModel(HeadsModel):
    """The same, where every warp copies and multiplies."""

    pipeline: PipelineModel


@dataclass(frozen=True)
class FmaKernelModel:
    """The kernels of all kinds of heads, and what people call. Products are multiply-adds."""

    name: str
    target: str
    signature: str
    parameters: Names
    keeps_queries: bool
    pace: PaceModel
    products: ProductsModel
    masked: bool  # has any kind of heads a mask?
    cell_functions: tuple[CellsModel, ...]  # of many and few queries, those that are there and differ
    infinity_functions: tuple[CellsModel, ...]  # of many and few queries, those that differ
    kinds: tuple[GpuKindModel, ...]
    decode: DecodeModel
    second: GpuSecondModel
    clear: ClearModel
    keeps_gaps: bool
    shifts: bool  # do scores lack what the keys of a row have in common?
    started: Names  # the sums of a row
    weighed: Names  # what weigh() reads and writes
    entry: GpuEntryModel


@dataclass(frozen=True)
class GpuKernelModel(FmaKernelModel):
    """The same for formats of 16 bits. Products are those of tensor cores."""

    mma: str
    pack: str
    exponent: str  # the bits of a number's exponent, in both halves
    carry: str  # added to it, overflows where the exponent has all bits
    unpack: str
    to_bits: str
    copies: tuple[CopyModel, ...]


@dataclass(frozen=True)
class GpuLayerModel:
    """The functions layer() and prepare() around attention()."""

    is_there: bool
    products: tuple[ProductModel, ...]
    linear_arguments: Names
    prepare_arguments: Names
    prepare_doc_lines: Lines
    doc_lines: Lines
    parameters: Names
    bind_lines: Lines
    attends: str
    attention_arguments: Names
    returns: str


@dataclass(frozen=True)
class FmaModuleModel:
    """A module of a CUDA kernel for float32."""

    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    kernel: FmaKernelModel
    layer: GpuLayerModel


@dataclass(frozen=True)
class GpuModuleModel:
    """A module of a CUDA kernel."""

    doc_lines: Lines
    constants: tuple[ConstantGroup, ...]
    kernel: GpuKernelModel
    layer: GpuLayerModel


@dataclass(frozen=True)
class GpuFrameModel:
    """The frame of a module, around the text of its body."""

    doc_lines: Lines
    names_results: bool
    numba_names: Names
    support_imports: tuple[SupportImport, ...]
    constants: tuple[ConstantGroup, ...]
    body: str

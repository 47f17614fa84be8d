"""The facts that every part of a CUDA kernel's model is made from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

from ..base.dtypes import DType
from ..base.errors import UnsupportedError
from ..base.target import Gpu
from ..expr.shift import Split, split
from ..expr.tree import Constant, Expr, Kind, walk
from ..ir.graph import Graph
from ..ir.program import Program
from ..schedule.gpu_plan import GpuSchedule, GpuSizes, sizes_of
from ..schedule.hopper_plan import HopperSchedule
from ..schedule.workload import Workload, workload_of
from ..spec.statistic import LEADERS
from .facts import OF_A_PART, OF_PART, OF_SECOND_PASS, OWN_INPUTS, VARIABLES, WEIGHING
from .gpu_cells import NO_CHANGE, Before, Cells, Changes, Emitter, emitter_for
from .levels import Captured
from .model import Names
from .reach import ReachCode, emit_reach
from .tiles import TileCode, emit_visibility

# Names that the module gives to its own constants; a constant of the spec that would collide gets a suffix.
# fmt: off
GPU_RESERVED = frozenset(
    {
        "ALIGNED", "AS_KEYS", "AS_QUERIES", "BLOCK_CHUNKS", "BLOCK_KEYS", "BLOCK_PANEL", "BLOCK_ROUNDS",
        "BUNDLES", "BYTES", "CACHED_KEYS", "CHUNK_NUMBERS", "CLEARERS", "CLEARING", "COLUMNS", "CONSTANTS",
        "CONSUMERS", "DECODE_QUERIES", "DECODE_SHARED_BYTES", "DECODE_THREADS", "DECODE_TILE", "DECODING",
        "DIM", "FEW_PARTS", "FLAGS", "FRAGMENT", "FRAGMENTS", "GATE", "GROUP_SIZE", "HEADS", "KEPT",
        "KEPT_KEY_VALUE", "KERNEL", "KEYS", "KEYS_EMPTY", "KEYS_FULL", "KEY_CHUNKS", "KEY_DESCRIPTOR",
        "KEY_MASK", "KEY_OCTETS", "KEY_PAIRS", "KEY_PANELS", "KEY_PERIOD", "KEY_ROUNDS", "KEY_ROW",
        "KEY_SHIFT", "KEY_SPAN", "KEY_STEP", "KEY_STEPS", "KEY_VALUE", "KEY_VALUE_HEADS", "LAZINESS",
        "LEADER", "LEADERS", "LEADER_KEY", "LEADING", "LINEAR", "LISTS", "LN_2", "LOG2_E", "LONG_PART_KEYS",
        "LOOKERS", "LOWEST", "MEMBERS", "MERGING", "MINUS_INFINITY", "MODEL_DIM", "MOST_PARTS", "OUTPUT",
        "OUTS", "OUT_OCTETS", "PARTS", "PART_KEYS", "PART_NUMBERS", "PRODUCERS", "PRUNED_HEADS",
        "QUERIES_EMPTY", "QUERIES_FULL", "QUERY", "QUERY_HEADS", "QUERY_KEY_VALUE", "QUERY_PANEL",
        "QUERY_ROUNDS", "QUERY_SCALE", "READ_COLUMNS", "READ_PARTS", "RECEIVING", "RISEN", "ROWS",
        "ROW_TILES", "SCORES", "SECOND", "SECOND_SHARED_BYTES", "SECOND_SUMS", "SECOND_THREADS",
        "SECOND_TILE", "SHARED_BYTES", "STAGE", "STAGES", "TASKS", "TASKS_FULL", "THREADS", "TILE_QUERIES",
        "UNALIGNED", "UNALIGNED_LEADING", "UNALIGNED_PARTS",
        "UNALIGNED_RECEIVING", "VALUES", "VALUES_EMPTY", "VALUES_FULL", "VALUE_CHUNKS", "VALUE_DESCRIPTOR",
        "VALUE_DIM", "VALUE_MASK", "VALUE_OCTETS", "VALUE_PAIRS", "VALUE_PANELS", "VALUE_PERIOD",
        "VALUE_ROUNDS", "VALUE_ROW", "VALUE_SHIFT", "VALUE_SPAN", "VALUE_STEP", "VALUE_STEPS",
        "VALUE_WORDS", "WARPS", "WEIGHTS", "WEIGHT_ROW", "WEIGHT_SCALE",
    }
)
# fmt: on
HALVES = {DType.FLOAT16: "f16", DType.BFLOAT16: "bf16"}
FORMATS = (*HALVES, DType.FLOAT32)
CHUNK = 16  # bytes that are copied and read at once
WIDEST = 256
ORDER = ("b", "h", "batch", "queries", "keys")
BANKS = 8  # chunks of 16 bytes that shared memory gives at once


@dataclass(frozen=True)
class Swizzle:
    """How the chunks of a row of a tile are turned: chunk c of row r lies at c ^ (r >> shift & mask)."""

    chunks: int

    @property
    def turned(self) -> int:
        """So many neighbouring chunks change places with each other."""
        return gcd(self.chunks, BANKS)

    @property
    def mask(self) -> int:
        return self.turned - 1

    @property
    def shift(self) -> int:
        """Rows that begin in different banks need no turning against each other."""
        return (BANKS // self.turned).bit_length() - 1

    @property
    def period(self) -> int:
        """After so many steps of 16 numbers the pattern begins again."""
        return max(self.turned // 2, 1)


@dataclass(frozen=True)
class GpuLowering:
    """The facts that every part of the model is made from."""

    program: Program
    schedule: GpuSchedule | HopperSchedule
    target: Gpu
    by_group: bool = False  # the rows of a tile are queries of all heads of a group: see gpu_decode.py
    number: int = 0  # of the kind of heads that all of this is about

    @property
    def plan(self) -> GpuSchedule:
        """The schedule, of the family that runs everywhere."""
        assert isinstance(self.schedule, GpuSchedule)
        return self.schedule

    @property
    def graph(self) -> Graph:
        return self.program.attention

    @cached_property
    def work(self) -> Workload:
        return workload_of(self.graph).part(self.number)

    @property
    def kinds(self) -> tuple[GpuLowering, ...]:
        """The facts about each kind of heads: those of which the same is said."""
        return tuple(replace(self, number=number) for number in range(len(self.work.parts)))

    @property
    def suffix(self) -> str:
        """What the names of this kind's functions end with; those of constants in upper case."""
        is_only = len(self.work.parts) == 1
        return "" if is_only else f"{OF_PART}{self.work.heads_of_parts[self.number][0]}"

    @property
    def first(self) -> str:
        """The variable that says where a bundle of heads begins, which few queries are attended from by."""
        return "first_head" if self.work.is_plain else "first_place"

    @property
    def masked(self) -> bool:
        """Has any kind of heads a mask?"""
        return any(part.keep is not None for part in self.work.parts)

    @cached_property
    def sizes(self) -> GpuSizes:
        return sizes_of(self.work)

    @property
    def half(self) -> str:
        """How PTX calls the format, of 16 bits."""
        return HALVES[self.work.dtype]

    @property
    def chunk_numbers(self) -> int:
        """Numbers of a chunk."""
        return CHUNK // self.sizes.bytes

    @cached_property
    def key_swizzle(self) -> Swizzle:
        return Swizzle(self.sizes.dim // self.chunk_numbers)

    @cached_property
    def value_swizzle(self) -> Swizzle:
        return Swizzle(self.sizes.value_dim // self.chunk_numbers)

    @property
    def can_align(self) -> bool:
        """Can rows be copied 16 bytes at a time?"""
        return self.work.dim % self.chunk_numbers == 0 and self.work.value_dim % self.chunk_numbers == 0

    @cached_property
    def captured(self) -> dict[str, Captured]:
        """The arrays that the kernels read, of whichever kind of heads: they have the same parameters."""
        return {name: self.inputs[name] for name in self.work.node.op.captured}

    @cached_property
    def inputs(self) -> dict[str, Captured]:
        """The arrays that a caller gives."""
        given = (value for value in self.graph.inputs if value.name not in OWN_INPUTS)
        return {value.name: Captured(value.name, value.type.dtype, value.type.shape) for value in given}

    @cached_property
    def spec_constants(self) -> dict[str, Constant]:
        expressions = [each for part in self.work.parts for each in part.expressions]
        found = {part.name: part for e in expressions for part in walk(e) if isinstance(part, Constant)}
        return dict(sorted(found.items()))

    @cached_property
    def constant_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in self.spec_constants:
            text = name.upper()
            while text in GPU_RESERVED or text in names.values() or OF_A_PART.search(text):
                text += "_CONSTANT"
            names[name] = text
        return names

    @property
    def scales_first(self) -> bool:
        """Are products scaled before anything else happens to them? Else weights are, by a multiply-add."""
        return self.work.op.modify is not None or self.work.op.query_scale <= 0.0

    @property
    def weight_scale(self) -> float:
        """What differences of scores are multiplied with, to be powers of two."""
        op = self.work.op
        return op.score_scale if self.scales_first else op.query_scale * op.score_scale

    @cached_property
    def split(self) -> Split | None:
        """The parts of changed scores."""
        modify = self.work.op.modify
        return None if modify is None else split(modify)

    @property
    def shifts(self) -> bool:
        """Do scores, of any kind of heads, lack what the keys of a row have in common?"""
        found = (kind.split for kind in self.kinds)
        return any(each is not None and each.shift is not None for each in found)

    @cached_property
    def emitter(self) -> Emitter:
        op = self.work.op
        others = (each for each in op.expressions if each is not op.modify)
        return emitter_for(
            (*(() if self.split is None else self.split.expressions), *others),
            self.captured,
            self.constant_names,
            self.work.query_heads,
            self.work.dtype,
            self.by_group,
        )

    @property
    def position_type(self) -> str:
        """Numba's type of positions in expressions."""
        return "int64" if self.emitter.wide else "int32"

    @cached_property
    def cells(self) -> tuple[Changes, Cells | None, Before]:
        """What is computed in cells, by modify and keep; and before the loop."""
        emitter, keep = self.emitter, self.work.op.keep
        changes = Changes(NO_CHANGE, None, None)
        if self.work.op.modify is not None and self.split is not None:
            changes = emitter.changes(self.work.op.modify, self.split)
        kept = None if keep is None else emitter.cells(keep, Kind.CONDITION)
        return changes, kept, emitter.before()

    def row_code(self, expr: Expr) -> tuple[Names, str, frozenset[str]]:
        """Lines that compute an expression without keys for one row, its text, and what they read."""
        work = self.work
        emitter = emitter_for([expr], self.captured, self.constant_names, work.query_heads, work.dtype)
        return emitter.of_row(expr)

    @cached_property
    def view_code(self) -> TileCode | None:
        keep = self.work.op.keep
        return None if keep is None else emit_visibility(keep, self.captured, self.constant_names)

    @cached_property
    def reach_code(self) -> ReachCode | None:
        keep = self.work.op.keep
        return None if keep is None else emit_reach(keep, self.captured, self.constant_names)

    def place(self, names: frozenset[str]) -> Names:
        """Parameters of place among the names: indices, lengths, then captured arrays."""
        arrays = tuple(a.parameter for a in self.captured.values() if {a.parameter, a.name} & names)
        return tuple(name for name in ORDER if name in names) + arrays

    @property
    def statistics(self) -> Names:
        """The variables of what the first pass makes: in the spec's order, then what a second one needs."""
        asked = (name for name in self.work.op.statistics if name not in OF_SECOND_PASS)
        return (*(VARIABLES.get(name, name) for name in asked), *(WEIGHING if self.receives else ()))

    @property
    def results(self) -> Names:
        """The variables of all statistics that a caller gets, in the spec's order."""
        return tuple(VARIABLES.get(name, name) for name in self.work.op.statistics)

    @property
    def receives(self) -> bool:
        """Does somebody ask for what each key receives?"""
        return "received" in self.work.op.statistics

    @property
    def leading(self) -> Names:
        """The statistics that are keys."""
        return tuple(name for name in self.work.op.statistics if name in LEADERS)

    @property
    def has_second(self) -> bool:
        """Is a statistic made in a second pass over the scores?"""
        return self.receives or bool(self.leading)

    @property
    def sums(self) -> Names:
        """What a row adds up as it meets keys."""
        return ("outs", "maxima", "sums", *(("gaps",) if self.keeps_gaps else ()))

    @property
    def started(self) -> Names:
        """What is set before a row meets keys."""
        return (*self.sums, *(("shifts",) if self.shifts else ()))

    @property
    def weighed(self) -> Names:
        """What weigh() reads and writes."""
        shifts = ("shifts",) if self.shifts else ()
        return ("scores", *shifts, "shrinks", *(name for name in self.sums if name != "outs"))

    @property
    def is_lazy(self) -> bool:
        """May running maxima be a little low? The sum of weights does not tell them; other statistics do."""
        return self.schedule.is_lazy and set(self.work.op.statistics) <= {"lse"}

    @property
    def keeps_gaps(self) -> bool:
        return "entropy" in self.work.op.statistics


def check_supported(program: Program) -> None:
    """Raises   UnsupportedError for a program that no CUDA kernel is written for yet"""
    work = workload_of(program.attention)
    if work.dtype not in FORMATS:
        raise UnsupportedError(
            f"the CUDA backend computes in float16, bfloat16 and float32, not yet in {work.dtype.value}: "
            "choose one of them as dtype, or --backend cpu"
        )
    if max(work.dim, work.value_dim) > WIDEST:
        raise UnsupportedError(
            f"the CUDA backend holds a row of up to {WIDEST} numbers in registers; dim is {work.dim}, "
            f"value_dim {work.value_dim}"
        )

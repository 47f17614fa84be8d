"""The facts that every part of a kernel's model is made from: graph, schedule, target and formats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from ..base.dtypes import DType
from ..base.target import Target
from ..expr.tree import Constant, Expr, walk
from ..ir.graph import QUERY_OFFSET, Graph
from ..ir.program import Program
from ..schedule.numbers import Numbers, numbers_of
from ..schedule.plan import Schedule
from ..schedule.table import MOST_ENTRIES, ScheduleTable
from ..schedule.workload import Workload, workload_of
from ..spec.statistic import LEADERS
from .cells import Code, emit_cells
from .levels import Captured, Lanes
from .model import Names
from .reach import ReachCode, emit_reach
from .tiles import TileCode, emit_visibility

# Names that the module gives to its own constants; a constant of the spec that would collide gets a suffix.
# fmt: off
RESERVED = frozenset(
    {
        "ACCUMULATORS", "ATTENTION", "BLOCK_KEYS", "DEPTH", "DIM", "DIM_TAIL", "FULL", "GROUP_QUERIES",
        "GROUP_SIZE", "HEADROOM", "HIDDEN", "HIDDEN_BITS", "HIDDEN_WEIGHT", "KERNEL", "KEY_LINE", "KEY_ROWS",
        "KEY_VALUE", "KEY_VALUE_HEADS", "LANES", "LINEAR", "LINEAR_BLOCK_ROWS", "LINEAR_DEPTH",
        "LIFT", "LINEAR_PANEL_ROW", "LINEAR_ROWS", "LINEAR_VECTORS", "LN_2", "LOG2_E", "LOWEST", "MAXIMA",
        "MINUS_INFINITY", "MODEL_DIM", "OUTPUT", "OUT_ROW", "OUT_VECTORS", "PANEL", "PARTIAL", "PEAKS",
        "ALIGNED", "AXES", "CONTIGUOUS", "WRITEABLE", "DATA",
        "DIRECT_BATCH", "DIRECT_LENGTH", "DIRECT_MULTIPLY_ADDS", "DIRECT_NUMBERS", "DIRECT_SHARED",
        "TABLE_BYTES", "TABLE_COUNTER", "TABLE_DTYPE", "TABLE_OFFSETS", "TABLE_OTHER_DTYPE", "TABLE_TYPE",
        "DTYPE", "FLAGS", "INTEGER", "REFERENCES", "SHAPE", "STRIDES", "TYPE",
        "AHEAD", "CACHE_LINE", "FAR_BYTES", "KEY_BYTES", "NEAR_BYTES", "VALUE_BYTES",
        "CHUNK_KEYS", "DECODE", "DECODE_QUERIES", "DECODE_SCRATCH_BYTES", "PARTIAL_ROW", "QUERY_LINE",
        "ROWS_OF_TASK", "ROW_PEAKS", "ROW_SUMS", "SCORES", "SCORES_LINE", "TURN", "VALUE_KEYS",
        "QUERY", "QUERY_HEADS", "QUERY_KEY_VALUE", "QUERY_SCALE", "ROW", "SCORE_SCALE", "SCRATCH_BYTES",
        "STAGED_KEYS", "STAGED_VALUES", "STATE_BYTES", "STORED_VECTOR", "SUMS", "TILE_QUERIES", "VALUE_DIM",
        "VALUE_ROWS", "VALUE_TAIL", "VECTOR", "WEIGHTS", "WHOLE_DEPTH",
        "MULTIPLY_ADDS_OF_A_READ", "TASKS_OF_A_THREAD", "WORKERS_AT",
        "GAPS", "PARTIAL_GAPS", "ROUNDED", "TOPS",
        "RECEIVE", "SECOND_KEYS", "SECOND_ORIGINS", "SECOND_PORTIONS", "SECOND_QUERIES",
        "SECOND_SCRATCH_BYTES", "SECOND_STAGED", "SECOND_SUMS",
        "LAST_LEADER", "LEAD", "LEADER", "LEADERS", "SECOND_LEADERS",
        "BUNDLES", "KEPT", "KEPT_HEADS", "KEPT_KEY_VALUE", "MEMBERS",
        "GAINS_ROW", "INVERSE_DIM", "KEYS", "LINEAR_SCRATCH_BYTES", "NORM_EPS", "PAIRS", "QUERIES",
        "ROTATION", "SINES", "STRIP", "STRIP_ROW", "TURNING", "TURN_ROW",
        "TABLE", *(f"{kernel}_{number}" for kernel in ("KERNEL", "DECODE") for number in range(MOST_ENTRIES)),
    }
)
# fmt: on
OF_PART = "_like_head_"
OF_A_PART = re.compile(rf"{OF_PART.upper()}\d+$")
# What a statistic is called inside a module, where its name is that of a function.
VARIABLES = {"max": "greatest"}
OF_SECOND_PASS = frozenset({"received", *LEADERS})
# What makes weights of scores, of each query: power(score - origin) * portion.
WEIGHING = ("origin", "portion")
EXP2 = {DType.BFLOAT16: "exp2_degree_3", DType.FLOAT16: "exp2_degree_4"}
OWN_INPUTS = ("query", "key", "value", QUERY_OFFSET)
ORDER = ("b", "h", "batch", "queries", "keys")  # how parameters of place are ordered, before captured arrays


@dataclass(frozen=True)
class Lowering:
    """The facts that every part of the model is made from."""

    program: Program
    table: ScheduleTable
    target: Target
    number: int = 0  # of the part of the heads that all of this is about

    @property
    def schedule(self) -> Schedule:
        """The schedule whose sizes are the module's constants; all share its register tiles."""
        return self.table.entries[self.table.home].schedule

    @property
    def graph(self) -> Graph:
        return self.program.attention

    @cached_property
    def work(self) -> Workload:
        return workload_of(self.graph).part(self.number)

    @property
    def parts(self) -> tuple[Lowering, ...]:
        """The facts about each part."""
        return tuple(replace(self, number=number) for number in range(len(self.work.parts)))

    @property
    def suffix(self) -> str:
        """What the names of this part's functions end with."""
        is_only = len(self.work.parts) == 1
        return "" if is_only else f"{OF_PART}{self.work.heads_of_parts[self.number][0]}"

    def own(self, constant: str) -> str:
        """The name of a constant of scales: this part's own where parts differ in it."""
        query_scales = {part.query_scale for part in self.work.parts}
        score_scales = {part.score_scale for part in self.work.parts}
        differs = len(query_scales if constant == "QUERY_SCALE" else score_scales) > 1
        return f"{constant}{self.suffix.upper()}" if differs else constant

    @property
    def prunes(self) -> bool:
        return bool(self.work.pruned_heads)

    @property
    def packs_heads(self) -> bool:
        """May an output have places for the heads alone that are computed?"""
        return self.prunes and self.program.self_layer is not None

    @cached_property
    def numbers(self) -> Numbers:
        lengths: tuple[int, ...] = (self.work.dim,)
        if self.program.self_layer is not None:
            model_dim = self.program.self_layer.types["x"].shape[2]
            assert isinstance(model_dim, int)
            lengths += (model_dim, len(self.work.kept_heads) * self.work.value_dim)
        return numbers_of(self.graph.types["query"].dtype, self.target, lengths)

    @property
    def lanes(self) -> int:
        return self.numbers.lanes

    @cached_property
    def depth(self) -> int:
        """Steps of the product of a query and a key."""
        return self.work.dim // self.numbers.together

    @property
    def row(self) -> int:
        """Bytes of the weights of one key, or one pair of keys, for a group of queries."""
        return self.group_queries * self.numbers.bytes

    @property
    def out_row(self) -> int:
        return self.value_vectors * self.numbers.vector_bytes

    @property
    def key_line(self) -> int:
        """Bytes of a widened key."""
        return -(-self.work.dim // self.lanes) * self.numbers.vector_bytes

    @cached_property
    def captured(self) -> dict[str, Captured]:
        """The arrays that the kernel reads."""
        return {name: self.inputs[name] for name in self.work.node.op.captured}

    @cached_property
    def inputs(self) -> dict[str, Captured]:
        """The arrays that a caller gives: also those that simplification has left unread."""
        given = (value for value in self.graph.inputs if value.name not in OWN_INPUTS)
        return {value.name: Captured(value.name, value.type.dtype, value.type.shape) for value in given}

    @cached_property
    def spec_constants(self) -> dict[str, Constant]:
        expressions = self.work.node.op.expressions
        found = {part.name: part for e in expressions for part in walk(e) if isinstance(part, Constant)}
        return dict(sorted(found.items()))

    @cached_property
    def constant_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in self.spec_constants:
            text = name.upper()
            while text in RESERVED or text in names.values() or OF_A_PART.search(text):
                text += "_CONSTANT"
            names[name] = text
        return names

    @cached_property
    def group_queries(self) -> int:
        return self.schedule.query_vectors * self.lanes

    @cached_property
    def value_vectors(self) -> int:
        return -(-self.work.value_dim // self.lanes)

    @cached_property
    def full_code(self) -> Code:
        modify = self.work.op.modify
        return self.emit({} if modify is None else {"s{i}_{j}": modify})

    @cached_property
    def partial_code(self) -> Code:
        roots = {"s{i}_{j}": self.work.op.modify, "seen{i}_{j}": self.work.op.keep}
        return self.emit({target: expr for target, expr in roots.items() if expr is not None})

    @cached_property
    def decode_code(self) -> Code:
        """As partial_code, with keys in lanes."""
        roots = {"s{i}_{j}": self.work.op.modify, "seen{i}_{j}": self.work.op.keep}
        found = {target: expr for target, expr in roots.items() if expr is not None}
        return self.emit(found, Lanes.KEYS)

    @cached_property
    def sink_code(self) -> Code | None:
        """The sink's logits of LANES queries."""
        sink = self.work.op.sink
        return None if sink is None else self.emit({"logits": sink})

    @cached_property
    def row_sink_code(self) -> Code | None:
        """The sink's logit of one query, in all lanes."""
        sink = self.work.op.sink
        return None if sink is None else self.emit({"logits": sink}, Lanes.KEYS)

    def emit(self, roots: dict[str, Expr], lanes: Lanes = Lanes.QUERIES) -> Code:
        scale = self.own("QUERY_SCALE") if self.scales_scores and lanes is Lanes.QUERIES else ""
        return emit_cells(
            *(roots, self.captured, self.constant_names, self.work.query_heads, lanes),
            short=self.numbers.narrow,
            score_scale=scale,
        )

    def power(self, difference: str) -> str:
        """The text of the softmax's power of a difference of scores.

        Scores themselves are not scaled: their differences lose less, and the lowest float32 stays finite.
        """
        scale = self.work.op.score_scale
        if scale == 1.0:
            return f"{self.exp2}({difference})"
        return f"{self.exp2}(({difference}) * {self.own('SCORE_SCALE')})"

    @property
    def is_base_two(self) -> bool:
        """Are scores in units of log2? Else they are natural, and scaled as powers are taken."""
        return self.work.op.score_scale == 1.0

    @property
    def exp2(self) -> str:
        """The word that makes weights: as many digits as are kept of them."""
        looks_up = self.target.looks_up and self.numbers.stored is DType.FLOAT32
        return EXP2.get(self.numbers.stored, "exp2_weight" if looks_up else "exp2")

    @property
    def scales_in_exponent(self) -> bool:
        """Are raw products scaled as weights are made, by the multiply-add that takes the maximum off?"""
        op = self.work.op
        return self.numbers.pairs and op.modify is None and op.query_scale > 0.0 and op.score_scale == 1.0

    @property
    def sums_pairs(self) -> bool:
        """Are weights added up as they have been rounded? Then the rounding of a weight that counts for most
        cancels out in its share; but a log-sum-exp is of weights that nobody has rounded."""
        return self.numbers.pairs and not self.statistics

    @property
    def keeps_rounded(self) -> bool:
        """Is the sum of rounded weights, by which outputs are divided, kept beside that of the weights?"""
        return self.numbers.pairs and bool(self.statistics)

    @property
    def scales_scores(self) -> bool:
        """Are raw products scaled before anything else happens to them? Pairs of queries are not."""
        return self.numbers.pairs and not self.scales_in_exponent

    @cached_property
    def view_code(self) -> TileCode | None:
        if self.work.op.keep is None:
            return None
        return emit_visibility(self.work.op.keep, self.captured, self.constant_names)

    @cached_property
    def reach_code(self) -> ReachCode | None:
        if self.work.op.keep is None:
            return None
        return emit_reach(self.work.op.keep, self.captured, self.constant_names)

    def place(self, names: Iterable[str]) -> Names:
        """Parameters of place among the names: indices, lengths, then captured arrays."""
        used = set(names)
        arrays = tuple(array.parameter for name, array in self.captured.items() if name in used)
        return tuple(name for name in ORDER if name in used) + arrays

    @cached_property
    def block_place(self) -> Names:
        return self.place(self.block_names)

    @property
    def first_statistics(self) -> Names:
        """What the first pass makes: statistics in the spec's order, then what a second one needs."""
        asked = tuple(name for name in self.work.op.statistics if name not in OF_SECOND_PASS)
        return (*asked, *WEIGHING) if self.receives else asked

    @property
    def statistics(self) -> Names:
        """Their variables."""
        return tuple(VARIABLES.get(name, name) for name in self.first_statistics)

    @property
    def results(self) -> Names:
        """The variables of all statistics that a caller gets."""
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
    def keeps_tops(self) -> bool:
        """Is the true maximum kept beside the lazy one, which may lie above it or below?"""
        return not {"max", "confidence"}.isdisjoint(self.work.op.statistics)

    @property
    def keeps_gaps(self) -> bool:
        """Is the sum of weight * (score - running maximum) kept beside the sum of weights?"""
        return "entropy" in self.work.op.statistics

    @property
    def block_names(self) -> frozenset[str]:
        """What the scores and the visibility of a block depend on."""
        views = self.view_code.names if self.view_code else frozenset()
        return self.full_code.names | self.partial_code.names | views

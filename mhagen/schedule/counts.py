"""What the prefill kernel of a schedule does in one call, counted."""

from __future__ import annotations

from dataclasses import dataclass

from ..expr.tree import Apply, Expr, Operator, walk
from .machine import Rates
from .numbers import Numbers
from .plan import Schedule
from .sight import Shape, Shares, Sight
from .workload import Workload

# Steps of an operation on one vector: polynomials and divisions, and all the rest.
LONG_OPERATIONS = frozenset(
    (
        Operator.DIVIDE,
        Operator.POWER,
        Operator.EXP,
        Operator.LOG,
        Operator.SQRT,
        Operator.TANH,
        Operator.SIGMOID,
    )
)
LONG_STEPS, SHORT_STEPS = 16.0, 1.0


@dataclass(frozen=True)
class Counts:
    """The work of all heads and batch entries.

    Units    *_steps: vector multiply-adds, or the time of so many where loads or sums are waited for;
             *_vectors: vectors that are changed, masked, moved or looked at; *_pairs: queries and keys
             that a product is made of, seen or not; everything else: events
    """

    score_steps: float
    score_tiles: float
    score_vectors: float
    modified_steps: float
    masked_vectors: float
    views: float
    value_steps: float
    value_tiles: float
    sum_vectors: float
    packed_vectors: float
    staged_vectors: float
    finite_vectors: float
    groups: float
    tasks: float
    score_pairs: float
    value_pairs: float


@dataclass(frozen=True)
class Tiling:
    """How a schedule cuts the queries and keys of one head."""

    work: Workload
    schedule: Schedule
    numbers: Numbers
    shape: Shape

    @property
    def group_queries(self) -> int:
        return self.schedule.query_vectors * self.numbers.lanes

    @property
    def tasks(self) -> int:
        return -(-self.shape.queries // self.schedule.tile_queries)

    @property
    def groups(self) -> int:
        """The last task has no more than it needs, and is filled up to a whole one."""
        whole, rest = divmod(self.shape.queries, self.schedule.tile_queries)
        return whole * self.schedule.tile_queries // self.group_queries + -(-rest // self.group_queries)

    @property
    def narrow_groups(self) -> int:
        """One, if the last group has queries for one vector only: its score tiles are no wider."""
        rest = self.shape.queries % self.group_queries
        return int(self.schedule.query_vectors > 1 and 0 < rest <= self.numbers.lanes)

    @property
    def vectors(self) -> int:
        """Of queries, in all groups."""
        return self.groups * self.schedule.query_vectors - self.narrow_groups * (
            self.schedule.query_vectors - 1
        )

    @property
    def blocks(self) -> int:
        return -(-self.shape.keys // self.schedule.block_keys)

    @property
    def is_single(self) -> bool:
        """Has one block all keys? Then sums stay in registers, and go straight to the output."""
        return self.shape.keys <= self.schedule.block_keys

    @property
    def key_tiles(self) -> int:
        whole, rest = divmod(self.shape.keys, self.schedule.block_keys)
        rows = self.schedule.key_rows
        return whole * (self.schedule.block_keys // rows) + -(-rest // rows)

    @property
    def depth(self) -> int:
        return self.work.dim // self.numbers.together

    @property
    def lines(self) -> float:
        return self.shape.keys / self.numbers.together

    @property
    def value_row_tiles(self) -> int:
        """Value tiles below each other: of whole groups, and of a ragged last one as many as it needs."""
        whole, rest = divmod(self.shape.queries, self.group_queries)
        rows = self.schedule.value_rows
        return whole * (self.group_queries // rows) + -(-rest // rows)

    @property
    def key_vectors(self) -> int:
        return -(-self.work.dim // self.numbers.lanes)

    @property
    def value_vectors(self) -> int:
        return -(-self.work.value_dim // self.numbers.lanes)

    @property
    def value_columns(self) -> tuple[int, ...]:
        """The widths of value tiles, in vectors."""
        whole, rest = divmod(self.value_vectors, self.schedule.value_vectors)
        return (self.schedule.value_vectors,) * whole + ((rest,) if rest else ())


def count(tiling: Tiling, sight: Sight, rates: Rates) -> Counts:
    """The work of a call."""
    schedule = tiling.schedule
    shares = sight.shares(tiling.group_queries, schedule.tile_queries, schedule.block_keys)
    times = tiling.work.query_heads * tiling.shape.batch
    each = count_head(tiling, shares, rates)
    return Counts(**{name: times * number for name, number in vars(each).items()})


def count_head(tiling: Tiling, shares: Shares, rates: Rates) -> Counts:
    schedule, numbers = tiling.schedule, tiling.numbers
    is_masked = any(part.keep is not None for part in tiling.work.parts)
    tiles = tiling.groups * tiling.key_tiles
    computed, partial = tiles * (shares.full + shares.partial), tiles * shares.partial
    cells = schedule.key_rows * tiling.vectors / tiling.groups  # of a tile, on the average
    wide = outer_steps(schedule.key_rows, schedule.query_vectors, rates)
    narrow = outer_steps(schedule.key_rows, 1, rates)
    tile_steps = wide - (wide - narrow) * tiling.narrow_groups / tiling.groups
    group_blocks = tiling.groups * tiling.blocks * shares.group_blocks
    row_blocks = tiling.value_row_tiles * tiling.blocks * shares.group_blocks
    lines = tiling.value_row_tiles * tiling.lines * shares.lines
    row_steps = sum(outer_steps(schedule.value_rows, width, rates) for width in tiling.value_columns)
    moved = 0 if tiling.is_single else 2 * row_blocks * schedule.value_rows * tiling.value_vectors
    return Counts(
        score_steps=computed * tiling.depth * tile_steps,
        score_tiles=computed,
        score_vectors=computed * cells,
        modified_steps=computed * cells * modify_steps_of_heads(tiling.work),
        masked_vectors=partial * cells,
        views=is_masked * (partial + tiles * shares.passed + 2 * row_blocks + group_blocks),
        value_steps=lines * row_steps,
        value_tiles=row_blocks * len(tiling.value_columns),
        sum_vectors=moved,
        packed_vectors=tiling.vectors * tiling.depth,
        staged_vectors=staged_rows(tiling, shares) * staged_vectors(tiling),
        finite_vectors=is_masked * partial * schedule.key_rows / numbers.together * tiling.value_vectors,
        groups=tiling.groups,
        tasks=tiling.tasks,
        score_pairs=computed * cells * numbers.lanes,
        value_pairs=lines * schedule.value_rows * numbers.together,
    )


def outer_steps(rows: int, vectors: int, rates: Rates) -> float:
    """One step of an outer product: as long as its multiply-adds, its loads, or one sum after the other."""
    return max(rows * vectors, rates.load * (rows + vectors), rates.latency)


def staged_rows(tiling: Tiling, shares: Shares) -> float:
    """Rows of keys and values that tasks widen or pair before they multiply them: each task does so anew."""
    share = (
        1.0 if tiling.is_single else shares.task_rows
    )  # a single block writes the output, whatever it sees
    return tiling.tasks * tiling.shape.keys * share


def staged_vectors(tiling: Tiling) -> float:
    """Vectors that are written for one such row; arrays of NumPy are those that have to be copied."""
    if tiling.numbers.staged:
        return tiling.key_vectors + tiling.value_vectors
    if tiling.numbers.realigns:
        return tiling.value_vectors if tiling.schedule.tile_queries > tiling.group_queries else 0
    return tiling.value_vectors / 2 if tiling.numbers.pairs else 0


def modify_steps_of_heads(work: Workload) -> float:
    """On the average of the heads that are computed."""
    heads = (
        modify_steps(part.modify) * len(own)
        for part, own in zip(work.parts, work.heads_of_parts, strict=True)
    )
    return sum(heads) / len(work.kept_heads)


def modify_steps(modify: Expr | None) -> float:
    """Steps of changing one vector of scores as the spec says."""
    if modify is None:
        return 0.0
    operators = (node.operator for node in walk(modify) if isinstance(node, Apply))
    return sum(LONG_STEPS if operator in LONG_OPERATIONS else SHORT_STEPS for operator in operators)

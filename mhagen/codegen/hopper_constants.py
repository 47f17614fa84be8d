"""The constants at the top of a module of a CUDA kernel for Hopper."""

from __future__ import annotations

from ..runtime.ptx_hopper import descriptor_of
from ..schedule.gpu_plan import FLAG_BYTES
from ..schedule.hopper_plan import (
    BARRIER_BYTES,
    PANEL,
    WARPGROUP,
    HopperSchedule,
    query_bytes,
    shared_bytes,
    stage_bytes,
)
from .constants import line
from .gpu_constants import cached_line, decode_lines, layer_lines, looking_lines, number_lines
from .gpu_decode import constants_of_decoding, decode_facts
from .gpu_facts import GpuLowering
from .model import ConstantGroup, ConstantLine

ROW = 128  # bytes of a row of a panel
PATTERN = 8 * ROW  # after which the swizzle begins again
GATE = 32  # bytes of the four mbarriers of a stage
ROWS_AT_ONCE = 16  # that four warps copy, 16 bytes a thread


def hopper_constants(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantGroup, ...]:
    """All constants, those of the spec first."""
    groups = (
        ConstantGroup("The layer.", layer_lines(facts)),
        ConstantGroup("The schedule: who computes what.", schedule_lines(facts, plan)),
        ConstantGroup("Tiles in shared memory, in bytes.", tile_lines(facts, plan)),
        ConstantGroup("The gates of buffers: mbarriers.", gate_lines(facts, plan)),
        ConstantGroup(
            "Tiles in registers: numbers of one thread, and steps of products.", register_lines(facts, plan)
        ),
        ConstantGroup("Numbers of the softmax.", number_lines(facts)),
        ConstantGroup("Few queries: keys are split into parts.", decode_lines(facts)),
    )
    of_decoding = constants_of_decoding(decode_facts(facts), groups)
    return (*groups, ConstantGroup("Tiles of few queries, which are those of mma.sync.", of_decoding))


def schedule_lines(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantLine, ...]:
    return (
        line("CONSUMERS", WARPGROUP * plan.consumers, "threads that multiply"),
        line("PRODUCERS", WARPGROUP, "threads that copy"),
        line("THREADS", plan.threads),
        line("TILE_QUERIES", plan.tile_queries, "queries of a block of threads"),
        line("BLOCK_KEYS", plan.block_keys, "keys between two softmax steps"),
        line("STAGES", plan.stages, "blocks of keys and values in shared memory"),
        line("ALIGNED", int(facts.can_align), "are rows copied 16 bytes at a time?"),
        cached_line(facts),
    )


def tile_lines(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantLine, ...]:
    sizes, query = facts.sizes, query_bytes(plan, facts.sizes)
    panel = ROW * plan.block_keys
    return (
        line("KEYS", query, "behind the tile of queries"),
        line("VALUES", query + panel * (sizes.dim // PANEL)),
        line("STAGE", stage_bytes(plan, sizes), "a block of keys and its values"),
        line("SHARED_BYTES", shared_bytes(plan, sizes)),
        line("QUERY_PANEL", ROW * plan.tile_queries, f"{PANEL} columns of a tile of queries,"),
        line("BLOCK_PANEL", panel, "and of a block of keys or values"),
        line("KEY_PANELS", sizes.dim // PANEL),
        line("VALUE_PANELS", sizes.value_dim // PANEL),
        line("QUERY_ROUNDS", plan.tile_queries // ROWS_AT_ONCE, f"of {ROWS_AT_ONCE} rows, to copy a tile,"),
        line("BLOCK_ROUNDS", plan.block_keys // ROWS_AT_ONCE, "or a block"),
        line("KEY_DESCRIPTOR", descriptor_of(0, 16, PATTERN), "of panels whose rows are multiplied"),
        line("VALUE_DESCRIPTOR", descriptor_of(0, panel, PATTERN), "of panels whose columns are"),
        *panel_lines(facts, plan),
    )


def panel_lines(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantLine, ...]:
    if not facts.masked:
        return ()
    lookers = WARPGROUP * plan.consumers
    return (
        line("VALUE_ROW", ROW, "bytes of a row of a panel"),
        line("VALUE_CHUNKS", ROW // 16, "of 16 bytes"),
        line("VALUE_SHIFT", 0, "chunk c of row r lies at c ^ (r >> SHIFT & MASK)"),
        line("VALUE_MASK", 7),
        *looking_lines(lookers, plan.block_keys * facts.sizes.value_dim // facts.chunk_numbers),
        line("FLAGS", shared_bytes(plan, facts.sizes) - FLAG_BYTES, "of warps"),
    )


def gate_lines(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantLine, ...]:
    first = shared_bytes(plan, facts.sizes) - FLAG_BYTES - BARRIER_BYTES
    return (
        line("TASKS", first, "the numbers of two tasks,"),
        line("TASKS_FULL", first + 8, "and whether they are there"),
        line("QUERIES_FULL", first + 24),
        line("QUERIES_EMPTY", first + 32),
        line("KEYS_FULL", first + 40, "of the first stage"),
        line("KEYS_EMPTY", first + 48),
        line("VALUES_FULL", first + 56),
        line("VALUES_EMPTY", first + 64),
        line("GATE", GATE, "from a stage to the next"),
    )


def register_lines(facts: GpuLowering, plan: HopperSchedule) -> tuple[ConstantLine, ...]:
    octets, sizes = plan.block_keys // 8, facts.sizes
    return (
        line("ROW_TILES", 1, "tiles of 16 queries that a warp has"),
        line("ROWS", 2, "rows of a tile"),
        line("KEY_STEPS", sizes.dim // 16, "of 16 numbers, of a product of queries and keys,"),
        line("VALUE_STEPS", plan.block_keys // 16, "and of weights and values"),
        line("KEY_OCTETS", octets),
        line("VALUE_OCTETS", sizes.value_dim // 8),
        line("OUT_OCTETS", sizes.value_dim // 8, "those that are written"),
        line("SCORES", 4 * octets),
        line("WEIGHTS", 2 * octets, "pairs"),
        line("OUTS", sizes.value_dim // 2),
    )

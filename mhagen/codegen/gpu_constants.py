"""The constants at the top of a module of a CUDA kernel."""

from __future__ import annotations

from ..schedule.gpu_decode_plan import (
    FEW_PARTS,
    LONG_PART_KEYS,
    MOST_PARTS,
    PART_KEYS,
    READ_PARTS,
    choose_decode_schedule,
    most_queries,
)
from ..schedule.gpu_plan import FLAG_BYTES, NUMBERS_AT_ONCE, WARP
from .constants import LOG2_E, line
from .gpu_facts import CHUNK, GpuLowering
from .gpu_order import order_lines
from .model import ConstantGroup, ConstantLine

STEEPEST = 2.0**126  # where running maxima start, below 0: times what scales weights it is still finite
CACHE_BYTES = 16 << 20  # of the second level, of which GPUs from sm_80 on have 40 MB and more
LAZINESS = 8  # weights up to 2**8: far from the greatest number of any format
LN_2 = 0.6931471805599453


def gpu_constants(facts: GpuLowering) -> tuple[ConstantGroup, ...]:
    """All constants, those of the spec first."""
    tiles = "Tiles in shared memory: bytes, and how their chunks are turned."
    registers = "Tiles in registers: numbers of one thread, and steps of products."
    of_registers = fma_register_lines if facts.sizes.uses_fma else register_lines
    return (
        ConstantGroup("The layer.", layer_lines(facts)),
        ConstantGroup("The schedule: who computes what.", schedule_lines(facts)),
        ConstantGroup(tiles, tile_lines(facts)),
        ConstantGroup(registers, of_registers(facts)),
        ConstantGroup("Numbers of the softmax.", number_lines(facts)),
        ConstantGroup("Few queries: keys are split into parts.", decode_lines(facts)),
    )


def decode_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    work = facts.work
    plan = choose_decode_schedule(work, facts.schedule, facts.target)
    columns = -(-work.value_dim // WARP)
    numbers = work.value_dim + (3 if facts.keeps_gaps else 2)
    return (
        line("DECODE_QUERIES", most_queries(work.op.group), "or fewer, and more keys than are in a part"),
        line("DECODE_TILE", plan.tile_queries, "rows of a warp: queries of all heads of a group"),
        line("DECODE_THREADS", plan.threads),
        line("DECODE_SHARED_BYTES", facts.sizes.shared_bytes(plan)),
        line("PART_KEYS", PART_KEYS, "of a part, as long as there are few parts;"),
        line("FEW_PARTS", FEW_PARTS),
        line("LONG_PART_KEYS", LONG_PART_KEYS, "of a part, where there are more,"),
        line("MOST_PARTS", MOST_PARTS, "and no more than so many"),
        line("PART_NUMBERS", numbers, "that are left of a part for each row"),
        line("COLUMNS", columns, "of values, of each lane that merges"),
        line("READ_PARTS", READ_PARTS, "that are read at once"),
        line("READ_COLUMNS", READ_PARTS * columns),
    )


def layer_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    work = facts.work
    return (
        line("QUERY_HEADS", work.query_heads),
        line("KEY_VALUE_HEADS", work.key_value_heads),
        line("GROUP_SIZE", work.op.group, "query heads that share a key/value head"),
        line("DIM", work.dim, "of queries and keys"),
        line("VALUE_DIM", work.value_dim),
        line("BYTES", facts.sizes.bytes, "of a number in memory"),
        line("CHUNK_NUMBERS", facts.chunk_numbers, "that are copied at once"),
        *order_lines(facts),
        *(line(facts.constant_names[name], c.value) for name, c in facts.spec_constants.items()),
    )


def schedule_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    plan = facts.plan
    return (
        line("ROW_TILES", plan.row_tiles, "tiles of 16 queries that a warp has"),
        line("THREADS", plan.threads, f"{plan.warps} warps"),
        line("TILE_QUERIES", plan.tile_queries, "queries of a block of threads"),
        line("BLOCK_KEYS", plan.block_keys, "keys between two softmax steps"),
        line("STAGES", plan.stages, "blocks of keys and values in shared memory"),
        line("ALIGNED", int(facts.can_align), "are rows copied 16 bytes at a time?"),
        cached_line(facts),
    )


def cached_line(facts: GpuLowering) -> ConstantLine:
    """How many keys, with their values, are read by many blocks of threads while a cache holds them."""
    row = facts.sizes.bytes * (facts.sizes.dim + facts.sizes.value_dim)
    return line("CACHED_KEYS", CACHE_BYTES // row, "in a cache")


def tile_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    plan, sizes = facts.plan, facts.sizes
    query, stage = sizes.query_bytes(plan), sizes.stage_bytes(plan)
    key_row, value_row = sizes.bytes * sizes.dim, sizes.bytes * sizes.value_dim
    return (
        line("KEYS", query, "behind the tile of queries"),
        line("VALUES", query + plan.block_keys * key_row),
        line("STAGE", stage, "a block of keys and its values"),
        *weight_lines(facts, query + plan.stages * stage),
        *((line("FLAGS", sizes.shared_bytes(plan) - FLAG_BYTES, "of warps"),) if facts.masked else ()),
        line("SHARED_BYTES", sizes.shared_bytes(plan)),
        *turning_lines(facts, "KEY", key_row),
        *(straight_lines(value_row) if sizes.uses_fma else round_lines(facts, value_row)),
        *words_lines(facts, value_row),
    )


def round_lines(facts: GpuLowering, value_row: int) -> tuple[ConstantLine, ...]:
    """How often threads copy; and how values are turned."""
    plan, sizes = facts.plan, facts.sizes
    return (
        line("QUERY_ROUNDS", rounds(facts, plan.tile_queries, sizes.dim), "copies by each thread"),
        line("KEY_ROUNDS", rounds(facts, plan.block_keys, sizes.dim)),
        *turning_lines(facts, "VALUE", value_row),
        line("VALUE_ROUNDS", rounds(facts, plan.block_keys, sizes.value_dim)),
    )


def rounds(facts: GpuLowering, rows: int, width: int) -> int:
    return -(-rows // (facts.plan.threads // (width // 8)))


def weight_lines(facts: GpuLowering, place: int) -> tuple[ConstantLine, ...]:
    """Where weights are that go by way of shared memory."""
    if not facts.sizes.uses_fma:
        return ()
    return (
        line("WEIGHTS", place, "of all queries and a block of keys, behind all stages"),
        line("WEIGHT_ROW", facts.sizes.weight_row(facts.plan), "bytes, so that rows begin in other banks"),
    )


def words_lines(facts: GpuLowering, value_row: int) -> tuple[ConstantLine, ...]:
    if not facts.masked:
        return ()
    return looking_lines(facts.plan.threads, facts.plan.block_keys * value_row // CHUNK)


def looking_lines(lookers: int, chunks: int) -> tuple[ConstantLine, ...]:
    """Who looks at a block of values, and at how much of it."""
    return (
        line("LOOKERS", lookers, "threads that look for values that are not finite, each through"),
        line("VALUE_WORDS", -(-chunks // lookers), "chunks of a block of values"),
        line("BLOCK_CHUNKS", chunks, "of 16 bytes"),
    )


def straight_lines(row: int) -> tuple[ConstantLine, ...]:
    """Of values that are read row by row, which needs no turning."""
    return (
        line("VALUE_ROW", row, "bytes, filled up to whole steps of 16 numbers"),
        line("VALUE_CHUNKS", row // CHUNK, "of 16 bytes"),
    )


def turning_lines(facts: GpuLowering, name: str, row: int) -> tuple[ConstantLine, ...]:
    swizzle = facts.value_swizzle if name == "VALUE" else facts.key_swizzle
    uses_fma = facts.sizes.uses_fma
    period, step = (swizzle.turned, CHUNK) if uses_fma else (swizzle.period, 2 * CHUNK)
    at_once = line(f"{name}_STEP", facts.plan.threads // swizzle.chunks, "rows that are copied at once")
    return (
        line(f"{name}_ROW", row, "bytes, filled up to whole steps of 16 numbers"),
        line(f"{name}_CHUNKS", swizzle.chunks, "of 16 bytes"),
        *(() if uses_fma else (at_once,)),
        line(f"{name}_SHIFT", swizzle.shift, "chunk c of row r lies at c ^ (r >> SHIFT & MASK)"),
        line(f"{name}_MASK", swizzle.mask),
        line(f"{name}_PERIOD", period, "steps among which chunks are turned,"),
        line(f"{name}_SPAN", step * period, "and their bytes"),
    )


def register_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    plan, sizes = facts.plan, facts.sizes
    octets = plan.block_keys // 8
    fragment = 4 * plan.row_tiles
    return (
        line("ROWS", 2 * plan.row_tiles, "rows of a tile"),
        line("KEY_STEPS", sizes.dim // 16, "of 16 numbers, of a product of queries and keys"),
        line("KEY_PAIRS", octets // 2, "of octets of keys"),
        line("KEY_OCTETS", octets),
        line("VALUE_PAIRS", sizes.value_dim // 16, "of octets of columns of values"),
        line("VALUE_OCTETS", sizes.value_dim // 8),
        line("OUT_OCTETS", -(-facts.work.value_dim // 8), "those that are written"),
        line("FRAGMENT", fragment, "registers of a step of queries"),
        line("FRAGMENTS", fragment * (sizes.dim // 16 if plan.keeps_queries else 1)),
        line("SCORES", 4 * plan.row_tiles * octets),
        line("WEIGHTS", 2 * plan.row_tiles * octets, "pairs"),
        line("OUTS", 4 * plan.row_tiles * (sizes.value_dim // 8)),
    )


def fma_register_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    plan, sizes = facts.plan, facts.sizes
    rows, octets = 2 * plan.row_tiles, plan.block_keys // 8
    return (
        line("ROWS", rows, "rows of a tile"),
        line("KEY_STEPS", sizes.dim // NUMBERS_AT_ONCE, "of 4 numbers, of a product of queries and keys"),
        line("KEY_OCTETS", octets),
        line("VALUE_PAIRS", sizes.value_dim // 16, "of octets of columns of values"),
        line("VALUE_OCTETS", sizes.value_dim // 8),
        line("OUT_OCTETS", sizes.value_dim // 8, "those that are written"),
        line("FRAGMENTS", NUMBERS_AT_ONCE * rows, "of queries, or of weights"),
        line("SCORES", 2 * rows * octets),
        line("OUTS", 2 * rows * (sizes.value_dim // 8)),
    )


def number_lines(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    """Those of all kinds of heads; where kinds differ, of the first that has them: see own_constants()."""
    found: dict[str, ConstantLine] = {}
    for each in (each for kind in facts.kinds for each in numbers_of_kind(kind)):
        found.setdefault(each.name, each)
    return tuple(found.values())


def own_constants(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    """Those that a kind of heads is compiled with, in place of the module's."""
    texts = {each.name: each.text for each in number_lines(facts)}
    return tuple(each for each in numbers_of_kind(facts) if each.text != texts[each.name])


def numbers_of_kind(facts: GpuLowering) -> tuple[ConstantLine, ...]:
    op = facts.work.op
    return (
        *((line("QUERY_SCALE", op.query_scale, "multiplies the products"),) if facts.scales_first else ()),
        line("WEIGHT_SCALE", facts.weight_scale, scale_comment(facts)),
        line("LOWEST", lowest(facts), "where running maxima start"),
        line("LAZINESS", LAZINESS if facts.is_lazy else 0, "in powers of two, that they may be too low"),
        line("MINUS_INFINITY", 'float("-inf")'),
        *((line("LN_2", LN_2),) if not {"lse", "max", "entropy"}.isdisjoint(op.statistics) else ()),
        *((line("LOG2_E", LOG2_E),) if op.sink is not None else ()),
    )


def lowest(facts: GpuLowering) -> str:
    return repr(-STEEPEST / max(1.0, facts.weight_scale)).replace("e+", "e")


def scale_comment(facts: GpuLowering) -> str:
    if facts.scales_first:
        return "log2(e): weights are powers of two"
    return f"{facts.weight_scale / LOG2_E:.6g} * log2(e): weights are powers of two"

"""Graph and schedule to the model of a module: the last place where anything is decided."""

from __future__ import annotations

import re

from ..base.target import Target
from ..ir.program import Program
from ..schedule.plan import Schedule
from .constants import constant_groups
from .entry import attention_model, function_names, layer_model, linear_model
from .kernel import Lowering, block_model, block_positions, keep_model, task_model, tile_model
from .model import KernelModel, Names, SupportImport, TileModel
from .prose import module_doc

# The words of runtime/simd.py that the templates themselves use.
# fmt: off
ATTENTION_WORDS = frozenset(
    {
        "any_lane", "claim", "exp2", "fma", "load", "load_each", "maximum", "splat", "store",
        "transpose_tile", "transpose_tile_first", "where",
    }
)
# fmt: on
MASK_WORDS = frozenset(("load_bits",))
RUN_WORDS = frozenset(("lane_numbers", "minimum", "wide"))
POSITION_WORDS = frozenset(("load_int64",))
LINEAR_WORDS = frozenset(("load_first", "load_int64", "store_first"))
LSE_WORDS = frozenset(("log", "store_first"))
# The words that expressions may add.
# fmt: off
EXPRESSION_WORDS = frozenset(
    {
        "absolute", "exp", "floor_divide", "lane_numbers", "load_bool", "load_byte", "load_first",
        "load_int32", "load_int32_lanes", "load_int64", "load_real", "log", "maximum_or_nan", "minimum",
        "minimum_or_nan", "modulo", "power",
        "real", "round_down", "sigmoid", "square_root", "take", "take_bool", "take_int32", "take_int64",
        "tanh", "wide",
    }
)
# fmt: on


def lower(program: Program, schedule: Schedule, target: Target) -> KernelModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs on which all passes have run (one StreamedAttention each)
    """
    facts = Lowering(program, schedule, target)
    tile = tile_model(facts)
    tile_names = (
        *(name for name, _, _ in tile.run_loads),
        *(name for name, _, _ in tile.extents),
        *(variant.name for variant in tile.score_variants),
        *(value_tile.name for value_tile in tile.value_tiles),
    )
    return KernelModel(
        name=program.attention.name,
        target=target.name,
        doc_lines=module_doc(facts),
        constants=constant_groups(facts),
        support_imports=support_imports(facts, tile),
        functions=function_names(facts, tile_names),
        tile=tile,
        keep=keep_model(facts),
        block=block_model(facts),
        task=task_model(facts),
        attention=attention_model(facts),
        has_layer=program.self_layer is not None,
        linear=linear_model(facts),
        layer=layer_model(facts),
    )


def support_imports(facts: Lowering, tile: TileModel) -> tuple[SupportImport, ...]:
    """What the module takes from its runtime support."""
    bind_input = ("bind_input",) if facts.inputs else ()
    linear = SupportImport("linear", ("LinearKernel", "Part", "Prepared", "Product"))
    return (
        SupportImport("arguments", ("bind", *bind_input, "bind_offset", "bind_out")),
        SupportImport("launch", ("Kernel",)),
        *((linear,) if facts.program.self_layer is not None else ()),
        SupportImport("simd", simd_words(facts, tile)),
        SupportImport("sizes", ("Sizes",)),
    )


def simd_words(facts: Lowering, tile: TileModel) -> Names:
    words = set(ATTENTION_WORDS)
    words |= MASK_WORDS if facts.view_code is not None else frozenset()
    words |= LINEAR_WORDS if facts.program.self_layer is not None else frozenset()
    words |= LSE_WORDS if "lse" in facts.work.op.statistics else frozenset()
    words |= POSITION_WORDS if block_positions(facts) else frozenset()
    words |= RUN_WORDS if tile.run_loads else frozenset()
    words |= {"store_first"} if tile.value_tail else set()
    lines = [line for variant in tile.score_variants for line in variant.lines]
    lines += [load for value_tile in tile.value_tiles for load in value_tile.loads]
    lines += [f"{load}( {take}(" for _, load, take in tile.run_loads]
    lines += [f"{load}(" for _, load, _ in tile.extents]
    called = {word for line in lines for word in re.findall(r"\b(\w+)\(", line)}
    return tuple(sorted(words | (called & EXPRESSION_WORDS)))

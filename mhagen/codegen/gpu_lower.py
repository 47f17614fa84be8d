"""Graph and schedule to the model of a CUDA kernel: the last place where anything is decided."""

from __future__ import annotations

from collections.abc import Iterable

from ..base.target import Gpu
from ..ir.program import Program
from ..schedule.gpu_plan import GpuSchedule
from .gpu_clear import clear_model
from .gpu_constants import gpu_constants, own_constants
from .gpu_decode import decode_constants, decode_facts, decode_model, decoded_kind
from .gpu_entry import entry_model, kernel_parameters, signature
from .gpu_facts import GpuLowering, check_supported
from .gpu_finish import finish_model
from .gpu_layer import gpu_layer_model, layer_constants
from .gpu_model import CellsModel, CopyModel, GpuKernelModel, GpuKindModel, GpuModuleModel, HeadsModel
from .gpu_order import order_model
from .gpu_prose import gpu_doc
from .gpu_second import second_group, second_kind, second_model, second_plan
from .gpu_stages import (
    before_model,
    pace_model,
    pipeline_model,
    products_model,
    reads_offset,
    tile_stages,
    view_model,
)

# The bits of a number's exponent in both halves of a register, and what makes all of them overflow.
EXPONENTS = {"f16": ("0x7C007C00", "0x04000400"), "bf16": ("0x7F807F80", "0x00800080")}


def lower_gpu(program: Program, schedule: GpuSchedule, target: Gpu) -> GpuModuleModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs on which all passes have run, and a legal schedule
    Raises   UnsupportedError for what no CUDA kernel is written for yet
    """
    check_supported(program)
    facts = GpuLowering(program, schedule, target)
    of_decoding = decode_facts(facts)
    of_second = second_plan(facts, schedule.keeps_queries)
    constants = (*gpu_constants(facts), *second_group(facts, of_second))
    kinds = tuple(kind_model(kind, of_second) for kind in facts.kinds)
    exponent, carry = EXPONENTS[facts.half]
    kernel = GpuKernelModel(
        name=program.attention.name,
        target=target.name,
        signature=signature(facts),
        parameters=kernel_parameters(facts),
        products=products_model(facts, "thread"),
        mma=f"mma_m16n8k16_{facts.half}",
        pack=f"pack_{facts.half}",
        exponent=exponent,
        carry=carry,
        unpack=f"unpack_{facts.half}",
        to_bits=f"to_{facts.half}",
        copies=copies(facts, (of_decoding.plan, *of_second)),
        keeps_queries=schedule.keeps_queries,
        pace=pace_model(facts),
        masked=facts.masked,
        cell_functions=cell_functions(kinds),
        infinity_functions=infinity_functions(kinds),
        kinds=kinds,
        decode=decode_model(of_decoding, decode_constants(of_decoding, constants)),
        second=second_model(facts, of_second, constants),
        clear=clear_model(facts),
        keeps_gaps=facts.keeps_gaps,
        shifts=facts.shifts,
        started=facts.started,
        weighed=facts.weighed,
        entry=entry_model(facts, "attend_tile", counts_tasks=False),
    )
    constants = (*constants, *layer_constants(facts))
    return GpuModuleModel(gpu_doc(facts), constants, kernel, gpu_layer_model(facts))


def kind_model(facts: GpuLowering, of_second: tuple[GpuSchedule, ...]) -> GpuKindModel:
    """What is compiled for one kind of heads."""
    return GpuKindModel(**vars(heads_model(facts, of_second)), pipeline=pipeline_model(facts))


def heads_model(facts: GpuLowering, of_second: tuple[GpuSchedule, ...]) -> HeadsModel:
    """What is compiled for one kind of heads in every family of kernels."""
    modify, hide, infinities = stages = tile_stages(facts)
    return HeadsModel(
        suffix=facts.suffix,
        constants_suffix=facts.suffix.upper(),
        constants=own_constants(facts),
        order=order_model(facts),
        reads_offset=reads_offset(facts),
        before=before_model(facts),
        modify=modify,
        hide=hide,
        infinities=infinities,
        view=view_model(facts),
        decode=decoded_kind(decode_facts(facts), stages),
        second=second_kind(facts, of_second),
        finish=finish_model(facts),
    )


def cell_functions(kinds: Iterable[HeadsModel]) -> tuple[CellsModel, ...]:
    """What is done in cells, for many queries and for few."""
    found = (each for k in kinds for each in (k.modify, k.decode.modify, k.hide, k.decode.hide))
    return distinct(*(part for each in found for part in (*each.steep, each)))


def infinity_functions(kinds: Iterable[HeadsModel]) -> tuple[CellsModel, ...]:
    """The same, with values that are not finite."""
    return distinct(*(each for k in kinds for each in (k.infinities, k.decode.infinities)))


def distinct(*functions: CellsModel) -> tuple[CellsModel, ...]:
    """Those that are there, each once."""
    return tuple(dict.fromkeys(each for each in functions if each.is_there))


def copies(facts: GpuLowering, others: tuple[GpuSchedule, ...]) -> tuple[CopyModel, ...]:
    """The three copies: queries and keys are alike but for how many there are."""
    plans = (facts.plan, *others)
    return (copy_model(facts, "queries", plans[:1]), *block_copies(facts, plans))


def block_copies(facts: GpuLowering, plans: tuple[GpuSchedule, ...]) -> tuple[CopyModel, ...]:
    """The copies of a block of keys and of its values, in whichever of these schedules."""
    return copy_model(facts, "keys", plans), copy_model(facts, "values", plans)


def copy_model(facts: GpuLowering, name: str, plans: tuple[GpuSchedule, ...]) -> CopyModel:
    is_value = name == "values"
    swizzle = facts.value_swizzle if is_value else facts.key_swizzle
    prefix, width = ("VALUE", "VALUE_DIM") if is_value else ("KEY", "DIM")
    actual, filled = (
        (facts.work.value_dim, facts.sizes.value_dim) if is_value else (facts.work.dim, facts.sizes.dim)
    )
    guards = [f"row >= {prefix}_STEP"] if any(plan.threads % swizzle.chunks for plan in plans) else []
    rows = [plan.tile_queries if name == "queries" else plan.block_keys for plan in plans]
    if any(count % (plan.threads // swizzle.chunks) for count, plan in zip(rows, plans, strict=True)):
        guards += [f"place_row >= {'TILE_QUERIES' if name == 'queries' else 'BLOCK_KEYS'}"]
    inside = f"i * {prefix}_STEP < left"
    return CopyModel(
        name=f"copy_{name}",
        what="a tile of queries" if name == "queries" else f"a block of {name}",
        limit="queries" if name == "queries" else "keys",
        chunks=f"{prefix}_CHUNKS",
        step=f"{prefix}_STEP",
        rounds="QUERY_ROUNDS" if name == "queries" else f"{prefix}_ROUNDS",
        row_bytes=f"{prefix}_ROW",
        width=width,
        is_guarded=bool(guards),
        guard=" or ".join(guards),
        inside=inside if actual == filled else f"{inside} and chunk * uint32(8) < uint32({width})",
        shift=f"{prefix}_SHIFT",
        mask=f"{prefix}_MASK",
    )

"""Graph and schedule to the model of a CUDA kernel for Hopper."""

from __future__ import annotations

from ..base.target import Gpu
from ..ir.program import Program
from ..schedule.gpu_plan import BYTES, GpuSchedule
from ..schedule.hopper_plan import HopperSchedule
from .gpu_clear import clear_model
from .gpu_decode import decode_constants, decode_facts, decode_model
from .gpu_entry import entry_model, kernel_parameters, signature
from .gpu_facts import GpuLowering, check_supported
from .gpu_layer import gpu_layer_model, layer_constants
from .gpu_lower import EXPONENTS, block_copies, cell_functions, heads_model, infinity_functions
from .gpu_model import CellsModel
from .gpu_prose import doc_of, paragraph
from .gpu_second import second_group, second_model, second_plan
from .gpu_stages import find_lines
from .hopper_constants import hopper_constants
from .hopper_model import CalledModel, HopperKernelModel, HopperKindModel, HopperModuleModel
from .model import ConstantGroup, Lines, Names

TURN = ("shared", "thread", "number", "stage", "parity", "task")
LENGTHS = ("batch", "queries", "keys", "query_offset", "query_offsets")
COUNTER = "counter"  # of tasks that were begun: the address of a word, or 0


def lower_hopper(program: Program, schedule: HopperSchedule, target: Gpu) -> HopperModuleModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs on which all passes have run, and a legal schedule
    Raises   UnsupportedError for what no CUDA kernel is written for yet
    """
    check_supported(program)
    facts = GpuLowering(program, schedule, target)
    doc = doc_of(facts, schedule_text(facts, schedule))
    of_second = second_plan(facts, decode_facts(facts).plan.keeps_queries)
    constants = (*hopper_constants(facts, schedule), *second_group(facts, of_second))
    kernel = kernel_model(facts, schedule, of_second, constants)
    return HopperModuleModel(doc, (*constants, *layer_constants(facts)), kernel, gpu_layer_model(facts))


def kernel_model(
    facts: GpuLowering,
    plan: HopperSchedule,
    of_second: tuple[GpuSchedule, ...],
    constants: tuple[ConstantGroup, ...],
) -> HopperKernelModel:
    of_decoding = decode_facts(facts)
    kinds = tuple(kind_model(kind, of_second) for kind in facts.kinds)
    exponent, carry = EXPONENTS[facts.half]
    return HopperKernelModel(
        name=facts.graph.name,
        target=facts.target.name,
        signature=f"{signature(facts)}l",
        parameters=(*kernel_parameters(facts), COUNTER),
        called=called(facts, plan),
        mma=f"mma_m16n8k16_{facts.half}",
        copies=block_copies(facts, (of_decoding.plan, *of_second)),
        keeps_queries=of_decoding.plan.keeps_queries,
        pack=f"pack_{facts.half}",
        exponent=exponent,
        carry=carry,
        unpack=f"unpack_{facts.half}",
        to_bits=f"to_{facts.half}",
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
        takes_turns=plan.takes_turns,
        entry=entry_model(facts, "attend_tiles", counts_tasks=True),
    )


def kind_model(facts: GpuLowering, of_second: tuple[GpuSchedule, ...]) -> HopperKindModel:
    """What is compiled for one kind of heads."""
    of_heads, masked = heads_model(facts, of_second), facts.view_code is not None
    return HopperKindModel(
        **vars(of_heads),
        copied_lines=find_lines(facts, 0, 4, asks_whole=False),
        first_lines=find_lines(facts, 0, 4),
        next_lines=find_lines(facts, 1, 8, asks_whole=False),
        later_lines=find_lines(facts, 1, 12),
        move_lines=("block0, whole0 = block1, whole1" if masked else "block0 = block1",),
        is_whole="whole0" if masked else "(block0 + 1) * BLOCK_KEYS <= keys",
        produced=produced(facts),
        multiplied=multiplied(facts),
        made=made(of_heads.modify, of_heads.hide, facts.weighed),
        mended=mended(of_heads.infinities),
    )


def called(facts: GpuLowering, plan: HopperSchedule) -> tuple[CalledModel, ...]:
    """The instructions that have numbers in their names."""
    texts = {
        "wgmma_keys": f'wgmma_shared(BLOCK_KEYS, "{facts.half}", False)',
        "wgmma_values": f'wgmma_registers(VALUE_DIM, "{facts.half}", True)',
        "keep_scores": "keep_in_registers(SCORES)",
        "keep_outs": "keep_in_registers(OUTS)",
        "wait_for_scores": "wgmma_wait_group(1)  # products with values may still run",
        "wait_for_all": "wgmma_wait_group(0)",
        "wait_for_copies": "cp_async_wait_group(0)",
        "give_registers": f"setmaxnreg_dec({plan.producer_registers})",
        "take_registers": f"setmaxnreg_inc({plan.consumer_registers})",
    }
    return tuple(CalledModel(name, text) for name, text in texts.items())


def produced(facts: GpuLowering) -> Names:
    """What those who copy need for a tile: keys and values, and where blocks are seen."""
    codes = (facts.view_code, facts.reach_code)
    read = frozenset().union(*(code.names for code in codes if code is not None))
    arrays = tuple(name for name in facts.place(read) if name not in (*LENGTHS, "b", "h"))
    rows = (
        f"{name}{suffix}" for name in ("query", "key", "value") for suffix in ("", "_batch", "_head", "_row")
    )
    return (*TURN, *rows, *LENGTHS, *arrays)


def multiplied(facts: GpuLowering) -> Names:
    """What those who multiply need for a tile."""
    arrays = tuple(array.parameter for array in facts.captured.values())
    return (*TURN, "out", "out_batch", "out_head", "out_row", *facts.statistics, *LENGTHS, *arrays)


def made(modify: CellsModel, hide: CellsModel, weighed: Names) -> Names:
    names = ("block", "is_whole", "lane", *weighed, *modify.parameters, *hide.parameters)
    return tuple(name for name in dict.fromkeys(names) if name != "k_first")


def mended(infinities: CellsModel) -> Names:
    names = ("shared", "thread", "block", *infinities.parameters)
    return tuple(name for name in names if name != "k_block")


def schedule_text(facts: GpuLowering, plan: HopperSchedule) -> Lines:
    """The schedule in words."""
    tile = facts.sizes.dim * plan.tile_queries * BYTES >> 10
    text = (
        f"Schedule: a block of {plan.threads} threads attends from one tile after the other, each of "
        f"{plan.tile_queries} queries of one head; "
        f"{plan.consumers} groups of four warps multiply, each 64 of them, and four more warps copy. Keys "
        f"and values come in blocks of {plan.block_keys}, copied by cp.async into {plan.stages} stages of "
        f"swizzled shared memory, behind the queries ({tile} KB); mbarriers say when a buffer is full, and "
        "when it is empty. Products run on the tensor cores (wgmma m64k16), those of the next keys with "
        "queries while weights are made of these; scores, weights and results stay in registers. "
    )
    if facts.masked:
        text += "Blocks that `keep` hides whole are not fetched; blocks it shows whole are not masked."
    return paragraph(text)

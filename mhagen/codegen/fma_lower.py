"""Graph and schedule to the model of a CUDA kernel for float32, whose products are multiply-adds."""

from __future__ import annotations

from ..base.target import Gpu
from ..ir.program import Program
from ..schedule.gpu_plan import GpuSchedule
from .gpu_clear import clear_model
from .gpu_constants import gpu_constants
from .gpu_decode import decode_constants, decode_facts, decode_model
from .gpu_entry import entry_model, kernel_parameters, signature
from .gpu_facts import GpuLowering, check_supported
from .gpu_layer import gpu_layer_model, layer_constants
from .gpu_lower import cell_functions, infinity_functions, kind_model
from .gpu_model import FmaKernelModel, FmaModuleModel
from .gpu_prose import doc_of, fma_schedule
from .gpu_second import second_group, second_model, second_plan
from .gpu_stages import pace_model, products_model
from .model import ConstantGroup


def lower_fma(program: Program, schedule: GpuSchedule, target: Gpu) -> FmaModuleModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs in float32 on which all passes have run, and a legal schedule
    Raises   UnsupportedError for what no CUDA kernel is written for yet
    """
    check_supported(program)
    facts = GpuLowering(program, schedule, target)
    of_second = second_plan(facts, schedule.keeps_queries)
    constants = (*gpu_constants(facts), *second_group(facts, of_second))
    kernel = kernel_model(facts, of_second, constants)
    constants = (*constants, *layer_constants(facts))
    return FmaModuleModel(doc_of(facts, fma_schedule(facts)), constants, kernel, gpu_layer_model(facts))


def kernel_model(
    facts: GpuLowering, of_second: tuple[GpuSchedule, ...], constants: tuple[ConstantGroup, ...]
) -> FmaKernelModel:
    of_decoding = decode_facts(facts)
    kinds = tuple(kind_model(kind, of_second) for kind in facts.kinds)
    return FmaKernelModel(
        name=facts.graph.name,
        target=facts.target.name,
        signature=signature(facts),
        parameters=kernel_parameters(facts),
        keeps_queries=facts.plan.keeps_queries,
        pace=pace_model(facts),
        products=products_model(facts, "thread"),
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

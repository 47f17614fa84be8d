"""Graph and schedules to the model of a module: the last place where anything is decided."""

from __future__ import annotations

from ..base.target import Target
from ..ir.program import Program
from ..schedule.table import ScheduleTable
from .blocks import keep_model, part_model, task_model
from .constants import constant_groups
from .decode import decode_model, rows_model
from .direct import direct_model
from .entry import attention_model, layer_model
from .facts import Lowering
from .finish import finish_model
from .formats import numbers_model
from .functions import decode_function_names, function_names
from .kernel import tile_model
from .linear import linear_model
from .model import KernelModel, ModuleModel
from .order import order_model
from .prose import module_doc
from .second import second_model
from .table import table_model


def lower(program: Program, table: ScheduleTable, target: Target) -> ModuleModel:
    """Decide and name everything that the templates of a module need.

    Needs    graphs on which all passes have run (one StreamedAttention each), and a legal table
    """
    facts = Lowering(program, table, target)
    tile = tile_model(facts)
    parts = tuple(part_model(part, rows_model(part)) for part in facts.parts)
    task, decode = task_model(facts), decode_model(facts)
    kernel = KernelModel(
        name=program.attention.name,
        target=target.name,
        computed=facts.numbers.computed.value,
        functions=function_names(facts, tile, task, parts),
        decode_functions=decode_function_names(facts, decode, parts),
        numbers=numbers_model(facts.numbers),
        tile=tile,
        keep=keep_model(facts),
        parts=parts,
        order=order_model(facts),
        task=task,
        decode=decode,
        second=second_model(facts, tile, parts),
        table=table_model(facts),
        direct=direct_model(facts),
        attention=attention_model(facts),
        has_layer=program.self_layer is not None,
        linear=linear_model(facts),
        finish=finish_model(facts),
        layer=layer_model(facts),
    )
    return ModuleModel(module_doc(facts), constant_groups(facts), kernel)

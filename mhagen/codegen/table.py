"""A table of schedules to the kernels of a module, and to the function that picks among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..schedule.table import ANY, Bounds, ScheduleTable
from .constants import constants_of_attention, constants_of_decoding
from .direct import direct_model
from .facts import Lowering
from .model import EntryModel, Names, TableModel, VariantModel

SERVES_ALL = EntryModel(
    range="",
    kernel="KERNEL",
    decode="DECODE",
    decode_queries="DECODE_QUERIES",
    chunk_keys="CHUNK_KEYS",
    rows_of_task="ROWS_OF_TASK",
)
SERVES_ONE = EntryModel(
    range="",
    kernel="entry.kernel",
    decode="entry.decode",
    decode_queries="entry.decode_queries",
    chunk_keys="entry.chunk_keys",
    rows_of_task="entry.rows_of_task",
)
NO_TABLE = TableModel(False, (), (), False, "", (), (), (), SERVES_ALL)


def table_model(facts: Lowering) -> TableModel:
    table = facts.table
    if table.is_one:
        return NO_TABLE
    attention = variants(facts, KERNEL)
    decoding = variants(facts, DECODE)
    parameters = lengths_compared(table)
    return TableModel(
        is_there=True,
        parameters=parameters,
        lines=tuple(choice(table)),
        asks_threads="threads" in parameters,
        threads=", threads" if "threads" in parameters else "",
        direct_arguments=tuple(lengths_of_arrays(facts)[name] for name in parameters),
        variants=tuple(dict.fromkeys(each for each in (*attention, *decoding) if each.name != each.of)),
        entries=tuple(
            entry(facts, number, attention[number].name, decoding[number].name)
            for number in range(len(table.entries))
        ),
        served=SERVES_ONE,
    )


def lengths_of_arrays(facts: Lowering) -> Mapping[str, str]:
    """The lengths of a call, as texts of what is not checked yet. A small call asks for one thread."""
    axis = direct_model(facts).length_place
    lengths = {"queries": f"query.shape[{axis}]", "keys": f"key.shape[{axis}]", "batch": "query.shape[0]"}
    return lengths | {"threads": "1"}


@dataclass(frozen=True)
class Base:
    """A kernel of the module, and the constants that it may be compiled with other values of."""

    name: str
    scratch: str
    constants: Callable[[Lowering], Mapping[str, str]]
    unread: Names  # by its functions: attend() alone reads them


KERNEL = Base("KERNEL", "SCRATCH_BYTES", constants_of_attention, ())
DECODE = Base("DECODE", "DECODE_SCRATCH_BYTES", constants_of_decoding, ("DECODE_QUERIES",))


def variants(facts: Lowering, base: Base) -> list[VariantModel]:
    """The kernel of each entry: the base itself, or one with other constants; equal ones are one."""
    home = base.constants(facts)
    found: dict[Names, VariantModel] = {(): VariantModel(base.name, base.name, ())}
    result = []
    for number in range(len(facts.table.entries)):
        mine = base.constants(alone(facts, number))
        other = tuple(
            f"{name}={text}" for name, text in mine.items() if text != home[name] and name not in base.unread
        )
        arguments = (f"scratch_bytes={mine[base.scratch]}", *other)
        made = VariantModel(f"{base.name}_{number}", base.name, arguments)
        result.append(found.setdefault(other, made))
    return result


def alone(facts: Lowering, number: int) -> Lowering:
    """The facts of a module that has one entry of the table for all calls."""
    return replace(facts, table=ScheduleTable.of(facts.table.entries[number].schedule))


def entry(facts: Lowering, number: int, kernel: str, decode: str) -> EntryModel:
    mine = alone(facts, number)
    decoding = constants_of_decoding(mine)
    return EntryModel(
        range=str(facts.table.entries[number].range),
        kernel=kernel,
        decode=decode,
        decode_queries=decoding["DECODE_QUERIES"],
        chunk_keys=decoding["CHUNK_KEYS"],
        rows_of_task=decoding["ROWS_OF_TASK"],
    )


def lengths_compared(table: ScheduleTable) -> Names:
    """The lengths that some range bounds: no call is asked for others."""
    names = ("queries", "keys", "batch", "threads")
    return tuple(name for name in names if any(getattr(each.range, name) != ANY for each in table.entries))


def choice(table: ScheduleTable) -> Iterator[str]:
    """The body of a function that gives the number of the entry which serves a call."""
    for number, each in enumerate(table.entries[:-1]):
        bounds = {name: getattr(each.range, name) for name in lengths_compared(table)}
        conditions = [compared(name, bound) for name, bound in bounds.items() if bound != ANY]
        yield f"if {' and '.join(conditions)}:"
        yield f"    return {number}"
    yield f"return {len(table.entries) - 1}"


def compared(name: str, bounds: Bounds) -> str:
    match bounds:
        case Bounds(low, None):
            return f"{name} >= {low}"
        case Bounds(low, high) if low == high:
            return f"{name} == {low}"
        case Bounds(1, high):
            return f"{name} <= {high}"
    return f"{bounds.low} <= {name} <= {bounds.high}"

"""Keys: whatever shapes a kernel is in its cache key, so that no change of it is served old machine code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from laws.house import HOUSE
from mhagen.backend import cpu
from mhagen.base.digest import digest
from mhagen.base.errors import InternalError
from mhagen.base.target import AVX2
from mhagen.ir.program import Program, build_program
from mhagen.passes import PASSES, run_passes
from mhagen.runtime import compiler, gpu_launch, launch, simd
from mhagen.runtime.host import host_cpu
from mhagen.runtime.identity import function_identity
from mhagen.runtime.launch import Kernel, KernelKey
from mhagen.runtime.linear import LinearKernel
from mhagen.runtime.ptx import shfl_bfly
from mhagen.runtime.ptx_instruction import Effect, Instruction, Kind
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.plan import Schedule
from mhagen.schedule.table import ScheduleTable
from mhagen.spec.fields import Fields
from mhagen.spec.load import load_spec

# A spec that says something with every key that this version can serve.
SPEC = {
    "name": "keyed",
    "layout": "bhsd",
    "heads": {"query": 4, "key_value": 2, "dim": 40, "value_dim": 36},
    "scores": {"scale": 0.25, "modify": "score + slope[h] * (k - q) / reach"},
    "mask": {"keep": "k <= q and q - k < window", "align": "start"},
    "softmax": {"sink": "slope[h] + 1"},
    "constants": {"window": 64, "reach": 2.0},
    "inputs": {"slope": {"shape": ["query_heads"], "dtype": "float32"}},
    "projections": {"model_dim": 48, "bias": False, "output_bias": False},
    "outputs": {"statistics": ["lse"]},
}
# Another value for each key. A key of the spec that is missing here, fails a test below.
CHANGES: dict[str, Any] = {
    "name": "other",
    "dtype": "float64",
    "layout": "bshd",
    "heads.query": 6,
    "heads.key_value": 1,
    "heads.dim": 48,
    "heads.value_dim": 40,
    "heads.pruned": [1],
    "groups": [{"heads": [1], "mask": {"keep": "k <= q"}}],
    "groups.0.heads": [2],
    "groups.0.scores.scale": 0.5,
    "groups.0.scores.modify": "score",
    "groups.0.mask.keep": "k < q",
    "groups.0.softmax.sink": "0.0",
    "scores.scale": 0.5,
    "scores.modify": "score - slope[h] * (k - q) / reach",
    "mask.keep": "k <= q and q - k <= window",
    "mask.align": "end",
    "softmax.sink": "slope[h] + 2",
    "constants": {"window": 65, "reach": 2.0},
    "inputs.slope.shape": [5],
    "inputs.slope.dtype": "int32",
    "projections.model_dim": 64,
    "projections.bias": True,
    "projections.output_bias": True,
    "projections.qk_norm": {},
    "projections.qk_norm.eps": 1e-5,
    "projections.rotary": {},
    "projections.rotary.base": 99.0,
    "projections.rotary.layout": "interleaved",
    "projections.rotary.dim": 20,
    "projections.rotary.scaling": {"type": "linear", "factor": 2.0},
    "projections.rotary.scaling.type": "dynamic",
    "projections.rotary.scaling.factor": 3.0,
    "projections.rotary.scaling.original_max_position_embeddings": 65,
    "projections.rotary.scaling.low_freq_factor": 2.0,
    "projections.rotary.scaling.high_freq_factor": 3.0,
    "projections.rotary.scaling.beta_fast": 3.0,
    "projections.rotary.scaling.beta_slow": 3.0,
    "projections.rotary.scaling.truncate": False,
    "projections.rotary.scaling.attention_factor": 3.0,
    "outputs.statistics": ["lse", "entropy"],
}
LLAMA3 = {"type": "llama3", "factor": 2.0, "original_max_position_embeddings": 64}
# What has to be there for the keys of such a name to be read.
READ_WITH: dict[str, tuple[str, Any]] = {
    "groups.0.": ("groups", [{"heads": [1], "mask": {"keep": "k <= q"}}]),
    "projections.qk_norm.": ("projections.qk_norm", {}),
    "projections.rotary.": ("projections.rotary", {}),
    "projections.rotary.scaling.": ("projections.rotary", {"scaling": {**LLAMA3, "type": "yarn"}}),
    "projections.rotary.scaling.type": ("projections.rotary", {"scaling": LLAMA3}),
    "projections.rotary.scaling.low": ("projections.rotary", {"scaling": LLAMA3}),
    "projections.rotary.scaling.high": ("projections.rotary", {"scaling": LLAMA3}),
}


def spec_for(path: str) -> dict[str, Any]:
    """SPEC with what the key is read with."""
    found = [beside for start, beside in READ_WITH.items() if path.startswith(start)]
    return with_key(SPEC, *found[-1]) if found else SPEC


def with_key(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The spec with one key changed."""

    def changed(table: Any, names: list[str]) -> Any:
        if not names:
            return value
        name, *rest = names
        if isinstance(table, list):
            return [changed(each, rest) if str(n) == name else each for n, each in enumerate(table)]
        return {**table, name: changed(table.get(name, {}), rest)}

    return changed(spec, path.split("."))


@cache
def program() -> Program:
    return build_program(load_spec(SPEC)).map(lambda graph: run_passes(graph, PASSES))


def scheduled(schedule: Schedule) -> cpu.Source:
    return cpu.generate(program(), ScheduleTable.of(schedule), AVX2)


def kernels_of(module: ModuleType) -> tuple[Kernel, ...]:
    """All that is compiled for a module, also what is compiled only when a call needs it."""
    found = (each.kernel if isinstance(each, LinearKernel) else each for each in vars(module).values())
    return tuple(each for each in found if isinstance(each, Kernel))


def functions_of(module: ModuleType) -> tuple[str, ...]:
    return tuple(kernel.key.functions for kernel in kernels_of(module))


def test_every_kernel_of_a_module_is_looked_at(module: ModuleType) -> None:
    assert set(cpu.kernels(module)) <= set(kernels_of(module))
    assert [kernel.name for kernel in kernels_of(module)] == ["keyed", "keyed_decode", "keyed_linear"]


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return choose_schedule(program().attention, AVX2)


@pytest.fixture(scope="module")
def module(schedule: Schedule) -> ModuleType:
    return cpu.load(scheduled(schedule))


# By the name of the entry in SPEC or READ_WITH whose keys are looked at.
ENTRIES = {tuple: "0.", dict: "slope."}


def keys_of(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """The keys of a spec as dotted names, those of optional tables and of tables in lists among them."""
    for name, key in model.model_fields.items():
        entry = ENTRIES.get(get_origin(key.annotation), "")
        tables = tuple(tables_in(key.annotation))
        yield from (path for table in tables for path in keys_of(table, f"{above}{name}.{entry}"))
        if not tables:
            yield f"{above}{name}"


def tables_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The tables that a value of this type is, or holds."""
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from tables_in(part)


def test_every_key_of_a_spec_is_changed_below() -> None:
    keys = {*keys_of(Fields)}
    assert {"projections.rotary.scaling.factor", "groups.0.mask.keep", "inputs.slope.dtype"} < keys
    missing = keys - {*CHANGES}
    assert not missing, f"add another value for {missing} to CHANGES"


@pytest.mark.parametrize("path", CHANGES)
def test_every_key_of_a_spec_shapes_its_module(path: str, schedule: Schedule) -> None:
    before = spec_for(path)
    texts = [text_of(spec, schedule) for spec in (before, with_key(before, path, CHANGES[path]))]
    assert texts[0] != texts[1]


def text_of(spec: dict[str, Any], schedule: Schedule) -> str:
    program = build_program(load_spec(spec)).map(lambda graph: run_passes(graph, PASSES))
    return cpu.generate(program, ScheduleTable.of(schedule), AVX2).text


# Of each field another value than the one chosen; legal or not, code can be written for it.
OTHER_SCHEDULE = {
    "tile_queries": 144,
    "block_keys": 128,
    "key_rows": 2,
    "query_vectors": 1,
    "value_rows": 3,
    "value_vectors": 1,
    "chunk_keys": 128,
    "decode_rows": 2,
    "decode_queries": 3,
    "linear_rows": 4,
    "linear_vectors": 1,
    "linear_block_rows": 240,
    "linear_depth": 64,
}


@pytest.mark.parametrize("field", [field.name for field in fields(Schedule)])
def test_every_field_of_a_schedule_is_in_the_key(field: str, schedule: Schedule, module: ModuleType) -> None:
    other = replace(schedule, **{field: OTHER_SCHEDULE[field]})
    changed = cpu.load(scheduled(other))
    assert functions_of(changed) != functions_of(module)


def test_every_field_of_the_key_changes_its_digest(module: ModuleType) -> None:
    """Also the fields of the fields: of Target and of Cpu."""
    for kernel in kernels_of(module):
        assert (kernel.key.target, kernel.key.cpu) == (kernel.target, host_cpu())
        variants = {path: digest(variant) for path, variant in perturbed(kernel.key)}
        assert {path.partition(".")[0] for path in variants} == {field.name for field in fields(KernelKey)}
        assert len({digest(kernel.key), *variants.values()}) == len(variants) + 1


def perturbed(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with each of its fields changed, however deep, under the field's name."""
    for field in fields(value):
        part = getattr(value, field.name)
        if is_dataclass(part):
            for path, variant in perturbed(part):
                yield f"{field.name}.{path}", replace(value, **{field.name: variant})
        else:
            yield field.name, replace(value, **{field.name: other_than(part)})


def other_than(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (*value, "x")
    raise AssertionError(f"say here what differs from a {type(value).__name__}")


def test_compiling_takes_nothing_that_the_key_lacks() -> None:
    taken = set(inspect.signature(compiler.compile_kernel).parameters)
    names_are_the_same_for_all = {"symbol"}
    assert taken - names_are_the_same_for_all <= {field.name for field in fields(KernelKey)}


def test_every_source_of_the_compiler_is_in_the_key() -> None:
    """But for runtime.host, whose one answer, the Cpu, is in the key itself."""
    reached = {
        name.partition(".")[2] for name in HOUSE.reach("runtime.compiler") if name.startswith("runtime.")
    }
    assert reached == {*launch.COMPILER_SOURCES, "host"}


def test_every_source_of_the_compiler_for_gpus_is_in_the_key() -> None:
    reached = {
        name.partition(".")[2] for name in HOUSE.reach("runtime.gpu_compiler") if name.startswith("runtime.")
    }
    assert reached == set(gpu_launch.COMPILER_SOURCES)


def test_all_of_an_instruction_but_its_meaning_is_in_the_key_of_a_kernel_for_gpus() -> None:
    def kernel() -> None:
        shfl_bfly()  # type: ignore[call-arg]

    def identity(called: Instruction) -> str:
        own = FunctionType(kernel.__code__, {"shfl_bfly": called})
        return digest(tuple(gpu_launch.function_identities(own, set())))

    changes: dict[str, Any] = {
        "name": "other",
        "text": "other",
        "effect": Effect.NONE,
        "results": (Kind.U32,),
        "arguments": (Kind.U32, Kind.F32),
        "accumulators": 1,
        "is_shared_base": True,
    }
    assert {each.name for each in fields(Instruction)} == {*changes, "meaning"}
    variants = [replace(shfl_bfly, **{name: value}) for name, value in changes.items()]
    assert len({identity(each) for each in (shfl_bfly, *variants)}) == len(variants) + 1
    assert identity(replace(shfl_bfly, meaning=print)) == identity(shfl_bfly)


@pytest.mark.parametrize("variable", ["NUMBA_OPT", "NUMBA_BOUNDSCHECK", "NUMBA_DEBUGINFO"])
def test_what_changes_how_numba_compiles_is_in_the_key(
    variable: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key() -> KernelKey:
        made = module.KERNEL
        functions = made.functions
        return Kernel(name="k", target=made.target.name, functions=functions, scratch_bytes=0).key

    before = key()
    monkeypatch.setenv(variable, "1")
    assert key() != before
    monkeypatch.delenv(variable)
    assert key() == before


def names_read(functions: tuple[Callable[..., Any], ...], names: dict[str, Any]) -> list[str]:
    return sorted({name for each in functions for name in each.__code__.co_names if name in names})


def test_every_global_name_that_a_kernel_reads_is_in_the_key(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kernel in kernels_of(module):
        before = identity(kernel)
        for name in names_read(kernel.functions, vars(module)):
            value = getattr(module, name)
            if any(value is function for function in kernel.functions):
                continue  # its own identity is part of the kernel's
            with monkeypatch.context() as patch:
                patch.setattr(module, name, another(value))
                assert identity(kernel) != before, f"{name} can change, and the key does not"
        assert identity(kernel) == before


def identity(kernel: Kernel) -> str:
    return digest(tuple(function_identity(each, kernel.functions) for each in kernel.functions))


def another(value: float | Callable[..., Any]) -> float | Callable[..., Any]:
    if isinstance(value, int | float):
        return type(value)(977)
    return simd.maximum if value is not simd.maximum else simd.minimum


def test_a_kernel_that_reads_what_the_key_cannot_hold_is_refused(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LANES", [8])
    with pytest.raises(InternalError, match="LANES"):
        identity(module.KERNEL)


def test_the_code_of_every_function_is_in_the_key() -> None:
    def one(x):  # type: ignore[no-untyped-def]
        return x + 1

    def two(x):  # type: ignore[no-untyped-def]
        return x + 2

    def three(x):  # type: ignore[no-untyped-def]
        return x - 1

    def four(x, y):  # type: ignore[no-untyped-def]
        return x + 1

    found = []
    for function in (one, two, three, four):
        function.__name__ = "same"
        found.append(digest(function_identity(function, (function,))))
    assert len(set(found)) == len(found)

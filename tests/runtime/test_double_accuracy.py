"""Elementary functions of float64 lanes: near to the truth, right where their range ends, and without libm.

The code that is emitted stands here in a loop of its own: the loader refuses it if it calls anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from mhagen.runtime import divisions, elementary, registers, squares
from mhagen.runtime.host import Cpu
from mhagen.runtime.native import Function, load_function
from mhagen.runtime.registers import F32, F64, I32, I64

from .lanes import Machine, address, on_every_target, tuples_of, whole_vectors

Reals = np.ndarray[Any, Any]
Emit = Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]
CHUNK, CHUNKS = 1 << 16, 4
SMALLEST = 2.0**-1074
# The greatest distance from the truth, in units of the last place.
CLAIMED = {"exp2": 1.0, "exp": 1.0, "log": 1.0, "tanh": 3.0, "sigmoid": 2.5, "power": 1.5}

# In long double, whose eleven more bits make it the truth.
TRUTHS: dict[str, Callable[..., Reals]] = {
    "exp2": np.exp2,
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "power": np.power,
}
needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no longer than double here"
)


def emit(name: str, machine: Machine) -> Emit:
    function = getattr(elementary, f"emit_{name}")
    if name == "log":
        return lambda builder, x, _: function(builder, x)
    if name == "power":
        return lambda builder, x, y: function(builder, x, y, machine.target)
    return lambda builder, x, _: function(builder, x, machine.target)


def loop(builder: ir.IRBuilder, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
    """Emit the body for each number below the count, which is not 0."""
    before, block, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
    builder.branch(block)
    builder.position_at_end(block)
    number = builder.phi(I64)
    body(number)
    following = builder.add(number, ir.Constant(I64, 1))
    number.add_incoming(ir.Constant(I64, 0), before)
    number.add_incoming(following, builder.block)  # the body may have blocks of its own
    builder.cbranch(builder.icmp_signed("<", following, count), block, after)
    builder.position_at_end(after)


def native(machine: Machine, module: ir.Module, parameters: int) -> Function:
    """The kernel of the module, optimised as kernels are."""
    emitter = emitter_for(machine.cpu)
    code = llvm.parse_assembly(str(module))
    passes = llvm.create_pass_builder(emitter, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(code, passes)
    return load_function(emitter.emit_object(code), "kernel", parameters)


def emitter_for(cpu: Cpu) -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    triple, features = llvm.get_process_triple(), ",".join(cpu.flags)
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu.name, features=features, opt=3, codemodel="jitdefault", jit=True
    )


def compiled(machine: Machine, kind: ir.VectorType, emit_one: Emit) -> Function:
    """A function of addresses x, y, out and a count of vectors: out = emit_one(x, y)."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 4), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    *places, vectors = function.args

    def body(number: ir.Value) -> None:
        step = builder.mul(number, ir.Constant(I64, machine.target.vector_bytes))
        x, y, out = (builder.add(place, step) for place in places)
        operands = [registers.read(builder, each, kind) for each in (x, y)]
        registers.write(builder, out, emit_one(builder, *operands))

    loop(builder, vectors, body)
    builder.ret_void()
    return native(machine, module, 4)


@cache
def function_of(machine: Machine, name: str) -> Function:
    return compiled(machine, ir.VectorType(F64, machine.target.lanes // 2), emit(name, machine))


def evaluate(machine: Machine, name: str, x: Reals, y: Reals) -> Reals:
    out = np.empty(len(x))
    function_of(machine, name)(address(x), address(y), address(out), 2 * len(x) // machine.target.lanes)
    return out


def truth(name: str, x: Reals, y: Reals) -> Reals:
    operands = (x, y) if name == "power" else (x,)
    with np.errstate(all="ignore"):
        return TRUTHS[name](*(operand.astype(np.longdouble) for operand in operands))


def ulps(found: Reals, expected: Reals) -> Reals:
    """Distances in units of the last place that the expected result has in float64."""
    with np.errstate(all="ignore"):
        nearest = expected.astype(np.float64)
        unit = np.maximum(np.spacing(np.abs(nearest)), SMALLEST)
        distance = (np.abs(found - expected) / unit).astype(np.float64)
    same = (found == nearest) | (np.isnan(found) & np.isnan(nearest))
    return np.where(same, 0.0, np.nan_to_num(distance, nan=np.inf))


Points = Callable[[np.random.Generator], Reals]


def between(low: float, high: float) -> Points:
    """Points that lie evenly."""
    return lambda rng: rng.uniform(low, high, CHUNK)


def positive(low: float, high: float) -> Points:
    """Points whose exponents lie evenly."""
    return lambda rng: np.exp2(rng.uniform(low, high, CHUNK))


def sizes(low: float, high: float) -> Points:
    return lambda rng: positive(low, high)(rng) * rng.choice((-1, 1), CHUNK)


# Where each function is claimed to be accurate: its operands, range by range.
RANGES: dict[str, tuple[tuple[Points, ...], ...]] = {
    "exp2": ((between(-1, 1),), (between(-1022, 1023),), (sizes(-60, 0),)),
    "exp": ((between(-1, 1),), (between(-746, 709.7),), (sizes(-60, 0),)),
    "log": ((positive(-1074, 1023.9),), (between(0.5, 2),), (between(0.99, 1.01),)),
    "tanh": ((between(-22, 22),), (between(-1, 1),), (sizes(-1074, 5),)),
    "sigmoid": ((between(-746, 40),), (between(-40, 40),), (sizes(-60, 4),)),
    "power": (
        (positive(-20, 20), between(-50, 50)),
        (between(0.9, 1.1), between(-6000, 6000)),
        (between(0.7, 1.42), between(-2000, 2000)),
        (positive(-1074, 1023.9), between(-1, 1)),
        (positive(-0.01, 0.01), sizes(-3, 17)),
    ),
}
CASES = [
    pytest.param(name, operands, id=f"{name}-{i}")
    for name, ranges in RANGES.items()
    for i, operands in enumerate(ranges)
]


def chunk_worst(machine: Machine, name: str, operands: list[Reals]) -> tuple[float, float]:
    x, y = operands[0], operands[-1]
    distances = ulps(evaluate(machine, name, x, y), truth(name, x, y))
    at = int(distances.argmax())
    return float(distances[at]), float(x[at])


@needs_long_double
@on_every_target
@pytest.mark.parametrize(("name", "operands"), CASES)
def test_a_function_of_doubles_is_as_accurate_as_claimed(
    machine: Machine, name: str, operands: tuple[Points, ...]
) -> None:
    rng = np.random.default_rng(7)
    chunks = ([operand(rng) for operand in operands] for _ in range(CHUNKS))
    worst, x = max(chunk_worst(machine, name, chunk) for chunk in chunks)
    assert worst <= CLAIMED[name], f"{name}({x!r})"


def values_at(machine: Machine, name: str, points: list[float]) -> list[float]:
    x = whole_vectors(np.array([points]))[0]
    found: list[float] = evaluate(machine, name, x, x)[: len(points)].tolist()
    return found


@on_every_target
def test_exp2_of_a_whole_number_is_exact(machine: Machine) -> None:
    points = [float(n) for n in range(-1022, 1024)]
    assert values_at(machine, "exp2", points) == [2.0**n for n in points]


@on_every_target
def test_exp2_of_what_is_below_1075_is_zero(machine: Machine) -> None:
    found = values_at(machine, "exp2", [-1075.5, -1076.0, -2000.0, -1e10, -1e300, -np.inf])
    assert found == [0.0] * 6
    assert not np.signbit(found).any()


@needs_long_double
@on_every_target
def test_exp2_fades_to_zero_below_1022(machine: Machine) -> None:
    x = np.linspace(-1075, -1022, 1 << 12)
    found = evaluate(machine, "exp2", x, x)
    assert ((found == 0.0) | (ulps(found, truth("exp2", x, x)) <= CLAIMED["exp2"])).all()


# fmt: off
ENDS: dict[str, tuple[tuple[float, float], ...]] = {
    "exp2": ((0.0, 1.0), (-0.0, 1.0), (5e-324, 1.0), (np.nan, np.nan)),
    "exp": (
        (0.0, 1.0), (-0.0, 1.0), (709.79, np.inf), (1e300, np.inf), (np.inf, np.inf), (-746.0, 0.0),
        (-745.0, 5e-324), (-1e300, 0.0), (-np.inf, 0.0), (np.nan, np.nan),
    ),
    "log": (
        (0.0, -np.inf), (-0.0, -np.inf), (1.0, 0.0), (-1.0, np.nan), (-5e-324, np.nan), (np.inf, np.inf),
        (-np.inf, np.nan), (np.nan, np.nan), (5e-324, -744.4400719213812),
    ),
    "tanh": (
        (0.0, 0.0), (-0.0, -0.0), (5e-324, 5e-324), (-1e-310, -1e-310), (20.0, 1.0), (-1e300, -1.0),
        (np.inf, 1.0), (-np.inf, -1.0), (np.nan, np.nan),
    ),
    "sigmoid": (
        (0.0, 0.5), (-0.0, 0.5), (40.0, 1.0), (np.inf, 1.0), (-745.0, 5e-324), (-746.0, 0.0),
        (-np.inf, 0.0), (np.nan, np.nan),
    ),
}
# fmt: on


@on_every_target
@pytest.mark.parametrize("name", ENDS)
def test_a_function_of_doubles_is_right_at_its_ends(machine: Machine, name: str) -> None:
    points, expected = zip(*ENDS[name], strict=True)
    found = np.array(values_at(machine, name, list(points)))
    same = (found == expected) & (np.signbit(found) == np.signbit(expected))
    assert (same | (np.isnan(found) & np.isnan(expected))).all(), f"{name} of {points} is {found}"


# fmt: off
SPECIAL_DOUBLES = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.0, 3.0, -3.0, -0.3, 1e10, 1e300, 1 - 2.0**-53, 1 + 2.0**-52,
     2.0**53 - 1, 2.0**53 + 2, -1075.0, 1024.0, 2.0**-1074, -(2.0**-1074), 2.0**-1022,
     1.7976931348623157e308, -1.7976931348623157e308, np.inf, -np.inf, np.nan]
)
# fmt: on


@needs_long_double
@on_every_target
def test_power_of_doubles_has_all_cases_of_c(machine: Machine) -> None:
    x, y = whole_vectors(tuples_of(SPECIAL_DOUBLES, 2))
    found, expected = evaluate(machine, "power", x, y), truth("power", x, y)
    far = (ulps(found, expected) > CLAIMED["power"]) | (np.signbit(found) != np.signbit(expected))
    wrong = np.flatnonzero(far & ~np.isnan(expected))[:1]
    assert not len(wrong), f"{x[wrong]} ** {y[wrong]} is {found[wrong]}, not {expected[wrong]}"
    assert np.array_equal(np.isnan(found), np.isnan(expected))


@on_every_target
def test_a_function_of_one_lane_of_doubles_does_not_see_the_others(machine: Machine) -> None:
    x = np.resize(np.array([0.7, np.nan, 0.7, np.inf, 0.7, -np.inf, 0.7, 0.7]), 64)
    for name in CLAIMED:
        calm, found = (evaluate(machine, name, each, np.full(64, 0.3)) for each in (np.full(64, 0.7), x))
        assert np.array_equal(found[x == 0.7], calm[x == 0.7]), name


@on_every_target
@pytest.mark.parametrize(("degree", "error"), [(3, 1.1e-4), (4, 3e-6), (5, 2.4e-7)])
def test_exp2_of_a_lower_degree_is_as_accurate_as_said(machine: Machine, degree: int, error: float) -> None:
    kind = ir.VectorType(F32, machine.target.lanes)
    function = compiled(
        machine, kind, lambda builder, x, _: elementary.emit_exp2(builder, x, machine.target, degree)
    )
    x = np.linspace(-126, 127, 1 << 18, dtype=np.float32)
    x[:4] = 0.0, -0.0, -126.0, -np.inf
    found = np.empty_like(x)
    function(address(x), address(x), address(found), len(x) // machine.target.lanes)
    assert found[:4].tolist() == [1.0, 1.0, 2.0**-126, 0.0]
    assert (np.abs(found[4:] / np.exp2(x[4:].astype(np.float64)) - 1) <= error).all()


@on_every_target
@pytest.mark.parametrize("element", [F64, I32, I64], ids=str)
def test_a_square_of_any_lanes_is_turned_over(machine: Machine, element: ir.Type) -> None:
    lanes = machine.target.lanes // 2
    module, kind = ir.Module(), ir.VectorType(element, lanes)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64, I64]), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    dtype = np.dtype({F64: np.float64, I32: np.int32, I64: np.int64}[element])

    def row(start: ir.Value, number: int) -> ir.Value:
        return builder.add(start, ir.Constant(I64, number * lanes * dtype.itemsize))

    rows = [registers.read(builder, row(function.args[0], i), kind) for i in range(lanes)]
    for i, column in enumerate(squares.transpose(builder, rows)):
        registers.write(builder, row(function.args[1], i), column)
    builder.ret_void()
    source = np.arange(lanes * lanes, dtype=dtype).reshape(lanes, lanes)
    found = np.empty_like(source)
    native(machine, module, 2)(address(source), address(found))
    assert np.array_equal(found, source.T)


@on_every_target
@pytest.mark.parametrize("which", ["quotient", "remainder"])
def test_floor_division_is_that_of_numpy_to_the_last_bit(machine: Machine, which: str) -> None:
    def emit_one(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        return divisions.emit_real_floor_division(builder, x, y)[which == "remainder"]

    rng = np.random.default_rng(0)
    ends = [0.0, 1.0, 3.0, 0.1, 1e300, 5e-324, 2.3e-308, 1.7976931348623157e308, np.inf, np.nan]
    special = tuples_of(np.array([*ends, *(-each for each in ends)]), 2)
    random = rng.integers(0, 2**64, (2, 4096), dtype=np.uint64).view(np.float64)
    x, y = whole_vectors(np.concatenate([special, random], axis=1))
    found = np.empty(len(x))
    kind = ir.VectorType(F64, machine.target.lanes // 2)
    compiled(machine, kind, emit_one)(address(x), address(y), address(found), len(x) // kind.count)
    with np.errstate(all="ignore"):
        expected = np.remainder(x, y) if which == "remainder" else np.floor_divide(x, y)
    np.testing.assert_array_equal(found, expected)

"""From bytes of object code to a function that Python can call, with llvmlite and without Numba.

Importing llvmlite takes 0.06 s and loading an object 2 ms, where importing Numba takes most of a second.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import forking  # noqa: F401  (its import makes forks wait for LLVM)
from .elf import MAGIC, NotElf, read_symbols

if TYPE_CHECKING:
    from llvmlite.binding.executionengine import ExecutionEngine

# What LLVM itself inserts for loops that fill or copy. Code that wants more was not compiled for this loader.
ALLOWED_SYMBOLS = frozenset({"memset", "memcpy", "memmove"})

METH_FASTCALL = 0x80  # the flag of PyMethodDef

Function = Callable[..., None]


class RefusedCode(Exception):
    """Object code that cannot be loaded here: to be treated as if it had not been found."""


def load_function(
    object_code: bytes, symbol: str, argument_count: int, others: tuple[str, ...] = ()
) -> Function:
    """The function of that name in the object code; it takes int64 arguments only and returns nothing.

    `others` are functions that have to be there too. A call releases the GIL. The machine code lives as long
    as the function does.

    Needs    bytes that a compiler wrote: LLVM may end the process on others, so check their digest first
    Raises   RefusedCode
    """
    for each in (symbol, *others):
        _check_symbols(object_code, each)
    engine = _engine(object_code)
    address = engine.get_function_address(symbol)
    if not address:
        raise RefusedCode(f"the object code has no function {symbol}")
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * argument_count)(address)
    function.engine = engine  # type: ignore[attr-defined]  # the engine owns the code
    return function


class MethodDefinition(ctypes.Structure):
    """CPython's PyMethodDef. It has to live as long as the function that is made of it."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@dataclass(frozen=True)
class Direct:
    """A function in machine code that Python calls as one of its own, and what it needs to live."""

    call: Callable[..., object]
    definition: MethodDefinition
    engine: ExecutionEngine


def load_direct(function: Function, symbol: str, owner: object) -> Direct:
    """The other function in the code of a loaded one, as a builtin function of Python's.

    It is called with the addresses of `owner` and of an array of its arguments, and their number: ctypes
    would take half a microsecond to convert them. A call keeps the GIL, so nobody changes the objects.

    Source   METH_FASTCALL of CPython's stable ABI
    Raises   RefusedCode
    """
    engine: ExecutionEngine = function.engine  # type: ignore[attr-defined]
    address = engine.get_function_address(symbol)
    if not address:
        raise RefusedCode(f"the object code has no function {symbol}")
    definition = MethodDefinition(symbol.encode(), address, METH_FASTCALL, None)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.argtypes = (ctypes.POINTER(MethodDefinition), ctypes.py_object, ctypes.py_object)
    make.restype = ctypes.py_object
    return Direct(make(ctypes.byref(definition), owner, None), definition, engine)


def _check_symbols(object_code: bytes, symbol: str) -> None:
    if sys.platform != "linux" and not object_code.startswith(MAGIC):
        return  # Mach-O or COFF: what LLVM itself finds has to do
    try:
        symbols = read_symbols(object_code)
    except NotElf as error:
        raise RefusedCode(str(error)) from error
    if symbol not in symbols.defined:
        raise RefusedCode(f"the object code has no function {symbol}")
    unknown = symbols.undefined - ALLOWED_SYMBOLS
    if unknown:
        raise RefusedCode(f"the object code calls what it may not: {', '.join(sorted(unknown))}")


def _engine(object_code: bytes) -> ExecutionEngine:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(codemodel="jitdefault", jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    try:
        engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
        engine.finalize_object()
    except RuntimeError as error:
        raise RefusedCode(f"LLVM refuses the object code: {error}") from error
    return engine

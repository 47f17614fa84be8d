"""Object code becomes a function, with llvmlite alone, or is refused before LLVM could end the process."""

from __future__ import annotations

import gc
import random
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

from mhagen.runtime.elf import NotElf, read_symbols
from mhagen.runtime.native import RefusedCode, load_function

Run = Callable[..., subprocess.CompletedProcess[str]]

CALLS_ANOTHER = """
declare void @{callee}(ptr, i32, i64)
define void @kernel(i64 %out) {{
  %place = inttoptr i64 %out to ptr
  call void @{callee}(ptr %place, i32 0, i64 8)
  ret void
}}
"""


def add(function: Callable[..., None], a: int, b: int) -> int:
    out = np.zeros(1, np.int64)
    function(out.ctypes.data, a, b)
    return int(out[0])


def test_object_code_becomes_a_function(add_code: bytes) -> None:
    function = load_function(add_code, "add", 3)
    assert add(function, 2, 40) == 42
    assert add(function, -(1 << 62), -1) == -(1 << 62) - 1


def test_the_machine_code_lives_as_long_as_the_function(add_code: bytes) -> None:
    functions = [load_function(bytes(bytearray(add_code)), "add", 3) for _ in range(20)]
    del functions[::2]
    gc.collect()
    assert [add(function, 1, 2) for function in functions] == [3] * 10


def test_threads_may_load_at_once(add_code: bytes) -> None:
    sums: list[int] = []

    def load_and_add() -> None:
        for _ in range(20):
            sums.append(add(load_function(add_code, "add", 3), 20, 22))

    threads = [threading.Thread(target=load_and_add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [42] * 80


def test_a_name_that_is_not_there_is_refused(add_code: bytes) -> None:
    with pytest.raises(RefusedCode, match="no function subtract"):
        load_function(add_code, "subtract", 3)


@pytest.mark.parametrize("callee", ["memset", "memcpy", "memmove"])
def test_what_llvm_inserts_may_be_called(assembled: Callable[[str], bytes], callee: str) -> None:
    load_function(assembled(CALLS_ANOTHER.format(callee=callee)), "kernel", 1)


@pytest.mark.parametrize("callee", ["system", "no_such_function", "NRT_Allocate", "PyErr_SetString"])
def test_what_calls_anything_else_is_refused_by_name(assembled: Callable[[str], bytes], callee: str) -> None:
    code = assembled(CALLS_ANOTHER.format(callee=callee))
    with pytest.raises(RefusedCode, match=f"calls what it may not: {callee}"):
        load_function(code, "kernel", 1)


def test_code_cut_short_anywhere_is_refused(add_code: bytes) -> None:
    for length in range(0, len(add_code), 7):
        with pytest.raises(RefusedCode):
            load_function(add_code[:length], "add", 3)


@pytest.mark.parametrize(
    "code", [b"", b"MZ", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(1000), b"\xcf\xfa\xed\xfe" * 99]
)
def test_what_is_no_object_file_is_refused(code: bytes) -> None:
    with pytest.raises(RefusedCode):
        load_function(code, "add", 3)


def test_reading_symbols_of_damaged_files_never_fails_otherwise(add_code: bytes) -> None:
    chance = random.Random(1)
    for _ in range(5000):
        damaged = bytearray(add_code)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        try:
            read_symbols(bytes(damaged))
        except NotElf:
            continue


def test_symbols_are_told_apart(assembled: Callable[[str], bytes]) -> None:
    symbols = read_symbols(assembled(CALLS_ANOTHER.format(callee="memset")))
    assert symbols.defined == {"kernel"}
    assert symbols.undefined == {"memset"}


def test_a_section_table_outside_the_file_is_refused(add_code: bytes) -> None:
    damaged = bytearray(add_code)
    struct.pack_into("<Q", damaged, 40, len(add_code))  # e_shoff
    with pytest.raises(NotElf, match="outside the file"):
        read_symbols(bytes(damaged))


def test_a_second_process_loads_without_numba(add_code: bytes, tmp_path: Path, run_python: Run) -> None:
    path = tmp_path / "add.o"
    path.write_bytes(add_code)
    script = """
import sys
from pathlib import Path
from mhagen.runtime.native import load_function
import numpy as np
out = np.zeros(1, np.int64)
load_function(Path(sys.argv[1]).read_bytes(), "add", 3)(out.ctypes.data, 2, 40)
print(out[0], "numba" in sys.modules)
"""
    done = run_python(script, str(path))
    assert (done.stdout, done.stderr) == ("42 False\n", "")


def test_what_numba_compiles_needs_nothing_else() -> None:
    numba = pytest.importorskip("numba")
    from numba.extending import intrinsic

    @intrinsic
    def store_int64(context, address, value):  # type: ignore[no-untyped-def]
        def emit(_, builder, signature, values):  # type: ignore[no-untyped-def]
            place = builder.inttoptr(values[0], values[1].type.as_pointer())
            builder.store(values[1], place)
            return values[0]

        return numba.intp(address, value), emit

    @numba.cfunc(numba.void(*[numba.int64] * 3), error_model="numpy", nogil=True)
    def dot_to(out, a, n):  # type: ignore[no-untyped-def]
        total = 0
        for i in range(n):
            total += (a + i) * i
        store_int64(out, total)  # type: ignore[call-arg]

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=3, codemodel="jitdefault", jit=True)
    code = machine.emit_object(llvm.parse_assembly(dot_to.inspect_llvm()))
    assert add(load_function(code, dot_to.native_name, 3), 2, 4) == sum((2 + i) * i for i in range(4))

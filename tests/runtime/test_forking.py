"""A child forked while other threads compile finds no lock taken that nobody will give back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

FORK_WHILE_OTHERS_WORK = """
import mhagen.runtime.native
import os, threading, time

def forever():
    while True:
        work()

for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.5)

def fork_and_work():
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        ended, state = os.waitpid(child, os.WNOHANG)
        if ended:
            return state
        time.sleep(0.005)
    os.kill(child, 9)
    return "hung"

states = set(fork_and_work() for _ in range(children))
print(states)
os._exit(0)
"""

WITH_LLVM = """
children = 10
import llvmlite.binding as llvm
from mhagen.runtime.native import load_function

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
sums = "".join(f"  %v{i + 1} = add i64 %v{i}, {i}\\n" for i in range(300))
text = "define void @nothing(i64 %v0) {\\n" + sums + "  ret void\\n}"

def work():
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0, codemodel="jitdefault", jit=True)
    load_function(machine.emit_object(llvm.parse_assembly(text)), "nothing", 1)(1)
"""

WITH_NUMBA = """
children = 4
import numba

def work():
    numba.njit("int64(int64)")(lambda x: x + 1)(1)
"""


@pytest.mark.parametrize("work", [WITH_LLVM, WITH_NUMBA], ids=["llvm", "numba"])
def test_a_child_can_compile(run_python: Run, work: str) -> None:
    done = run_python(work + FORK_WHILE_OTHERS_WORK)
    assert done.stdout == "{0}\n", done.stderr


def test_a_fork_by_a_thread_that_compiles_itself_does_not_block(run_python: Run) -> None:
    script = """
import os
import mhagen.runtime.native
import numba
from numba.core.compiler_lock import global_compiler_lock
with global_compiler_lock:
    child = os.fork()
    if child == 0:
        numba.njit("int64(int64)")(lambda x: x + 1)(1)
        os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    done = run_python(script)
    assert done.stdout == "0\n", done.stderr

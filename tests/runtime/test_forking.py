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


HOLD = """
import os, threading, time
from mhagen.runtime.forking import OwnLock
lock, is_held = OwnLock(), threading.Event()

def hold():
    with lock:
        is_held.set()
        time.sleep(60)

def fork_and_take(before):
    child = os.fork()
    if child == 0:
        before()
        with lock:
            os._exit(0)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        ended, state = os.waitpid(child, os.WNOHANG)
        if ended:
            return state
        time.sleep(0.005)
    os.kill(child, 9)
    return "hung"
"""


def test_a_lock_that_another_thread_holds_is_free_in_a_child(run_python: Run) -> None:
    script = f"""{HOLD}
threading.Thread(target=hold, daemon=True).start()
is_held.wait()
print(fork_and_take(lambda: None))
os._exit(0)
"""
    done = run_python(script)
    assert done.stdout == "0\n", done.stderr


def test_a_lock_that_the_forking_thread_holds_is_given_back_by_both(run_python: Run) -> None:
    script = f"""{HOLD}
lock.__enter__()
print(fork_and_take(lambda: lock.__exit__(None, None, None)))
lock.__exit__(None, None, None)
with lock:
    print("free")
"""
    done = run_python(script)
    assert done.stdout == "0\nfree\n", done.stderr

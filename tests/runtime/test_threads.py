"""Threads share claimed work: all of it, once, whoever calls and whatever interrupts."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable

import pytest

from mhagen.runtime.threads import Team, thread_count, threads

Run = Callable[..., subprocess.CompletedProcess[str]]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


class Claimed:
    """Work as kernels share it: each piece is claimed from a counter, and done once."""

    def __init__(self, pieces: int) -> None:
        self.done = [0] * pieces
        self.counter = itertools.count()
        self.threads: set[int] = set()

    def __call__(self, index: int) -> None:
        self.threads.add(threading.get_ident())
        for piece in self.counter:
            if piece >= len(self.done):
                return
            self.done[piece] += 1


@pytest.mark.parametrize("workers", [0, 1, 2, 3, 8])
def test_all_work_is_done_once(workers: int) -> None:
    team = Team()
    for pieces in (0, 1, 7, 1000):
        work = Claimed(pieces)
        team.run(workers, work)
        assert work.done == [1] * pieces


def test_each_worker_has_its_own_index_and_thread() -> None:
    together = threading.Barrier(4)
    seen: dict[int, int] = {}

    def task(index: int) -> None:
        together.wait(10)
        seen[index] = threading.get_ident()

    Team().run(4, task)
    assert sorted(seen) == [0, 1, 2, 3]
    assert len(set(seen.values())) == 4
    assert seen[0] == threading.get_ident()


def test_threads_are_kept_between_calls() -> None:
    team, before = Team(), threading.active_count()
    for _ in range(50):
        team.run(3, Claimed(10))
    assert threading.active_count() == before + 2


def test_nobody_waits_for_a_worker_that_has_not_begun() -> None:
    team = Team()
    busy, free = threading.Event(), threading.Event()

    def occupy(index: int) -> None:
        if index == 1:
            busy.set()
        free.wait(10)

    other = threading.Thread(target=team.run, args=(2, occupy))
    other.start()
    busy.wait(10)
    called: list[int] = []
    start = time.monotonic()
    team.run(2, called.append)
    assert called == [0]
    assert time.monotonic() - start < 1
    free.set()
    other.join()
    together = threading.Barrier(2)
    team.run(2, lambda index: together.wait(10))  # the worker has passed the errand that was called off
    assert called == [0]


def test_four_threads_may_call_at_once() -> None:
    team = Team()
    wrong: list[int] = []

    def call() -> None:
        for _ in range(200):
            work = Claimed(50)
            team.run(3, work)
            if work.done != [1] * 50:
                wrong.append(1)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_a_call_from_inside_a_task_works() -> None:
    team, work = Team(), Claimed(100)
    team.run(2, lambda index: team.run(2, work))
    assert work.done == [1] * 100


@pytest.mark.parametrize("culprit", [0, 1])
def test_an_error_arrives_after_all_have_ended(culprit: int) -> None:
    together = threading.Barrier(2)
    ended = []

    def task(index: int) -> None:
        together.wait(10)
        if index == culprit:
            raise LookupError(f"worker {index}")
        time.sleep(0.05)
        ended.append(index)

    team = Team()
    with pytest.raises(LookupError, match=f"worker {culprit}"):
        team.run(2, task)
    assert ended == [1 - culprit]
    work = Claimed(10)
    team.run(2, work)
    assert work.done == [1] * 10


def test_arrays_are_let_go_when_the_call_returns() -> None:
    class Arrays:
        pass

    arrays = Arrays()
    gone = weakref.ref(arrays)
    together = threading.Barrier(2)

    def task(index: int, arrays: Arrays = arrays) -> None:
        together.wait(10)

    Team().run(2, task)
    del arrays, task
    assert gone() is None


def test_no_more_threads_to_be_had_is_only_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    work = Claimed(100)
    Team().run(4, work)
    assert work.done == [1] * 100


@needs_fork
def test_a_forked_child_makes_its_own_threads(run_python: Run) -> None:
    script = """
import os, threading
from mhagen.runtime.threads import TEAM
TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
child = os.fork()
if child == 0:
    TEAM.run(3, lambda index, together=threading.Barrier(3): together.wait(10))
    grandchild = os.fork()
    if grandchild == 0:
        TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
        os._exit(0)
    os._exit(os.waitpid(grandchild, 0)[1])
print(os.waitpid(child, 0)[1])
TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
"""
    done = run_python(script)
    assert done.stdout == "0\n", done.stderr


@needs_fork
def test_a_fork_while_other_threads_call_leaves_both_sides_working(run_python: Run) -> None:
    script = """
import os, threading, time
from mhagen.runtime.threads import TEAM
stop = False
def call():
    while not stop:
        TEAM.run(3, lambda index: time.sleep(0.0005))
threads = [threading.Thread(target=call) for _ in range(4)]
for thread in threads: thread.start()
states = []
for _ in range(20):
    child = os.fork()
    if child == 0:
        TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
        os._exit(0)
    states.append(os.waitpid(child, 0)[1])
stop = True
for thread in threads: thread.join()
print(states)
"""
    done = run_python(script)
    assert done.stdout == f"{[0] * 20}\n", done.stderr


def test_an_interrupt_waits_for_the_workers(run_python: Run) -> None:
    script = """
import os, signal, threading, time
from mhagen.runtime.threads import TEAM
ended = []
together = threading.Barrier(2)
def task(index):
    together.wait(10)
    if index == 0:
        os.kill(os.getpid(), signal.SIGINT)
        return
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)  # and once more, while the caller waits
    time.sleep(0.2)
    ended.append(index)
try:
    TEAM.run(2, task)
except KeyboardInterrupt:
    print("interrupted", ended)
TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
"""
    done = run_python(script)
    assert (done.stdout, done.stderr) == ("interrupted [1]\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no interval timer")
def test_interrupts_at_any_moment_never_block_later_calls(run_python: Run) -> None:
    script = """
import random, signal, threading, time
from mhagen.runtime.threads import TEAM
class Interrupt(Exception): pass
armed = False
def interrupt(*_):
    global armed
    if armed:
        armed = False
        raise Interrupt
signal.signal(signal.SIGALRM, interrupt)
chance, caught = random.Random(1), 0
TEAM.run(2, lambda index: None)
for _ in range(3000):
    try:
        armed = True
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 3e-4))
        for _ in range(10):
            TEAM.run(2, lambda index: sum(range(300)))
        armed = False
    except Interrupt:
        caught += 1
TEAM.run(2, lambda index, together=threading.Barrier(2): together.wait(10))
print(caught > 100, threading.active_count())
"""
    done = run_python(script)
    assert (done.stdout, done.stderr) == ("True 2\n", "")


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_threads_do_not_keep_the_interpreter_from_ending(run_python: Run, state: str) -> None:
    script = """
import sys, threading, time
from mhagen.runtime.threads import TEAM
began = threading.Event()
def work(index):
    if index == 1:
        began.set()
        time.sleep(0 if sys.argv[1] == "idle" else 50)
    else:
        began.wait(10)
threading.Thread(target=TEAM.run, args=(2, work), daemon=True).start()
began.wait(10)
print("ending")
"""
    start = time.monotonic()
    done = run_python(script, state)
    assert (done.stdout, done.stderr, done.returncode) == ("ending\n", "", 0)
    assert time.monotonic() - start < 20


def test_the_thread_count_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.parallel", types.ModuleType("parallel"))
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    assert thread_count() == 3
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    assert 1 <= thread_count() <= (os.cpu_count() or 1)


def test_the_thread_count_follows_numba_where_a_program_has_set_it(run_python: Run) -> None:
    script = """
import sys
from mhagen.runtime.threads import thread_count
before = thread_count(), "numba" in sys.modules
import numba
from numba.np.ufunc import parallel
imported = thread_count(), parallel._is_initialized
numba.set_num_threads(2)
print(before, imported, thread_count())
"""
    pytest.importorskip("numba")
    done = run_python(script, NUMBA_NUM_THREADS="3", NUMBA_THREADING_LAYER="workqueue")
    assert done.stdout == "(3, False) (3, False) 2\n", done.stderr


def test_a_caller_chooses_for_its_own_thread_and_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    seen: list[int] = []
    with threads(2):
        other = threading.Thread(target=lambda: seen.append(thread_count()))
        other.start()
        other.join()
        with threads(1):
            seen.append(thread_count())
        seen.append(thread_count())
    assert [*seen, thread_count()] == [3, 1, 2, 3]

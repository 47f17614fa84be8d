"""The facts of a machine, as its operating system and its toolchain tell them."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import pytest

from mhagen.base.target import AVX2, AVX512
from mhagen.runtime.host import host_cpu, host_target
from mhagen.runtime.store import Store
from mhagen.tuning import cuda, workers
from mhagen.tuning.cuda import this_cuda
from mhagen.tuning.findings import find
from mhagen.tuning.keeping import Keeping, this_keeping, why_not_usable
from mhagen.tuning.machine import Machine, installed
from mhagen.tuning.processor import Processor, this_processor
from mhagen.tuning.toolchain import LAYER_MODULES, compiler_is_on, threading_layer
from mhagen.tuning.workers import Workers, busy, cpu_quota, these_workers

PROCESSOR = Processor("A CPU", "x86_64", "znver4", "znver4", ("avx2",), (), (), AVX512, AVX512)
WORKERS = Workers(used=8, asked=None, cpus=8, allowed=8, quota=None, busy=None, numba_layer="omp")
KEEPING = Keeping("/cache", True, "", entries=3, bytes=1000, damaged=0, free_bytes=1 << 40)
MACHINE = Machine(PROCESSOR, WORKERS, None, KEEPING, this_cuda(), True, "Linux", ())


def test_a_good_machine_has_no_findings() -> None:
    assert find(MACHINE) == ()


def with_cpu(**changes: object) -> Machine:
    return replace(MACHINE, processor=replace(PROCESSOR, **changes))


def with_workers(**changes: object) -> Machine:
    return replace(MACHINE, workers=replace(WORKERS, **changes))


def with_cache(**changes: object) -> Machine:
    return replace(MACHINE, keeping=replace(KEEPING, **changes))


FINDINGS = {
    "no-target": (with_cpu(target=None, own_target=None), True, "AVX2"),
    "features-not-there": (with_cpu(missing=("avx512f",)), True, "unset NUMBA_CPU_FEATURES"),
    "features-hidden": (with_cpu(target=AVX2), False, "unset NUMBA_CPU_FEATURES"),
    "another-cpu": (with_cpu(name="haswell"), False, "unset NUMBA_CPU_NAME"),
    "compiler-off": (replace(MACHINE, compiles=False), True, "unset NUMBA_DISABLE_JIT"),
    "bad-thread-count": (with_workers(used=None, asked="many"), True, "NUMBA_NUM_THREADS"),
    "too-many-threads": (with_workers(used=9), False, "to 8"),
    "cpu-quota": (with_workers(quota=2.5), False, "to 2"),
    "one-cpu": (with_workers(used=1, allowed=1), False, "taskset"),
    "busy": (with_workers(busy=7.5), False, "again"),
    "cache-not-usable": (with_cache(problem="it is not a directory"), True, "MHAGEN_CACHE_DIR"),
    "disk-full": (with_cache(free_bytes=1 << 20), False, "free space"),
    "cache-damaged": (with_cache(damaged=1), False, "mhagen cache clear"),
}


@pytest.mark.parametrize("code", FINDINGS)
def test_what_is_wrong_is_found_with_its_remedy(code: str) -> None:
    machine, is_failure, remedy = FINDINGS[code]
    (finding,) = find(machine)
    assert (finding.code, finding.is_failure) == (code, is_failure)
    assert remedy in finding.remedy


def test_hidden_features_stop_kernels_if_no_target_is_left() -> None:
    (finding,) = find(with_cpu(target=None))
    assert (finding.code, finding.is_failure) == ("features-hidden", True)


def test_what_stops_kernels_is_told_first() -> None:
    both = replace(with_workers(busy=7.5), keeping=replace(KEEPING, problem="it is a file", damaged=0))
    assert [finding.code for finding in find(both)] == ["cache-not-usable", "busy"]


def test_a_machine_with_one_cpu_is_as_it_is() -> None:
    assert find(with_workers(used=1, allowed=1, cpus=1)) == ()


def test_this_cpu_has_the_features_of_its_target() -> None:
    found = this_processor()
    assert found.runs_kernels
    assert found.target == host_target()
    assert found.model
    assert set(found.features) | set(found.lacks) >= {"fma"} & host_cpu().features
    assert found.missing == ()


@pytest.mark.parametrize(
    ("text", "quota"),
    [("max 100000\n", None), ("250000 100000\n", 2.5), ("", None), ("1 0\n", None), ("a b\n", None)],
)
def test_a_containers_limit_is_read(tmp_path: Path, text: str, quota: float | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert cpu_quota(file) == quota


def test_without_a_container_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "cpu.max") is None


def test_threads_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WORKERS.reason == "one for each CPU"
    assert replace(WORKERS, allowed=3).reason == "this process may run on 3 of 8 CPUs"
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert these_workers().reason == "NUMBA_NUM_THREADS is 5"
    monkeypatch.setenv("NUMBA_NUM_THREADS", "many")
    assert these_workers().used is None


@pytest.mark.parametrize(("load", "is_busy"), [(0.2, False), (1.0, False), (500.0, True)])
def test_a_machine_is_busy_when_others_leave_no_cpu(
    monkeypatch: pytest.MonkeyPatch, load: float, is_busy: bool
) -> None:
    monkeypatch.setattr(workers.os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert busy() == (load if is_busy else None)


def test_the_layer_that_numba_would_load_is_one_of_its_own() -> None:
    assert threading_layer() in LAYER_MODULES
    assert compiler_is_on()


def test_packages_that_are_missing_are_told_as_such() -> None:
    assert installed("numba") != "not installed"
    assert installed("no-package-of-this-name") == "not installed"


def test_a_cache_that_is_not_there_yet_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "a" / "b"))
    found = this_keeping()
    assert (found.exists, found.problem, found.entries) == (False, "", 0)
    assert found.free_bytes > 0


def test_the_entries_of_a_cache_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(cache))
    for digit in "ab":
        Store(cache).save(digit * 64, b"code", "note")
    (cache / f"{'a' * 64}.code").write_bytes(b"nonsense")
    found = this_keeping()
    assert (found.exists, found.problem, found.entries, found.damaged) == (True, "", 2, 1)


def test_a_cache_that_is_not_private_cannot_be_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert "other users may write" in why_not_usable(tmp_path)


def test_a_file_in_the_place_of_the_cache_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert why_not_usable(file) == f"{file} is not a directory"
    assert why_not_usable(file / "below") == f"{file} is not a directory"


def test_without_a_driver_there_is_no_gpu_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "DRIVER", "no-such-driver.so")
    found = this_cuda()
    assert (found.driver, found.gpus) == (None, ())
    assert "no-such-driver.so" in found.reason


class Driver:
    """A CUDA driver with one GPU, or one that fails to start."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def cuInit(self, flags: int) -> int:  # noqa: N802  (its name in C)
        return self.status

    def __getattr__(self, name: str) -> object:
        def answer(out: object, *arguments: int) -> int:
            if name == "cuDeviceGetName":
                out.value = b"A GPU"
            else:
                ctypes.cast(out, ctypes.POINTER(ctypes.c_int))[0] = self.integer(name, *arguments)
            return 0

        return answer

    def integer(self, name: str, *arguments: int) -> int:
        attributes = {75: 9, 76: 0}
        numbers = {"cuDriverGetVersion": 13020, "cuDeviceGetCount": 1, "cuDeviceGet": 0}
        return numbers[name] if name in numbers else attributes[arguments[0]]


def test_gpus_have_a_name_and_a_compute_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver())
    found = this_cuda()
    assert (found.driver, found.reason) == ("13.2", "")
    assert [(gpu.name, gpu.compute_capability) for gpu in found.gpus] == [("A GPU", "9.0")]


def test_a_driver_that_does_not_start_gives_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Driver(status=100))
    found = this_cuda()
    assert found.gpus == ()
    assert "100" in found.reason

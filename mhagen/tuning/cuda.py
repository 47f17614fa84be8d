"""Which GPUs the CUDA driver knows, asked directly: no package is imported, and nothing runs on them."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
SUCCESS = 0
NAME_BYTES = 128
# CUdevice_attribute of the driver's cuda.h
COMPUTE_CAPABILITY_MAJOR, COMPUTE_CAPABILITY_MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """A GPU and the instruction set it has: compute capability 9.0 is sm_90."""

    name: str
    compute_capability: str


@dataclass(frozen=True)
class Cuda:
    """What the driver says. `reason` tells why there is no GPU, if there is none."""

    driver: str | None
    gpus: tuple[Gpu, ...]
    reason: str


def this_cuda() -> Cuda:
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return Cuda(None, (), f"no CUDA driver: {DRIVER} is not there")
    status = driver.cuInit(0)
    if status != SUCCESS:
        return Cuda(_version(driver), (), f"the CUDA driver finds no GPU that it can use (error {status})")
    count = _integer(driver.cuDeviceGetCount)
    return Cuda(_version(driver), tuple(_gpu(driver, number) for number in range(count)), "")


def _version(driver: ctypes.CDLL) -> str:
    number = _integer(driver.cuDriverGetVersion)
    return f"{number // 1000}.{number % 1000 // 10}"


def _integer(function: ctypes._NamedFuncPointer, *arguments: int) -> int:
    """What a function of the driver writes to its first argument; 0 if it fails."""
    value = ctypes.c_int(0)
    return value.value if function(ctypes.byref(value), *arguments) == SUCCESS else 0


def _gpu(driver: ctypes.CDLL, number: int) -> Gpu:
    device = _integer(driver.cuDeviceGet, number)
    name = ctypes.create_string_buffer(NAME_BYTES)
    driver.cuDeviceGetName(name, NAME_BYTES, device)
    major = _integer(driver.cuDeviceGetAttribute, COMPUTE_CAPABILITY_MAJOR, device)
    minor = _integer(driver.cuDeviceGetAttribute, COMPUTE_CAPABILITY_MINOR, device)
    return Gpu(name.value.decode(errors="replace"), f"{major}.{minor}")

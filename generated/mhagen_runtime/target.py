"""The classes of CPU and GPU mhagen generates code for. Pure data: what the host is, others find out."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Target:
    """One class of CPU: the same source serves every member of it.

    Units    lanes counts float32 values in a vector register; registers counts vector registers;
             *_bytes are typical cache sizes of the class, per core, used to choose tiles.
    Members  realigns is whether values are copied first if vectors of them may lie in two cache lines each;
             looks_up is whether one instruction picks each lane from a table of eight numbers of float32;
             pair_dtype is the 16-bit format whose pairs one instruction multiplies and adds up in float32.
             A class that has one is chosen for kernels of that format only.
    """

    name: str
    architecture: str
    features: tuple[str, ...]
    lanes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    scales_by_exponent: bool  # one instruction multiplies by 2**n (AVX-512 vscalefps)
    realigns: bool = False
    looks_up: bool = False
    pair_dtype: str = ""

    @property
    def vector_bytes(self) -> int:
        return 4 * self.lanes

    def lanes_of(self, computed: str) -> int:
        """How many numbers of a kernel that computes in float32 or float64 a register holds."""
        return self.lanes // 2 if computed == "float64" else self.lanes

    def holds(self, vectors: int) -> bool:
        """Can so many vectors stay in registers beside what is computed with them?"""
        return vectors <= self.registers // 2


AVX512 = Target(
    name="avx512",
    architecture="x86_64",
    features=("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"),
    lanes=16,
    registers=32,
    l1_bytes=32 << 10,
    l2_bytes=1 << 20,
    scales_by_exponent=True,
)
AVX512_BF16 = replace(
    AVX512, name="avx512_bf16", features=(*AVX512.features, "avx512bf16"), pair_dtype="bfloat16"
)
AVX2 = Target(
    name="avx2",
    architecture="x86_64",
    features=("avx2", "f16c", "fma"),
    lanes=8,
    registers=16,
    l1_bytes=32 << 10,
    l2_bytes=512 << 10,
    scales_by_exponent=False,
    realigns=True,  # a tile of values reads two vectors for six multiply-adds of each: a load more takes long
    looks_up=True,
)
NEON = Target(
    name="neon",
    architecture="aarch64",
    features=("neon",),
    lanes=4,
    registers=32,
    l1_bytes=64 << 10,
    l2_bytes=512 << 10,
    scales_by_exponent=False,
)


@dataclass(frozen=True)
class Gpu:
    """One class of GPU: code for it runs on every GPU of its compute capability or above.

    Units    shared_bytes is what one block of threads can have; registers counts those of a multiprocessor
    Members  suffix is "a" where code uses what only this very class has (sm_90a)
    """

    name: str
    compute_capability: tuple[int, int]
    suffix: str
    shared_bytes: int
    registers: int


SM_80 = Gpu("sm_80", (8, 0), "", shared_bytes=163 << 10, registers=1 << 16)
SM_86 = Gpu("sm_86", (8, 6), "", shared_bytes=99 << 10, registers=1 << 16)
SM_89 = Gpu("sm_89", (8, 9), "", shared_bytes=99 << 10, registers=1 << 16)
SM_90 = Gpu("sm_90", (9, 0), "", shared_bytes=227 << 10, registers=1 << 16)
SM_90A = Gpu("sm_90a", (9, 0), "a", shared_bytes=227 << 10, registers=1 << 16)

GPUS = (SM_80, SM_86, SM_89, SM_90, SM_90A)


def gpu_named(name: str) -> Gpu:
    """The GPU class of that name. Raises KeyError for an unknown one."""
    return {gpu.name: gpu for gpu in GPUS}[name]


# Widest first: the first class whose features a host has is the host's class.
TARGETS = (AVX512_BF16, AVX512, AVX2, NEON)


def target_named(name: str) -> Target:
    """The target of that name. Raises KeyError for an unknown one."""
    return {target.name: target for target in TARGETS}[name]


def best_target(architecture: str, features: frozenset[str], dtype: str = "float32") -> Target | None:
    """The widest class that a CPU with these features belongs to and that suits the dtype, or None."""
    for target in TARGETS:
        belongs = target.architecture == architecture and features.issuperset(target.features)
        if belongs and target.pair_dtype in ("", dtype):
            return target
    return None

"""The CPU classes mhagen generates code for. Pure data: what the host is, runtime.host finds out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One class of CPU: the same source serves every member of it.

    Units    lanes counts float32 values in a vector register; registers counts vector registers;
             *_bytes are typical cache sizes of the class, per core, used to choose tiles.
    """

    name: str
    architecture: str
    features: tuple[str, ...]
    lanes: int
    registers: int
    l1_bytes: int
    l2_bytes: int
    scales_by_exponent: bool  # one instruction multiplies by 2**n (AVX-512 vscalefps)

    @property
    def vector_bytes(self) -> int:
        return 4 * self.lanes


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
AVX2 = Target(
    name="avx2",
    architecture="x86_64",
    features=("avx2", "fma"),
    lanes=8,
    registers=16,
    l1_bytes=32 << 10,
    l2_bytes=512 << 10,
    scales_by_exponent=False,
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

# Widest first: the first class whose features a host has is the host's class.
TARGETS = (AVX512, AVX2, NEON)


def target_named(name: str) -> Target:
    """The target of that name. Raises KeyError for an unknown one."""
    return {target.name: target for target in TARGETS}[name]


def best_target(architecture: str, features: frozenset[str]) -> Target | None:
    """The widest class that a CPU with these features belongs to, or None."""
    for target in TARGETS:
        if target.architecture == architecture and features.issuperset(target.features):
            return target
    return None

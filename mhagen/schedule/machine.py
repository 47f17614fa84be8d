"""A machine as the cost model knows it: what it can do at most, and how long what kernels do takes on it.

Measured  24 November 2026 on one core of an AMD EPYC of the fourth generation (Zen 4), all schedules of a
          call and a kernel of nothing but multiply-adds in turn, the best of 15 rounds; then least squares of
          the relative errors, drawn towards what instructions take by themselves
              avx512       12 calls, 4 dtypes, 156 timings   modelled / measured: 0.93 to 1.09, but 16 queries
              avx512_bf16  12 calls, 96 timings               0.87 to 1.12
              avx2         12 calls, 84 timings               0.88 to 1.08
          NEON is not measured: it has the rates of AVX2.
          short_way_seconds is not fitted: it is what Python and headers take of a small call
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..base.target import AVX2, AVX512, AVX512_BF16, NEON, Target
from .numbers import Numbers

# Waking the threads of a call and waiting for the last of them, in seconds.
WAKE_SECONDS = 50e-6


@dataclass(frozen=True)
class Rates:
    """How long each thing that schedule/counts.py counts takes.

    Units    steps: one is the time of a vector multiply-add at the peak
    Members  load and latency bound a step of an outer product: reading one vector or number, and adding to
             the same sum again. decode_steps are those of a vector multiply-add with few queries. exposed is
             the share of the time of reading memory that does not hide behind products
    """

    load: float
    latency: float
    score_steps: float
    score_tiles: float
    score_vectors: float
    masked_vectors: float
    views: float
    value_steps: float
    value_tiles: float
    sum_vectors: float
    packed_vectors: float
    staged_vectors: float
    finite_vectors: float
    groups: float
    tasks: float
    decode_steps: float
    call_seconds: float
    short_way_seconds: float
    exposed: float


ZEN_4 = Rates(
    load=0.5,  # two loads a cycle
    latency=4.0,  # cycles
    score_steps=1.0,
    score_tiles=38.0,
    score_vectors=4.3,
    masked_vectors=2.7,
    views=9.0,
    value_steps=1.0,
    value_tiles=48.0,
    sum_vectors=0.6,
    packed_vectors=22.0,
    staged_vectors=1.3,
    finite_vectors=0.9,
    groups=270.0,
    tasks=880.0,
    decode_steps=2.0,
    call_seconds=8e-6,
    short_way_seconds=0.5e-6,
    exposed=1.0,
)
ZEN_4_PAIRS = replace(
    ZEN_4,
    load=1.25,  # a pair is repeated by an instruction of its own
    score_steps=1.01,
    score_tiles=32.0,
    score_vectors=4.0,
    value_steps=1.01,
    value_tiles=26.0,
    sum_vectors=0.1,
    packed_vectors=32.0,
    staged_vectors=0.9,
    groups=280.0,
    tasks=1200.0,
)
# Two multiply-adds a cycle, so that a step is half of one.
ZEN_4_HALF = replace(
    ZEN_4,
    load=1.0,
    latency=8.0,
    score_steps=1.02,
    score_tiles=72.0,
    score_vectors=14.0,
    masked_vectors=2.4,
    views=15.0,
    value_steps=1.01,
    value_tiles=5.0,
    sum_vectors=0.9,
    packed_vectors=5.0,
    staged_vectors=2.0,
    groups=120.0,
    tasks=510.0,
)
RATES: Mapping[str, Rates] = {
    AVX512.name: ZEN_4,
    AVX512_BF16.name: ZEN_4_PAIRS,
    AVX2.name: ZEN_4_HALF,
    NEON.name: ZEN_4_HALF,
}
# One thread of what is usual: float32 operations a second, and bytes read a second.
# NEON: two multiply-adds a cycle at 2.6 GHz, as Neoverse N1 has them.
TYPICAL: Mapping[str, tuple[float, float]] = {
    AVX512.name: (117e9, 30e9),
    AVX512_BF16.name: (117e9, 30e9),
    AVX2.name: (115e9, 30e9),
    NEON.name: (41.6e9, 20e9),
}


@dataclass(frozen=True)
class Machine:
    """One machine.

    Units    fma_peak: float32 operations a second of one thread, a multiply-add is two; read_bandwidth: bytes
             a second of all threads
    """

    target: Target
    fma_peak: float
    read_bandwidth: float
    threads: int = 1

    @property
    def rates(self) -> Rates:
        return RATES[self.target.name]

    @property
    def step_seconds(self) -> float:
        """The time of one vector multiply-add, whatever its format: a register is as wide for all."""
        return 2 * self.target.lanes / self.fma_peak

    def peak(self, numbers: Numbers) -> float:
        """Operations a second of one thread in these formats."""
        return 2 * numbers.lanes * numbers.together / self.step_seconds


def typical_machine(target: Target) -> Machine:
    """What a build assumes: it measures nothing, so that the same spec gives the same bytes anywhere."""
    fma_peak, read_bandwidth = TYPICAL[target.name]
    return Machine(target, fma_peak, read_bandwidth)

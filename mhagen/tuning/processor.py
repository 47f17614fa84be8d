"""What the CPU of this machine is, and what kernels make of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.target import Target, best_target
from ..runtime.host import host_cpu, model_name
from .toolchain import own_cpu_features, own_cpu_name

# What decides how fast kernels can be: today's targets, and the number formats of later ones.
NOTABLE = {
    "x86_64": (
        "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx512bf16",
        "avx512fp16", "amx-bf16", "amx-int8",
    ),
    "aarch64": ("neon", "dotprod", "i8mm", "bf16", "sve", "sve2"),
}  # fmt: skip


@dataclass(frozen=True)
class Processor:
    """A CPU. `features` and `target` are what kernels are made for: settings may claim less than there is.

    `missing` are features that settings claim and the CPU lacks.
    """

    model: str
    architecture: str
    name: str
    own_name: str
    features: tuple[str, ...]
    lacks: tuple[str, ...]
    missing: tuple[str, ...]
    target: Target | None
    own_target: Target | None

    @property
    def runs_kernels(self) -> bool:
        return self.target is not None and not self.missing


def this_processor() -> Processor:
    cpu = host_cpu()
    own = own_cpu_features()
    notable = NOTABLE.get(cpu.architecture, ())
    target = best_target(cpu.architecture, cpu.features)
    return Processor(
        model=model_name(),
        architecture=cpu.architecture,
        name=cpu.name,
        own_name=own_cpu_name(),
        features=tuple(feature for feature in notable if feature in cpu.features),
        lacks=tuple(feature for feature in notable if feature not in cpu.features),
        missing=tuple(sorted(cpu.features - own)),
        target=target,
        own_target=best_target(cpu.architecture, own),
    )

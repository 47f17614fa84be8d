"""What tuning for a GPU has found: every schedule that was tried, and the one that later builds use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ..base.spelling import count, memory
from ..base.target import Gpu
from ..schedule.gpu_plan import WARP, GpuSchedule, GpuSizes
from ..schedule.gpu_space import GpuPlan
from ..schedule.gpu_tuned import GpuCircumstances
from ..schedule.gpu_written import plan_to_json
from ..schedule.written import Json
from ..spec.model import Spec
from .gpu_contest import GpuOutcome
from .gpu_sieve import Sifted
from .gpu_static import products_of
from .result_text import text_table

HEADS = (
    *("schedule", "registers", "shared", "blocks/SM", "warps/SM"),
    *("products", "bytes/multiply-add", "ratio", "remark"),
)


@dataclass(frozen=True, repr=False)
class GpuTuning:
    """The result of tuning a spec for a GPU.

    Units    budget and seconds are of wall time; ratios: to the time of the default
    Members  gpu: who has measured, or nothing; reason: why the schedule was chosen, or the default kept;
             sifted: all schedules, the default first; record_path: where this is kept for later builds
    """

    spec: Spec
    target: Gpu
    sizes: GpuSizes
    circumstances: GpuCircumstances
    budget: float
    seconds: float
    chosen: GpuPlan
    reason: str
    gpu: str
    sifted: tuple[Sifted, ...]
    ratios: tuple[tuple[GpuPlan, float], ...] = ()
    outcomes: tuple[GpuOutcome, ...] = ()
    record_path: str = ""

    @property
    def default(self) -> GpuPlan:
        return self.sifted[0].plan

    @property
    def kept_default(self) -> bool:
        return self.chosen == self.default

    @property
    def tried(self) -> tuple[Sifted, ...]:
        """Those of which something is known."""
        return tuple(each for each in self.sifted if each.is_known)

    @property
    def headline(self) -> str:
        head = f"{self.spec.name}, {self.spec.dtype.value}, {self.target.name}"
        counts = f"{len(self.tried)} of {count(len(self.sifted), 'schedule')} compiled"
        return f"{head}: {counts} in {self.seconds:.1f} s of {self.budget:g} s"

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """A line for each schedule that passes."""
        return tuple(self._cells(each) for each in self.sifted if each.passes)

    def _cells(self, found: Sifted) -> tuple[str, ...]:
        plan, ratio = found.plan, dict(self.ratios).get(found.plan)
        products = products_of(plan, self.sizes)
        remarks = ("default" if plan == self.default else "", "chosen" if plan == self.chosen else "")
        return (
            in_words(plan, self.sizes),
            str(found.registers),
            memory(found.shared_bytes),
            str(found.blocks),
            str(found.blocks * plan.threads // WARP),
            str(products.instructions),
            f"{products.bytes_per_multiply_add:.3f}",
            "-" if ratio is None else f"{ratio:.3f}",
            ", ".join(filter(None, remarks)),
        )

    @property
    def remarks(self) -> Iterator[str]:
        """What no cell of the table holds, a line each."""
        for each in self.tried:
            if not each.passes:
                yield f"dropped: {in_words(each.plan, self.sizes)}: {each.why_not}"
        for call in self.outcomes:
            yield f"{call.shape}: {call.default_seconds * 1e3:.3g} ms, ratio {call.ratio}, noise {call.noise}"
        kept = (
            "the default is kept"
            if self.kept_default
            else f"later builds use {in_words(self.chosen, self.sizes)}"
        )
        yield f"{kept}: {self.reason}"

    def __str__(self) -> str:
        return "\n".join((self.headline, "", text_table(HEADS, self.rows()), "", *self.remarks))

    __repr__ = __str__

    def document(self) -> Json:
        """Everything but the spec, as JSON has it."""
        ratios = dict(self.ratios)
        return {
            "gpu": self.gpu,
            "reason": self.reason,
            "schedule": None if self.kept_default else plan_to_json(self.chosen),
            "default": plan_to_json(self.default),
            "untried": len(self.sifted) - len(self.tried),
            "candidates": [self._candidate(each, ratios.get(each.plan)) for each in self.tried],
            "calls": [{**asdict(each), "shape": asdict(each.shape)} for each in self.outcomes],
        }

    def _candidate(self, found: Sifted, ratio: float | None) -> Json:
        figures = {name: getattr(found, name) for name in ("registers", "shared_bytes", "blocks")}
        return {
            "schedule": plan_to_json(found.plan),
            "dropped": found.why_not or None,
            **(figures if found.passes else {}),
            **asdict(products_of(found.plan, self.sizes)),
            "ratio": ratio,
        }


def in_words(plan: GpuPlan, sizes: GpuSizes) -> str:
    """A schedule in one cell: its family, tile, stages, and who works."""
    tile = f"{plan.tile_queries} x {plan.block_keys}, {count(plan.stages, 'stage')}"
    lazy = ", lazy" if plan.is_lazy else ""
    if isinstance(plan, GpuSchedule):
        kept = ", keeps queries" if plan.keeps_queries else ""
        family = "fma" if sizes.uses_fma else "mma"
        return f"{family} {tile}, {count(plan.warps, 'warp')} of {count(plan.row_tiles, 'tile')}{kept}{lazy}"
    turns = ", turns" if plan.takes_turns else ""
    return f"hopper {tile}, {count(plan.consumers, 'group')}{turns}{lazy}"

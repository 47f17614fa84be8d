"""The specs that the claims about kernels are tested on: together they cover the product of features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any

from mhagen.backend import cpu
from mhagen.base.target import Target
from mhagen.ir.program import Program
from mhagen.pipeline import compile_to_source, load_kernel
from mhagen.runtime.host import host_target
from mhagen.schedule.choose import choose_schedule
from mhagen.schedule.legal import violations
from mhagen.schedule.plan import Schedule
from mhagen.schedule.table import ScheduleTable
from mhagen.spec.load import load_spec
from mhagen.spec.model import Spec

Table = dict[str, Any]
ANY_INT32 = (-(2**31), 2**31 - 1)


@dataclass(frozen=True, repr=False)
class Case:
    """A spec, the range of the integers that its inputs are filled with, and what it is compiled for."""

    spec: Spec
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    chosen: Target | None = None  # else the widest class that this CPU belongs to

    def __repr__(self) -> str:
        return f"{self.spec.name}-{self.chosen.name}" if self.chosen else self.spec.name

    @property
    def target(self) -> Target:
        return self.chosen or host_target(self.spec.dtype.value)

    @property
    def schedule(self) -> Schedule:
        return compiled(self.spec.name, self.target)[1].schedule

    @property
    def module(self) -> ModuleType:
        return compiled(self.spec.name, self.target)[2]


def case(
    name: str,
    heads: str,
    *,
    dtype: str = "float32",
    modify: str | None = None,
    keep: str | None = None,
    sink: str | None = None,
    layout: str = "bhsd",
    align: str = "start",
    scale: float | None = None,
    lse: bool = True,
    statistics: Sequence[str] = (),
    constants: Table | None = None,
    ranges: dict[str, tuple[int, int]] | None = None,
    projections: Table | None = None,
    pruned: Sequence[int] = (),
    groups: Sequence[Table] = (),
    **inputs: str,
) -> Case:
    """Heads are "query/key_value dim/value_dim"; an input is its dtype and its axes."""
    counts, dims = heads.split()
    query, key_value = map(int, counts.split("/"))
    dim, value_dim = map(int, dims.split("/"))
    declared = {name: text.split() for name, text in inputs.items()}
    spec: Table = {
        "name": name,
        "dtype": dtype,
        "layout": layout,
        "heads": {
            "query": query,
            "key_value": key_value,
            "dim": dim,
            "value_dim": value_dim,
            "pruned": [*pruned],
        },
        "scores": {"scale": scale, "modify": modify},
        "mask": {"keep": keep, "align": align},
        "softmax": {"sink": sink},
        "constants": constants or {},
        "inputs": {
            name: {"dtype": dtype, "shape": list(map(axis, axes))}
            for name, (dtype, *axes) in declared.items()
        },
        "outputs": {"statistics": list(statistics) or ["lse"] * lse},
        "projections": projections,
        "groups": [*groups],
    }
    return Case(load_spec(without_none(spec)), ranges or {})


def without_none(table: Table) -> Table:
    return {
        key: without_none(value) if isinstance(value, dict) else value
        for key, value in table.items()
        if value is not None
    }


def axis(text: str) -> str | int:
    return int(text) if text.isdigit() else text


CASES = (
    case("plain", "1/1 64/64", lse=False),
    case("narrow", "3/3 1/7", keep="k <= q", layout="bshd", align="end"),
    case("shared", "4/1 7/1", keep="k <= q and q - k < window", constants={"window": 40}),
    case("ahead", "2/2 16/24", keep="k >= q and k - q < 50", layout="bshd", lse=False),
    case("around", "6/2 24/40", keep="abs(q - k) <= window", align="end", constants={"window": 33}),
    case(
        "documents",
        "4/2 40/16",
        keep="k <= q and segment[b, q] == segment[b, k]",
        segment="int32 batch keys",
        ranges={"segment": (0, 3)},
    ),
    case(
        "prefix",
        "2/2 80/80",
        keep="k < length[b] and (k <= q or k < begin[b])",
        layout="bshd",
        length="int64 batch",
        begin="int32 batch",
        ranges={"length": (-3, 300), "begin": (-9, 99)},
    ),
    case(
        "table",
        "4/2 96/96",
        keep="seen[h, q // 16, k // 16] or q == k",
        align="end",
        seen="bool query_heads 9 9",
    ),
    case(
        "near",
        "4/2 16/16",
        keep="abs(q - k) * slope[h] <= 6.0 and weight[b, k] < 0.75 * q + 20 and not k / 4.0 > q + 9",
        slope="float32 query_heads",
        weight="float64 batch keys",
    ),
    case("dilated", "8/4 128/128", keep="(q - k) % 3 == 0 and not k % 5 == 1 or q == k", layout="bshd"),
    case("hidden", "3/3 16/33", keep="q % 4 != 1 and h != 1 and k > 2"),
    case(
        "alibi",
        "4/4 160/128",
        modify="score + slope[h] * (k - q)",
        keep="k <= q",
        align="end",
        slope="float32 query_heads",
    ),
    case(
        "softcap",
        "2/1 256/64",
        modify="cap * tanh(score / cap)",
        scale=0.25,
        lse=False,
        constants={"cap": 5.0},
    ),
    case(
        "smooth",
        "2/2 16/16",
        modify="where(score > 0, score, score / 2) + tanh(score) * sigmoid(score) - sqrt(abs(score) + 1)"
        " + log(exp(min(score, 5.0)) + 1.0) + max(score, bias[h, q, k] / 10, -1)"
        " - min(1, score, bias[h, q, k])",
        bias="float32 query_heads queries keys",
    ),
    case(
        "stepped",
        "2/1 24/16",
        modify="score ** 2 / 10 + (abs(score) + 0.5) ** 1.5 / 10 + 2.0 ** (score / 9)"
        " + floor(4 * grid[k]) / 100 + grid[k] // 0.25 % 3 / 10 + grid[q - k] % 0.75"
        " + (q - k) // 7 / 100 + (q + k) % 5 / 10 - 1 / (h + 1)"
        " + (score if k % 2 == 0 else -score)",
        layout="bshd",
        grid="float32 keys",
    ),
    case(
        "captured",
        "4/2 24/24",
        modify="score + rows[q, k] + where(place[b, h, k], row, -row) + weights_0[b, q - k + 4]"
        " + state[h, k - 3] / 10 + task[b] / 1000 + value0[h // 2] * value0[h]",
        keep="place[b, 1, q] or worker[k] > lanes or min(max(task[b], -99), 99) - k >= lanes and k <= q + 9",
        constants={"row": 0.5, "lanes": 3, "scratch": True},
        rows="float32 queries keys",
        state="int32 query_heads 5",
        task="int64 batch",
        place="bool batch query_heads keys",
        weights_0="float32 batch 9",
        worker="int32 keys",
        value0="float32 key_value_heads",
        ranges={"state": (-9, 9), "task": (-100, 100), "worker": (0, 5)},
    ),
    case(
        "named",
        "2/2 16/16",
        modify="score * score_scale + load[h] * tile_keys + key_value * weight"
        " + query_heads - query_heads_constant",
        keep="scratch[b, k] != full and (view[q] or offsets[q, k] < counter[q - k]) and hidden"
        " or worker[b] > k + row[h] * row[h + q]",
        constants={
            "tile_keys": 0.25, "key_value": 2, "weight": 0.125, "full": 3, "hidden": True,
            "query_heads": 7, "query_heads_constant": 6, "score_scale": 0.5,
        },
        load="float32 query_heads",
        scratch="int32 batch keys",
        view="bool queries",
        offsets="int32 queries keys",
        counter="int32 keys",
        worker="int64 batch",
        row="int32 query_heads",
        ranges={"scratch": (0, 4), "offsets": (-5, 5), "counter": (-5, 5), "worker": (0, 50), "row": (0, 5)},
    ),
    case(
        "exact",
        "2/2 16/16",
        modify="score + (code[b, q] * 65536 - mark[b, k] * 3 - stamp[b, k] // 4) % 1000003 / 1000003",
        keep="code[b, q] * 65536 != code[b, k] * 65536"
        " or (mark[b, q] + mark[b, k]) // -1 > stamp[b, q - k] // 1048576",
        code="int32 batch keys",
        mark="int32 batch keys",
        stamp="int64 batch keys",
        ranges={"code": (0, 65536), "mark": ANY_INT32, "stamp": (-(2**52), 2**52)},
    ),
    case("off_by_one", "4/2 24/24", sink="0.0", lse=False, layout="bshd"),
    case(
        "sinks",
        "8/2 64/40",
        keep="k <= q and q - k < window and h != 5",
        sink="logit[h]",
        align="end",
        constants={"window": 50},
        logit="float32 query_heads",
    ),
    case(
        "sunk",
        "4/2 24/24",
        modify="score + slope[h] * (k - q)",
        keep="k < 3 * length[b] and k + 9 > q and k < limit[q]",
        sink="tilt * log(abs(q) + 1 + h) + mark[b, q] - slope[h] / 2",
        constants={"tilt": 0.5},
        slope="float32 query_heads",
        mark="float32 batch queries",
        length="int32 batch",
        limit="int32 keys",
        ranges={"length": (0, 40), "limit": (0, 400)},
    ),
    case(
        "everything",
        "6/2 40/72",
        modify="cap * tanh(score / cap) + slope[h] * (k - q)",
        keep="k <= q and (q - k < window or k < 4) and segment[b, q] == segment[b, k]"
        " and not (h == 1 and q % 7 == 3)",
        layout="bshd",
        align="end",
        constants={"cap": 20.0, "window": 70},
        slope="float32 query_heads",
        segment="int32 batch keys",
        ranges={"segment": (0, 1)},
    ),
    case(
        "grouped",
        "8/2 40/40",
        keep="k <= q and q - k < window",
        constants={"window": 40},
        lse=False,
        groups=[{"heads": [0, 5], "mask": {"keep": "True"}}, {"heads": [2], "mask": {"keep": "k <= q"}}],
    ),
    case(
        "uneven",
        "8/2 24/40",
        keep="k <= q or k < 9",
        layout="bshd",
        align="end",
        pruned=[3, 4, 6, 7],
        statistics=["max", "lse"],
    ),
    case(
        "assorted",
        "6/3 24/24",
        modify="score + slope[h] * (k - q)",
        keep="k <= q and segment[b, q] == segment[b, k]",
        sink="slope[h]",
        scale=0.3,
        slope="float32 query_heads",
        segment="int32 batch keys",
        ranges={"segment": (0, 1)},
        layout="bshd",
        pruned=[3],
        statistics=["lse", "entropy", "confidence"],
        groups=[
            {
                "heads": [5, 0],
                "scores": {"modify": "score", "scale": 0.2},
                "mask": {"keep": "h == 0 or k > q"},
            },
            {"heads": [3, 4], "softmax": {"sink": "0.25"}, "mask": {"keep": "True"}},
        ],
    ),
)  # fmt: skip
# Cases for single claims: in these a call says what the scores are, or which keys are seen.
ORDERED = case("ordered", "1/1 4/4", scale=3.0, modify="log(k - 2.5) + 2 * score", keep="k >= 3")
BIASED = case("biased", "2/1 16/16", modify="score + bias[h, q, k]", bias="float32 query_heads queries keys")
FLAT = case("flat", "2/2 8/16", modify="slope[h] - 1", keep="h >= 0", slope="float32 query_heads")
DISTANCE = case("distance", "2/2 8/16", modify="k - q", keep="h < 1")
CHOSEN = case("chosen", "2/2 8/16", keep="chosen[b, q, k]", chosen="bool batch queries keys")
REMAINDER = case("remainder", "1/1 1/1", modify="-2137549.0 % step[q]", step="float32 queries")
SINGLE = (ORDERED, BIASED, FLAT, DISTANCE, CHOSEN, REMAINDER)
BY_NAME = {each.spec.name: each for each in (*CASES, *SINGLE)}
MASKED = tuple(each for each in CASES if each.spec.mask.keep is not None)


def register(case: Case) -> Case:
    """Make a case of another file known by its name."""
    return BY_NAME.setdefault(case.spec.name, case)


@cache
def compiled(name: str, target: Target) -> tuple[Program, cpu.Source, ModuleType]:
    spec, program, source = compile_to_source(BY_NAME[name].spec, target=target, tune="never")
    return program, source, load_kernel(spec, program, source).module


def scheduled(case: Case, target: Target, **changed: int) -> ModuleType:
    """The kernel of a spec for a target, with some sizes of its schedule changed."""
    spec, program, _ = compile_to_source(case.spec, target=target, tune="never")
    schedule = replace(choose_schedule(program.attention, target), **changed)
    assert violations(schedule, target) == ()
    return load_kernel(spec, program, cpu.generate(program, ScheduleTable.of(schedule), target)).module

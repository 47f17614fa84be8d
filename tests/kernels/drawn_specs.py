"""Specs that were drawn once and are kept: which ones a run tries does not hang on what else it has imported.

Hypothesis takes some of the numbers that it draws from the modules that are loaded. So those of the default
run lie in tests/cases/drawn_specs.json. To draw others, from a number on:

    PYTHONPATH=tests python -m kernels.drawn_specs 100
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from mhagen.spec.load import load_spec

from .dtypes import targets_of
from .random_specs import numbered
from .specs import Case

FILE = Path(__file__).parents[1] / "cases" / "drawn_specs.json"
# Do heads differ, and are some pruned? So many of each sort are kept.
WANTED = {(False, False): 7, (True, False): 6, (False, True): 3, (True, True): 5}


def kept() -> tuple[Case, ...]:
    """The specs of the file, each for the class of CPU that was drawn with it, else the widest of here."""
    return tuple(map(from_json, json.loads(FILE.read_text(encoding="utf-8"))))


def from_json(entry: dict[str, Any]) -> Case:
    spec = load_spec(entry["spec"])
    here = targets_of(spec.dtype)
    chosen = next((each for each in here if each.name == entry["target"]), here[0])
    return Case(spec, {name: tuple(pair) for name, pair in entry["ranges"].items()}, chosen)


def to_json(case: Case) -> dict[str, Any]:
    spec = case.spec.model_dump(mode="json", exclude_defaults=True)
    return {"target": case.target.name, "ranges": dict(case.ranges), "spec": spec}


def sort_of(case: Case) -> tuple[bool, bool]:
    return bool(case.spec.groups), bool(case.spec.heads.pruned)


def drawn(first: int) -> Iterator[Case]:
    """As many of each sort as are wanted, from those of this number and of those that follow."""
    missing = Counter(WANTED)
    for case in map(numbered, count(first)):
        if missing[sort_of(case)] > 0:
            missing[sort_of(case)] -= 1
            yield case
        if missing.total() == 0:
            return


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(to_json(case)) for case in drawn(int(sys.argv[1])))
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")

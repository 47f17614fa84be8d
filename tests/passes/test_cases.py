"""Text pairs: tests/cases/passes/<pass>/*.txt hold a graph or a spec, and what the pass makes of it.

A spec is built, and goes through all passes before this one first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ir.specimens import random_array, same_results

from mhagen.base.source import Source
from mhagen.ir.build import build_graph
from mhagen.ir.evaluate import run_graph
from mhagen.ir.parse import parse_graph
from mhagen.ir.text import print_graph
from mhagen.ir.verify import verify
from mhagen.passes import PASSES, run_passes
from mhagen.spec.load import load_spec

CASES = Path(__file__).parent.parent / "cases" / "passes"
FILES = sorted(CASES.glob("*/*.txt"))
NAMES = [stage.name for stage in PASSES]
LENGTHS = {"batch": 2, "queries": 3, "keys": 4}


def parts(path):
    before, after = path.read_text().split("--- becomes ---\n")
    comment, _, body = before.partition("\n")
    assert comment.startswith("# "), "a case begins with a sentence that says what it shows"
    return body, after


def graph_before(path, body):
    if body.startswith("graph"):
        return parse_graph(body, path.name)
    spec = load_spec(Source(path.name, body))
    return run_passes(build_graph(spec), PASSES[: NAMES.index(path.parent.name)])


def by_pass(path):
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=by_pass)
def test_a_pass_makes_of_the_first_graph_the_second(path):
    body, after = parts(path)
    before = graph_before(path, body)
    verify(before, path.name)
    stage = PASSES[NAMES.index(path.parent.name)]
    assert print_graph(run_passes(before, [stage])) == after


@pytest.mark.parametrize("path", FILES, ids=by_pass)
def test_both_graphs_of_a_case_mean_the_same(path):
    body, after = parts(path)
    before, after = graph_before(path, body), parse_graph(after, path.name)
    generator = np.random.default_rng(0)
    arrays = {each.name: random_array(generator, each, LENGTHS) for each in before.inputs}
    same_results(run_graph(before, arrays), run_graph(after, arrays))


def test_every_pass_has_cases_and_every_case_a_pass():
    assert {path.parent.name for path in FILES} == set(NAMES)

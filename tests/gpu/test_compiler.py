"""Numba's CUDA compiler does less of what it does twice, makes the same kernels, and is left as it was."""

from __future__ import annotations

import copy
import re
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from gpu.attention import module_of, spec_of
from gpu.toolchain import needs_compiler
from mhagen.base.target import gpu_named
from mhagen.runtime import gpu_compiler
from mhagen.runtime.gpu_inlining import inlining_prepared_once
from mhagen.runtime.gpu_lifetimes import live_at_entry

pytestmark = needs_compiler
SPEC = spec_of(mask={"keep": "k <= q"})
NUMBERED = re.compile(r"^\.common .*$", re.MULTILINE)  # its name counts the functions compiled before


def ptx(kernel: Any) -> str:
    target = gpu_named("sm_80")
    text = gpu_compiler.compile_gpu_kernel(kernel.function, kernel.signature, kernel.threads, target, "k")
    return NUMBERED.sub("", text.decode())


def test_kernels_are_those_of_numba_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = module_of(SPEC).MERGING
    found = ptx(kernel)
    for name in ("inlining_prepared_once", "renaming_where_it_stands", "lifetimes_when_needed"):
        monkeypatch.setattr(gpu_compiler, name, nullcontext)
    monkeypatch.setattr(gpu_compiler, "calls_typed_once", nullcontext)
    assert found == ptx(kernel)


def test_numba_is_left_as_it_was() -> None:
    from numba.core import types
    from numba.cuda.core import analysis, inline_closurecall, postproc, ssa

    def now() -> list[dict[str, Any]]:
        places = (ssa, analysis, inline_closurecall)
        kinds = (types.BaseFunction, inline_closurecall.InlineWorker, postproc.PostProcessor)
        return [dict(vars(each)) for each in (*places, *kinds)]

    before = now()
    ptx(module_of(SPEC).MERGING)
    assert all(one.items() == other.items() for one, other in zip(before, now(), strict=True))
    with pytest.raises(ZeroDivisionError), inlining_prepared_once():
        _ = 1 // 0
    assert inline_closurecall.copy is copy


def test_variables_of_inlined_functions_are_copied_once() -> None:
    from numba.cuda.core import inline_closurecall, ir

    place = ir.Loc("nowhere.py", 1)
    scope = ir.Scope(None, place)
    blocks = [ir.Block(scope, place) for _ in range(3)]
    with inlining_prepared_once():
        copies = inline_closurecall.copy
        first, again = ([copies.deepcopy(each) for each in blocks] for _ in range(2))
    for found in (first, again):
        assert found[0].scope is found[1].scope is found[2].scope
    assert len({id(each) for each in (scope, first[0].scope, again[0].scope)}) == 3


@pytest.mark.parametrize("code", range(40))
def test_variables_live_where_numba_says(code: int) -> None:
    """Graphs of blocks with loops, and variables that are used before they are assigned."""
    from numba.cuda.core import analysis
    from numba.cuda.core.controlflow import CFGraph

    graph, used, defined = drawn(code, CFGraph())
    wanted = analysis.compute_live_map(graph, dict.fromkeys(used), used, defined)
    assert live_at_entry(graph, dict.fromkeys(used), used, defined) == wanted


def drawn(seed: int, graph: Any) -> tuple[Any, dict[int, set[str]], dict[int, set[str]]]:
    rng, blocks = np.random.default_rng(seed), 2 + seed % 9
    for label in range(blocks):
        graph.add_node(label)
    for label in range(blocks - 1):
        for other in {label + 1, *rng.integers(0, blocks, rng.integers(0, 3)).tolist()}:
            graph.add_edge(label, other)
    graph.set_entry_point(0)
    graph.process()
    some = [{label: set(rng.choice([*"abcdef"], 2)) for label in range(blocks)} for _ in range(2)]
    used, defined = some
    return graph, {label: used[label] - defined[label] for label in used}, defined

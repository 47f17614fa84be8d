"""What docs/ shows of kernels for GPUs is run where they can be compiled; no GPU is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from gpu.toolchain import needs_compiler, needs_ptxas

from docs.test_readme import DOCUMENTS, blocks, run

REASON = "needs numba-cuda and ptxas"
SHOWN = tuple(each for path in DOCUMENTS for each in blocks(path) if (each.reason or "").startswith(REASON))


@needs_compiler
@needs_ptxas
@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.place)
def test_what_a_document_shows_of_kernels_for_gpus_works(block: object, tmp_path: Path) -> None:
    run([replace(block, reason=None)], tmp_path)  # type: ignore[type-var]


def test_there_is_something_to_show() -> None:
    assert SHOWN

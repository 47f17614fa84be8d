"""The gallery shows every example: its table has a row for each, and is what its program writes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GALLERY = runpy.run_path(str(ROOT / "benchmarks" / "gallery.py"))
FOUND = {
    "seconds": 2e-3,
    "candidates": [{"error": 1.25e-7}],
    "against": {"NumPy": {"ratio": {"median": 12.34}}},
}


def test_the_table_has_a_row_for_every_example_and_no_other() -> None:
    text = GALLERY["DOCUMENT"].read_text()
    assert list(dict(GALLERY["written_rows"](text))) == list(GALLERY["examples"]())


def test_a_row_says_what_the_example_says_of_itself() -> None:
    text = GALLERY["DOCUMENT"].read_text()
    rows = dict(GALLERY["written_rows"](text))
    stale = [
        name for name, path in GALLERY["examples"]().items() if GALLERY["what_it_is"](path) not in rows[name]
    ]
    assert not stale, f"run `python benchmarks/gallery.py {' '.join(stale)}`"


def test_every_example_has_been_measured() -> None:
    rows = dict(GALLERY["written_rows"](GALLERY["DOCUMENT"].read_text()))
    missing = [name for name, row in rows.items() if "| - | - |" in row and " ms |" not in row]
    assert not missing, f"run `python benchmarks/gallery.py {' '.join(missing)}`"


def test_what_is_measured_stands_in_the_row() -> None:
    name, path = "wait_k", ROOT / "examples" / "wait_k.toml"
    cells = [cell.strip() for cell in GALLERY["row"](name, path, FOUND).strip("|").split("|")]
    assert cells[0] == "[wait_k](../examples/wait_k.toml)"
    assert cells[2:] == ["b=1 q=1024 k=1024", "1.2e-07", "2.00 ms", "12.3", "-"]


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="end of table"):
        GALLERY["rewritten"]("no markers", [])

"""`mhagen bench`: what it is asked, and that its table and its document tell the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.conftest import Run
from mhagen.base.errors import InputError
from mhagen.cli import bench
from mhagen.cli.outcomes import absences, outcome_document, print_outcomes
from mhagen.cli.shapes import Shape, parse_shape
from mhagen.interop.peers import REMEDY
from mhagen.tuning.bench import Conditions
from mhagen.tuning.grid import DTYPES, GRID, Row
from mhagen.tuning.outcome import Outcome, Role, Timed
from mhagen.tuning.peer import Absent

ROUNDS = ("--rounds", 2, "--against", "")


def timed(role: Role, name: str, seconds: float, operations: float = 0.0) -> Timed:
    return Timed(role, name, f"{name} form", operations, 0.0, 1e-7, (seconds, seconds, 2 * seconds))


MEASURED = Outcome(
    "P1",
    "a call",
    "float32",
    2,
    False,
    (
        timed(Role.OURS, "mhagen", 2e-3, 1e8),
        timed(Role.PEER, "Peer", 5e-3),
        timed(Role.PEAK, Role.PEAK.value, 1e-3, 1e8),
        timed(Role.BESIDE, Role.BESIDE.value, 1e-3, 1e8),
        timed(Role.ONE_THREAD, Role.ONE_THREAD.value, 3.8e-3),
    ),
    (Absent("Other", "it is not installed"),),
    ("Peer: slow form: it has no window",),
)
NOT_MEASURED = Outcome("P2", "another", "float32", 2, False, problem="not yet\n  dtype")


def test_the_table_and_the_document_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcomes([MEASURED, NOT_MEASURED])
    said = capsys.readouterr().out
    first, second = outcome_document(MEASURED), outcome_document(NOT_MEASURED)
    assert (first["seconds"], first["rate"]) == (2e-3, 5e10)
    assert first["share_of_limit"]["median"] == 0.5
    assert first["against"]["Peer"]["ratio"] == {"median": 2.5, "low": 2.5, "high": 2.5}
    for text in ("2 ms", "50 GFLOP/s", "50%", "2.50x (2.50-2.50)", "1.90x (1.90-1.90) as fast"):
        assert text in said
    assert "P1: an operation takes 2x" in said
    assert "P1: Other is left out: it is not installed" in said
    assert "P1: a form is left out, Peer: slow form: it has no window" in said
    assert "P2: not measured: not yet\n" in said
    assert (second["seconds"], second["share_of_limit"], second["problem"]) == (
        None,
        None,
        "not yet\n  dtype",
    )


def test_a_document_holds_all_rounds_of_all_candidates() -> None:
    candidates = outcome_document(MEASURED)["candidates"]
    assert [candidate["role"] for candidate in candidates] == [timed.role.value for timed in MEASURED.timed]
    assert all(len(candidate["rounds"]) == 3 for candidate in candidates)


def test_a_spec_is_measured_at_each_shape(mhagen: Run, tiny: Path) -> None:
    shapes = ("--shape", "b=2,q=5,k=9", "--shape", "q=1,k=9")
    said = mhagen("bench", tiny, *shapes, *ROUNDS, "--json")
    assert said.code == 0, said.err
    rows = said.document["rows"]
    assert [row["title"] for row in rows] == ["batch 2, 5 queries, 9 keys", "batch 1, 1 queries, 9 keys"]
    assert [row["rate_unit"] for row in rows] == ["operation/s", "byte/s"]
    assert {"date", "processor", "workers", "system", "versions"} <= set(said.document["surroundings"])


def test_a_spec_is_measured_in_a_table(mhagen: Run, tiny: Path) -> None:
    said = mhagen("bench", tiny, "--shape", "q=9", *ROUNDS)
    assert said.code == 0, said.err
    assert "== float32, 1 thread ==" in said.out
    assert "batch 1, 9 queries, 9 keys" in said.out


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """The rows, formats and threads that the grid is measured in; nothing is."""
    asked: list[tuple[str, str, int]] = []

    def note(row: Row, dtype: object, conditions: Conditions) -> Outcome:
        asked.append((row.name, dtype.value, conditions.threads))
        return Outcome(
            row.name, row.title, dtype.value, conditions.threads, False, is_failure=row.name == "P8"
        )

    monkeypatch.setattr(bench, "bench_row", note)
    return asked


def test_the_grid_is_measured_in_both_formats(mhagen: Run, measured: list[tuple[str, str, int]]) -> None:
    mhagen("bench", "--grid", "--against", "", "--json")
    assert measured == [(row.name, dtype.value, 1) for dtype in DTYPES for row in GRID]


def test_rows_formats_and_threads_are_chosen(mhagen: Run, measured: list[tuple[str, str, int]]) -> None:
    said = mhagen("bench", "--rows", "p4 dense, P1", "--dtype", "bfloat16", "--threads", "1,2", *ROUNDS)
    assert said.code == 0
    assert measured == [(row, "bfloat16", count) for count in (1, 2) for row in ("P4 dense", "P1")]


def test_a_wrong_kernel_is_a_failure(mhagen: Run, measured: list[tuple[str, str, int]]) -> None:
    assert mhagen("bench", "--rows", "P8", *ROUNDS).code == 1
    assert measured


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Give a SPEC"),
        (("a.toml", "--grid"), "not both"),
        (("--grid", "--shape", "q=1"), "--shape is for a SPEC"),
        (("--rows", "P99"), "no row 'P99'"),
        (("--grid", "--against", "tensorflow"), "no peer 'tensorflow'"),
        (("--grid", "--dtype", "float23"), "did you mean `float32`"),
        (("--grid", "--threads", "1,0"), "--threads has '0'"),
        (("--grid", "--rounds", "0"), "--rounds"),
    ],
)
def test_a_wrong_request_is_refused(mhagen: Run, arguments: tuple[str, ...], text: str) -> None:
    said = mhagen("bench", *arguments)
    assert said.code == 2
    assert text in said.err


def test_a_failure_is_a_document_too(mhagen: Run) -> None:
    said = mhagen("bench", "missing.toml", "--json")
    assert said.code == said.document["exit_code"] == 2
    assert "missing.toml" in said.document["error"]["message"] and "missing.toml" in said.err


def test_a_layer_has_as_many_keys_as_queries(mhagen: Run, tmp_path: Path) -> None:
    path = tmp_path / "layer.toml"
    path.write_text('name = "layer"\n[heads]\nquery = 2\ndim = 8\n[projections]\nmodel_dim = 16\n')
    said = mhagen("bench", path, "--shape", "q=1,k=9", *ROUNDS)
    assert said.code == 2
    assert "must be equal" in said.err


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("b=2,q=3,k=4", Shape(2, 3, 4)),
        ("s=5", Shape(1, 5, 5)),
        ("q=5", Shape(1, 5, 5)),
        ("k=9, q=1", Shape(1, 1, 9)),
    ],
)
def test_a_shape_is_read(text: str, shape: Shape) -> None:
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "b=1", "q=0", "q=x", "q", "d=3,q=1", "s=1,q=1,k=1", "q=1,q=2", f"q={10**9}"]
)
def test_a_wrong_shape_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--shape"):
        parse_shape(text)


def test_what_installs_peers_that_are_absent_is_said_once() -> None:
    absent = tuple(
        Absent(name, f"the package {name} is not installed; {REMEDY}") for name in ("torch", "openvino")
    )
    outcome = replace(MEASURED, absent=absent)
    assert [*absences(outcome)] == [
        "torch is left out: the package torch is not installed",
        "openvino is left out: the package openvino is not installed",
        REMEDY,
    ]

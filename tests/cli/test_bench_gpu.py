"""`mhagen bench --backend cuda`: its tables and documents, with a GPU and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from json import loads
from os import pathsep
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from tuning.test_gpu_race import SPEC, Stage, peer, raced

from mhagen.base.target import SM_90A
from mhagen.cli import bench_gpu
from mhagen.cli.gpu_outcomes import print_timed, timed_document
from mhagen.tuning.gpu_grid import FLASH
from mhagen.tuning.gpu_prepared import StaticFigures, Work
from mhagen.tuning.gpu_static import Prediction, Products
from mhagen.tuning.peer import Absent

from .conftest import ROOT, Run, written

TOML = 'name = "raced"\ndtype = "float16"\n[heads]\nquery = 2\ndim = 64\n'
FIGURES = StaticFigures("mma 128 x 64", 246, 0, 48 << 10, 2, 8, Products(256, 0.078), Prediction(0.3, 0.63))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """What would be compiled on a machine without a GPU; nothing is."""
    asked: list[Work] = []

    def figures(works: tuple[Work, ...]) -> Iterator[StaticFigures | str]:
        asked.extend(works)
        yield from ("ptxas refuses it" if work.is_decoded else FIGURES for work in works)

    monkeypatch.setattr(bench_gpu, "figures_of_works", figures)
    monkeypatch.setattr(bench_gpu, "require_ptxas", lambda: None)
    for module in ("gpu_bench", "gpu_race"):
        monkeypatch.setattr(f"mhagen.tuning.{module}.gpu_of_this_machine", lambda: None)
    return asked


# numba's own numba.cuda is what is left, as where the extra is not installed.
HIDDEN = """\
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "numba_cuda" else super().find_spec(name, path, target)

others = [each for each in sys.meta_path if type(each).__name__ != "NumbaCudaFinder"]
sys.meta_path[:] = [Hiding if each is PathFinder else each for each in others]
"""


@pytest.mark.parametrize(
    "asked", [("bench", "--rows", "causal d64 s1024"), ("tune", "raced.toml"), ("build", "raced.toml")]
)
def test_where_the_compiler_is_not_installed_all_name_the_same_remedy(
    process: Callable[..., CompletedProcess[str]], tmp_path: Path, asked: tuple[str, ...]
) -> None:
    written(tmp_path / "sitecustomize.py", HIDDEN)
    written(tmp_path / "raced.toml", TOML)
    hidden = {"PYTHONPATH": f"{tmp_path}{pathsep}{ROOT}", "MHAGEN_CACHE_DIR": str(tmp_path / "empty")}
    said = process(*asked, "--backend", "cuda", "--arch", "sm_80", **hidden)
    assert said.returncode == 2
    told = [line for line in said.stderr.splitlines() if not line.endswith(" ...")]  # where it takes a second
    assert told == [
        "error: kernels for GPUs are compiled by numba-cuda, which is not here: pip install 'mhagen[cuda]'"
    ]
    if asked[0] == "bench":
        said = process(*asked, "--backend", "cuda", "--json", **hidden)
        assert loads(said.stdout)["error"]["kind"] == "UnsupportedError"


def test_without_a_gpu_it_says_what_is_known(mhagen: Run, compiled: list[Work]) -> None:
    rows = ("--rows", "causal d64, decode b8", "--dtype", "bfloat16")
    said = mhagen("bench", *rows, "--backend", "cuda", "--arch", "sm_90")
    assert said.code == 0, said.err
    assert len(compiled) == 2, "six lengths have one kernel"
    assert said.out.count("mma 128 x 64") == 6
    for text in ("== bfloat16 ==", "48 KiB", "30%-63%", "ptxas refuses it", "nothing was timed: no GPU here"):
        assert text in said.out
    found = mhagen("bench", *rows, "--backend", "cuda", "--json").document
    assert (found["gpu"], found["reason"]) == (None, "nothing was timed: no GPU here")
    assert [row["target"] for row in found["rows"]] == ["sm_90", "sm_90a"] * 6 + ["sm_90a"]
    assert found["rows"][0]["figures"]["prediction"] == {"low": 0.3, "high": 0.63}
    assert (found["rows"][-1]["figures"], found["rows"][-1]["problem"]) == (None, "ptxas refuses it")


def test_both_formats_of_the_grid_are_measured(mhagen: Run, compiled: list[Work]) -> None:
    found = mhagen("bench", "--rows", "window", "--backend", "cuda", "--json").document
    assert [row["dtype"] for row in found["rows"]] == ["bfloat16", "bfloat16", "float16", "float16"]


@pytest.mark.parametrize("off", [0.0, 0.5])
def test_a_spec_is_measured_on_a_gpu(
    mhagen: Run, tmp_path: Path, compiled: list[Work], monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    prepared: list[Work] = []
    monkeypatch.setattr("mhagen.tuning.gpu_race.gpu_of_this_machine", lambda: SM_90A)
    monkeypatch.setattr(bench_gpu, "bench_for", lambda target: (Stage(SPEC), ""))
    monkeypatch.setattr(bench_gpu, "stage_here", lambda: Stage(SPEC, off))
    monkeypatch.setattr(bench_gpu, "peers_on_gpu", lambda packages: (peer(FLASH),))
    monkeypatch.setattr(bench_gpu, "prepare", lambda works, seconds: prepared.extend(works))
    path = written(tmp_path / "raced.toml", TOML)
    shapes = ("--shape", "s=9", "--shape", "b=2,q=1,k=300")
    said = mhagen("bench", path, *shapes, "--backend", "cuda", "--rounds", 2, "--json")
    assert said.code == (0 if off == 0.0 else 1), said.err
    assert len(prepared) == 2, "one module of each family has both calls"
    rows = said.document["rows"]
    assert [row["kernels"] for row in rows] == ["mma.sync", "wgmma", "mma.sync"]
    assert [bool(row["problem"]) for row in rows] == [off != 0.0] * 3
    assert [row["rate_unit"] for row in rows] == ["operation/s"] * 2 + ["byte/s"]
    assert said.document["gpu"] == "Planted"
    said = mhagen("bench", path, *shapes, "--backend", "cuda", "--rounds", 2)
    assert ("not measured: its result differs" in said.out) == (off != 0.0)
    assert "== float16 ==" in said.out


def test_the_table_and_the_document_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = raced(Stage(SPEC), peer(FLASH))
    print_timed(found)
    said = capsys.readouterr().out
    document = timed_document(found[0])
    assert (document["bars"], document["threads"]) == ({FLASH: 1.0}, None)
    assert document["against"][FLASH]["ratio"]["median"] == 1.0
    assert "1x (1.00-1.00)" in said and "below" not in said
    print_timed(raced(Stage(SPEC), peer("PyTorch SDPA"), shape=(1, 1, 300)))
    assert "15%, below 0.85" in capsys.readouterr().out


def test_what_is_said_of_a_row_is_said_once_for_all_families(capsys: pytest.CaptureFixture[str]) -> None:
    print_timed(raced(Stage(SPEC), peer(FLASH), Absent("cuDNN", "it is not installed")))
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("row: ")] == [
        "row: cuDNN is left out: it is not installed"
    ]
    assert not [line for line in said if FLASH in line and " as " in line], (
        "of its form there is nothing to say"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--threads", "2", "--backend", "cuda"), "--threads is for --backend cpu"),
        (("--arch", "sm_90"), "--arch is for --backend cuda"),
        (("--dtype", "float32", "--backend", "cuda"), "not measured in 'float32'"),
        (("--against", "openvino", "--backend", "cuda"), "no peer 'openvino' on GPUs"),
        (("--rows", "P1", "--backend", "cuda"), "the grid for GPUs has no row 'P1'"),
    ],
)
def test_a_wrong_request_is_refused(mhagen: Run, arguments: tuple[Any, ...], text: str) -> None:
    said = mhagen("bench", "--grid", *arguments)
    assert said.code == 2
    assert text in said.err

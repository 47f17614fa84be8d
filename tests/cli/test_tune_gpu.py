"""`mhagen tune --backend cuda`: its table, its document, what is kept, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuning.planted_for_gpus import Sieving

from mhagen.base.errors import UnsupportedError
from mhagen.tuning import ptxas

from .conftest import Run, written

SPEC = """\
name = "tiny"
dtype = "float16"

[heads]
query = 2
dim = 16
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec, a cache of its own, and nobody who takes long to compile."""
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("mhagen.tuning.gpu_tune.Sieve", lambda jobs: Sieving(against=against))
    for name in ("require_gpu_compiler", "require_ptxas"):
        monkeypatch.setattr(f"mhagen.tuning.gpu_tune.{name}", lambda: None)
    monkeypatch.setattr("mhagen.tuning.gpu_bench.gpu_of_this_machine", lambda: None)
    return written(tmp_path / "tiny.toml", SPEC)


def against(plan: object) -> str:
    return "it spills 40 bytes of a thread" if getattr(plan, "row_tiles", 2) == 1 else ""


def test_the_table_shows_what_passes_and_below_it_what_was_dropped(mhagen: Run, spec: Path) -> None:
    said = mhagen("tune", spec, "--backend", "cuda", "--arch", "sm_80", "--budget", "9s")
    assert said.code == 0
    assert "tiny, float16, sm_80: 4 of 192 schedules compiled in" in said.out
    assert "warps/SM" in said.out
    assert "dropped: mma 64 x 64, 2 stages, 4 warps of 1 tile, keeps queries: it spills 40 bytes" in said.out
    assert "the default is kept: not measured: no GPU here" in said.out


def test_programs_get_one_document(mhagen: Run, spec: Path) -> None:
    said = mhagen("tune", spec, "--backend", "cuda", "--arch", "sm_90a", "--shape", "b=1,s=512", "--json")
    found = said.document
    assert (said.code, found["target"], found["reason"]) == (0, "sm_90a", "not measured: no GPU here")
    assert (found["schedule"], found["gpu"], len(found["candidates"])) == (None, "", 4)
    assert found["candidates"][0]["schedule"] == found["default"]
    assert found["candidates"][0]["registers"] == 96
    assert found["candidates"][1]["dropped"] == "it spills 40 bytes of a thread"
    assert Path(found["record_path"]).is_file()


def test_what_was_found_is_listed_and_cleared_with_what_was_tuned_for_cpus(mhagen: Run, spec: Path) -> None:
    mhagen("tune", spec, "--backend", "cuda", "--arch", "sm_80")
    (entry,) = mhagen("cache", "list", "--json").document["tuning"]
    assert (entry["target"], entry["cpu"], entry["records"], entry["has_table"]) == ("sm_80", "", 0, False)
    assert (entry["name"], entry["dtype"], entry["heads"]) == ("tiny", "float16", "2/2 x 16")
    listed = mhagen("cache", "list")
    assert "sm_80" in listed.out and "0 tuning records and 1 table, in" in listed.err
    assert mhagen("cache", "clear", "--only", "tuning", "--json").document["removed_tables"] == 1
    assert not mhagen("cache", "list", "--json").document["tuning"]


def test_options_of_the_other_backend_are_refused(mhagen: Run, spec: Path) -> None:
    said = mhagen("tune", spec, "--backend", "cuda", "--strategy", "model")
    assert (said.code, "--strategy is for --backend cpu" in said.err) == (2, True)
    said = mhagen("tune", spec, "--arch", "sm_80")
    assert (said.code, "--arch is for --backend cuda" in said.err) == (2, True)


def test_without_ptxas_one_is_told_how_to_get_it(
    mhagen: Run, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise UnsupportedError(ptxas.REMEDY)

    monkeypatch.setattr("mhagen.tuning.gpu_tune.require_ptxas", refuse)
    said = mhagen("tune", spec, "--backend", "cuda")
    assert (said.code, "pip install 'nvidia-cuda-nvcc" in said.err) == (2, True)

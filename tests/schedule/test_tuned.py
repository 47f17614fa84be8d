"""Tuned tables on disk: found where they belong; whatever else lies there is a miss and one warning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mhagen.base.dtypes import DType
from mhagen.base.errors import InputError
from mhagen.base.target import AVX2
from mhagen.pipeline import circumstances, compile_to_source
from mhagen.runtime import host
from mhagen.schedule import tuned
from mhagen.schedule.table import EVERY_CALL, ScheduleTable
from mhagen.schedule.tuned import (
    FORMAT,
    Circumstances,
    TunedWarning,
    keep_table,
    kept_tables,
    table_file,
    tables_in,
    tuned_table,
    write_beside,
)
from mhagen.spec.load import load_spec

from .tables import FEW, PLAN, TARGET, table
from .test_table import SHORT, THREE

HERE = Circumstances("spec", "avx512", "znver4", "generator", "1", "2", "3")
OTHER = ScheduleTable.of(FEW)
SPEC = {"name": "tuned", "heads": {"query": 2, "dim": 64}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "cache"))
    tuned.warn.cache_clear()


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    return table_file(tmp_path / "causal.toml")


def found(beside: Path | None = None, here: Circumstances = HERE) -> ScheduleTable | None:
    """What a build takes, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return tuned_table(here, TARGET, DType.FLOAT32, beside)


def test_nothing_tuned_is_a_miss(beside: Path) -> None:
    assert found(beside) is None
    assert kept_tables() == ()


def test_a_kept_table_is_found() -> None:
    path = keep_table(HERE, THREE)
    assert found() == THREE
    assert kept_tables() == (path,)
    assert tables_in(path) == ((HERE, THREE),)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has access lists")
def test_a_kept_table_that_others_may_write_is_not_used(beside: Path) -> None:
    before = os.umask(0)
    try:
        path = keep_table(HERE, THREE)
        write_beside(beside, HERE, OTHER)
    finally:
        os.umask(before)
    assert found() == THREE, "nobody else may, whatever the umask"
    os.chmod(path, 0o666)
    with pytest.warns(TunedWarning, match="other users may write to it"):
        assert tuned_table(HERE, TARGET, DType.FLOAT32, None) is None
    assert found(beside) == OTHER, "what lies beside a spec is its owner's matter"


def test_a_table_beside_the_spec_is_found_where_none_is_kept(beside: Path) -> None:
    assert beside.name == "causal.tuned.json"
    write_beside(beside, HERE, THREE)
    assert found(beside) == THREE
    keep_table(HERE, OTHER)
    assert found(beside) == OTHER


@pytest.mark.parametrize("name", [each.name for each in fields(Circumstances) if each.name != "machine"])
def test_other_circumstances_are_a_miss(name: str, beside: Path) -> None:
    keep_table(HERE, THREE)
    write_beside(beside, HERE, THREE)
    assert found(beside, replace(HERE, **{name: "other"})) is None


def test_a_table_is_for_all_machines_whose_cpu_has_one_name(beside: Path) -> None:
    there = replace(HERE, machine="another model, 2 CPUs")
    write_beside(beside, replace(HERE, machine="a model, 8 CPUs"), THREE)
    assert found(beside, there) == THREE
    keep_table(there, OTHER)
    assert found() == OTHER
    assert "model" not in beside.read_text()


def test_the_machine_is_more_than_the_name_of_its_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("level", "2"), ("type", "Unified"), ("size", "1024K")):
        (tmp_path / "index2").mkdir(exist_ok=True)
        (tmp_path / "index2" / name).write_text(text + "\n")
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: A Chip 9\n")
    monkeypatch.setattr(host, "CACHES", tmp_path)
    monkeypatch.setattr(host, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("os.cpu_count", lambda: 12)
    assert host.host_machine.__wrapped__() == "A Chip 9, 12 CPUs, L2 unified 1024K"
    assert circumstances(load_spec(SPEC), TARGET).machine == host.host_machine()


def test_a_file_beside_a_spec_has_a_table_for_each_machine(beside: Path) -> None:
    there = replace(HERE, cpu="skylake")
    write_beside(beside, HERE, THREE)
    write_beside(beside, there, OTHER)
    assert (found(beside), found(beside, there)) == (THREE, OTHER)
    write_beside(beside, HERE, OTHER)
    assert dict(tables_in(beside)) == {HERE: OTHER, there: OTHER}


def test_the_same_tables_make_the_same_file(tmp_path: Path) -> None:
    one, two, there = tmp_path / "one", tmp_path / "two", replace(HERE, cpu="skylake")
    for path, order in ((one, (HERE, there)), (two, (there, HERE, there))):
        for each in order:
            write_beside(path, each, THREE)
    assert one.read_bytes() == two.read_bytes()
    assert '"queries": [1, 64]' in one.read_text()


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from schedule.test_tuned import HERE, OTHER
from mhagen.schedule.tuned import write_beside
for number in range(int(sys.argv[5])):
    write_beside(Path(sys.argv[3]), replace(HERE, cpu=f"{sys.argv[4]}-{number}"), OTHER)
"""
ROOT, WRITERS, TABLES = Path(__file__).resolve().parents[2], 4, 10


def test_writers_at_the_same_time_lose_no_table(beside: Path) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(ROOT), str(ROOT / "tests"), str(beside), str(one), str(TABLES)]
        )
        for one in range(WRITERS)
    ]
    assert all(process.wait(120) == 0 for process in running)
    wanted = {f"{one}-{number}" for one in range(WRITERS) for number in range(TABLES)}
    assert {here.cpu for here, _ in tables_in(beside)} == wanted
    assert [path.name for path in beside.parent.glob(f"*{beside.name}*")] == [beside.name]


def test_what_cannot_be_locked_is_written_with_a_warning(
    beside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(TunedWarning, match="cannot be locked"):
        write_beside(beside, HERE, THREE)
    assert tables_in(beside) == ((HERE, THREE),)


def test_what_this_version_does_not_understand_stays_in_the_file(beside: Path) -> None:
    foreign = {"for": {"spec": "of another version"}, "table": {"trees": []}}
    beside.write_text(json.dumps({"format": FORMAT, "tables": [foreign]}))
    write_beside(beside, HERE, THREE)
    assert found(beside) == THREE
    assert tables_in(beside) == ((HERE, THREE),)
    assert foreign in json.loads(beside.read_text())["tables"]


def content(given_table: object) -> str:
    return json.dumps({"format": FORMAT, "tables": [{"for": tuned.written(HERE), "table": given_table}]})


DAMAGED = {
    "empty": "",
    "no JSON": "{'format': 1}",
    "cut short": content({"entries": []})[:-9],
    "deep": "[" * 100_000,
    "a list": "[]",
    "another format": content({}).replace(FORMAT, "mhagen tuned 0"),
    "tables are no list": json.dumps({"format": FORMAT, "tables": {}}),
    "an item without circumstances": json.dumps({"format": FORMAT, "tables": [{"table": {}}]}),
    "no entries": content({"entries": []}),
    "no table": content("__import__('os').abort()"),
    "a long number": '{"format": ' + "9" * 5000 + "}",
    "an illegal schedule": content(tuned.table_to_json(ScheduleTable.of(replace(PLAN, block_keys=7)))),
    "sums by batch": content(
        tuned.table_to_json(table((replace(SHORT, batch=SHORT.keys), FEW), (EVERY_CALL, PLAN)))
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_a_miss_and_one_warning(damage: str, beside: Path) -> None:
    beside.write_text(DAMAGED[damage])
    with pytest.warns(TunedWarning, match="built without tuning") as told:
        for _ in range(3):
            assert tuned_table(HERE, TARGET, DType.FLOAT32, beside) is None
    assert len(told) == 1 and str(beside) in str(told[0].message)


@given(st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_miss(beside: Path, content: bytes) -> None:
    beside.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TunedWarning)
        assert tuned_table(HERE, TARGET, DType.FLOAT32, beside) is None


def test_a_damaged_file_of_the_cache_gives_way_to_the_one_beside(beside: Path) -> None:
    keep_table(HERE, THREE).write_text("x")
    write_beside(beside, HERE, OTHER)
    with pytest.warns(TunedWarning):
        assert tuned_table(HERE, TARGET, DType.FLOAT32, beside) == OTHER


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file_is_a_miss(beside: Path) -> None:
    os.mkfifo(beside)
    with pytest.warns(TunedWarning, match="it is not a file"):
        assert tuned_table(HERE, TARGET, DType.FLOAT32, beside) is None


def test_a_file_that_is_too_large_is_a_miss(beside: Path) -> None:
    with beside.open("wb") as file:
        file.truncate(tuned.LARGEST_FILE_BYTES + 1)
    with pytest.warns(TunedWarning, match="larger"):
        assert tuned_table(HERE, TARGET, DType.FLOAT32, beside) is None


def test_a_damaged_file_is_not_written_over(beside: Path) -> None:
    beside.write_text("x")
    with pytest.raises(InputError, match="mend it or move it away"):
        write_beside(beside, HERE, THREE)
    assert beside.read_text() == "x"


def test_a_kept_table_leaves_nothing_else_behind() -> None:
    folder = keep_table(HERE, THREE).parent
    keep_table(HERE, OTHER)
    assert [path.suffix for path in folder.iterdir()] == [".json"]
    assert folder.stat().st_mode & 0o077 == 0


def test_a_spec_is_the_same_whatever_its_name() -> None:
    spec = load_spec(SPEC)
    here = circumstances(spec, AVX2)
    assert circumstances(load_spec({**SPEC, "name": "renamed"}), AVX2) == here
    assert circumstances(load_spec({**SPEC, "dtype": "float64"}), AVX2) != here
    assert circumstances(spec, TARGET) != here


def test_a_build_takes_what_was_tuned_unless_it_is_told_not_to(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    path.write_text('name = "tuned"\nheads = {query = 2, dim = 64}\n')
    spec = load_spec(path)
    untuned = compile_to_source(path, target=TARGET)[2]
    write_beside(table_file(path), circumstances(spec, TARGET), THREE)
    assert compile_to_source(path, target=TARGET)[2].table == THREE
    assert compile_to_source(SPEC, target=TARGET)[2] == untuned  # beside no file
    keep_table(circumstances(spec, TARGET), OTHER)
    for given_spec in (path, str(path), spec, SPEC):
        assert compile_to_source(given_spec, target=TARGET)[2].table == OTHER
        assert compile_to_source(given_spec, target=TARGET, tune="never")[2] == untuned
    assert compile_to_source(path, target=AVX2)[2].table.is_one


def test_a_build_takes_the_table_it_is_given_and_what_a_tuner_finds() -> None:
    given_table = compile_to_source(SPEC, target=TARGET, tune=THREE)[2]
    assert given_table.table == THREE
    assert compile_to_source(SPEC, target=TARGET, tune=lambda spec, target: THREE)[2] == given_table


def test_a_build_refuses_an_illegal_table() -> None:
    illegal = ScheduleTable.of(replace(PLAN, block_keys=7))
    with pytest.raises(InputError, match="a block is a whole number of score tiles"):
        compile_to_source(SPEC, target=TARGET, tune=illegal)
    with pytest.raises(InputError, match='needs "cached", "never", "now"'):
        compile_to_source(SPEC, target=TARGET, tune="always")  # type: ignore[arg-type]

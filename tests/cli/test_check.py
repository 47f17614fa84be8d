"""`mhagen check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Run, written


def test_a_right_spec_is_ok(mhagen: Run, tiny: Path) -> None:
    said = mhagen("check", tiny)
    assert (said.code, said.out, said.err) == (0, f"{tiny}: ok\n", "")


def test_every_mistake_of_every_file_is_told_with_its_place(mhagen: Run, tiny: Path, wrong: Path) -> None:
    other = written(wrong.with_name("other.toml"), 'name = "class"\n')
    said = mhagen("check", wrong, tiny, other)
    assert said.code == 2
    assert said.out == f"{tiny}: ok\n"
    for told in (f"{wrong}:5:13", f"{wrong}:9:14", "error[heads-not-divisible]", f"{other}:1:8"):
        assert told in said.err
    assert said.err.endswith("2 of 3 specs cannot be used\n")


@pytest.mark.parametrize(("name", "code"), [("nothing.toml", "file-not-found"), (".", "not-a-file")])
def test_a_file_that_is_not_there_is_the_callers_mistake(mhagen: Run, name: str, code: str) -> None:
    said = mhagen("check", name)
    assert said.code == 2
    assert f"error[{code}]" in said.err


def test_what_is_not_supported_yet_is_told_as_that(mhagen: Run, tmp_path: Path) -> None:
    unsupported = Path(__file__).parent.parent / "cases" / "spec" / "unsupported.toml"
    said = mhagen("check", written(tmp_path / "unsupported.toml", unsupported.read_text()))
    assert said.code == 2
    assert "this version of mhagen cannot make a log-sum-exp of groups" in said.err


def test_programs_get_codes_and_places(mhagen: Run, tiny: Path, wrong: Path) -> None:
    said = mhagen("check", tiny, wrong, "--json")
    good, bad = said.document["specs"]
    assert said.document["exit_code"] == said.code == 2
    assert (good["spec"], good["name"], good["exit_code"], good["error"]) == (str(tiny), "tiny", 0, None)
    places = [(each["code"], each["line"], each["column"]) for each in bad["error"]["diagnostics"]]
    assert places == [("heads-not-divisible", 5, 13), ("unknown-name", 9, 14)]
    assert "error[unknown-name]" in said.err


def test_the_schema_describes_every_table(mhagen: Run) -> None:
    said = mhagen("check", "--schema")
    assert said.code == 0
    assert {"name", "heads", "scores", "mask", "inputs", "projections"} <= set(said.document["properties"])


@pytest.mark.parametrize("arguments", [(), ("--schema", "tiny.toml")])
def test_check_wants_specs_or_the_schema(mhagen: Run, arguments: tuple[str, ...]) -> None:
    said = mhagen("check", *arguments)
    assert said.code == 2
    assert "--schema" in said.err

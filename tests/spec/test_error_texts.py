"""Every spec in tests/cases/spec is refused with the text beside it: code, line, column, caret and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhagen.base.errors import MhagenError
from mhagen.spec.load import load_spec

CASES = Path(__file__).parent.parent / "cases" / "spec"
SPECS = sorted(CASES.glob("*.toml"))


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_a_wrong_spec_is_refused_with_the_text_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with pytest.raises(MhagenError) as caught:
        load_spec(path.name)
    assert f"{type(caught.value).__name__}\n{caught.value}\n" == path.with_suffix(".error").read_text("utf-8")


def test_every_expected_error_has_its_spec() -> None:
    assert {path.stem for path in CASES.glob("*.error")} == {path.stem for path in SPECS}
    assert len(SPECS) >= 40


def test_every_wrong_spec_is_an_error_of_its_author() -> None:
    for path in SPECS:
        with pytest.raises(MhagenError) as caught:
            load_spec(path)
        assert caught.value.exit_code == 2

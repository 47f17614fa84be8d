"""`mhagen check`: every mistake of every spec, in one run. Imports neither NumPy nor Numba."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..base.errors import MhagenError
from ..spec.load import load_spec
from ..spec.model import Spec
from ..spec.schema import json_schema
from .exits import Exit, worst
from .failures import exit_code, failure_document, report
from .output import Json, document, notes, results


@dataclass(frozen=True)
class Checked:
    """What became of one file."""

    path: str
    spec: Spec | None
    error: MhagenError | None

    @property
    def exit_code(self) -> int:
        return Exit.GOOD if self.error is None else exit_code(self.error)


def check_specs(paths: Sequence[str], as_json: bool) -> int:
    """Check the files, in their order; a mistake in one does not hide those of the next."""
    checked = [check_spec(path) for path in paths]
    code = worst(each.exit_code for each in checked)
    for each in checked:
        if each.error is not None:
            report(each.error)
        elif not as_json:
            results().print(f"{each.path}: ok")
    if code != Exit.GOOD and len(paths) > 1:
        wrong = sum(each.error is not None for each in checked)
        notes().print(f"{wrong} of {len(paths)} specs cannot be used")
    if as_json:
        document("check", code, {"specs": [checked_document(each) for each in checked]})
    return code


def check_spec(path: str) -> Checked:
    try:
        return Checked(path, load_spec(path), None)
    except MhagenError as error:
        return Checked(path, None, error)


def checked_document(checked: Checked) -> Json:
    return {
        "spec": checked.path,
        "name": None if checked.spec is None else checked.spec.name,
        "exit_code": int(checked.exit_code),
        "error": None if checked.error is None else failure_document(checked.error),
    }


def print_schema() -> int:
    """Print the JSON Schema of specs, which editors complete and check TOML files with."""
    results().print(json.dumps(json_schema(), indent=2))
    return Exit.GOOD

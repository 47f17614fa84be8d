"""`mhagen check`: every mistake of every spec, in one run. Imports neither NumPy nor Numba."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

from ..spec.load import load_spec
from ..spec.model import Spec
from ..spec.schema import json_schema
from .exits import Exit, worst
from .failures import Failure, attempt, failure_document
from .output import Json, document, notes, results


def check_specs(paths: Sequence[str], as_json: bool) -> int:
    """Check the files, in their order; a mistake in one does not hide those of the next."""
    outcomes: list[tuple[str, Spec | Failure]] = []
    for path in paths:
        outcome = attempt(partial(load_spec, path))
        if isinstance(outcome, Spec) and not as_json:
            results().print(f"{path}: ok")
        outcomes.append((path, outcome))
    failures = [outcome for _, outcome in outcomes if isinstance(outcome, Failure)]
    code = worst(failure.exit_code for failure in failures)
    if failures and len(paths) > 1:
        notes().print(f"{len(failures)} of {len(paths)} specs cannot be used")
    if as_json:
        document("check", code, {"specs": [outcome_document(*each) for each in outcomes]})
    return code


def outcome_document(path: str, outcome: Spec | Failure) -> Json:
    if isinstance(outcome, Failure):
        code, error = outcome.exit_code, failure_document(outcome.error)
        return {"spec": path, "exit_code": int(code), "error": error, "name": None}
    return {"spec": path, "exit_code": int(Exit.GOOD), "error": None, "name": outcome.name}


def print_schema() -> int:
    """Print the JSON Schema of specs, which editors complete and check TOML files with."""
    results().print(json.dumps(json_schema(), indent=2))
    return Exit.GOOD

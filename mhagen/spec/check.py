"""All that is wrong with a spec, found in one run."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from .expressions import expression_problems
from .given import Given
from .problems import Problem
from .rules import rule_problems
from .schema import json_schema as json_schema
from .structure import structure_problems

_DEEPEST = 8


def find_problems(raw: Mapping[str, object]) -> tuple[Problem, ...]:
    """Every mistake in the keys of a spec; none if `Spec(**raw)` can be made."""
    plain = {key: _plain(value) for key, value in raw.items()}
    structure = structure_problems(plain)
    wrong = frozenset(found.path for found in structure if found.diagnostic.code != "missing-key")
    given = Given(plain, wrong)
    return (*structure, *rule_problems(given), *expression_problems(given))


def _plain(value: object, depth: int = 0) -> object:
    # Tables may be given as models: what was left out of these is left out here too.
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    return value

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
    plain = _plain_keys(raw)
    structure = structure_problems(plain)
    given = _given(plain, structure)
    return (*structure, *rule_problems(given), *expression_problems(given))


def given_of(raw: Mapping[str, object]) -> Given:
    """What is right by itself among the keys of a spec."""
    plain = _plain_keys(raw)
    return _given(plain, structure_problems(plain))


def _given(plain: Mapping[str, object], structure: tuple[Problem, ...]) -> Given:
    return Given(plain, frozenset(each.path for each in structure if each.diagnostic.code != "missing-key"))


def _plain_keys(raw: Mapping[str, object]) -> dict[str, object]:
    return {key: _plain(value) for key, value in raw.items()}


def _plain(value: object, depth: int = 0) -> object:
    # Tables may be given as models: what was left out of these is left out here too.
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    return value

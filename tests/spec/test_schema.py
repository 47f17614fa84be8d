"""The JSON Schema that editors read agrees with what is accepted."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mhagen.spec.check import json_schema
from mhagen.spec.fields import Fields
from mhagen.spec.schema import keys_at

from .test_load import SMALLEST, WHOLE

CASES = Path(__file__).parent.parent / "cases" / "spec"


def tables(schema: Any) -> Iterator[dict[str, Any]]:
    yield schema
    yield from (part for part in schema["$defs"].values() if part["type"] == "object")


def test_the_schema_is_of_draft_2020_12_and_is_json() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


def test_every_key_has_a_sentence_and_no_other_key_is_allowed() -> None:
    schema: Any = json_schema()
    for table in tables(schema):
        assert table["additionalProperties"] is False
        for name, key in table["properties"].items():
            type_ = schema["$defs"].get(key.get("$ref", "").removeprefix("#/$defs/"), {})
            assert {**type_, **key}["description"].endswith("."), name


def test_every_key_of_the_model_is_in_the_schema() -> None:
    assert keys_at(()) == tuple(Fields.model_fields)


def test_the_schema_knows_no_null() -> None:
    assert "null" not in json.dumps(json_schema())


def test_every_example_is_accepted_by_its_own_key() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema: Any = json_schema()
    for table in tables(schema):
        for key in table["properties"].values():
            for example in key.get("examples", []):
                alone = {**key, "$defs": schema["$defs"]}
                jsonschema.validate(example, alone, jsonschema.Draft202012Validator)


@pytest.mark.parametrize("text", [SMALLEST, WHOLE])
def test_good_specs_follow_the_schema(text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(tomllib.loads(text), json_schema(), jsonschema.Draft202012Validator)


WRONG = """
missing_dim unknown_top_key heads_as_text heads_as_bool zero_heads dtype_misspelt input_axes statistics
name_with_newline constant_overflows unknown_key_in_inline_table bias_as_number input_dtype too_many_inputs
"""


@pytest.mark.parametrize("name", WRONG.split())
def test_wrong_specs_do_not_follow_the_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    assert not validator.is_valid(tomllib.loads((CASES / f"{name}.toml").read_text("utf-8")))

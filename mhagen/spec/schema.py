"""The JSON Schema of a spec: for editors, and for the errors that tell what a key needs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

from pydantic import JsonValue

from .fields import Fields
from .problems import KeyPath

Schema: TypeAlias = dict[str, JsonValue]


@cache
def _schema() -> Schema:
    given = {key: _plain(part) for key, part in Fields.model_json_schema().items()}
    return given | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mhagen spec",
        "description": "An attention layer that mhagen compiles to kernels.",
    }


def json_schema() -> Schema:
    """JSON Schema, draft 2020-12, of a spec file: types, ranges, defaults, and a sentence for every key."""
    return dict(_schema())


def _plain(schema: JsonValue) -> JsonValue:
    # TOML has no null: what is optional is left out. Titles that repeat the key tell an editor nothing.
    if isinstance(schema, list):
        return [_plain(part) for part in schema if part != {"type": "null"}]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: _plain(part)
        for key, part in schema.items()
        if not (key == "title" and isinstance(part, str))
        and not (key == "default" and (part is None or isinstance(part, dict)))
    }
    only = kept.get("anyOf")
    if isinstance(only, list) and len(only) == 1 and isinstance(only[0], dict):
        del kept["anyOf"]
        return only[0] | kept
    return kept


def schema_at(path: KeyPath) -> Schema:
    """What may stand at a path; empty if the path leads nowhere."""
    schema = _schema()
    for part in path:
        schema = _resolved(_inside(schema, part))
    return schema


def _inside(schema: Schema, part: str | int) -> JsonValue:
    if isinstance(part, int):
        return schema.get("items")
    properties = schema.get("properties")
    if isinstance(properties, dict) and part in properties:
        return properties[part]
    return schema.get("additionalProperties")


def _resolved(schema: JsonValue) -> Schema:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    definitions = _schema()["$defs"]
    if isinstance(reference, str) and isinstance(definitions, dict):
        target = definitions[reference.rsplit("/", 1)[-1]]
        return (target if isinstance(target, dict) else {}) | schema
    return schema


def keys_at(path: KeyPath) -> tuple[str, ...]:
    """The keys that the table at a path may have."""
    properties = schema_at(path).get("properties")
    return tuple(properties) if isinstance(properties, Mapping) else ()


def needed_at(path: KeyPath) -> str:
    """What may stand at a path, in words: `an integer from 1 to 1024`."""
    schema = schema_at(path)
    if isinstance(choices := schema.get("enum"), list):
        return "one of " + ", ".join(str(choice) for choice in choices)
    words = _TYPES.get(str(schema.get("type")), "something else")
    if isinstance(above := schema.get("exclusiveMinimum"), int | float):
        return f"{words} above {above:g}"
    low, high = _range(schema)
    if high is None:
        return f"{words} of {low:g} or more" if low > 0 else words
    count = "" if schema.get("type") == "integer" else " entries"
    between = "of" if count else "from"
    return f"{words} {between} {low} to {high}{count}"


def _range(schema: Schema) -> tuple[float, int | None]:
    low = schema.get("minimum", schema.get("minItems"))
    high = schema.get("maximum", schema.get("maxItems", schema.get("maxProperties")))
    exclusive = schema.get("exclusiveMaximum")
    if isinstance(exclusive, int):
        high = exclusive - 1
    return low if isinstance(low, int | float) else 0, high if isinstance(high, int) else None


_TYPES = {
    "integer": "an integer",
    "number": "a finite number",
    "boolean": "true or false",
    "string": "a string",
    "array": "a list",
    "object": "a table",
}

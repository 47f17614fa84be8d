"""What is wrong with single keys: pydantic's complaints, in mhagen's words and with a remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from ..base.errors import Diagnostic
from ..base.spelling import did_you_mean
from ..expr.interval import MOST_HEADS
from .fields import Fields
from .problems import KeyPath, Problem, key_text, shown, shown_key
from .schema import keys_at, needed_at, schema_at

# By pydantic's types of error; every other one is a wrong type.
_CODES = {
    "enum": "unknown-value",
    "finite_number": "not-finite",
    "greater_than": "out-of-range",
    "greater_than_equal": "out-of-range",
    "less_than": "out-of-range",
    "less_than_equal": "out-of-range",
    "too_short": "out-of-range",
    "too_long": "out-of-range",
}


# What functions are given as, by the keys that their expressions are written to.
SCORE, KEEP = 'score=..., of a group its key "score"', 'keep=..., of a group its key "keep"'
FUNCTIONS: Mapping[KeyPath, str] = {("scores", "modify"): SCORE, ("mask", "keep"): KEEP}
TABLES: Mapping[str | int, str] = {"scores": SCORE, "mask": KEEP}
FOREIGN_NAMES: Mapping[str, str] = {"score_mod": SCORE, "mask_mod": KEEP}  # of FlexAttention
# What other software calls the formats.
FORMATS_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("float", "fp32", "f32", "single"), "float32"),
    **dict.fromkeys(("double", "fp64", "f64"), "float64"),
    **dict.fromkeys(("half", "fp16", "f16"), "float16"),
    **dict.fromkeys(("bf16", "bfloat"), "bfloat16"),
    **dict.fromkeys(("int", "i32"), "int32"),
    **dict.fromkeys(("long", "i64"), "int64"),
    "boolean": "bool",
}


def structure_problems(raw: Mapping[str, object]) -> tuple[Problem, ...]:
    """Every key that is unknown, missing, of the wrong type or out of range."""
    try:
        Fields.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        around = {details["loc"][:-1] for details in found}
        return tuple(_problem(details, raw) for details in found if not _follows(details, around))
    return ()


def _follows(details: ErrorDetails, around: Set[KeyPath]) -> bool:
    # A default that is computed from a wrong key, or a list that is too short because its items are wrong.
    is_short = details["type"] == "too_short"
    return details["type"] == "default_factory_not_called" or (is_short and details["loc"] in around)


def _problem(details: ErrorDetails, raw: Mapping[str, object]) -> Problem:
    path, context = details["loc"], details.get("ctx", {})
    # So pydantic says that it is the key itself that is wrong; but one of a person's keys may be called so.
    on_key = path[-1:] == ("[key]",) and details["type"] != "extra_forbidden"
    if on_key:
        path = path[:-1]
    if "label" in context:  # one of our own validators
        diagnostic = Diagnostic(details["type"], context["message"], context["label"], context["remedy"])
        return Problem(path, diagnostic, on_key)
    match details["type"]:
        case "missing":
            return _missing_key(path)
        case "extra_forbidden":
            return _unknown_key(path)
        case _:
            return Problem(path, _wrong_value(path, details["type"], details["input"], raw), on_key)


def _missing_key(path: KeyPath) -> Problem:
    *table, key = path
    message = f"{_table_text(tuple(table))} has no `{key}`"
    example = schema_at(path).get("examples")
    remedy = f"{key} = {_toml(example[0])}" if isinstance(example, list) else str(key)
    return Problem(tuple(table), Diagnostic("missing-key", message, "add it", remedy), on_key=True)


def _table_text(path: KeyPath) -> str:
    return f"[{key_text(path)}]" if path else "the spec"


def _toml(value: JsonValue) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def _unknown_key(path: KeyPath) -> Problem:
    *table, key = path
    known = keys_at(tuple(table))
    message = f"{_table_text(tuple(table))} has no key {shown_key(str(key))}"
    if key in FOREIGN_NAMES:
        label = f"in mhagen.Spec a function is {FOREIGN_NAMES[str(key)]}"
    else:
        label = did_you_mean(str(key), known) or _elsewhere(str(key)) or "it has " + ", ".join(known)
    return Problem(path, Diagnostic("unknown-key", message, label), on_key=True)


def _elsewhere(key: str) -> str:
    tables = [table for table in keys_at(()) if key in keys_at((table,))]
    return f"it belongs into [{tables[0]}]" if tables else ""


def _wrong_value(path: KeyPath, kind: str, value: object, raw: Mapping[str, object]) -> Diagnostic:
    code = _CODES.get(kind, "wrong-type")
    name = key_text(path[-2:] if isinstance(path[-1], int) else path[-1:])
    if isinstance(value, tuple | dict) and kind in ("too_short", "too_long"):
        message = f"{name} cannot have {len(value)} entries"
    else:
        message = f"{name} cannot be {shown(value)}"
    needed = _head_of(path, raw) or needed_at(path)
    return Diagnostic(code, message, f"needs {needed}", _guess(path, value))


def _head_of(path: KeyPath, raw: Mapping[str, object]) -> str:
    """Where one query head is named: which there are, if that is known."""
    heads = raw.get("heads")
    query = heads.get("query") if isinstance(heads, Mapping) else None
    names_head = path[:2] == ("heads", "pruned") or (path[:1] == ("groups",) and path[2:3] == ("heads",))
    is_item = isinstance(path[-1], int) and len(path) > 2
    if not (names_head and is_item and type(query) is int and 1 <= query <= MOST_HEADS):
        return ""
    return f"an integer from 0 to {query - 1}"


def _guess(path: KeyPath, value: object) -> str:
    if callable(value) and (instead := FUNCTIONS.get(path[-2:]) or TABLES.get(path[-1])):
        return f"in mhagen.Spec a function is {instead}"
    if isinstance(value, list | tuple) and path[:1] == ("inputs",) and len(path) == 2:
        return "declare its shape and dtype: the array itself is an argument of every call"
    if value is True and path[-1] in ("keep", "modify"):
        return 'write "True", in quotes'
    if isinstance(value, dict) and path == ("groups",):
        return "write [[groups]], once for each"
    if not isinstance(value, str):
        return ""
    schema = schema_at(path)
    if isinstance(choices := schema.get("enum"), list):
        names = [str(choice) for choice in choices]
        meant = FORMATS_ELSEWHERE.get(value.lower().removeprefix("torch."))
        return f"did you mean `{meant}`?" if meant in names else did_you_mean(value, names)
    if schema.get("type") in ("integer", "number") and value.isascii() and value.isdigit():
        return f"write {value[:16]}, without quotes"
    return ""

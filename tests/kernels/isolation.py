"""What reaches a result and what must not: hidden keys and values, other sequences of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from mhagen.runtime import launch
from mhagen.runtime.threads import threads

from . import plain
from .calls import Array, Call, bits_of, named, same_bits
from .specs import Case


def run(case: Case, call: Call) -> dict[str, Array]:
    """The results by name, heads first."""
    found = named(case.spec, case.module.attention(**call))
    return found | {"out": plain.heads_first(case.spec, found["out"])}


def seen_by(case: Case, call: Call) -> Array:
    """Which keys each query sees: (batch, key_value_heads, query heads of a group * queries, keys)."""
    inputs = {name: call[name] for name in case.spec.inputs}
    visible = plain.visible(case.spec, call["query"], call["key"], call["query_offset"], inputs)
    batch, _, _, keys = visible.shape
    return visible.reshape(batch, case.spec.heads.key_value, -1, keys)


def by_key_value_head(case: Case, result: Array) -> Array:
    """Rows of a result that read one key/value head together: as `seen_by` has them."""
    return result.reshape(result.shape[0], case.spec.heads.key_value, -1, *result.shape[3:])


def poisoned(case: Case, call: Call, name: str, places: Array, poison: float) -> Call:
    """The call with keys or values overwritten where `places` (batch, key_value_heads, keys) says so."""
    array = call[name].copy()
    plain.heads_first(case.spec, array)[places] = poison
    return {**call, name: array}


def assert_isolated(case: Case, call: Call, name: str, poison: float, rng: np.random.Generator) -> None:
    """Poison a few keys or values: rows that see none of them stay as they are, bit for bit."""
    visible = seen_by(case, call)
    batch, heads, _, keys = visible.shape
    places = rng.random((batch, heads, keys)) < rng.choice([1 / keys, 0.1, 0.5])
    spared = ~(visible & places[:, :, None]).any(axis=3)
    clean = run(case, call)
    found = run(case, poisoned(case, call, name, places, poison))
    for result in clean:
        now, before = (by_key_value_head(case, each[result])[spared] for each in (found, clean))
        np.testing.assert_array_equal(bits_of(now), bits_of(before), err_msg=result)
    if np.isnan(poison):
        assert np.isnan(by_key_value_head(case, found["out"])[~spared]).all()


def only(entry: int, case: Case, call: Call) -> Call:
    """The arguments of one batch entry."""

    def part(name: str, array: Any) -> Any:
        declared = case.spec.inputs.get(name)
        has_batch = declared is None or declared.shape[0] == "batch"
        return array[entry : entry + 1] if has_batch else array

    return {name: part(name, array) for name, array in call.items()}


def assert_alone_as_together(case: Case, call: Call) -> None:
    """Each batch entry by itself gives the bits that it gives beside the others."""
    together = named(case.spec, case.module.attention(**call))
    for entry in range(len(call["query"])):
        alone = named(case.spec, case.module.attention(**only(entry, case, call)))
        for name, result in together.items():
            np.testing.assert_array_equal(bits_of(alone[name][0]), bits_of(result[entry]), err_msg=name)


def assert_undisturbed(case: Case, call: Call) -> None:
    """The last batch entry gives the same bits when there is nothing but NaN in the others."""
    disturbed = {name: call[name].copy() for name in ("query", "key", "value")}
    for array in disturbed.values():
        array[:-1] = np.nan
    found = named(case.spec, case.module.attention(**call | disturbed))
    for name, result in named(case.spec, case.module.attention(**call)).items():
        np.testing.assert_array_equal(bits_of(found[name][-1]), bits_of(result[-1]), err_msg=name)


def assert_same_on_any_number_of_threads(case: Case, call: Call, counts: Sequence[int] = (2, 3, 7)) -> None:
    """The bits of one thread."""
    with threads(1):
        alone = case.module.attention(**call)
    for count in counts:
        with on(count):
            same_bits(case.spec, case.module.attention(**call), alone)


@contextmanager
def on(count: int) -> Iterator[None]:
    """Calls inside use so many threads, also where the work is too little to pay a second one."""
    with patch.object(launch, "MULTIPLY_ADDS_OF_A_THREAD", 1), threads(count):
        yield

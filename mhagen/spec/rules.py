"""Whether the keys of a spec fit together: heads that divide, names that differ, nothing listed twice."""

from __future__ import annotations

from collections.abc import Iterator

from ..base.errors import Diagnostic
from .given import Given
from .problems import KeyPath, Problem, shown
from .rotary_rules import rotary_problems

_SHOWN_DIVISORS = 8


def rule_problems(given: Given) -> Iterator[Problem]:
    """Every rule between keys that is broken, as far as the keys it speaks of are right by themselves."""
    yield from _heads_divide(given)
    yield from _heads_exist(given, ("heads", "pruned"))
    yield from _a_head_is_left(given)
    for group in range(len(given.items("groups"))):
        yield from _heads_exist(given, ("groups", group, "heads"))
    yield from _groups_are_apart(given)
    yield from _names_differ(given)
    yield from _statistics_differ(given)
    yield from rotary_problems(given)


def _heads_divide(given: Given) -> Iterator[Problem]:
    query, key_value = given.integer("heads", "query"), given.integer("heads", "key_value")
    if query is not None and key_value is not None and query % key_value:
        yield Problem(
            ("heads", "key_value"),
            Diagnostic(
                "heads-not-divisible",
                f"{key_value} key/value heads cannot serve {query} query heads",
                f"must divide query = {query}",
                _divisors(query, near=key_value),
            ),
            see=("heads", "query"),
        )


def _divisors(number: int, near: int) -> str:
    divisors = [divisor for divisor in range(1, number + 1) if number % divisor == 0]
    nearest = sorted(sorted(divisors, key=lambda divisor: abs(divisor - near))[:_SHOWN_DIVISORS])
    return ", ".join(map(str, nearest[:-1])) + f" or {nearest[-1]}" if len(nearest) > 1 else "1"


def _heads_exist(given: Given, path: KeyPath) -> Iterator[Problem]:
    query = given.integer("heads", "query")
    seen: set[int] = set()
    for index in range(len(given.items(*path))):
        head = given.integer(*path, index)
        if head is None:
            continue
        if query is not None and head >= query:
            message = f"there is no query head {head}"
            label = f"query heads are 0 to {query - 1}"
            yield Problem((*path, index), Diagnostic("no-such-head", message, label))
        elif head in seen:
            yield _repeated((*path, index), f"head {head}")
        seen.add(head)


def _a_head_is_left(given: Given) -> Iterator[Problem]:
    query = given.integer("heads", "query")
    places = range(len(given.items("heads", "pruned")))
    pruned = {given.integer("heads", "pruned", place) for place in places}
    if query is not None and pruned.issuperset(range(query)):
        label = f"keep one of the query heads 0 to {query - 1}"
        yield Problem(("heads", "pruned"), Diagnostic("no-head-left", "all query heads are pruned", label))


def _repeated(path: KeyPath, what: str) -> Problem:
    return Problem(path, Diagnostic("listed-twice", f"{what} is listed twice", "drop one of the two"))


def _groups_are_apart(given: Given) -> Iterator[Problem]:
    owner: dict[int, int] = {}
    for group in range(len(given.items("groups"))):
        for index in range(len(given.items("groups", group, "heads"))):
            head = given.integer("groups", group, "heads", index)
            if head is not None and owner.setdefault(head, group) != group:
                message = f"head {head} is in two groups"
                path = ("groups", group, "heads", index)
                yield Problem(
                    path, Diagnostic("head-in-two-groups", message, f"groups[{owner[head]}] has it")
                )


def _names_differ(given: Given) -> Iterator[Problem]:
    for name in given.table("inputs"):
        if name in given.table("constants"):
            message = f"{shown(name)} is both a constant and an input"
            diagnostic = Diagnostic("declared-twice", message, "rename one of the two")
            yield Problem(("inputs", name), diagnostic, on_key=True)


def _statistics_differ(given: Given) -> Iterator[Problem]:
    statistics = [getattr(item, "value", item) for item in given.items("outputs", "statistics")]
    for index, statistic in enumerate(statistics):
        if isinstance(statistic, str) and statistic in statistics[:index]:
            yield _repeated(("outputs", "statistics", index), statistic)

"""Whole specs drawn at random: every key that shapes an attention kernel, each with any legal value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from expr.random_expressions import ARRAYS, expressions
from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis import strategies as st

from mhagen.base.digest import digest
from mhagen.base.dtypes import DType
from mhagen.base.errors import UnsupportedError
from mhagen.expr.kinds import applied
from mhagen.expr.parse import ArrayType, ExpressionErrors, parse_expression
from mhagen.expr.simplify import simplify
from mhagen.expr.tree import Apply, Expr, Kind, Literal, Name, Operator, arrays, constants, names, to_text
from mhagen.expr.tree import replace as replaced
from mhagen.spec.fields import AXES
from mhagen.spec.load import load_spec

from .dtypes import REALS, targets_of
from .specs import ANY_INT32, Case, Table, register

DTYPES = {
    "slope": st.sampled_from(REALS),
    "segment": st.sampled_from([DType.INT32, DType.INT64]),
    "visible": st.just(DType.BOOL),
}
# Around the edges of vectors and of the steps that products are made in; and anything.
DIMS = st.one_of(st.sampled_from([1, 2, 15, 16, 17, 32, 33, 64, 128]), st.integers(1, 160))
SCALES = st.sampled_from([None, None, 0.0, 1.0, -0.25])
# Real numbers of queries: what keys receive, and which they are, has tests of its own.
OF_QUERIES = ["lse", "max", "entropy", "confidence"]
STATISTICS = st.lists(st.sampled_from(OF_QUERIES), unique=True)
OFTEN = 3  # most random expressions are not legal: what does without them is drawn too often by itself
CAUSAL = applied(Operator.LESS_EQUAL, Name("k"), Name("q"))


def numbered(number: int) -> Case:
    """The case that is drawn for a number: by itself, not as a change of an earlier one."""
    found: list[Case] = []

    @seed(number)
    @settings(max_examples=2, phases=[Phase.generate], database=None, suppress_health_check=[*HealthCheck])
    @given(cases())
    def draw(case: Case) -> None:
        found.append(case)

    draw()
    return found[-1]  # the first one is the simplest of all, whatever the number


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A spec, known by a name that is its own; most for the widest of the CPU classes that run here."""
    dtypes = {name: draw(choices) for name, choices in DTYPES.items()}
    said = {key: draw(each) for key, each in keys_of_heads(dtypes).items()}
    dtype, key_value, dim = draw(st.sampled_from(REALS)), draw(st.integers(1, 3)), draw(DIMS)
    query = key_value * draw(st.integers(1, 4))
    groups, pruned = draw(groups_of(query, dtypes)), draw(pruned_of(query))
    spec = {
        "dtype": dtype.value,
        "layout": draw(st.sampled_from(["bhsd", "bshd"])),
        "heads": {
            "query": query,
            "key_value": key_value,
            "dim": dim,
            "value_dim": draw(st.one_of(st.just(dim), DIMS)),
            "pruned": pruned,
        },
        **tables(said),
        "groups": [{"heads": heads, **tables(own)} for heads, own in groups],
        "outputs": {"statistics": draw(st.one_of(st.sampled_from([[], ["lse"]]), STATISTICS))},
        **declared(draw, dtypes, expressions_of(said, *(own for _, own in groups))),
    }
    spec["mask"]["align"] = draw(st.sampled_from(["start", "end"]))
    ranges = {"segment": draw(st.sampled_from([(0, 2), (-9, 99), ANY_INT32]))}
    name = f"random_{digest(repr((spec, ranges)))[:16]}"
    widest, *others = targets_of(dtype)
    try:
        drawn = Case(load_spec({"name": name, **spec}), ranges)
    except UnsupportedError:  # groups whose sinks read what, in the same spec, others do not
        reject()
    return replace(register(drawn), chosen=draw(st.sampled_from([widest, widest, *others])))


def expressions_of(*said: Table) -> list[Expr]:
    """The expressions of what is said of heads."""
    return [each for own in said for each in own.values() if isinstance(each, Expr)]


def tables(said: Table) -> dict[str, Table]:
    """What is said of heads, where a spec or a group has it."""
    found = {key: to_text(each) if isinstance(each, Expr) else each for key, each in said.items()}
    return {
        table: {key: found[key] for key in keys if found.get(key) is not None}
        for table, keys in (("scores", ("scale", "modify")), ("mask", ("keep",)), ("softmax", ("sink",)))
    }


def keys_of_heads(dtypes: dict[str, DType]) -> dict[str, st.SearchStrategy[Any]]:
    """Whatever may differ from head to head."""
    return {"scale": SCALES, "modify": scores(dtypes), "keep": masks(dtypes), "sink": sinks(dtypes)}


@st.composite
def groups_of(draw: st.DrawFn, query: int, dtypes: dict[str, DType]) -> list[tuple[list[int], Table]]:
    """No group, or one or two, each with the heads that it names and a key or two of its own."""
    owners = draw(st.lists(st.sampled_from([None, 0, 0, 1]), min_size=query, max_size=query))
    if query == 1 or draw(st.booleans()):
        return []
    heads = [[head for head, owner in enumerate(owners) if owner == group] for group in (0, 1)]
    keys = {key: each.filter(lambda said: said is not None) for key, each in keys_of_heads(dtypes).items()}
    chosen = st.lists(st.sampled_from([*keys]), unique=True, min_size=1, max_size=2)
    return [
        (draw(st.permutations(each)), {key: draw(keys[key]) for key in draw(chosen)})
        for each in heads
        if each
    ]


@st.composite
def pruned_of(draw: st.DrawFn, query: int) -> list[int]:
    """No head, or some of them."""
    some = st.lists(st.integers(0, query - 1), unique=True, max_size=query // 2)
    return draw(st.one_of(st.just([]), some))


def declared(draw: st.DrawFn, dtypes: dict[str, DType], used: list[Expr]) -> Table:
    """The constants and inputs that expressions name, with axes of any sort."""
    axes = st.one_of(st.sampled_from(AXES), st.integers(1, 9))
    return {
        "constants": {each.name: each.value for expr in used for each in constants(expr)},
        "inputs": {
            name: {
                "dtype": dtypes[name].value,
                "shape": [draw(axes) for _ in range(ARRAYS[name].rank)],
            }
            for name in dict.fromkeys(name for expr in used for name in arrays(expr))
        },
    }


@st.composite
def scores(draw: st.DrawFn, dtypes: dict[str, DType]) -> Expr | None:
    """No `modify`, one of any kind, or one that leaves scores near what they were."""
    way = draw(st.sampled_from(["none", *OFTEN * ("anything", "bounded", "chosen")]))
    match way:
        case "none":
            return None
        case "anything":
            return draw(legal(Kind.REAL, dtypes))
        case "bounded":
            change = applied(Operator.TANH, draw(legal(Kind.REAL, dtypes)))
        case _:
            change = applied(Operator.WHERE, draw(legal(Kind.CONDITION, dtypes)), Literal(0.5), Literal(-2.0))
    return applied(Operator.ADD, Name("score"), change)


@st.composite
def masks(draw: st.DrawFn, dtypes: dict[str, DType]) -> Expr | None:
    """No `keep`, or one with a random condition in it; conditions cannot be of scores."""
    way = draw(st.sampled_from(["none", "causal", *OFTEN * ("anything", "also causal", "at least causal")]))
    if way in ("none", "causal"):
        return CAUSAL if way == "causal" else None
    keep = draw(legal(Kind.CONDITION, dtypes).filter(lambda expr: "score" not in names(expr)))
    if way == "anything":
        return keep
    return applied(Operator.AND if way == "also causal" else Operator.OR, CAUSAL, keep)


@st.composite
def sinks(draw: st.DrawFn, dtypes: dict[str, DType]) -> Expr | None:
    """No `sink`, a number, or one of any kind that stays near the scores; it knows no key and no score."""
    way = draw(st.sampled_from(["none", "none", "number", "bounded"]))
    if way == "none":
        return None
    if way == "number":
        return Literal(draw(st.sampled_from([0.0, -2.5, 9.0])))
    found = without_score(draw(legal(Kind.REAL, dtypes).filter(lambda expr: "k" not in names(expr))))
    return applied(Operator.MULTIPLY, Literal(3.0), applied(Operator.TANH, found))


def without_score(expr: Expr) -> Expr:
    """The expression without the score."""
    return replaced(expr, lambda node: Literal(0.5) if node == Name("score") else node)


def legal(kind: Kind, dtypes: dict[str, DType]) -> st.SearchStrategy[Expr]:
    """Expressions of one kind that a spec may hold, and that are not the same for all queries and keys."""
    types = {name: ArrayType(dtypes[name], array.rank) for name, array in ARRAYS.items()}

    def is_legal(expr: Expr) -> bool:
        values = {each.name: each.value for each in constants(expr)}
        try:
            return parse_expression(to_text(expr), constants=values, arrays=types) == expr
        except ExpressionErrors:  # an integer can overflow, or a divisor be 0
            return False

    return expressions(depth=4, kind=kind).filter(varies).filter(is_legal)


def varies(expr: Expr) -> bool:
    left = simplify(expr)
    return isinstance(left, Apply) and len({*names(left), *arrays(left)}) > 1

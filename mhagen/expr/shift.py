"""Scores without what the keys of a row have in common, which is added to their maximum alone.

    score + slope[h] * (k - q)   ->   score + slope[h] * ahead, and once per row slope[h] * (k_first - q)

Weights depend on differences of scores, and the maximum of a sum with a number is the number and the maximum.
So a cell adds what rises from the first key of its thread on, which all rows may share, and nothing is
converted there from integers.

Numbers   differences of positions are still exact; a score is the sum of two rounded numbers, of which the
          first is no farther from it than what rises over a block of keys. So what rises steeply stays in the
          cells, and what is not finite too: infinity * 0 and infinity - infinity are no numbers. Where arrays
          say how steep it is, the split comes with a condition, under which scores are not to be split
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from .kinds import applied
from .rises import rise
from .tree import Apply, Constant, Expr, Kind, Literal, Name, Operator, names

ONE = Literal(1)
GENTLE = 8.0  # what rises from key to key is at most this, of either sign; slopes of ALiBi are below 1
LARGEST = 3.4028234663852886e38  # of float32
SUMS = (Operator.ADD, Operator.SUBTRACT, Operator.NEGATE)


@dataclass(frozen=True)
class Product:
    """A number that is the same for all keys of a row, times an integer that rises evenly; None is 1."""

    factor: Expr
    integer: Expr | None

    @property
    def rises(self) -> int:
        """By how much the integer rises from key to key."""
        return 0 if self.integer is None else rise(self.integer) or 0

    @property
    def is_exact(self) -> bool:
        """Is the factor a known number, or a whole one?"""
        return isinstance(self.factor, Literal | Constant) or self.factor.kind is Kind.INTEGER

    @property
    def most(self) -> float:
        """The greatest factor, of either sign, with which it may be taken out of cells."""
        return GENTLE / abs(self.rises) if self.rises else LARGEST

    @property
    def is_steep(self) -> bool:
        """Is it known that it must stay in cells?"""
        return isinstance(self.factor, Literal | Constant) and not abs(self.factor.value) <= self.most

    @property
    def value(self) -> Expr:
        return self.factor if self.integer is None else product(self.factor, self.integer)

    def __neg__(self) -> Product:
        if self.integer is None or self.factor != ONE:
            return Product(negated(self.factor), self.integer)
        return Product(ONE, negated(self.integer))


@dataclass(frozen=True)
class Split:
    """The parts of scores, whose sum they are.

    Members  cell: for each cell. rise: `k` is how far a key lies behind the first one of a thread. shift: for
             each row, `k` is that first key. None where nothing of the kind is there. factors: the numbers in
             rise and shift that are known before any key. is_steep: whether cells must have all of a score;
             None where it is known that they need not
    """

    cell: Expr | None
    rise: Expr | None
    shift: Expr | None
    factors: frozenset[Expr] = frozenset()
    is_steep: Expr | None = None

    @property
    def expressions(self) -> tuple[Expr, ...]:
        """All parts."""
        return tuple(part for part in (self.cell, self.rise, self.shift) if part is not None)


def split(modify: Expr) -> Split:
    """The parts of changed scores."""
    cells: list[Expr] = []
    products: list[Product] = []
    for term, is_negative in terms(modify):
        found = products_of(term)
        if found is None or any(each.is_steep for each in found):
            cells.append(negated(term) if is_negative else term)
        else:
            products += (upward(-each if is_negative else each) for each in found)
    risen = (product(product(each.factor, Literal(each.rises)), Name("k")) for each in products if each.rises)
    factors = (each.factor for each in products if not isinstance(each.factor, Literal | Constant))
    shift = total(each.value for each in products)
    return Split(total(cells), total(risen), shift, frozenset(factors), steepness(products))


def steepness(products: Iterable[Product]) -> Expr | None:
    """The condition that one of them must not be taken out of cells; None where that is known."""
    bounds = tuple(dict.fromkeys(bound(each) for each in products if not each.is_exact))
    if not bounds:
        return None
    return applied(Operator.NOT, bounds[0] if len(bounds) == 1 else applied(Operator.AND, *bounds))


def bound(given: Product) -> Expr:
    """The condition that it may be taken out of cells; nothing is less than what is no number."""
    if given.rises:
        return applied(Operator.LESS_EQUAL, applied(Operator.ABS, given.factor), Literal(given.most))
    return applied(Operator.LESS_EQUAL, given.factor, Literal(LARGEST))


def terms(expr: Expr, is_negative: bool = False) -> Iterator[tuple[Expr, bool]]:
    """What is added up, and whether it is taken off."""
    if isinstance(expr, Apply) and expr.operator in SUMS and expr.kind is Kind.REAL:
        *first, last = expr.arguments
        for part in first:
            yield from terms(part, is_negative)
        yield from terms(last, is_negative ^ (expr.operator is not Operator.ADD))
    else:
        yield expr, is_negative


def products_of(expr: Expr) -> tuple[Product, ...] | None:
    """The products that the expression is the sum of; None where it is no such sum."""
    if not {"score", "k"} & set(names(expr)):
        return (Product(expr, None),)
    if expr.kind is Kind.INTEGER:
        return (Product(ONE, expr),) if rise(expr) else None
    if not isinstance(expr, Apply):
        return None
    match expr.operator, expr.arguments:
        case ((Operator.NEGATE | Operator.ADD | Operator.SUBTRACT), _):
            return products_of_sum(expr)
        case Operator.MULTIPLY, (left, right):
            factor, other = (right, left) if "k" in names(left) else (left, right)
            return scaled(products_of(other), factor, Operator.MULTIPLY)
        case Operator.DIVIDE, (left, right):
            return scaled(products_of(left), right, Operator.DIVIDE)
    return None


def products_of_sum(expr: Expr) -> tuple[Product, ...] | None:
    products: list[Product] = []
    for term, is_negative in terms(expr):
        found = products_of(term)
        if found is None:
            return None
        products += (-each if is_negative else each for each in found)
    return tuple(products)


def scaled(
    products: tuple[Product, ...] | None, number: Expr, operator: Operator
) -> tuple[Product, ...] | None:
    """All products times a number, or over it; None where that is another one for each key."""
    if products is None or {"score", "k"} & set(names(number)):
        return None
    by = real(number)
    if operator is Operator.MULTIPLY:
        return tuple(Product(product(by, each.factor), each.integer) for each in products)
    return tuple(Product(applied(operator, each.factor, by), each.integer) for each in products)


def upward(given: Product) -> Product:
    """The same product; its integer rises, if it can be turned."""
    if given.integer is None or given.factor == ONE or given.rises > 0:
        return given
    return Product(negated(given.factor), negated(given.integer))


def product(factor: Expr, other: Expr) -> Expr:
    """Of two numbers, of which one may be 1."""
    if ONE in (factor, other):
        return other if factor == ONE else factor
    return applied(Operator.MULTIPLY, factor, other)


def negated(expr: Expr) -> Expr:
    match expr:
        case Literal(value=value):
            return Literal(-value)
        case Apply(operator=Operator.NEGATE, arguments=(inner,)):
            return inner
        case Apply(operator=Operator.SUBTRACT, arguments=(left, right), kind=Kind.INTEGER):
            return applied(Operator.SUBTRACT, right, left)
    return applied(Operator.NEGATE, expr)


def real(expr: Expr) -> Expr:
    """The same number as a real: integers of products could leave 32 bits."""
    if expr.kind is Kind.REAL:
        return expr
    if isinstance(expr, Literal):
        return Literal(float(expr.value))
    return applied(Operator.MULTIPLY, Literal(1.0), expr)


def total(parts: Iterable[Expr]) -> Expr | None:
    """The sum of all parts; None where there are none."""
    found = tuple(parts)
    if len(found) < 2:
        return found[0] if found else None
    return reduce(lambda left, right: applied(Operator.ADD, left, right), found[1:], real(found[0]))

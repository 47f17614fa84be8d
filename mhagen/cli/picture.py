"""A mask, drawn small in text: queries down, keys across, one sign for each square of positions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..expr.tree import Expr, arrays, names
from ..spec.model import Spec
from ..tuning.coverage import coverage


@dataclass(frozen=True)
class Signs:
    """What a square is drawn with, by how much of it is seen."""

    whole: str
    part: str
    none: str

    def of(self, share: float) -> str:
        if share == 1:
            return self.whole
        return self.none if share == 0 else self.part


UNICODE = Signs(whole="██", part="▒▒", none="· ")
ASCII = Signs(whole="##", part="++", none=". ")


def mask_picture(spec: Spec, head: int, signs: Signs) -> str:
    """The mask of batch entry 0 and a query head, with a legend; empty where every query sees every key."""
    keep = spec.visible_expression
    if keep is None:
        return ""
    mask = coverage(spec, keep, head)
    rows = ("".join(signs.of(share) for share in row).rstrip() for row in mask.squares)
    size = f"{mask.length} queries (down) and {mask.length} keys (across)"
    seen = f"{size}; about {mask.share:.0%} of the pairs are seen"
    legend = f"{signs.whole} seen   {signs.part} in part   {signs.none} hidden"
    lines = (*rows, "", seen, legend, *remarks(spec, keep, head))
    return "\n".join(f"  {line}".rstrip() for line in lines)


def remarks(spec: Spec, keep: Expr, head: int) -> Iterator[str]:
    if head in spec.heads.pruned:
        yield f"of head {head}, which is pruned and sees nothing"
    elif "h" in names(keep):
        yield f"of head {head}; the others of {spec.heads.query} may differ"
    if made_up := arrays(keep):
        yield f"for made-up values of {', '.join(made_up)}"

"""`mhagen show --format svg`: the mask of a spec and the tiles of its kernel, as a picture and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..base.target import target_named
from ..schedule.sight import Shape
from ..spec.fields import Align
from ..spec.load import load_spec
from ..spec.model import Spec
from ..tuning.coverage import telling_length
from ..tuning.tiled import Tiled, tiled
from ..tuning.visibility import View
from .exits import Exit
from .maskmap import mask_map
from .output import Json, document, notes, print_exactly, results
from .shapes import parse_shape

SHORTEST = 256  # queries and keys: a few tiles


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    head: int
    shape: str | None
    target: str | None
    out: str | None


def show_mask(request: Request, as_json: bool) -> int:
    """Draw the mask: on stdout, or into a file and what it shows on stdout in words or as one document."""
    spec = load_spec(request.spec)
    target = None if request.target is None else target_named(request.target)
    found = tiled(request.spec, shape_of(spec, request.shape), target, request.head)
    said = tuple(sentences(found))
    if request.out is not None:
        path = Path(request.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mask_map(found, said), encoding="utf-8")
    if as_json:
        document("show", Exit.GOOD, mask_document(found, said))
    elif request.out is not None:
        results().print("\n".join((*said, f"written: {request.out}")))
    else:
        print_exactly(mask_map(found, said))
        notes().print("\n".join(said))
    return Exit.GOOD


def shape_of(spec: Spec, text: str | None) -> Shape:
    """The call, its queries where the spec has them by default.

    Raises   InputError
    """
    if text is None:
        keep = spec.visible_expression
        length = SHORTEST if keep is None else max(SHORTEST, telling_length(keep))
        return Shape(1, length, length)
    shape = parse_shape(text)
    offset = shape.keys - shape.queries if spec.mask.align is Align.END else 0
    return Shape(1, shape.queries, shape.keys, offset)


def sentences(found: Tiled) -> Iterator[str]:
    grid = found.grid
    yield (
        f"{found.visible_share:.1%} of the pairs of {found.shape.queries} queries and {found.shape.keys} "
        f"keys are visible; {found.computed_share:.1%} of the tiles of {grid.tile_queries} queries and "
        f"{grid.tile_keys} keys are computed, {found.share(View.PARTIAL):.1%} of all tiles masked pair by "
        f"pair; {found.needless_share:.1%} are called partial without need."
    )
    if found.head in found.spec.heads.pruned:
        yield f"Head {found.head} is pruned: it sees nothing, and nothing of it is computed."
    elif found.is_of_one_head:
        yield f"Head {found.head}; the others of {found.spec.heads.query} may differ."
    if found.made_up:
        yield f"The values of {', '.join(found.made_up)} are made up: a call has its own."


def mask_document(found: Tiled, said: tuple[str, ...]) -> Json:
    """Shares from 0 to 1; of tiles, those of all tiles."""
    counts = {view.name.lower(): int((found.views == view).sum()) for view in View}
    return {
        "spec": found.spec.name,
        "head": found.head,
        "shape": asdict(found.shape),
        "grid": asdict(found.grid),
        "tiles": {**counts, "partial_without_need": int(found.needless.sum())},
        "visible_share": found.visible_share,
        "computed_share": found.computed_share,
        "partial_without_need_share": found.needless_share,
        "made_up": list(found.made_up),
        "said": list(said),
    }

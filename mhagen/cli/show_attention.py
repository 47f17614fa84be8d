"""`mhagen show --attention`: where the heads of a spec look, as a picture and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..base.errors import InputError
from ..ir.reference import Reference
from ..spec.fields import Layout
from ..spec.load import load_spec
from ..spec.model import Spec
from .exits import Exit
from .headmaps import HeadMap, head_maps
from .markup import element
from .output import Json, document, notes, print_exactly, results
from .page import subject, whole_page

MOST_CELLS = 1 << 17  # of all maps: a picture of some megabytes
Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    inputs: str
    form: str
    out: str | None


def show_attention(request: Request, as_json: bool) -> int:
    """Draw the maps: on stdout, or into a file and what they show on stdout in words or as one document."""
    spec = load_spec(request.spec)
    arrays = read_arrays(Path(request.inputs))
    maps = tuple(maps_of(spec, arrays))
    said = tuple(sentences(spec, arrays, maps))
    text = drawn(spec, maps, said, request.form)
    if request.out is not None:
        path = Path(request.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        document("show", Exit.GOOD, maps_document(spec, maps, said))
    elif request.out is not None:
        results().print("\n".join((*said, f"written: {request.out}")))
    else:
        print_exactly(text)
        notes().print("\n".join(said))
    return Exit.GOOD


def drawn(spec: Spec, maps: tuple[HeadMap, ...], said: tuple[str, ...], form: str) -> str:
    if form != "html":
        return f"{head_maps(spec.name, maps, said)}\n"
    body = (
        element("h1", spec.name),
        element("p", subject(spec), class_="quiet"),
        *(element("p", sentence) for sentence in said),
        element("div", head_maps(spec.name, maps, ()), class_="scroll"),
    )
    return whole_page(f"{spec.name}: where its heads look", body)


def read_arrays(path: Path) -> Arrays:
    """The arrays of an .npz file, or of the .npy files of a folder, by name.

    Raises   InputError for what is neither, or cannot be read
    """
    try:
        if path.is_dir():
            return {each.stem: np.load(each) for each in sorted(path.glob("*.npy"))}
        with np.load(path) as found:
            return {name: found[name] for name in found}
    except FileNotFoundError:
        raise InputError(f"{path} is not there; needs an .npz file, or a folder of .npy files") from None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path} cannot be read as an .npz file: {error}") from None


def maps_of(spec: Spec, arrays: Arrays) -> Iterator[HeadMap]:
    """The weights of the first batch entry, a map for each head.

    Raises   InputError for arrays that are missing, unknown or wrong, or too long to be drawn
    """
    known = ("query", "key", "value", "query_offset", *spec.inputs)
    lacks = [name for name in ("query", "key", *spec.inputs) if name not in arrays]
    unknown = [name for name in arrays if name not in known]
    if lacks or unknown:
        raise InputError(
            f"the inputs lack {', '.join(lacks) or 'nothing'} and have unknown {', '.join(unknown) or 'none'}"
            f"; they may be {', '.join(known)}"
        )
    require_short(spec, arrays)
    weights, offset = Reference(spec).weights(**arrays)
    for head, cells in enumerate(weights[0] if len(weights) else ()):
        yield HeadMap(head, cells, int(offset[0]))


def require_short(spec: Spec, arrays: Arrays) -> None:
    """Raises InputError for more weights than a picture can show, before they are computed."""
    axis = 2 if spec.layout is Layout.BHSD else 1
    lengths = [arrays[name].shape[axis] for name in ("query", "key") if arrays[name].ndim == 4]
    most = MOST_CELLS // spec.heads.query
    if len(lengths) == 2 and lengths[0] * lengths[1] > most:
        raise InputError(
            f"{lengths[0]} queries by {lengths[1]} keys are too many to draw for {spec.heads.query} heads; "
            f"needs at most {most} pairs, as {int(most**0.5)} by {int(most**0.5)}"
        )


def sentences(spec: Spec, arrays: Arrays, maps: tuple[HeadMap, ...]) -> Iterator[str]:
    if not maps:
        yield "There is no batch entry, so nothing is drawn."
        return
    queries, keys = maps[0].cells.shape
    yield f"Weights of {queries} queries (down) and {keys} keys (across): the darker, the greater."
    batch = len(arrays["query"])
    if batch > 1:
        yield f"Batch entry 0; there are {batch}."
    if maps[0].cells.size:
        sharpest = max(maps, key=lambda each: each.confidence)
        yield (
            f"Head {sharpest.head} is the surest: the greatest weight of its queries is "
            f"{sharpest.confidence:.2f} in the mean."
        )
    if spec.softmax.sink is not None:
        yield "What a sink takes is not drawn: rows add up to less than 1."


def maps_document(spec: Spec, maps: tuple[HeadMap, ...], said: tuple[str, ...]) -> Json:
    """Means over the queries of a head."""
    heads = [{"head": each.head, "confidence": each.confidence, "entropy": each.entropy} for each in maps]
    return {"spec": spec.name, "heads": heads, "said": list(said)}

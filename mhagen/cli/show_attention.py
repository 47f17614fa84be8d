"""`mhagen show --attention`: where the heads of a spec look, as a picture and in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..spec.load import load_spec
from ..tuning.head_weights import Looks, looks_of
from .exits import Exit
from .headmaps import head_maps
from .markup import element
from .output import Json, document, notes, print_exactly, results
from .page import subject, whole_page


@dataclass(frozen=True)
class Request:
    """What is asked for, as the command line has it."""

    spec: str
    inputs: str
    weights: str | None
    form: str
    out: str | None


def show_attention(request: Request, as_json: bool) -> int:
    """Draw the maps: on stdout, or into a file and what they show on stdout in words or as one document."""
    weights = None if request.weights is None else Path(request.weights)
    found = looks_of(load_spec(request.spec), Path(request.inputs), weights)
    said = tuple(sentences(found))
    text = drawn(found, said, request.form)
    if request.out is not None:
        path = Path(request.out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        document("show", Exit.GOOD, maps_document(found, said))
    elif request.out is not None:
        results().print("\n".join((*said, f"written: {request.out}")))
    else:
        print_exactly(text)
        notes().print("\n".join(said))
    return Exit.GOOD


def drawn(found: Looks, said: tuple[str, ...], form: str) -> str:
    name = found.spec.name
    if form != "html":
        return f"{head_maps(name, found.maps, said)}\n"
    body = (
        element("h1", name),
        element("p", subject(found.spec), class_="quiet"),
        *(element("p", sentence) for sentence in said),
        element("div", head_maps(name, found.maps, ()), class_="scroll"),
    )
    return whole_page(f"{name}: where its heads look", body)


def sentences(found: Looks) -> Iterator[str]:
    if not found.maps:
        yield "There is no batch entry, so nothing is drawn."
        return
    queries, keys = found.maps[0].queries, found.maps[0].keys
    yield f"Weights of {queries} queries (down) and {keys} keys (across): the darker, the greater."
    if found.batch > 1:
        yield f"Batch entry 0; there are {found.batch}."
    if queries * keys > 0:
        sharpest = max(found.maps, key=lambda each: each.confidence)
        yield (
            f"Head {sharpest.head} is the surest: the greatest weight of its queries is "
            f"{sharpest.confidence:.2f} in the mean."
        )
    if any(way.spec.softmax.sink is not None for way in found.spec.alike):
        yield "What a sink takes is not drawn: rows of heads that have one add up to less than 1."


def maps_document(found: Looks, said: tuple[str, ...]) -> Json:
    """Means over the queries of a head."""
    heads = [
        {"head": each.head, "confidence": each.confidence, "entropy": each.entropy} for each in found.maps
    ]
    return {"spec": found.spec.name, "heads": heads, "said": list(said)}

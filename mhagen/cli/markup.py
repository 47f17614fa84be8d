"""HTML and SVG as values: elements that become text with everything in it escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

Child: TypeAlias = "Element | str"
Attribute: TypeAlias = "str | float"

VOID = frozenset(("meta", "br"))  # of HTML: without an end


@dataclass(frozen=True)
class Element:
    """An element; children that are texts are shown as they are, whatever is in them."""

    name: str
    attributes: tuple[tuple[str, Attribute], ...]
    children: tuple[Child, ...]

    def __str__(self) -> str:
        return "".join(self.pieces())

    def pieces(self) -> Iterator[str]:
        attributes = "".join(f' {name}="{escape(written(value))}"' for name, value in self.attributes)
        yield f"<{self.name}{attributes}>"
        for child in self.children:
            yield child_text(child, self.name)
        if self.name not in VOID:
            yield f"</{self.name}>"


def element(name: str, /, *children: Child | Iterable[Child], **attributes: Attribute) -> Element:
    """An element. Attributes: `class_` is class, `stroke_width` is stroke-width."""
    flat: list[Child] = []
    for child in children:
        flat.extend((child,) if isinstance(child, str | Element) else child)
    named = tuple((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    return Element(name, named, tuple(flat))


def child_text(child: Child, parent: str) -> str:
    if isinstance(child, Element):
        return str(child)
    # Style sheets are ours, and a browser would not turn `&gt;` in them back.
    return child if parent == "style" else escape(child, quote=False)


def written(value: Attribute) -> str:
    """Lengths with a hundredth: nobody sees less."""
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")

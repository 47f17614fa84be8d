"""The lengths that a call's arrays share, learned array by array."""

from __future__ import annotations

Axes = tuple[str | int, ...]


class Sizes(dict[str, int]):
    """The lengths known so far, by name, and which argument gave each; the others come with the kernel."""

    __slots__ = ("givers",)

    def __init__(self, **known: int) -> None:
        super().__init__(known)
        self.givers: dict[str, str] = {}

    def learn(self, axis: str, length: int, giver: str) -> None:
        """Note a length that `giver` is the first to have."""
        self[axis] = length
        self.givers[axis] = giver

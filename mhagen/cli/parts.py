"""The parts of a call's time, as they are shown: their names, what is in them, their colours."""

from __future__ import annotations

from dataclasses import dataclass

from ..schedule.cost import Parts

SMALLEST_SHARE = 0.0005  # of a call, that is worth a line


@dataclass(frozen=True)
class Part:
    """One part. `field` is its name in Parts; white text can be read on its colour."""

    field: str
    meaning: str
    colour: str

    def seconds(self, parts: Parts) -> float:
        seconds: float = getattr(parts, self.field)
        return seconds


PARTS = (
    Part("scores", "queries times keys, for pairs that are seen", "#2563a8"),
    Part("modify", "the change of scores that the spec asks for", "#0f766e"),
    Part("softmax", "maxima, powers of two, sums; the start and end of score tiles", "#15803d"),
    Part("values", "weights times values, for pairs that are seen", "#4b4acf"),
    Part("sums", "the start and end of value tiles; accumulators between blocks of keys", "#7e3fb5"),
    Part("waste", "products of pairs that nobody sees: ragged tiles, edges of the mask", "#c02626"),
    Part("masks", "telling tiles apart, masking, looking for NaN behind the mask", "#b4540a"),
    Part("packing", "queries turned over; numbers of 16 bits widened or paired", "#8a6508"),
    Part(
        "memory",
        "arrays that are not near read and written, where that hides behind nothing",
        "#a21767",
    ),
    Part("starts", "the call from Python, its threads, its tasks", "#566273"),
    Part("idle", "threads that wait for the last one", "#6b7280"),
)

"""The statistics that a kernel can return."""

from __future__ import annotations

from enum import Enum


class Statistic(Enum):
    """What a kernel can return beside its output: of each head, numbers of its queries or of its keys."""

    LSE = "lse"
    MAX = "max"
    ENTROPY = "entropy"
    CONFIDENCE = "confidence"
    RECEIVED = "received"
    ARGMAX = "argmax"
    TOP_2 = "top_2"
    TOP_4 = "top_4"
    TOP_8 = "top_8"
    TOP_16 = "top_16"
    TOP_32 = "top_32"


# How many keys those statistics have for a query that are keys, the one with the greatest weight first.
LEADERS = {
    each.value: int(each.value.removeprefix("top_")) if each is not Statistic.ARGMAX else 1
    for each in Statistic
    if each is Statistic.ARGMAX or each.value.startswith("top_")
}

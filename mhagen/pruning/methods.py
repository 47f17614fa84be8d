"""The ways to tell which heads matter: what each measures, and which end of it goes first."""

from __future__ import annotations

from enum import Enum

from ..base.errors import InputError
from ..base.spelling import did_you_mean


class Method(Enum):
    """A measure of heads; the value is its name on the command line."""

    MICHEL = "michel"
    MICHEL_CODE = "michel-code"
    MICHEL_TRANSFORMERS = "michel-transformers"
    CONFIDENCE = "confidence"
    ENTROPY = "entropy"
    ABLATION = "ablation"

    @property
    def meaning(self) -> str:
        return MEANINGS[self]

    @property
    def prunes_greatest(self) -> bool:
        """A head that attends to everything alike has the greatest entropy, and is the first to go."""
        return self is Method.ENTROPY


MEANINGS = {
    Method.MICHEL: "mean over examples of |dL/d gate|, of length 1 over a layer",
    Method.MICHEL_CODE: "mean over tokens of each one's part of |dL/d gate|, of length 1 over a layer",
    Method.MICHEL_TRANSFORMERS: "mean over batches of |dL/d gate|, of length 1 over a layer; 0 to 1 over all",
    Method.CONFIDENCE: "mean over tokens of the greatest weight",
    Method.ENTROPY: "mean over tokens of the entropy of the weights: the greatest goes first",
    Method.ABLATION: "norm of the change of the output without the head, over the norm of the output",
}


def method_named(name: str | Method) -> Method:
    """The method of this name.

    Raises   InputError
    """
    names = [method.value for method in Method]
    if isinstance(name, Method):
        return name
    if name not in names:
        close = did_you_mean(str(name), names)
        raise InputError(f"by is {name!r:.60} and needs {', '.join(names)}{f'; {close}' if close else ''}")
    return Method(name)

"""The spec of an attention layer: a frozen value whose defaults are resolved and whose keys fit together."""

from __future__ import annotations

from .fields import Fields


class Spec(Fields):
    """What one kernel computes: from keywords here, from a file or a dict by `load_spec`."""

    @property
    def scale(self) -> float:
        return self.heads.dim**-0.5 if self.scores.scale is None else self.scores.scale

    def without_projections(self) -> Spec:
        """The same attention, without the linear maps around it."""
        return self.model_copy(update={"projections": None})

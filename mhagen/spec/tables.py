"""What every table of a spec is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of a spec: fixed once made, and without a key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

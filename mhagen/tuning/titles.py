"""What the specs of the records are called: their digests leave the name out, and tell people nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..runtime.entry import Doubt
from ..runtime.store import create_private
from ..schedule.tuned import bytes_of, digest_of_spec, replace_text
from ..schedule.written import text, with_keys
from ..spec.model import Spec

SUFFIX = ".title.json"


@dataclass(frozen=True)
class Title:
    """What a list shows of a spec.  heads: query heads / key/value heads x dim"""

    name: str
    dtype: str
    heads: str


def title_of(spec: Spec) -> Title:
    """Of two specs that differ in their name alone, the one that was tuned last gives it."""
    heads = spec.heads
    return Title(spec.name, spec.dtype.value, f"{heads.query}/{heads.key_value} x {heads.dim}")


def keep_title(folder: Path, spec: Spec) -> None:
    """Keep it beside the records. Where the disk is full, these say so, and a list does without."""
    with suppress(OSError):
        create_private(folder)
        content = json.dumps(asdict(title_of(spec))) + "\n"
        replace_text(folder / f"{digest_of_spec(spec)}{SUFFIX}", content, mode=0o600)


def title_in(folder: Path, spec: str) -> Title | None:
    """That of a spec with this digest; None if it came from another machine, or its file is damaged."""
    try:
        given = json.loads(bytes_of(folder / f"{spec}{SUFFIX}", is_kept=True))
        fields = with_keys(given, ("name", "dtype", "heads"), "a title")
        return Title(**{name: text(value, name) for name, value in fields.items()})
    except (OSError, ValueError, RecursionError, Doubt):
        return None


def title_files(folder: Path) -> Iterator[Path]:
    """All that are kept in a folder."""
    with suppress(OSError):
        yield from sorted(folder.glob(f"*{SUFFIX}"))

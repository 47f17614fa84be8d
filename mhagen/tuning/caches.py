"""How large the CPU's caches are, as far as the operating system tells."""

from __future__ import annotations

from pathlib import Path

CACHES_OF_CPU = Path("/sys/devices/system/cpu/cpu0/cache")
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def last_level_cache_bytes(folder: Path = CACHES_OF_CPU) -> int:
    """The size of the largest cache that a core reads through; 0 where it is not known."""
    return max((_bytes(path) for path in folder.glob("index*/size")), default=0)


def _bytes(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
        return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)
    except (OSError, ValueError):
        return 0

"""The environment variables that mhagen reads, all of them, and nowhere else.

Imports the standard library only: a copy travels with generated kernels.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError


@dataclass(frozen=True)
class Setting:
    """One environment variable. Set to nothing, it counts as not set."""

    name: str
    type: type[object]
    default: str
    meaning: str

    def text(self) -> str | None:
        return os.environ.get(self.name) or None


CACHE_DIR = Setting("MHAGEN_CACHE_DIR", Path, "the user's cache", "Where compiled kernels are kept.")
DEBUG = Setting("MHAGEN_DEBUG", bool, "0", "1 shows the Python traceback of an error.")
CACHE_HOME = Setting("XDG_CACHE_HOME", Path, "~/.cache", "The user's cache, if MHAGEN_CACHE_DIR is not set.")
THREADS = Setting("NUMBA_NUM_THREADS", int, "allowed CPUs", "How many threads a kernel may use.")
CPU_NAME = Setting("NUMBA_CPU_NAME", str, "the host", "The CPU, as LLVM names it, that code is made for.")
CPU_FEATURES = Setting("NUMBA_CPU_FEATURES", str, "the host's", "LLVM features of that CPU: +avx2,-avx512f.")

SETTINGS = (CACHE_DIR, DEBUG, CACHE_HOME, THREADS, CPU_NAME, CPU_FEATURES)


def debug() -> bool:
    return DEBUG.text() not in (None, "0")


def cpu_name() -> str | None:
    return CPU_NAME.text()


def cpu_features() -> str | None:
    return os.environ.get(CPU_FEATURES.name)  # set to nothing, it says: no features


def numba_settings() -> tuple[str, ...]:
    """Numba's other variables that are set, as NAME=value: NUMBA_OPT, say, changes what it compiles."""
    read_here = {setting.name for setting in SETTINGS}
    others = (name for name in os.environ if name.startswith("NUMBA_") and name not in read_here)
    return tuple(sorted(f"{name}={os.environ[name]}" for name in others))


def thread_count() -> int:
    """How many threads a kernel may use: NUMBA_NUM_THREADS, else the CPUs this process may run on.

    Raises   InputError if NUMBA_NUM_THREADS is not a positive integer.
    """
    text = THREADS.text()
    if text is None:
        return allowed_cpus()
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0):
        raise InputError(
            f"{THREADS.name} is {text[:32]!r}, and must be a positive integer: correct or unset it"
        )
    return int(text)


def allowed_cpus() -> int:
    """How many CPUs this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_dir() -> Path:
    """The folder of mhagen's own cache; it need not exist.

    Raises   InputError if no variable names it and the user has no home directory.
    """
    chosen = CACHE_DIR.text()
    try:
        return Path(chosen).expanduser().absolute() if chosen is not None else _cache_home() / "mhagen"
    except RuntimeError:
        raise InputError(f"the home directory is not known: set {CACHE_DIR.name}") from None


def _cache_home() -> Path:
    chosen = CACHE_HOME.text()
    if chosen is not None and os.path.isabs(chosen):  # the XDG rules: a relative path is to be ignored
        return Path(chosen)
    if sys.platform == "win32":
        return Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path.home() / ".cache"

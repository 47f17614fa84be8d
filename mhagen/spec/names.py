"""The names a spec may give: to the kernel's module, to constants and to inputs."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from collections.abc import Callable

from ..expr.tree import FUNCTIONS, NAMES
from .statistic import Statistic

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
NAME_PATTERN = f"^{_NAME.pattern}$"
_RULE = "a name is a lower-case letter, then up to 47 lower-case letters, digits or _"
# Files of these names are devices on Windows, whatever their folder and their suffix.
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
_PACKAGES = frozenset({"numpy", "numba", "llvmlite", "mhagen", "mhagen_runtime"})
_ARGUMENTS = frozenset({"query", "key", "value", "out", "query_offset", "x", "weights", "context"})
# Of a layer; everything else that it reads is an argument of its own.
WEIGHTS = ("wq", "wk", "wv", "wo", "bq", "bk", "bv", "bo", "q_norm", "k_norm")
_FUNCTIONS = frozenset({"attention", "layer", "prepare"})
_STATISTICS = frozenset(each.value for each in Statistic)
# What the functions of a generated module call their own, and what they read: tests/laws/test_names.py.
_LOCALS = frozenset(
    {
        "address",
        "attend",
        "batch",
        "bind",
        "bind_input",
        "bind_offset",
        "bind_out",
        "greatest",
        "inputs",
        "kernel_for",
        "keys",
        "lead",
        "np",
        "origin",
        "portion",
        "prepared",
        "queries",
        "receive",
        "serving_entry",
        "sizes",
        "thread_count",
        "tiles",
        "turns",
    }
    # Of modules for GPUs.
    | {"bind_gpu", "bind_gpu_input", "bind_gpu_offset", "bind_gpu_out", "new_statistic", "same_device"}
    | {"operands", "stream", "stream_of"}
)
# Views of arrays with their heads first; constants are written in capitals, so they may have these names.
_VIEWS = frozenset(f"{array}_heads" for array in ("query", "key", "value", "out"))


def why_not_a_name(name: str) -> str:
    """Why a name cannot stand in generated code; empty if it can."""
    if not _NAME.fullmatch(name):
        return _RULE
    if keyword.iskeyword(name):
        return "this is a keyword of Python"
    if hasattr(builtins, name):
        return "this is a built-in name of Python"
    return ""


def why_not_a_module(name: str) -> str:
    """Why `name`.py cannot be a generated module; empty if it can."""
    if name in sys.stdlib_module_names or name in _PACKAGES:
        return "a module of this name would hide the one that Python imports"
    if name in _DEVICES:
        return "this is a device on Windows, not a file"
    return why_not_a_name(name)


def why_not_a_variable(name: str) -> str:
    """Why a constant or an input cannot have this name; empty if it can."""
    if name in NAMES:
        return f"`{name}` has a meaning in every expression"
    if name in FUNCTIONS:
        return f"`{name}` is a function of expressions"
    if name in _ARGUMENTS:
        return f"`{name}` is an argument of every kernel"
    if name in WEIGHTS:
        return f"`{name}` is a weight of the layer"
    if name in _FUNCTIONS:
        return f"`{name}` is a function of the generated module"
    if name in _STATISTICS:
        return f"`{name}` is a statistic that kernels return"
    if name in _LOCALS:
        return f"`{name}` is a name that the generated module uses itself"
    return why_not_a_name(name)


def why_not_an_input(name: str) -> str:
    """Why an input cannot have this name; empty if it can."""
    if name in _VIEWS:
        return f"`{name}` is a name that the generated module uses itself"
    return why_not_a_variable(name)


def similar_name(name: str, why_not: Callable[[str], str]) -> str:
    """A legal name as near to this one as can be, by what `why_not` says is legal."""
    letters = re.sub(r"[^a-z0-9]+", "_", name[:200].lower()).strip("_")[:40].lstrip("_0123456789")
    return letters if letters and not why_not(letters) else f"my_{letters or 'name'}"

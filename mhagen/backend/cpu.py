"""The CPU backend: a graph to the source of a module, to files, and to a module of this process."""

from __future__ import annotations

import os
import re
import sys
import uuid
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import ExecutionLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Protocol

from .. import base, runtime
from ..base.digest import digest
from ..base.target import Target
from ..codegen.lower import lower
from ..codegen.render import render
from ..ir.program import Program
from ..runtime.forking import OwnLock
from ..runtime.launch import Kernel
from ..runtime.linear import LinearKernel
from ..schedule.plan import Schedule
from ..schedule.table import ScheduleTable

PACKAGE = "mhagen.built"  # where modules live that were built in this process
SUPPORT = "mhagen_runtime"  # the folder of runtime support beside generated modules
SUPPORT_IMPORTS = (
    "arguments",
    "headers",
    "launch",
    "linear",
    "rotary",
    "simd",
    "simd_formats",
    "sizes",
    "table",
    "threads",
)  # what modules import of it
# What of base the runtime imports; a test compares this with the imports themselves.
SUPPORT_OF_BASE = ("digest", "errors", "settings", "target", "turning", "version")
_LOADING = OwnLock()  # an import of a module ends before another thread sees it
FROM_BASE = re.compile(r"^(\s*from )\.\.base\.?", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """The text of a generated module; the same bytes for the same spec, target and version."""

    name: str
    target: Target
    table: ScheduleTable
    text: str

    @property
    def schedule(self) -> Schedule:
        """The schedule of calls that no other one is for."""
        return self.table.last

    @property
    def module_name(self) -> str:
        """A name of its own in this process: two sources never share one."""
        return f"{PACKAGE}.{self.name}_{digest(self.text)[:16]}"


def generate(program: Program, table: ScheduleTable, target: Target) -> Source:
    """The source of the module for graphs on which all passes have run."""
    return Source(program.attention.name, target, table, render(lower(program, table, target)))


class _Loader(ExecutionLoader):
    """Gives the import system the text of a source; tracebacks and debuggers show its lines."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, fullname: str) -> str:
        return self.text

    def get_filename(self, fullname: str) -> str:
        return f"<{fullname}>"


def load(source: Source) -> ModuleType:
    """Import the source into this process, with this process's own runtime as its support."""
    return load_text(source.module_name, source.text, SUPPORT_IMPORTS)


def load_text(name: str, text: str, support: tuple[str, ...]) -> ModuleType:
    """Import the text of a module under a name, once; `support` is what it imports of the runtime."""
    with _LOADING:
        return sys.modules[name] if name in sys.modules else _loaded(name, text, support)


def _loaded(name: str, text: str, support: tuple[str, ...]) -> ModuleType:
    _make_package(support)
    loader = _Loader(text)
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _make_package(support: tuple[str, ...]) -> None:
    """A package in which the relative imports of generated modules find this process's runtime."""
    for name in support:
        sys.modules[f"{PACKAGE}.{SUPPORT}.{name}"] = import_module(f"{runtime.__name__}.{name}")
    if PACKAGE not in sys.modules:
        package = ModuleType(PACKAGE)
        package.__path__ = []
        sys.modules[f"{PACKAGE}.{SUPPORT}"] = runtime
        sys.modules[PACKAGE] = package


def kernels(module: ModuleType) -> tuple[Kernel, ...]:
    """The kernels of a generated module that every user of it needs.

    Those of other entries of its table are compiled when a call of their range comes.
    """
    others = (getattr(module, name) for name in ("RECEIVE", "LEAD", "LINEAR") if hasattr(module, name))
    found = (module.KERNEL, module.DECODE, *others)
    return tuple(each.kernel if isinstance(each, LinearKernel) else each for each in found)


class Text(Protocol):
    """What can be written: a module for a CPU or for a GPU."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...


def write(source: Text, folder: Path) -> Path:
    """Write the module and its runtime support into a folder; each file whole or not at all."""
    support = folder / SUPPORT
    support.mkdir(parents=True, exist_ok=True)
    for name, text in support_files().items():
        _replace(support / name, text)
    path = folder / f"{source.name}.py"
    _replace(path, source.text)
    return path


def support_files() -> dict[str, str]:
    """The runtime support as it lies beside generated modules: one flat package, no import of mhagen."""
    files = {f"{name}.py": _text(runtime, name) for name in ("__init__", *_module_names(runtime))}
    files |= {f"{name}.py": _text(base, name) for name in SUPPORT_OF_BASE}
    return {name: FROM_BASE.sub(r"\1.", text) for name, text in files.items()}


def _module_names(package: ModuleType) -> tuple[str, ...]:
    return tuple(
        sorted(path.stem for path in Path(package.__path__[0]).glob("*.py") if path.stem != "__init__")
    )


def _text(package: ModuleType, name: str) -> str:
    return (Path(package.__path__[0]) / f"{name}.py").read_text(encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, nothing between; skip equal text."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{uuid.uuid4().hex}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

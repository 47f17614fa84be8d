"""Model to source text: the one place that knows Jinja."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from inspect import getmembers, isfunction
from pathlib import Path
from symtable import SymbolTable, symtable
from types import ModuleType
from typing import TYPE_CHECKING

import jinja2

from .. import runtime
from ..base.digest import digest
from ..base.errors import InternalError
from ..runtime import simd, simd_formats
from .gpu_model import FmaModuleModel, GpuFrameModel, GpuModuleModel
from .hopper_model import HopperModuleModel
from .model import FrameModel, ModuleModel, SupportImport

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def words_of(vocabulary: ModuleType) -> frozenset[str]:
    words = getmembers(vocabulary, lambda each: isfunction(each) and each.__module__ == vocabulary.__name__)
    return frozenset(name for name, _ in words)


def functions_of(name: str) -> frozenset[str]:
    """What a file of the runtime defines; it is not imported, for it may want what only GPUs need."""
    source = (Path(runtime.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return frozenset(node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


LINE_LENGTH = 110
# The names that modules may take from each file of the runtime support.
SUPPORT: dict[str, frozenset[str]] = {
    "arguments": frozenset(("bind", "bind_input", "bind_offset", "bind_out")),
    "headers": frozenset(
        (
            *("ALIGNED", "AXES", "CONTIGUOUS", "DATA", "DTYPE", "FLAGS", "INTEGER"),
            *("REFERENCES", "SHAPE", "STRIDES", "TYPE", "WRITEABLE", "address"),
            *("TABLE_BYTES", "TABLE_COUNTER", "TABLE_DTYPE"),
            *("TABLE_OFFSETS", "TABLE_OTHER_DTYPE", "TABLE_TYPE"),
        )
    ),
    "launch": frozenset(("Kernel",)),
    "linear": frozenset(("AS_KEYS", "AS_QUERIES", "Inputs", "LinearKernel", "Part", "Prepared", "Product")),
    "rotary": frozenset(("Rotation", "Scaling", "Turning")),
    "simd": words_of(simd),
    "simd_formats": words_of(simd_formats),
    "sizes": frozenset(("Sizes",)),
    "table": frozenset(("Entry",)),
    "threads": frozenset(("thread_count",)),
}
# The same of CUDA kernels.
GPU_SUPPORT: dict[str, frozenset[str]] = {
    "gpu_arrays": frozenset(
        (
            *("bind_gpu", "bind_gpu_input", "bind_gpu_out"),
            *("can_allocate", "new_statistic", "new_workspace", "same_device"),
        )
    ),
    "gpu_divisions": functions_of("gpu_divisions"),
    "gpu_launch": frozenset(("GpuKernel",)),
    "gpu_linear": frozenset(("GpuLinear", "GpuPrepared")),
    "gpu_offset": frozenset(("bind_gpu_offset",)),
    "gpu_streams": frozenset(("stream_of",)),
    "gpu_words": functions_of("gpu_words"),
    "linear": frozenset(("AS_KEYS", "AS_QUERIES", "Inputs", "Part", "Product")),
    "ptx": functions_of("ptx"),
    "ptx_hopper": functions_of("ptx_hopper"),
    "ptx_memory": functions_of("ptx_memory"),
    "ptx_reals": functions_of("ptx_reals"),
    "rotary": frozenset(("Scaling", "Turning")),
    "sizes": frozenset(("Sizes",)),
}
NUMBA_NAMES = frozenset(("boolean", "cuda", "float32", "int32", "int64", "uint32", "uint64"))
GPU_BODIES: dict[type, str] = {
    GpuModuleModel: "cuda/body.py.j2",
    FmaModuleModel: "cuda/fma/body.py.j2",
    HopperModuleModel: "cuda/hopper/body.py.j2",
}
INDENT = 4


def template_folder() -> Path:
    """Where the templates lie: inside an installed package, or at the top of a checkout."""
    packaged = Path(str(files("mhagen"))) / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "templates"


def generator_identity() -> str:
    """A digest of what writes kernels: the templates, and the sources of this folder."""
    templates, sources = template_folder(), Path(__file__).parent
    found = {path.relative_to(templates).as_posix(): path for path in templates.rglob("*.j2")}
    found |= {path.name: path for path in sources.glob("*.py")}
    return digest(tuple((name, found[name].read_text(encoding="utf-8")) for name in sorted(found)))


@cache
def environment() -> jinja2.Environment:
    """The one environment: compiling the templates takes half of the time of filling them."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_folder()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # the text is Python, and every value in it was made by lower
    )
    made.globals["layout"] = layout
    return made


def render(model: ModuleModel) -> str:
    """The source of a module: formatted, and the same bytes for the same model."""
    body = filled("cpu/body.py.j2", model.kernel)
    frame = FrameModel(
        doc_lines=model.doc_lines,
        names_results=bool(model.kernel.attention.statistics),
        support_imports=support_imports(body),
        constants=model.constants,
        body=body,
    )
    return filled("cpu/module.py.j2", frame)


def render_gpu(model: GpuModuleModel | FmaModuleModel | HopperModuleModel) -> str:
    """The source of a module of a CUDA kernel; so is all that is said of `render`."""
    body = filled(GPU_BODIES[type(model)], model.kernel)
    body += filled("cuda/layer.py.j2", model.layer)
    frame = GpuFrameModel(
        doc_lines=model.doc_lines,
        names_results=model.kernel.entry.has_statistics,
        numba_names=tuple(sorted(names_in(body) & NUMBA_NAMES)),
        support_imports=support_imports(body, GPU_SUPPORT),
        constants=model.constants,
        body=body,
    )
    return filled("cuda/module.py.j2", frame)


def filled(template: str, model: DataclassInstance) -> str:
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    try:
        return environment().get_template(template).render(values)
    except jinja2.TemplateNotFound as error:  # an OSError, and no fault of the user's
        raise InternalError(f"mhagen is not installed whole: its template {error} is missing") from error


def names_in(body: str) -> frozenset[str]:
    """The names that are read anywhere in a text, from the compiler's tables: a tree takes long to walk."""
    symbols = (symbol for table in scopes(symtable(body, "body", "exec")) for symbol in table.get_symbols())
    return frozenset(symbol.get_name() for symbol in symbols if symbol.is_referenced())


def scopes(table: SymbolTable) -> Iterator[SymbolTable]:
    """The table of a text, and those of all functions in it."""
    yield table
    for inner in table.get_children():
        yield from scopes(inner)


def support_imports(body: str, support: Mapping[str, frozenset[str]] = SUPPORT) -> tuple[SupportImport, ...]:
    """What the text of a body takes from the runtime support beside it."""
    used = names_in(body)
    found = ((module, tuple(sorted(used & names, key=import_order))) for module, names in support.items())
    return tuple(SupportImport(module, names) for module, names in found if names)


def import_order(name: str) -> tuple[bool, str]:
    """Constants, then classes, then functions, each by name."""
    return not name.isupper(), name


def layout(
    head: str,
    arguments: tuple[str, ...],
    tail: str = "",
    indent: int = 0,
    column: int = 0,
    bare: bool = False,
) -> str:
    """`head(arguments)tail` on one line, or with the arguments on a line of their own, or one on each line.

    Units    indent: columns before the line; column: columns of the line before head; bare: an import, which
             needs parentheses only when broken
    """
    comma = "," if not head and len(arguments) == 1 else ""  # a tuple of one
    inside = ", ".join(arguments) + comma
    one_line = f"{head}{inside}{tail}" if bare else f"{head}({inside}){tail}"
    if indent + column + len(one_line) <= LINE_LENGTH:
        return one_line
    margin = " " * indent
    together = ", ".join(arguments) + comma
    if not bare and indent + INDENT + len(together) <= LINE_LENGTH:
        return f"{head}(\n{margin}{' ' * INDENT}{together}\n{margin}){tail}"
    each = "".join(f"{margin}{' ' * INDENT}{argument},\n" for argument in arguments)
    return f"{head}(\n{each}{margin}){tail}"

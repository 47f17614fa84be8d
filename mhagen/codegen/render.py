"""Model to source text: the one place that knows Jinja."""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import jinja2

from .model import KernelModel

LINE_LENGTH = 110
INDENT = 4


def template_folder() -> Path:
    """Where the templates lie: inside an installed package, or at the top of a checkout."""
    packaged = Path(str(files("mhagen"))) / "_templates"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "templates"


def environment() -> jinja2.Environment:
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


def render(model: KernelModel) -> str:
    """The source of a module: formatted, and the same bytes for the same model."""
    values = {field.name: getattr(model, field.name) for field in fields(model)}
    return environment().get_template("cpu/module.py.j2").render(values)


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
    together = ", ".join(arguments)
    if not bare and indent + INDENT + len(together) <= LINE_LENGTH:
        return f"{head}(\n{margin}{' ' * INDENT}{together}\n{margin}){tail}"
    each = "".join(f"{margin}{' ' * INDENT}{argument},\n" for argument in arguments)
    return f"{head}(\n{each}{margin}){tail}"

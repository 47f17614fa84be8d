"""The house as the laws see it: its files, what they import, what their code says. Nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
EXAMPLES = ROOT / "examples"
GENERATED = ROOT / "generated"

# From the ground up: a folder imports only those before it.
ORDER = (
    *("base", "expr", "runtime", "spec", "ir", "passes", "schedule", "codegen", "backend", "pipeline"),
    *("tuning", "pruning", "interop", "cli"),
)
PUBLIC_DOOR = ("__init__", "__main__")  # what people import and run: these reach everything


@dataclass(frozen=True)
class Import:
    """One imported module, by its absolute name; of `from a import b` it is a.b where that is a module."""

    line: int
    target: str

    @property
    def package(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    path: Path
    name: str  # "ir.graph": within the package
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def folder(self) -> str:
        """The first part of its name: the room of the house it is in."""
        return self.name.partition(".")[0]

    @property
    def is_door(self) -> bool:
        return self.name in PUBLIC_DOOR

    def at(self, line: int) -> str:
        return f"{self.path}:{line}"

    def nodes(self) -> Iterator[ast.AST]:
        """Every node that can run: all but what only a type checker reads."""
        return running(self.tree)


def running(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )
    for child in node.orelse if is_for_types else ast.iter_child_nodes(node):
        yield from running(child)


@dataclass(frozen=True)
class House:
    """A package on disk."""

    package: Path

    @cached_property
    def modules(self) -> dict[str, Module]:
        """By name; a package's own file is called as the package is."""
        found = {}
        for path in sorted(self.package.rglob("*.py")):
            parts = path.relative_to(self.package).with_suffix("").parts
            is_package = parts[-1] == "__init__" and len(parts) > 1
            name = ".".join(parts[:-1] if is_package else parts)
            found[name] = Module(path, name, path.read_text(encoding="utf-8"))
        return found

    def imports(self, module: Module) -> Iterator[Import]:
        """All imports, those inside functions too; blocks for type checkers alone do not count."""
        for node in module.nodes():
            match node:
                case ast.Import(names):
                    yield from (Import(node.lineno, alias.name) for alias in names)
                case ast.ImportFrom(names=names):
                    origin = self.origin(module, node)
                    yield from (Import(node.lineno, self.narrowed(origin, alias.name)) for alias in names)

    def origin(self, module: Module, node: ast.ImportFrom) -> str:
        here = module.path.relative_to(self.package.parent).parent.parts
        above = here[: len(here) - node.level + 1] if node.level else ()
        return ".".join((*above, *([node.module] if node.module else [])))

    def narrowed(self, origin: str, name: str) -> str:
        return f"{origin}.{name}" if self.inside(f"{origin}.{name}") in self.modules else origin

    def inside(self, target: str) -> str | None:
        """The name within the package of what is imported; None for what is not of the package."""
        package, _, name = target.partition(".")
        return (name or "__init__") if package == self.package.name else None

    @cached_property
    def arrows(self) -> dict[str, dict[str, int]]:
        """For each module, the modules of the package that it imports, and in which line."""
        arrows: dict[str, dict[str, int]] = {}
        for module in self.modules.values():
            arrows[module.name] = {}
            for each in self.imports(module):
                target = self.inside(each.target)
                if target is not None:
                    arrows[module.name].setdefault(target, each.line)
        return arrows

    def reach(self, *names: str) -> set[str]:
        """These modules and all that they import, directly or not."""
        found, ahead = set(), list(names)
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += self.arrows.get(name, {})
        return found


HOUSE = House(ROOT / "mhagen")


def told(breaches: list[str]) -> str:
    """The message of a failed law: one breach a line."""
    return "\n" + "\n".join(breaches)

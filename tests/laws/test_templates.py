"""Templates and the model: each reads exactly what the other has, and nothing is decided in a template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from typing import Any, get_args, get_type_hints

import jinja2
import pytest
from jinja2 import meta, nodes

from laws.house import TEMPLATES, told
from mhagen.codegen import gpu_model, gpu_second_model, hopper_model, layer_model, part_model, second_model
from mhagen.codegen import model as models
from mhagen.codegen.gpu_model import (
    FmaKernelModel,
    FmaModuleModel,
    GpuFrameModel,
    GpuKernelModel,
    GpuLayerModel,
    GpuModuleModel,
)
from mhagen.codegen.hopper_model import HopperKernelModel, HopperModuleModel
from mhagen.codegen.model import FrameModel, KernelModel, ModuleModel
from mhagen.codegen.render import environment

# The templates that are filled with a model; what they include is filled with theirs.
FILLED = {
    "cpu/body.py.j2": KernelModel,
    "cpu/module.py.j2": FrameModel,
    "cuda/body.py.j2": GpuKernelModel,
    "cuda/fma/body.py.j2": FmaKernelModel,
    "cuda/layer.py.j2": GpuLayerModel,
    "cuda/hopper/body.py.j2": HopperKernelModel,
    "cuda/module.py.j2": GpuFrameModel,
}
NAMES = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.j2"))
# What a template is made of: holes, choices by one field, repetitions, parts by name, calls of `layout`.
ALLOWED = (
    *(nodes.Template, nodes.TemplateData, nodes.Output, nodes.If, nodes.For, nodes.Include),
    *(nodes.Name, nodes.Getattr, nodes.Getitem, nodes.Const, nodes.Tuple, nodes.List),
    *(nodes.Filter, nodes.Call, nodes.Keyword, nodes.Concat),
)
FILTERS = ("join",)


@dataclass
class Reader:
    """Reads templates as the types of the model allow it; collects the fields that they read."""

    environment: jinja2.Environment
    read: set[tuple[type, str]] = field(default_factory=set)
    breaches: list[str] = field(default_factory=list)

    def template(self, name: str, scope: dict[str, Any]) -> None:
        text = self.environment.loader.get_source(self.environment, name)[0]
        self.parts(self.environment.parse(text, name).body, name, scope)

    def parts(self, parts: list[nodes.Node], name: str, scope: dict[str, Any]) -> None:
        for part in parts:
            match part:
                case nodes.For(target=target, iter=values):
                    element = self.element(self.type_of(values, name, scope), f"{name}:{part.lineno}")
                    self.parts(part.body, name, scope | self.bound(target, element))
                case nodes.If():
                    self.type_of(part.test, name, scope)
                    self.parts([*part.body, *part.elif_, *part.else_], name, scope)
                case nodes.Include():
                    self.template(part.template.value, scope)
                case nodes.Output():
                    for hole in part.nodes:
                        self.type_of(hole, name, scope)

    def type_of(self, node: nodes.Node, name: str, scope: dict[str, Any]) -> Any:
        """The type of an expression; every field on the way is noted."""
        place = f"{name}:{node.lineno}"
        match node:
            case nodes.Name():
                if node.name not in scope:
                    self.breaches.append(f"{place}: the model has no field {node.name}")
                return scope.get(node.name)
            case nodes.Getattr():
                return self.attribute(self.type_of(node.node, name, scope), node.attr, place)
            case nodes.Getitem():
                self.type_of(node.arg, name, scope)
                return self.item(self.type_of(node.node, name, scope), node.arg, place)
            case _:
                for child in node.iter_child_nodes():
                    self.type_of(child, name, scope)
                return str

    def attribute(self, owner: Any, name: str, place: str) -> Any:
        hints = get_type_hints(owner) if is_dataclass(owner) else {}
        if name not in hints:
            self.breaches.append(f"{place}: {getattr(owner, '__name__', owner)} has no field {name}")
            return None
        self.read.add((owner, name))
        return hints[name]

    def element(self, values: Any, place: str) -> Any:
        match get_args(values):
            case (element, end) if end is ...:
                return element
        self.breaches.append(f"{place}: {values} has no elements of one type")
        return None

    def item(self, values: Any, index: nodes.Node, place: str) -> Any:
        """What stands at an index: a number picks a part of a tuple of fixed length."""
        match get_args(values), index:
            case (parts, nodes.Const(value=int(number))) if ... not in parts and number < len(parts):
                return parts[number]
        return self.element(values, place)

    def bound(self, target: nodes.Node, element: Any) -> dict[str, Any]:
        if isinstance(target, nodes.Name):
            return {target.name: element}
        return {each.name: kind for each, kind in zip(target.items, get_args(element), strict=True)}


def parts_of(model: type) -> Iterator[type]:
    """The model's own dataclass and those of its fields, however deep."""
    yield model
    for kind in get_type_hints(model).values():
        for part in (kind, *get_args(kind)):
            if is_dataclass(part) and part is not model:  # which may hold others of its kind
                yield from parts_of(part)


def reader_of(model: type, environment: jinja2.Environment, first: str) -> Reader:
    reader = Reader(environment)
    hints = get_type_hints(model)
    reader.template(first, {**hints, **{name: str for name in environment.globals}})
    undeclared = names_read(environment, first)
    reader.read |= {(model, name) for name in undeclared & set(hints)}
    return reader


def names_read(environment: jinja2.Environment, name: str) -> set[str]:
    """The variables of a template and of those it includes, by Jinja's own account."""
    tree = environment.parse(environment.loader.get_source(environment, name)[0])
    names = set(meta.find_undeclared_variables(tree)) - set(environment.globals)
    of_loops = {loop.target.name for loop in tree.find_all(nodes.For) if isinstance(loop.target, nodes.Name)}
    included = (names_read(environment, part) for part in meta.find_referenced_templates(tree))
    return names.union(*(each - of_loops for each in included))


def unread(model: type, reader: Reader) -> list[str]:
    fields_of = {(part, each.name) for part in parts_of(model) for each in fields(part)}
    return sorted(f"{part.__name__}.{name}" for part, name in fields_of - reader.read)


@pytest.mark.parametrize(("first", "model"), FILLED.items())
def test_templates_read_only_what_the_model_has(first: str, model: type) -> None:
    reader = reader_of(model, environment(), first)
    assert not reader.breaches, told(reader.breaches)
    assert names_read(environment(), first) <= {each.name for each in fields(model)}


@pytest.mark.parametrize(("first", "model"), FILLED.items())
def test_templates_read_all_that_the_model_has(first: str, model: type) -> None:
    lost = unread(model, reader_of(model, environment(), first))
    assert not lost, f"no template reads {', '.join(lost)}: delete it, or decide by it in the template"


@pytest.mark.parametrize(
    ("whole", "frame", "kernel"),
    [
        (ModuleModel, FrameModel, KernelModel),
        (GpuModuleModel, GpuFrameModel, GpuKernelModel),
        (FmaModuleModel, GpuFrameModel, FmaKernelModel),
        (HopperModuleModel, GpuFrameModel, HopperKernelModel),
    ],
)
def test_a_module_is_what_its_templates_are_filled_with(whole: type, frame: type, kernel: type) -> None:
    """All of it reaches a template: kernel and layer fill their own, the rest are fields of the frame."""
    module = get_type_hints(whole)
    assert module.pop("kernel") is kernel
    assert module.pop("layer", GpuLayerModel) is GpuLayerModel
    assert {kernel, GpuLayerModel} <= set(FILLED.values())
    assert module.items() <= get_type_hints(frame).items()


def test_every_part_of_the_model_reaches_a_template() -> None:
    known = {
        each
        for part in (models, gpu_model, gpu_second_model, hopper_model, layer_model, part_model, second_model)
        for each in vars(part).values()
        if is_dataclass(each)
    }
    filled = {part for model in FILLED.values() for part in parts_of(model)}
    reached = {each for part in filled for each in part.__mro__ if is_dataclass(each)}
    assert known - {ModuleModel, GpuModuleModel, FmaModuleModel, HopperModuleModel} == reached


def test_every_template_has_a_part_in_the_module() -> None:
    def reached(name: str) -> set[str]:
        text = (TEMPLATES / name).read_text()
        return {name}.union(*map(reached, meta.find_referenced_templates(environment().parse(text))))

    assert sorted(set().union(*map(reached, FILLED))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_template_decides_and_computes_nothing(name: str) -> None:
    tree = environment().parse((TEMPLATES / name).read_text())
    breaches = list(decisions(name, tree))
    assert not breaches, told(breaches)


def decisions(name: str, tree: nodes.Template) -> Iterator[str]:
    for node in tree.find_all(nodes.Node):
        what = type(node).__name__
        match node:
            case nodes.If() if not isinstance(node.test, nodes.Name | nodes.Getattr):
                yield f"{name}:{node.lineno}: `if` asks one field; decide in lower, and name the answer"
            case nodes.Filter() if node.name not in FILTERS:
                yield f"{name}:{node.lineno}: filter {node.name}; let the model hold the text"
            case nodes.Call() if not (isinstance(node.node, nodes.Name) and node.node.name == "layout"):
                yield f"{name}:{node.lineno}: a call; `layout` alone may be called, for long lines"
        if not isinstance(node, ALLOWED):
            yield f"{name}:{node.lineno}: {what} belongs in lower: a template is a kernel with holes"


@pytest.mark.parametrize("name", NAMES)
def test_a_template_begins_with_a_glossary_of_its_names(name: str) -> None:
    text = (TEMPLATES / name).read_text()
    glossary = text.partition("#}")[0]
    assert text.startswith("{#-")
    assert "Names of the model" in glossary
    mentioned = [each for each in names_of_one(text) if each not in glossary]
    assert not mentioned, f"{name}: say in the glossary what {', '.join(mentioned)} is"


def names_of_one(text: str) -> list[str]:
    return sorted(meta.find_undeclared_variables(environment().parse(text)) - set(environment().globals))


def test_a_breach_is_seen() -> None:
    part = make_dataclass("Part", [("size", int), ("unused", int)], frozen=True)
    model = make_dataclass("Model", [("parts", tuple[part, ...]), ("name", str), ("lost", str)], frozen=True)
    texts = {
        "first": "{% for each in parts %}{{ each.size }}{{ each.colour }}{% endfor %}{% include 'second' %}",
        "second": "{{ name }}{{ title }}"
        "{% if name == 'a' %}{% endif %}{{ 1 + 1 }}{{ name | upper }}{{ name() }}",
    }
    made = jinja2.Environment(loader=jinja2.DictLoader(texts))
    reader = reader_of(model, made, "first")
    assert reader.breaches == ["first:1: Part has no field colour", "second:1: the model has no field title"]
    assert unread(model, reader) == ["Model.lost", "Part.unused"]
    assert len(list(decisions("second", made.parse(texts["second"])))) == 6  # `==` is two nodes of Jinja's

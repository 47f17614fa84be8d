"""Where the keys and values of a TOML text stand. Only asked for when there is something to point at."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import tree_sitter
import tree_sitter_toml
from tree_sitter import Node

from ..base.source import Source, Span
from .problems import KeyPath, Problem


class Places:
    """The places of one TOML text, which tomllib has found to be right."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines = source.text.encode().split(b"\n")
        self._keys: dict[KeyPath, Node] = {}
        self._values: dict[KeyPath, Node] = {}
        self._elements: dict[KeyPath, int] = {}  # of an array of tables: the index of its last so far
        language = tree_sitter.Language(tree_sitter_toml.language())
        for node in tree_sitter.Parser(language).parse(source.text.encode()).root_node.named_children:
            if node.type == "pair":
                self._add_pair((), node)
            elif node.type in ("table", "table_array_element"):
                self._add_table(node)

    def span(self, problem: Problem) -> Span:
        """The place of a key, of a value or of a stretch of it; else of the nearest table around."""
        path = problem.path
        if not problem.on_key and path in self._values:
            node = self._values[path]
            return self._stretch(node, problem) or self._whole(node)
        while path and path not in self._keys:
            path = path[:-1]
        return self._whole(self._keys[path]) if path else Span(self._source, 1, 1)

    def line(self, path: KeyPath) -> int | None:
        """The line of a key, if it stands in the text."""
        node = self._keys.get(path)
        return None if node is None else node.start_point.row + 1

    def _add_table(self, node: Node) -> None:
        header, *rest = node.named_children
        path = self._add_keys((), _parts(header))
        if node.type == "table_array_element":
            array = path[:-1] if isinstance(path[-1], int) else path
            self._elements[array] = self._elements.get(array, -1) + 1
            path = (*array, self._elements[array])
            self._keys[path] = header
        for child in rest:
            if child.type == "pair":
                self._add_pair(path, child)

    def _add_pair(self, table: KeyPath, node: Node) -> None:
        key, value = node.named_children[:2]
        self._add_value(self._add_keys(table, _parts(key)), value)

    def _add_keys(self, path: KeyPath, parts: Sequence[Node]) -> KeyPath:
        for part in parts:
            path = (*path, _name(part))
            self._keys.setdefault(path, part)
            if path in self._elements:
                path = (*path, self._elements[path])
        return path

    def _add_value(self, path: KeyPath, node: Node) -> None:
        self._values[path] = node
        children = [child for child in node.named_children if child.type != "comment"]
        if node.type == "inline_table":
            for child in children:
                self._add_pair(path, child)
        elif node.type == "array":
            for index, child in enumerate(children):
                self._add_value((*path, index), child)

    def _whole(self, node: Node) -> Span:
        row, start = node.start_point
        end = node.end_point.column if node.end_point.row == row else len(self._lines[row])
        column, marked = self._lines[row][:start].decode(), self._lines[row][start:end].decode()
        return Span(self._source, row + 1, len(column) + 1, max(1, len(marked)))

    def _stretch(self, node: Node, problem: Problem) -> Span | None:
        # Characters of the value are characters of the file, unless there are escapes or CRLF.
        text = _text(node)
        if not problem.column or node.type != "string" or "\r" in text or (text[0] == '"' and "\\" in text):
            return None
        quotes = 3 if text.startswith(('"""', "'''")) else 1
        start = quotes + (quotes == 3 and text[3:4] == "\n") + problem.column - 1
        whole, line_start = self._whole(node), text.rfind("\n", 0, start) + 1
        column = start - line_start + (1 if line_start else whole.column)
        return Span(self._source, whole.line + text.count("\n", 0, start), column, problem.length)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _parts(key: Node) -> list[Node]:
    if key.type != "dotted_key":
        return [key]
    return [part for child in key.named_children for part in _parts(child)]


def _name(key: Node) -> str:
    text = _text(key)
    return text if key.type == "bare_key" else next(iter(tomllib.loads(f"{text} = 0")))

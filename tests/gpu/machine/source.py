"""The text of a PTX module as steps with operands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

COMMENT = re.compile(r"//[^\n]*")
SHARED, LOCAL = (
    re.compile(rf"\.{space}\s+\.align\s+(\d+)\s+\.b8\s+([\w$]+)\[(\d*)\]\s*;")
    for space in ("shared", "local")
)
ENTRY = re.compile(r"\.visible\s+\.entry\s+([\w$]+)\s*\(([^)]*)\)[^{]*\{")
TARGET = re.compile(r"\.target\s+(sm_\w+)")
MOST_THREADS = re.compile(r"\.maxntid\s+(\d+)")
LABEL = re.compile(r"([\w$]+)\s*:(?!:)")
GUARD = re.compile(r"@(!?)(\S+)\s+(.*)")
RANGE = re.compile(r"(.+)<(\d+)>$")
OPERAND = re.compile(r"(?:[^,\[\]{}()]|\[[^\]]*\]|\{[^}]*\})+")
NUMBER = re.compile(r"-?\d|0[fFdD][0-9a-fA-F]+$")


@dataclass(frozen=True)
class Register:
    name: str


@dataclass(frozen=True)
class Immediate:
    text: str


@dataclass(frozen=True)
class Address:
    """A base and an offset in bytes; of a tensor map, the coordinates of a box."""

    base: Operand
    offset: int = 0
    coordinates: tuple[Operand, ...] = ()


Operand = Register | Immediate | Address | tuple["Operand", ...]


@dataclass(frozen=True)
class Step:
    """One instruction: its words are what stands between points, as ("ld", "global", "f32")."""

    words: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Register | None
    is_guard_negated: bool
    text: str


@dataclass(frozen=True)
class Program:
    """The kernel of a module."""

    name: str
    parameters: tuple[tuple[str, str], ...]  # type and name
    shared: tuple[tuple[str, int, int], ...]  # name, alignment and size; 0 for what the launch sizes
    local: tuple[tuple[str, int, int], ...]
    registers: dict[str, str]  # type by name
    steps: tuple[Step, ...]
    targets: dict[int, int]  # of steps that branch
    target: str  # the least GPU that it is for
    most_threads: int  # of a block

    @property
    def struct(self) -> Struct:
        """How its parameters lie in memory."""
        return Struct("@" + "".join("iq"[type_.endswith("64")] for type_, _ in self.parameters))


@dataclass
class Reader:
    """Collects the steps of a kernel; names are those of the innermost braces around them."""

    registers: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    branches: dict[int, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    scopes: list[int] = field(default_factory=lambda: [0])
    scope_count: int = 0

    def open(self) -> None:
        self.scope_count += 1
        self.scopes.append(self.scope_count)

    def own(self, name: str) -> str:
        return name if self.scopes[-1] == 0 else f"{name}@{self.scopes[-1]}"

    def known(self, name: str) -> str:
        """The name as it was declared, in the innermost scope that has it."""
        candidates = (f"{name}@{scope}" for scope in reversed(self.scopes[1:]))
        return next((each for each in candidates if each in self.registers), name)

    def declare(self, statement: str) -> None:
        _, type_, names = statement.split(None, 2)
        for name in (each.strip() for each in names.split(",")):
            counted = RANGE.match(name)
            many = [f"{counted[1]}{i}" for i in range(int(counted[2]))] if counted else [self.own(name)]
            self.registers |= dict.fromkeys(many, type_[1:])

    def take(self, statement: str) -> None:
        if statement.startswith(".reg"):
            return self.declare(statement)
        if statement.startswith("."):
            return None
        guarded = GUARD.match(statement)
        guard = Register(self.known(guarded[2])) if guarded else None
        operation, _, rest = (guarded[3] if guarded else statement).partition(" ")
        words = tuple(operation.split("."))
        if words[0] == "bra":
            self.branches[len(self.steps)] = rest.strip(), tuple(self.scopes)
            rest = ""
        operands = tuple(self.operand(each.strip()) for each in OPERAND.findall(rest))
        self.steps.append(Step(words, operands, guard, bool(guarded and guarded[1]), statement))
        return None

    def operand(self, text: str) -> Operand:
        if text.startswith("{"):
            return tuple(self.operand(each.strip()) for each in text[1:-1].split(","))
        if text.startswith("["):
            return self.address(text[1:-1])
        if NUMBER.match(text):
            return Immediate(text)
        return Register("|".join(self.known(each) for each in text.split("|")))

    def address(self, text: str) -> Address:
        if "{" in text:
            base, _, coordinates = text.partition(",")
            boxed = self.operand(coordinates.strip())
            assert isinstance(boxed, tuple)
            return Address(self.operand(base.strip()), coordinates=boxed)
        base, _, offset = text.partition("+")
        return Address(self.operand(base.strip()), int(offset or 0))

    def targets(self) -> dict[int, int]:
        """Where branches go: a label may stand behind them, and its scope around them."""
        found = {}
        for index, (name, scopes) in self.branches.items():
            names = [*(f"{name}@{scope}" for scope in reversed(scopes[1:])), name]
            found[index] = next(self.labels[each] for each in names if each in self.labels)
        return found


def read(text: str) -> Program:
    """The kernel of a module with one entry."""
    text = COMMENT.sub("", text)
    entry = ENTRY.search(text)
    assert entry is not None, "the module has no entry"
    reader = Reader()
    for kind, part in parts(text, entry.end()):
        match kind:
            case "open":
                reader.open()
            case "close":
                reader.scopes.pop()
            case "label":
                reader.labels[reader.own(part)] = len(reader.steps)
            case _:
                reader.take(part)
    parameters = [each.split() for each in entry[2].split(",") if each.strip()]
    return Program(
        entry[1],
        tuple((words[1][1:], words[-1]) for words in parameters),
        tuple((m[2], int(m[1]), int(m[3] or 0)) for m in SHARED.finditer(text)),
        tuple((m[2], int(m[1]), int(m[3])) for m in LOCAL.finditer(text)),
        reader.registers,
        tuple(reader.steps),
        reader.targets(),
        *known_of(text),
    )


def known_of(text: str) -> tuple[str, int]:
    """What is said of the GPU and of blocks of threads, where it is said."""
    target, threads = TARGET.search(text), MOST_THREADS.search(text)
    return target[1] if target else "sm_80", int(threads[1]) if threads else 1024


def parts(text: str, place: int) -> Iterator[tuple[str, str]]:
    """Braces, labels and statements of a body, up to the brace that closes it."""
    depth = 1
    while depth:
        while text[place].isspace():
            place += 1
        label = LABEL.match(text, place)
        if text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            yield ("open" if text[place] == "{" else "close"), ""
            place += 1
        elif label:
            yield "label", label[1]
            place = label.end()
        else:
            end = text.index(";", place)
            statement = " ".join(text[place:end].split())
            if statement:
                yield "statement", statement
            place = end + 1

"""Machine code as text: the innermost loops of an object file, by GNU objdump."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

OBJDUMP = shutil.which("objdump")
FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>.*)>:$")
INSTRUCTION = re.compile(r"^\s*(?P<address>[0-9a-f]+):\s+(?P<name>\S+)\s*(?P<operands>.*)$")
STACK = re.compile(r"\(%rsp\b")  # %rbp is a register like others: LLVM keeps no frame pointer
VECTOR_REGISTER = re.compile(r"%[xyz]mm\d")


@dataclass(frozen=True)
class Instruction:
    """One line of the listing."""

    address: int
    name: str
    operands: str

    @property
    def target(self) -> int | None:
        """Where a jump goes."""
        found = re.match(r"[0-9a-f]+\b", self.operands)
        return int(found[0], 16) if self.name.startswith("j") and found else None

    @property
    def touches_stack(self) -> bool:
        """Does it read or write memory by the stack pointer?"""
        return STACK.search(self.operands) is not None

    @property
    def spills_vector(self) -> bool:
        return self.touches_stack and VECTOR_REGISTER.search(self.operands) is not None

    @property
    def repeats_number(self) -> bool:
        """Does it repeat one number of memory in all lanes?"""
        return self.name == "vbroadcastss" or "{1to" in self.operands


@dataclass(frozen=True)
class Loop:
    """The body of a loop that has no loop inside and calls nothing."""

    function: str
    body: tuple[Instruction, ...]

    @property
    def products(self) -> int:
        return sum(each.name.startswith("vfmadd") for each in self.body)

    @property
    def is_of_products(self) -> bool:
        """Is it the loop of an outer product: numbers repeated in lanes times vectors?"""
        return self.products > 0 and any(each.repeats_number for each in self.body)

    def __str__(self) -> str:
        lines = (f"{each.address:x}: {each.name} {each.operands}" for each in self.body)
        return "\n".join((self.function, *lines))


def innermost_loops(object_code: bytes, folder: Path) -> tuple[Loop, ...]:
    """The innermost loops of all functions.

    Needs    OBJDUMP
    """
    assert OBJDUMP is not None
    path = folder / "code.o"
    path.write_bytes(object_code)
    command = [OBJDUMP, "--disassemble", "--no-show-raw-insn", "--wide", str(path)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(loop for name, body in functions(listing).items() for loop in loops_of(name, body))


def functions(listing: str) -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in listing.splitlines():
        if heading := FUNCTION.match(line):
            body = found.setdefault(heading["name"], [])
        elif line := INSTRUCTION.match(line):
            body.append(Instruction(int(line["address"], 16), line["name"], line["operands"]))
    return found


def loops_of(function: str, body: list[Instruction]) -> list[Loop]:
    """A backward jump closes a loop; it is innermost when no other lies inside, nor in what it calls."""
    jumps = [(each.target, each.address) for each in body if each.target is not None]
    spans = {(start, end) for start, end in jumps if start <= end}
    inner = sorted(span for span in spans if not any(encloses(span, other) for other in spans))
    bodies = (tuple(each for each in body if start <= each.address <= end) for start, end in inner)
    return [Loop(function, inside) for inside in bodies if not any(each.name == "call" for each in inside)]


def encloses(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and span[0] <= other[0] and other[1] <= span[1]

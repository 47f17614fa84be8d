"""Rewrites the table of docs/gallery.md: every example, how exact it is, and how fast beside NumPy and
FlexAttention.

    python benchmarks/gallery.py                    measure all on one thread (half an hour), then rewrite
    python benchmarks/gallery.py alibi wait_k       measure these; the others keep what they have

Everything between the markers `<!-- table -->` and `<!-- end of table -->` is replaced; prose stays.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "gallery.md"
EXAMPLES = ROOT / "examples"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
MEASURE = ("-m", "mhagen", "bench", "--against", "torch,numpy", "--threads", "1", "--json")
USUAL = "b=1,q=1024,k=1024"
# Calls that say more of an example than the usual one.
SHAPES = {
    "neighbourhood": "b=4,q=784,k=784",
    "swin_bias": "b=64,q=49,k=49",
    "tree_attention": "b=1,q=64,k=4096",
    "cross_attention": "b=1,q=512,k=512",
    "minilm": "b=8,q=128,k=128",
}
TITLES = ("spec", "what it is", "call", "error", "time", "NumPy", "FlexAttention")
LEGEND = """\
Error: the greatest difference from the float64 reference. NumPy, FlexAttention: their time over ours; "-"
where they cannot do it, or it was not measured. float32 unless the spec says otherwise, one thread."""

Json = dict[str, Any]


def main(chosen: Sequence[str]) -> None:
    specs = examples()
    text = DOCUMENT.read_text(encoding="utf-8")
    rows = dict(written_rows(text))
    for name in chosen or specs:
        rows[name] = row(name, specs[name], measured(name, specs[name]))
    for name in specs:
        rows.setdefault(name, row(name, specs[name], None))
    DOCUMENT.write_text(rewritten(text, table(rows[name] for name in specs)), encoding="utf-8")


def examples() -> dict[str, Path]:
    """The specs of the gallery, by name."""
    paths = EXAMPLES.rglob("*.toml")
    return dict(sorted((tomllib.loads(path.read_text(encoding="utf-8"))["name"], path) for path in paths))


def shape_of(name: str) -> str:
    return SHAPES.get(name, USUAL)


def measured(name: str, path: Path) -> Json:
    """What `mhagen bench` says of one example.

    Raises   CalledProcessError if it could not measure
    """
    command = [sys.executable, *MEASURE, "--shape", shape_of(name), str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: Json = json.loads(done.stdout)["rows"][0]
    return found


def rewritten(text: str, lines: Iterable[str]) -> str:
    """Raises   ValueError for a document that has lost its markers."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{DOCUMENT} has no line {BEGIN.strip()} followed by {END}")
    inner = "\n".join(lines)
    return f"{before}{BEGIN}\n{inner}\n\n{END}{after}"


def table(rows: Iterable[str]) -> Iterator[str]:
    yield LEGEND
    yield ""
    yield f"| {' | '.join(TITLES)} |"
    yield f"|{' --- |' * len(TITLES)}"
    yield from rows


def written_rows(text: str) -> Iterator[tuple[str, str]]:
    """The rows that the document has, by the name of their spec."""
    for line in text.splitlines():
        if (found := re.match(r"\| \[(\w+)\]", line)) is not None:
            yield found[1], line


def row(name: str, path: Path, found: Json | None) -> str:
    place = path.relative_to(ROOT).as_posix()
    cells = [f"[{name}](../{place})", what_it_is(path), shape_of(name).replace(",", " ")]
    return f"| {' | '.join([*cells, *numbers(found)])} |"


def what_it_is(path: Path) -> str:
    """The first sentence of the comment that a spec begins with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines[: first_without_comment(lines)])
    return re.split(r"\.(?= [A-Z]|$)", comment)[0]


def first_without_comment(lines: Sequence[str]) -> int:
    return next(number for number, line in enumerate(lines) if not line.startswith("#"))


def numbers(found: Json | None) -> tuple[str, ...]:
    if found is None or found["seconds"] is None:
        return ("-",) * 4
    error = found["candidates"][0]["error"]
    times = (ratio(found["against"], name) for name in ("NumPy", "FlexAttention"))
    return ("-" if error is None else f"{error:.1e}", duration(found["seconds"]), *times)


def ratio(against: Mapping[str, Json], name: str) -> str:
    return f"{against[name]['ratio']['median']:.1f}" if name in against else "-"


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


if __name__ == "__main__":
    main(sys.argv[1:])

"""Rewrites the tables of docs/performance.md from what `mhagen bench --grid --json` has measured.

    python benchmarks/performance.py                    measure the grid (about an hour), then rewrite
    python benchmarks/performance.py RESULTS.json ...   rewrite from these: rows and threads in any division

Everything between the markers `<!-- tables -->` and `<!-- end of tables -->` is replaced; prose stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->"
MEASURE = ("-m", "mhagen", "bench", "--grid", "--threads", "1,2", "--json")
# Packages whose versions shape the numbers.
PACKAGES = ("mhagen", "python", "numpy", "numba", "llvmlite", "torch", "onnxruntime", "openvino")

Json = dict[str, Any]


def main() -> None:
    files = [Path(name) for name in sys.argv[1:]]
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files] or [measured()]
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(rewritten(text, tables(documents)), encoding="utf-8")


def measured() -> Json:
    """Raises   CalledProcessError if the bench could not measure."""
    done = subprocess.run([sys.executable, *MEASURE], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def rewritten(text: str, lines: Iterable[str]) -> str:
    """Raises   ValueError for a document that has lost its markers."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{DOCUMENT} has no line {BEGIN.strip()} followed by {END}")
    inner = "\n".join(lines)
    return f"{before}{BEGIN}{inner}\n\n{END}{after}"


def tables(documents: list[Json]) -> Iterator[str]:
    """The lines between the markers."""
    yield ""
    yield from dict.fromkeys(surroundings(document["surroundings"]) for document in documents)
    groups: dict[tuple[str, int], list[Json]] = {}
    for row in (row for document in documents for row in document["rows"]):
        groups.setdefault((row["dtype"], row["threads"]), []).append(row)
    for (dtype, threads), rows in groups.items():
        yield from ("", f"### {dtype}, {threads} thread{'s' if threads > 1 else ''}", "")
        yield from table(rows)
        yield from ("", *(f"- {remark}" for remark in remarks(rows)))


def surroundings(told: Json) -> str:
    """Machine, date and versions."""
    cpu, versions = told["processor"], told["versions"]
    cpus = told["workers"]["allowed"]
    machine = f"{cpu['model']} ({cpu['name']}), {cpus} CPU{'s' if cpus > 1 else ''}, {told['system']}"
    return f"{told['date']}, {machine}; {', '.join(f'{name} {versions[name]}' for name in PACKAGES)}."


def table(rows: list[Json]) -> Iterator[str]:
    peers = list(dict.fromkeys(name for row in rows for name in row["against"]))
    speed_up = ["over 1 thread"] if any(row["speed_up"] for row in rows) else []
    titles = ["row", "call", "time", "rate", "of limit", *speed_up, *peers]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for row in rows:
        cells = [row["row"], row["title"], *own_cells(row), *(times(row["speed_up"]) for _ in speed_up)]
        cells += [times(row["against"].get(name, {}).get("ratio")) for name in peers]
        yield f"| {' | '.join(cells)} |"


def own_cells(row: Json) -> tuple[str, str, str]:
    if row["seconds"] is None:
        return "-", "-", "-"
    unit = "GB/s" if row["rate_unit"] == "byte/s" else "GFLOP/s"
    share = row["share_of_limit"]["median"]
    return duration(row["seconds"]), f"{row['rate'] / 1e9:.1f} {unit}", f"{share:.1%}"


def duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def times(spread: Json | None) -> str:
    if spread is None:
        return "-"
    return f"{spread['median']:.2f} ({spread['low']:.2f}-{spread['high']:.2f})"


def remarks(rows: list[Json]) -> Iterator[str]:
    """What is said of several rows is said once."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for remark in remarks_of(row):
            said.setdefault(remark, []).append(row["row"])
    for remark, names in said.items():
        yield f"{', '.join(names)}: {remark}"


def remarks_of(row: Json) -> Iterator[str]:
    if row["problem"] is not None:
        yield f"not measured: {row['problem'].splitlines()[0]}"
    for candidate in row["candidates"]:
        if candidate["role"] == "our kernel of another row":
            yield f"an operation takes {times(row['beside'])} the time of one in `{candidate['form']}`"
    yield from (f"{name} as {peer['form']}" for name, peer in row["against"].items())
    yield from (f"{absent['name']} is left out: {absent['reason']}" for absent in row["absent"])


if __name__ == "__main__":
    main()

"""Records survive writers, kills and damage: no wrong one is believed, and none that was written is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mhagen.runtime.entry import Doubt
from mhagen.schedule.choose import DEFAULTS
from mhagen.schedule.sight import Shape
from mhagen.schedule.tuned import Circumstances
from mhagen.tuning.record import Record, decode, encode
from mhagen.tuning.records import Records, RecordWarning, read
from mhagen.tuning.t4 import t4_document
from mhagen.tuning.trial import Call
from mhagen.tuning.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
HERE = Circumstances("a" * 64, "avx512", "znver4", "b" * 64, "0.1.0", "0.68.1", "0.50.0")
WRITERS, LINES, KILLS = 6, 100, 6
FLIPS, CUTS = 300, 40
# Adds records, numbered by their rounds, and says before each which one is next and after which it has added.
WRITER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from tuning.test_records import record
from mhagen.tuning.records import Records
records, first, count = Records(Path(sys.argv[3])), int(sys.argv[4]), int(sys.argv[5])
for number in range(first, first + count):
    records.add(record(number))
    print(number, flush=True)
"""


def record(number: int, here: Circumstances = HERE) -> Record:
    rounds = tuple(1e-3 + 1e-9 * number + 1e-6 * i for i in range(24))
    return Record(
        here,
        Call(Shape(1, 1024, 1024)),
        replace(DEFAULTS["avx512"], block_keys=8 * (number + 1)),
        Verdict.OK,
        "search",
        "2026-11-25T12:00:00+00:00",
        seconds=rounds,
        default_seconds=rounds[::-1],
        modelled=1e-3,
        compile_seconds=2.0,
    )


def numbers(found: tuple[Record, ...]) -> list[int]:
    return [each.schedule.block_keys // 8 - 1 for each in found]


def writer(folder: Path, first: int, count: int) -> subprocess.Popen[str]:
    arguments = (str(ROOT), str(ROOT / "tests"), str(folder), str(first), str(count))
    command = [sys.executable, "-c", WRITER, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    failed = replace(record(1), verdict=Verdict.HUNG, detail='it "hung"\nä', seconds=(), default_seconds=())
    final = replace(record(2), stage="final", kept=True)
    records = Records(tmp_path / "records")
    assert all(records.add(each) for each in (record(0), failed, final))
    assert records.of_spec(HERE) == (record(0), failed, final)
    assert all(json.loads(line) for line in records.path(HERE).read_text().splitlines() if line)


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    running = [writer(tmp_path, LINES * number, LINES) for number in range(WRITERS)]
    assert all(process.wait(120) == 0 for process in running)
    for process in running:
        process.stdout.close()
    found = read(Records(tmp_path).path(HERE))
    assert sorted(numbers(found)) == list(range(WRITERS * LINES))
    assert all(each == record(number) for each, number in zip(found, numbers(found), strict=True))


def test_a_killed_writer_loses_nothing_that_it_has_written(tmp_path: Path) -> None:
    """Two write at a time; each is killed at some moment while it writes."""
    rng, said, first = random.Random(0), set(), 0
    for _ in range(KILLS // 2):
        running = [writer(tmp_path, first + 10_000 * i, 10_000) for i in range(2)]
        first += 20_000
        for process in running:
            said.add(int(process.stdout.readline()))
        time.sleep(rng.random() * 0.05)
        for process in running:
            process.send_signal(signal.SIGKILL)
            said |= {int(line) for line in process.stdout.read().splitlines() if line}
            process.wait()
            process.stdout.close()
    found = read(Records(tmp_path).path(HERE))
    assert said <= set(numbers(found))
    assert all(each == record(number) for each, number in zip(found, numbers(found), strict=True))


def test_a_torn_line_spoils_no_line_but_its_own(tmp_path: Path) -> None:
    rng, records = random.Random(1), Records(tmp_path)
    whole, path = encode(record(0)), records.path(HERE)
    for number in range(CUTS):
        with open(path, "ab") as file:  # as a writer leaves it that was killed in its write
            file.write(b"\n" + whole[: rng.randrange(1, len(whole))])
        assert records.add(record(number + 1))
    with pytest.warns(RecordWarning, match=f"{CUTS} lines"):
        assert numbers(read(path)) == list(range(1, CUTS + 1))


def test_one_damaged_line_is_one(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add(record(0))
    with open(records.path(HERE), "ab") as file:
        file.write(b"{}\n")
    with pytest.warns(RecordWarning, match=r"^mhagen: 1 line of .* of 2 cannot be believed, and is skipped$"):
        assert numbers(read(records.path(HERE))) == [0]


def test_a_changed_bit_is_never_believed(tmp_path: Path) -> None:
    rng, records = random.Random(2), Records(tmp_path)
    for number in range(5):
        records.add(record(number))
    path = records.path(HERE)
    whole, known = path.read_bytes(), {encode(record(number)) for number in range(5)}
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        found, spoiled = [], 0
        for line in bytes(damaged).split(b"\n"):
            try:
                found += [decode(line)] if line else []
            except Doubt:
                spoiled += 1
        assert {encode(each) for each in found} <= known
        assert len(found) >= 4 and spoiled <= 1 + (len(found) == 5)


def test_damage_is_one_warning_and_reading_goes_on(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for number in range(3):
        records.add(record(number))
    path = records.path(HERE)
    path.write_bytes(path.read_bytes().replace(b"1024", b"1025", 1) + b'{"format":"other"}\n\xff\xfe\n')
    with pytest.warns(RecordWarning) as warned:
        assert numbers(read(path)) == [1, 2]
    assert len(warned) == 1 and "3 lines" in str(warned[0].message)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schedule", "block_keys"), "256"),
        (("schedule", "block_keys"), True),
        (("schedule", "secret"), 1),
        (("call", "threads"), 1.0),
        (("seconds",), [1.0]),
        (("seconds",), [-1.0] * 24),
        (("verdict",), "fast"),
        (("kept",), 1),
        (("circumstances", "cpu"), None),
        (("modelled",), 1),
        (("circumstances", "spec"), "../../../elsewhere"),
        (("circumstances", "spec"), "/elsewhere/" + "a" * 53),
        (("circumstances", "spec"), "\0" * 64),
        (("circumstances", "spec"), "a" * 64 + "\n"),
    ],
    ids=str,
)
def test_a_record_of_other_types_is_no_record(path: tuple[str, ...], value: object) -> None:
    """Made by hand, with a digest that is right."""
    from mhagen.base.digest import digest
    from mhagen.tuning.record import FORMAT, document_of, dumped

    document = json.loads(dumped(document_of(record(0))))
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    text = dumped(document)
    with pytest.raises(Doubt):
        decode(dumped({"digest": digest(text), "format": FORMAT, "record": document}).encode())


def test_records_that_others_may_write_are_not_added_to(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add(record(0))
    os.chmod(records.path(HERE), 0o666)
    with pytest.warns(RecordWarning, match="other users may write"):
        assert not records.add(record(1))


def test_records_that_others_may_write_are_not_believed(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.add(record(0))
    os.chmod(records.path(HERE), 0o666)
    with pytest.warns(RecordWarning, match="is not used: other users may write"):
        assert records.of_spec(HERE) == () == tuple(records.all())
    assert read(records.path(HERE)) == (record(0),), "of a file that is merged the user decides"


def test_merging_adds_what_is_new_and_keeps_machines_apart(tmp_path: Path) -> None:
    here, there = Records(tmp_path / "here"), Records(tmp_path / "there")
    other = replace(HERE, cpu="icelake")
    here.add(record(0))
    for each in (record(0), record(1), record(2, other)):
        there.add(each)
    assert here.merge(there.all()) == 2
    assert here.merge(there.all()) == 0
    assert [each.circumstances.cpu for each in here.of_spec(HERE)] == ["znver4", "znver4", "icelake"]


def test_clearing_leaves_no_records(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for number in range(3):
        records.add(record(number))
    assert records.clear() == 3
    assert records.files() == () and records.of_spec(HERE) == ()


def test_only_what_is_gone_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path)
    for here in (HERE, replace(HERE, spec="c" * 64)):
        records.add(record(0, here))
    stays = records.path(HERE)
    unlink = Path.unlink

    def refused(path: Path) -> None:
        if path == stays:
            raise PermissionError(1, "Operation not permitted")
        unlink(path)

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.warns(RecordWarning, match="is still there: Operation not permitted"):
        assert records.clear() == 1
    assert records.files() == (stays,)


# What a T4 results file is, as far as its readers check it.
T4 = {
    "type": "object",
    "required": ["schema_version", "results"],
    "properties": {
        "schema_version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["configuration", "times", "invalidity", "correctness"],
                "properties": {
                    "timestamp": {"type": "string"},
                    "configuration": {"type": "object"},
                    "objectives": {"type": "array"},
                    "times": {
                        "type": "object",
                        "properties": {
                            "compilation_time": {"type": "number"},
                            "runtimes": {"type": "array"},
                            "validation": {"type": "number"},
                        },
                    },
                    "invalidity": {
                        "enum": ["timeout", "compile", "runtime", "correctness", "constraints", "correct"]
                    },
                    "correctness": {"type": "number"},
                    "measurements": {
                        "type": "array",
                        "items": {
                            "properties": {
                                "name": {"type": "string"},
                                "value": {"type": ["number", "string", "array"]},
                                "unit": {"type": "string"},
                            }
                        },
                    },
                },
            },
        },
    },
}


def test_the_export_is_what_readers_of_the_t4_format_expect() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    bad = [replace(record(0), verdict=each, seconds=(), default_seconds=()) for each in Verdict]
    document = json.loads(json.dumps(t4_document([record(0), *bad]), allow_nan=False))
    jsonschema.validate(document, T4)
    for result in document["results"]:
        assert set(result["objectives"]) <= {each["name"] for each in result["measurements"]}
        assert (
            bool(result["objectives"]) == (result["invalidity"] == "correct") == bool(result["correctness"])
        )
    assert document["results"][0]["objectives"] == ["time"]
    assert document["results"][0]["configuration"]["block_keys"] == 8


def test_the_export_leaves_out_what_is_right_and_was_never_timed() -> None:
    final = replace(record(1), stage="final", kept=False, seconds=(), default_seconds=())
    (result,) = t4_document([record(0), final])["results"]
    assert result["times"]["runtimes"]

"""`mhagen tune`: its table, its document, its page, and what is kept for later builds and other machines."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import mhagen as package
from mhagen.base.errors import InputError
from mhagen.base.target import AVX2, AVX512, NEON, Target
from mhagen.cli import disturbance, watch
from mhagen.cli import tune as command_of_tune
from mhagen.cli.sensitivity import picture
from mhagen.cli.tune import seconds_of
from mhagen.cli.tuned import tuning_document
from mhagen.cli.tuned_page import explained, points_in_words, tuned_page
from mhagen.runtime.host import host_target
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import ScheduleTable
from mhagen.schedule.tuned import Circumstances
from mhagen.spec.load import load_spec
from mhagen.tuning.campaign import Progress
from mhagen.tuning.candidates import neighbours, subject_of
from mhagen.tuning.destinations import kept, not_kept, require_destinations
from mhagen.tuning.gain import Interval
from mhagen.tuning.records import FOLDER, Records, RecordWarning, default_records
from mhagen.tuning.result import End, Outcome, Tried, Tuning
from mhagen.tuning.t4 import t4_document
from mhagen.tuning.trial import Call, Trial
from mhagen.tuning.verdict import Verdict

from .conftest import TINY, Run, command, environment, written
from .test_explain import Page

SPEC = load_spec({"name": "tiny", "heads": {"query": 2, "dim": 16}, "mask": {"keep": "k <= q"}})
HERE = Circumstances("a" * 64, "avx512", "znver4", "b" * 64, "0.1.0", "0.68.1", "0.50.0")
CALL = Call(Shape(1, 300, 300))


def found() -> Tuning:
    """A result as a campaign gives it: a gain, and some candidates of each verdict."""
    subject = subject_of(SPEC, AVX512)
    schedules = neighbours(subject, CALL, subject.default)
    tried = [
        Tried(Trial(CALL, schedule), Verdict.OK, 1e-3 + 1e-5 * i, "", 1e-3 * (0.9 + 0.02 * i), 0.9 + 0.02 * i)
        for i, schedule in enumerate(schedules[:6])
    ]
    tried += [
        Tried(Trial(CALL, s), v, 1e-3, "it went <wrong>")
        for s, v in zip(schedules[6:], Verdict, strict=False)
    ]
    best = tried[0].trial.schedule
    interval = Interval(0.9, 0.89, 0.91, 20)
    outcome = Outcome(CALL, best, False, "10 % faster", 1e-3, 0.9e-3, interval, Interval(1.0, 0.99, 1.01, 20))
    return Tuning(
        spec=SPEC,
        target=AVX512,
        circumstances=HERE,
        strategy="climb",
        budget=60.0,
        seconds=58.2,
        end=End.SPACE,
        default=subject.default,
        table=ScheduleTable.of(best),
        outcomes=(outcome,),
        tried=tuple(tried),
        space=48,
        compiled=9,
        measured=6,
        table_path="tables/a.json",
        records_path="records/a.jsonl",
    )


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What tune() is asked; nothing is tuned."""
    asked: list[dict[str, Any]] = []

    def note(spec: str, shapes: Any, **others: Any) -> Tuning:
        asked.append({"spec": spec, "shapes": list(shapes), **others})
        others["observe"](Progress("searching", 1, 48, 2, 1, 0, 0.9, 30.0, 60.0))
        return found()

    monkeypatch.setattr(command_of_tune, "tune", note)
    return asked


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(folder))
    return folder


def test_the_request_is_passed_on(mhagen: Run, tiny: Path, planted: list[dict[str, Any]]) -> None:
    before = time.monotonic()
    said = mhagen(
        *("tune", tiny, "--shape", "b=2,s=64", "--shape", "q=1,k=9", "--budget", "2m", "--threads", "1,2"),
        *("--strategy", "model", "--jobs", "3", "--fresh", "--save"),
    )
    assert said.code == 0, said.err
    (asked,) = planted
    assert asked["shapes"] == [Shape(2, 64, 64), Shape(1, 1, 9, 8)]
    wanted = {"budget": 120.0, "threads": [1, 2], "strategy": "model", "jobs": 3, "fresh": True, "save": True}
    assert wanted.items() <= asked.items()
    assert before <= asked["began"] <= time.monotonic()


def test_stdout_has_the_result_and_nothing_else(
    mhagen: Run, tiny: Path, planted: list[dict[str, Any]]
) -> None:
    said = mhagen("tune", tiny)
    for words in (
        "b=1,q=300,k=300",
        "1 ms",
        "0.9 ms",
        "0.900",
        "10 % faster",
        "1 crashed",
        "1 hung",
        "tables/a",
    ):
        assert words in said.out
    assert "searching" in said.err and "searching" not in said.out
    assert "1 of 48 tried, 2 compiled, 1 measured; best 10.0% faster; 30 s left" in said.err


def test_the_document_tells_everything(mhagen: Run, tiny: Path, planted: list[dict[str, Any]]) -> None:
    document = mhagen("tune", tiny, "--json").document
    assert document["command"] == "tune" and document["exit_code"] == 0
    assert document["outcomes"][0]["ratio"]["median"] == 0.9
    assert len(document["candidates"]) == len(found().tried)
    assert document["verdicts"]["ok"] == 7 and document["verdicts"]["hung"] == 1
    assert json.dumps(tuning_document(found()), allow_nan=False)


def test_a_result_prints_well_in_a_terminal_and_a_notebook() -> None:
    result = found()
    assert str(result) == repr(result)
    assert "tiny, float32, avx512 (znver4)" in str(result) and "10 % faster" in str(result)
    assert max(map(len, str(result).splitlines())) < 160
    assert "1 of 1 candidate tried" in str(replace(result, tried=result.tried[:1], space=1))
    html = result._repr_html_()
    assert not Page(html).open and "<td>b=1,q=300,k=300</td>" in html


def test_the_page_stands_alone_and_shows_every_candidate() -> None:
    text = tuned_page(found(), measures=False)
    page = Page(text)
    assert not page.open
    assert not re.search(r"https?:|//|@import|<script|<link|url\(", text)
    assert {name for name, _ in page.attributes}.isdisjoint(("src", "href", "onload"))
    assert "prefers-color-scheme: dark" in text and "it went &lt;wrong&gt;" in text
    for words in (
        "multiply-add peak",
        "modelled",
        "measured",
        "block_keys",
        "tile_queries",
        "all calls",
        "tile_queries/block_keys, key_rows x query_vectors",
        "whatever its other sizes are",
        "Dots: measured, with the chosen schedule",
    ):
        assert any(words in each for each in page.texts), words


def test_the_pictures_are_well_formed_and_inside_their_frames() -> None:
    pictures = re.findall(r"<svg.*?</svg>", tuned_page(found(), measures=False), re.DOTALL)
    assert len(pictures) >= 4
    for each in pictures:
        svg = ElementTree.fromstring(each)
        _, _, width, height = (float(number) for number in svg.attrib["viewBox"].split())
        for circle in svg.iter("circle"):
            assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height
    scatter = next(each for each in pictures if 'class="scatter"' in each)
    assert scatter.count('class="candidate"') == 6 and "chosen" in scatter


def test_a_page_of_a_run_that_measured_nothing_is_a_page() -> None:
    nothing = Outcome(CALL, found().default, True, "there was no time")
    page = Page(tuned_page(replace(found(), outcomes=(nothing,), tried=()), measures=False))
    assert not page.open
    assert not any("Dots" in each for each in page.texts)
    assert any("How long it takes was not measured" in each for each in page.texts)
    timed = replace(found(), outcomes=(replace(nothing, default_seconds=8e-4),))
    assert any("Dots" in each for each in Page(tuned_page(timed, measures=False)).texts)


def test_a_page_of_a_layer_says_that_its_attention_was_not_timed_apart() -> None:
    placed = explained(replace(found(), outcomes=(replace(found().outcomes[0], seconds=None),)), 1, False)
    assert "attention alone, which was not timed apart from" in points_in_words(placed, is_layer=True)


def on_target(target: Target) -> Tuning:
    default = subject_of(SPEC, target).default
    return replace(found(), target=target, default=default, table=ScheduleTable.of(default), tried=())


def test_each_number_of_threads_has_limits_of_its_own() -> None:
    one = found()
    (outcome,) = one.outcomes
    slower = replace(outcome, call=replace(CALL, threads=2), seconds=5e-3)
    both = replace(one, outcomes=(slower, outcome))
    texts = [each for each in Page(tuned_page(both, measures=False)).texts if "Limits" in each]
    assert ["on 2 threads" in each or "2 threads. Limits" in each for each in texts] == [True, False]
    for threads, seconds in ((1, 0.9e-3), (2, 5e-3)):
        placed = explained(both, threads, measures=False)
        assert [call.measured for call in placed.calls] == [seconds]
        assert [choice.schedule for choice in placed.choices] == [one.table.last]


def test_the_limits_on_the_page_are_measured_where_that_can_be() -> None:
    here = host_target(SPEC.dtype.value)
    own = on_target(here)
    assert any("Limits, measured now" in each for each in Page(tuned_page(own)).texts)
    other = AVX2 if here != AVX2 else NEON
    elsewhere = on_target(other)
    assert any("not measured" in each for each in Page(tuned_page(elsewhere)).texts)


@pytest.mark.parametrize(
    "values", [(64, 128), range(8, 1024, 40), (64, 96, 128, 1024, 1088, 1152, 1216, 4096)]
)
def test_labels_of_sizes_do_not_overlap(values: Any) -> None:
    text = str(picture("block_keys", {value: [1.0] for value in values}))
    ticks = [
        each
        for each in ElementTree.fromstring(text).iter("text")
        if each.attrib["class"] == "tick" and each.attrib["text-anchor"] == "middle"
    ]
    boxes = [
        (float(t.attrib["x"]) - 3.5 * len(t.text), float(t.attrib["x"]) + 3.5 * len(t.text)) for t in ticks
    ]
    assert all(left[1] < right[0] for left, right in pairwise(boxes))
    assert len(boxes) >= 2 and ticks[-1].text == str(max(values))


def test_files_go_where_they_are_told_to(mhagen: Run, tiny: Path, cache: Path, planted: list[Any]) -> None:
    said = mhagen("tune", tiny, "--report", "out/r.html", "--export-t4", "out/t4.json", "--budget", "20s")
    assert planted[0]["budget"] == 18.0 and " s of 20 s" in said.out, "the page is within the budget"
    assert said.code == 0, said.err
    assert not Page(Path("out/r.html").read_text()).open
    assert json.loads(Path("out/t4.json").read_text()) == {"schema_version": "1.0.0", "results": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--budget", "soon"), "--budget 'soon' is no time"),
        (("--budget", "0"), "is no time"),
        (("--shape", "q=0"), "from 1 to"),
        (("--threads", "1,x"), "--threads has 'x'"),
        (("--strategy", "guess"), "--strategy"),
        (("--report", "/proc/no/r.html"), "cannot write /proc/no/r.html"),
        (("--export-t4", "/proc/no/r.json"), "cannot write /proc/no/r.json"),
        (("--budget", "1e9"), "--budget '1e9' is too long: 168h is the most"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_refused_before_anything_begins(
    mhagen: Run, tiny: Path, planted: list[Any], arguments: tuple[str, ...], words: str
) -> None:
    said = mhagen("tune", tiny, *arguments)
    assert said.code == 2 and words in said.err
    assert not planted


def test_a_wrong_budget_is_told_first(mhagen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disturbance, "busy", lambda: 9.0)
    said = mhagen("tune", "missing.toml", "--budget", "soon")
    assert "is no time" in said.err and "busy" not in said.err and "missing.toml" not in said.err


def test_a_failure_is_a_document_too(mhagen: Run) -> None:
    said = mhagen("tune", "missing.toml", "--json")
    assert said.code == said.document["exit_code"] == 2
    assert "missing.toml" in said.document["error"]["message"] and "missing.toml" in said.err


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_file_that_cannot_be_written_takes_no_result_away(
    mhagen: Run, tiny: Path, planted: list[Any], monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    monkeypatch.setattr(command_of_tune, "require_writable", lambda path: None)
    said = mhagen("tune", tiny, "--report", "/proc/no/r.html", *as_json)
    assert said.code == 2 and "cannot write /proc/no/r.html" in said.err
    assert "10 % faster" in said.out
    assert not as_json or said.document["exit_code"] == 2


def test_what_cannot_be_kept_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.warns(RecordWarning, match="not kept for later builds"):
        require_destinations(None)
    with pytest.warns(RecordWarning, match="the schedules are not kept"):
        assert kept(found(), None).table_path == ""
    with pytest.warns(RecordWarning, match="the schedules are not written into"):
        result = kept(found(), Path("/proc/no/tiny.toml"))
    assert result.table_path == "" and "tiny.tuned.json cannot be written" in result.not_saved


def test_a_file_beside_the_spec_is_looked_at_before_anything_begins(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "tiny.tuned.json").write_text("x")
    with pytest.raises(InputError, match="mend it or move it away"):
        require_destinations(tmp_path / "tiny.toml")
    with pytest.raises(InputError, match="cannot write"):
        require_destinations(Path("/proc/no/tiny.toml"))
    require_destinations(tmp_path / "other.toml")
    assert not (tmp_path / "other.tuned.json").exists()


def test_what_is_kept_is_told(mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = Outcome(CALL, found().default, True, "there was no time")
    monkeypatch.setattr(command_of_tune, "tune", lambda *_, **__: replace(found(), outcomes=(default,)))
    assert "kept: the default, which later builds use" in mhagen("tune", tiny).out


def test_that_nothing_was_saved_is_told(mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsaved = not_kept(replace(found(), table_path=""), Path("tiny.toml"))
    monkeypatch.setattr(command_of_tune, "tune", lambda *_, **__: unsaved)
    why = "nothing was measured, so tiny.tuned.json would say nothing"
    assert f"not saved: {why}" in mhagen("tune", tiny, "--save").out
    assert mhagen("tune", tiny, "--save", "--json").document["not_saved"] == why
    assert not_kept(found(), None) == found()


@pytest.mark.parametrize(
    ("tried", "words"), [(0, "the next run begins anew"), (2, "what was measured is kept")]
)
def test_an_interrupt_says_what_is_kept(capsys: pytest.CaptureFixture[str], tried: int, words: str) -> None:
    with pytest.raises(KeyboardInterrupt), watch.watching("tiny") as observe:
        observe(Progress("searching", tried, 48, 2, tried, 0, 1.0, 30.0, 60.0))
        raise KeyboardInterrupt
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0)])
def test_a_budget_is_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


def test_a_terminal_sees_the_time_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter((0.0, 10.0, 14.0, 99.0))
    monkeypatch.setattr(watch, "monotonic", lambda: next(now))
    view = watch.View("tiny")
    view(Progress("measuring", 3, 48, 5, 3, 1, 1.0, 30.0, 60.0))
    shown = [str(cell) for column in view.__rich__().columns for cell in column.cells]
    assert any("26 s left" in cell for cell in shown)
    assert any("3 measured, 1 failed; none faster yet" in cell for cell in shown)
    assert any("0 s left" in cell for column in view.__rich__().columns for cell in map(str, column.cells))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Tuning]]:
    """One real campaign, as short as can be here and now."""
    folder = tmp_path_factory.mktemp("tuned")
    path = written(folder / "tiny.toml", TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MHAGEN_CACHE_DIR", str(folder / "cache"))
        for budget in (20.0, 60.0, 240.0):  # a busy machine needs the longer ones
            result = package.tune(path, [(1, 40, 40)], budget=budget, strategy="model", save=True)
            if result.measured:
                break
        yield path, result


def test_a_campaign_measures_candidates_beside_the_default(tuned: tuple[Path, Tuning]) -> None:
    _, result = tuned
    right = [each for each in result.tried if each.verdict is Verdict.OK]
    assert isinstance(result, package.Tuning)
    assert 0 < result.measured <= result.compiled and right
    assert all(each.trial.schedule != result.default and each.ratio is not None for each in right)


def test_a_campaign_leaves_a_table_that_builds_use(tuned: tuple[Path, Tuning]) -> None:
    path, result = tuned
    assert package.build(path).source.table == result.table
    assert package.build(path, tune="never").source.table == ScheduleTable.of(result.default)
    assert path.with_name("tiny.tuned.json").is_file()


def test_a_table_beside_the_spec_serves_who_has_not_tuned(
    tuned: tuple[Path, Tuning], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, result = tuned
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "empty"))
    assert package.build(path).source.table == result.table


def test_what_was_tuned_is_listed_exported_merged_and_cleared(
    mhagen: Run, tuned: tuple[Path, Tuning], cache: Path
) -> None:
    path, result = tuned
    record_file = Path(result.records_path)
    beside = path.with_name("tiny.tuned.json")
    added = mhagen("cache", "merge", record_file, beside, "--json").document
    assert added["added_records"] > 0 and added["added_tables"] == 1
    (entry,) = mhagen("cache", "list", "--json").document["tuning"]
    assert entry["records"] == added["added_records"] and entry["has_table"]
    assert entry["name"] is None, "records of another machine do not say it"
    assert "znver" in mhagen("cache", "list").out or entry["cpu"] in mhagen("cache", "list").out
    assert mhagen("cache", "export", "all.jsonl").code == 0
    assert mhagen("cache", "merge", "all.jsonl", "--json").document["added_records"] == 0
    mhagen("cache", "export", "all.json", "--format", "t4")
    results = json.loads(Path("all.json").read_text())["results"]
    assert 0 < len(results) <= added["added_records"] and all(each["objectives"] for each in results)
    cleared = mhagen("cache", "clear", "--only", "tuning", "--json").document
    assert (cleared["removed_records"], cleared["removed_tables"]) == (added["added_records"], 1)
    assert mhagen("cache", "list", "--json").document["tuning"] == []
    assert not default_records().files()


def test_a_list_names_the_specs_and_counts_as_an_export_does(
    mhagen: Run, tuned: tuple[Path, Tuning], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, result = tuned
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(path.parent / "cache"))
    listed = mhagen("cache", "list")
    (row,) = [line.split() for line in listed.out.splitlines() if result.circumstances.spec[:12] in line]
    heads = SPEC.heads
    assert row[:6] == ["tiny", "float32", f"{heads.query}/{heads.key_value}", "x", str(heads.dim), row[5]]
    count = mhagen("cache", "export", "all.jsonl", "--json").document["records"]
    assert f"{count} tuning records and 1 table, in" in listed.err


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.tuned.json", "{}", "is not used"),
        ("missing.jsonl", None, "is no file"),
        ("passwd", "root:x:0:0\n", "has no record"),
        ("empty.jsonl", "", "has no record"),
        ("t4.json", json.dumps(t4_document([])), "T4 format is for other tuners"),
    ],
)
@pytest.mark.filterwarnings("ignore::mhagen.tuning.records.RecordWarning")
def test_what_cannot_be_merged_is_told(
    mhagen: Run, cache: Path, tmp_path: Path, name: str, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    said = mhagen("cache", "merge", name)
    assert said.code == 2 and words in said.err


def test_an_interrupt_keeps_what_was_measured_and_leaves_no_process(tmp_path: Path) -> None:
    written(tmp_path / "tiny.toml", TINY)
    running = subprocess.Popen(
        command("tune", "tiny.toml", "--shape", "s=40", "--budget", "15m"),
        env=environment(MHAGEN_CACHE_DIR=str(tmp_path / "cache")),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    records = Records(tmp_path / "cache" / FOLDER)
    deadline = time.monotonic() + 600  # of a machine with nothing else to do: 10
    while not list(records.all()) and time.monotonic() < deadline:
        time.sleep(0.2)
    before = set(records.all())
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "what was measured is kept" in err and not out
    assert before and before <= set(records.all())
    assert not processes_with(str(tmp_path))


def processes_with(text: str) -> list[str]:
    """The processes whose environment has a text, where the system shows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [str(path)] if text.encode() in path.read_bytes() else []
    return found

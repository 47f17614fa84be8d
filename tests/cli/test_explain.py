"""`mhagen explain`, as text, as a document and as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mhagen.base.errors import UnsupportedError
from mhagen.base.source import Source
from mhagen.base.target import AVX512
from mhagen.cli.explain import DEFAULT_SHAPES, shape_of
from mhagen.cli.markup import element
from mhagen.cli.page import page
from mhagen.cli.parts import PARTS, Part
from mhagen.cli.roofline import Axis, axes, labels, roofline
from mhagen.pipeline import Kernel, circumstances, compile_to_source
from mhagen.schedule.cost import Parts
from mhagen.schedule.sight import Shape
from mhagen.schedule.table import Bounds, Entry, Range, ScheduleTable
from mhagen.schedule.tuned import table_file, write_beside
from mhagen.spec.load import load_spec
from mhagen.tuning import bench
from mhagen.tuning.explanation import Explanation, explain

from .conftest import ROOT, TINY, Run, written

DENSE = TINY.partition("[mask]")[0]
DOCUMENTS = """\
name = "documents"
dtype = "bfloat16"
layout = "bshd"
[heads]
query = 4
key_value = 2
dim = 32
[scores]
modify = "where(k < q, score, score - 1.0)"
[mask]
keep = "segment[b, q] == segment[b, k] and k <= q"
[inputs.segment]
shape = ["batch", "keys"]
dtype = "int32"
"""
SPECS = {"tiny": TINY, "dense": DENSE, "documents": DOCUMENTS}
each_spec = pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
SHAPES = ("--shape", "b=1,s=128", "--shape", "b=2,q=1,k=300")


@pytest.fixture
def path(tmp_path: Path, text: str) -> Path:
    return written(tmp_path / "spec.toml", text)


def explanation(text: str = TINY, *shapes: Shape) -> Explanation:
    spec = load_spec(Source("spec.toml", text))
    return explain(spec, shapes or (Shape(1, 128, 128),), measures=False, target=AVX512)


class Page(HTMLParser):
    """The elements of a page; each has to end, and in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@each_spec
def test_text_tells_the_work_the_limits_the_parts_and_the_reasons(mhagen: Run, path: Path) -> None:
    said = mhagen("explain", path, *SHAPES, "--no-measure")
    assert said.code == 0
    for words in ("b=1,q=128,k=128", "b=2,q=1,k=300", "GFLOP/s", "score tile", "few queries", "scores"):
        assert words in said.out
    assert "not measured" in said.out
    assert "% (modelled)" in said.out


@each_spec
def test_the_document_has_the_numbers_that_the_text_has(mhagen: Run, path: Path) -> None:
    document = mhagen("explain", path, *SHAPES, "--no-measure", "--json").document
    assert document["command"] == "explain" and document["exit_code"] == 0
    prefill, decode = document["calls"]
    assert decode["decodes"] and not prefill["decodes"]
    for call in (prefill, decode):
        assert call["measured_seconds"] is None
        assert sum(call["parts"].values()) == pytest.approx(call["modelled_seconds"])
        assert 0 < call["limit_seconds"] < call["modelled_seconds"]
        assert 0 < call["visible_share"] <= 1
    (choice,) = document["choices"]
    assert {"name", "value", "reason"} == set(choice["decisions"][0])


def test_reading_is_no_limit_of_calls_whose_arrays_stay_near(mhagen: Run, tiny: Path) -> None:
    said = mhagen("explain", tiny, "--no-measure", "--json", "--shape", "q=1,k=64", "--shape", "q=1,k=9000")
    near, far = said.document["calls"]
    limits = said.document["limits"]
    assert near["intensity"] < limits["ridge"] > far["intensity"]
    assert (near["bound"], far["bound"]) == ("arithmetic", "reading")
    assert near["limit_seconds"] == near["operations"] / limits["peak"]
    assert far["limit_seconds"] == far["bytes"] / limits["read_bandwidth"]


@each_spec
def test_the_page_stands_alone(mhagen: Run, path: Path) -> None:
    said = mhagen("explain", path, *SHAPES, "--no-measure", "--format", "html")
    found = Page(said.out)
    assert not found.open
    assert not re.search(r"https?:|//|@import|<script|<link|url\(", said.out)
    assert {name for name, _ in found.attributes}.isdisjoint(("src", "href", "onload"))
    assert "prefers-color-scheme: dark" in said.out
    for words in ("read bandwidth", "multiply-add peak", "b=1 q=128 k=128"):
        assert any(words in text for text in found.texts)


def test_what_is_measured_is_told_beside_what_is_modelled(mhagen: Run, tiny: Path) -> None:
    said = mhagen("explain", tiny, "--shape", "s=64", "--json")
    assert said.code == 0, said.err
    (call,) = said.document["calls"]
    assert said.document["limits"]["measured"]
    assert call["measured_seconds"] > 0


def test_a_page_goes_where_it_is_told_to(mhagen: Run, tiny: Path) -> None:
    said = mhagen("explain", tiny, "--no-measure", "--format", "html", "--out", "pages/tiny.html")
    assert said.code == 0
    assert not Page(Path("pages/tiny.html").read_text()).open


LAYER = TINY + "\n[projections]\nmodel_dim = 32\n"


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layer with a table beside it: blocks of 48 keys for many queries, chunks of 96 for one."""
    monkeypatch.setenv("MHAGEN_CACHE_DIR", str(tmp_path / "cache"))
    path = written(tmp_path / "tiny.toml", LAYER)
    spec, _, source = compile_to_source(path, tune="never")
    many, one = replace(source.schedule, block_keys=48), replace(source.schedule, chunk_keys=96)
    entries = (Entry(Range(queries=Bounds(1, 1)), one), Entry(Range(), many))
    write_beside(table_file(path), circumstances(spec, source.target), ScheduleTable(entries))
    assert compile_to_source(path)[-1].table == ScheduleTable(entries)
    return path


def test_what_is_explained_is_what_a_build_makes(mhagen: Run, beside: Path) -> None:
    said = mhagen("explain", beside, *SHAPES, "--no-measure", "--json")
    many, one = said.document["choices"]
    assert (many["schedule"]["block_keys"], one["schedule"]["chunk_keys"]) == (48, 96)
    assert any("48 keys" in each["value"] for each in many["decisions"])
    assert any("chunks of 96 keys" in each["reason"] for each in one["decisions"])
    text = mhagen("explain", beside, *SHAPES, "--no-measure").out
    assert "the schedule of b=1,q=128,k=128, and why" in text
    assert "the projections of layer() come on top" in text


def test_what_is_shown_is_what_a_build_makes(mhagen: Run, beside: Path) -> None:
    assert re.search(r"block_keys +48\n", mhagen("show", beside, "--after", "schedule").out)
    assert mhagen("show", beside, "--after", "source").out == compile_to_source(beside)[-1].text
    assert "48 keys" in Page(mhagen("show", beside, "--format", "html").out).texts
    document = mhagen("show", beside, "--format", "svg", "--shape", "s=100", "--json").document
    assert document["grid"]["block_keys"] == 48


def test_what_is_measured_is_what_a_build_makes(
    mhagen: Run, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ScheduleTable] = []

    def built(given: object) -> Kernel:
        made.append(compile_to_source(given)[-1].table)
        raise UnsupportedError("enough")

    monkeypatch.setattr(bench, "build", built)
    mhagen("bench", beside, "--shape", "s=64", "--rounds", "1", "--against", "")
    assert made == [compile_to_source(beside)[-1].table]


def test_show_prints_the_page_of_the_default_calls(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--format", "html", "--target", "avx512")
    shapes = [shape_of(text) for text in DEFAULT_SHAPES]
    assert said.out == page(explain(load_spec(tiny), shapes, measures=False, target=AVX512))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shape", "b=1"), "it has no q"),
        (("--shape", "q=0,k=4"), "from 1 to"),
        (("--shape", "x=3"), "it needs one of"),
        (("--shape", ""), "it needs one of"),
        (("--threads", "0"), "--threads"),
        (("--json", "--format", "html"), "--json is a form of its own"),
        (("--out", "a.txt", "--no-measure"), "--out is for --format html"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_cannot_be_explained_is_told(
    mhagen: Run, tiny: Path, arguments: tuple[str, ...], words: str
) -> None:
    said = mhagen("explain", tiny, *arguments)
    assert said.code == 2
    assert words in said.err and not said.out


def test_a_page_of_one_stage_is_refused(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--format", "html", "--after", "schedule")
    assert said.code == 2 and "leave --after out" in said.err


def test_everything_in_an_element_is_escaped() -> None:
    shown = str(element("p", "<b>&amp;", element("i", "a < b"), title='"><script>'))
    assert shown == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;amp;<i>a &lt; b</i></p>'


def test_a_spec_is_quoted_as_it_is() -> None:
    assert "where(k &lt; q, score, score - 1.0)" in page(explanation(DOCUMENTS, Shape(1, 64, 64)))


def test_every_part_of_the_time_is_shown() -> None:
    assert {part.field for part in PARTS} == set(Parts.__dataclass_fields__)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.field)
def test_white_text_can_be_read_on_every_colour(part: Part) -> None:
    channels = (int(part.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_an_axis_has_a_few_ticks_and_keeps_the_order() -> None:
    for axis in (Axis(0.05, 300, 0, 100), Axis(1e9, 2e11, 100, 0), Axis(1e-3, 1e9, 0, 50)):
        assert 4 <= len(axis.ticks) <= 14
        assert axis.at(axis.low) == axis.start and axis.at(axis.high) == pytest.approx(axis.end)


def test_labels_of_near_calls_do_not_cover_each_other() -> None:
    shapes = [Shape(1, n, n) for n in (64, 512, 1024, 1100, 1200, 1300)] + [Shape(1, 1, 4096, 4095)]
    found = explanation(TINY, *shapes)
    placed = labels(found, *axes(found))
    assert len(placed) == len(shapes)
    assert not any(one.box.meets(other.box) for one, other in combinations(placed, 2))


def test_the_roofline_is_well_formed_and_inside_its_frame() -> None:
    svg = ElementTree.fromstring(str(roofline(explanation())))
    _, _, width, height = (float(number) for number in svg.attrib["viewBox"].split())
    for circle in svg.iter("circle"):
        assert 0 < float(circle.attrib["cx"]) < width and 0 < float(circle.attrib["cy"]) < height


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_can_be_explained(mhagen: Run, example: Path) -> None:
    assert mhagen("explain", example, "--no-measure", "--json").code == 0

"""`mhagen show --format svg` draws a mask and its tiles, and says what it shows."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .conftest import ROOT, TINY, Run, written

SVG = "{http://www.w3.org/2000/svg}"


def parts(text: str, kind: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(text).iter() if each.get("class") == kind]


def words(text: str) -> str:
    return " ".join(each.text or "" for each in ET.fromstring(text).iter(f"{SVG}text"))


def paths(text: str, kind: str) -> int:
    """How many runs of a kind are drawn."""
    return sum(each.get("d", "").count("M") for each in parts(text, kind))


def test_the_picture_goes_to_stdout_and_its_words_beside_it(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--format", "svg", "--target", "avx512")
    assert said.code == 0
    assert ET.fromstring(said.out).tag == f"{SVG}svg"
    assert said.err.startswith("50.2% of the pairs of 256 queries and 256 keys are visible")
    for sentence in ("50.2% of the pairs", "are called partial without need"):
        assert sentence in words(said.out)
    assert "keep: k <= q" in words(said.out)


def test_a_file_leaves_stdout_to_the_words(mhagen: Run, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "pictures" / "tiny.svg"
    said = mhagen("show", tiny, "--format", "svg", "--out", out)
    assert said.out.splitlines()[-1] == f"written: {out}"
    assert out.read_text() == mhagen("show", tiny, "--format", "svg").out


def test_programs_get_one_document(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--format", "svg", "--shape", "q=256,k=512", "--target", "avx512", "--json")
    found = said.document
    assert found["shape"] == {"batch": 1, "queries": 256, "keys": 512, "query_offset": 0}
    tiles = found["tiles"]
    assert tiles["hidden"] + tiles["partial"] + tiles["full"] == 256 * 512 // (
        found["grid"]["tile_queries"] * found["grid"]["tile_keys"]
    )
    assert tiles["partial_without_need"] == 0
    assert found["visible_share"] == pytest.approx(257 / 1024)
    assert found["said"][0].startswith("25.1% of the pairs")


def test_a_picture_stands_alone(mhagen: Run, tiny: Path) -> None:
    out = mhagen("show", tiny, "--format", "svg").out
    assert "prefers-color-scheme: dark" in out
    assert not re.search(r"<script|<image|url\(|href|@import", out)


def test_tiles_at_the_edge_of_a_mask_are_partial(mhagen: Run, tiny: Path) -> None:
    out = mhagen("show", tiny, "--format", "svg", "--target", "avx512").out
    assert paths(out, "partial") == 8  # one run for each group of 32 queries
    assert paths(out, "needless") == 0
    assert paths(out, "seen") == 255  # of 128 rows of squares: what is seen whole, and the square at the edge


def test_tiles_that_need_not_be_partial_are_told_apart(mhagen: Run, tmp_path: Path) -> None:
    reals = written(tmp_path / "reals.toml", TINY.replace("k <= q", "exp(1.0 * k) <= exp(1.0 * q)"))
    said = mhagen("show", reals, "--format", "svg", "--json", "--target", "avx512")
    assert said.document["computed_share"] == 1.0
    assert said.document["partial_without_need_share"] == pytest.approx(0.875)
    assert paths(mhagen("show", reals, "--format", "svg", "--target", "avx512").out, "needless") > 8


def test_arrays_are_said_to_be_made_up(mhagen: Run) -> None:
    documents = ROOT / "examples/document_mask.toml"
    said = mhagen("show", documents, "--format", "svg", "--shape", "q=300,k=300")
    assert "The values of segment are made up" in words(said.out)
    assert "The values of segment are made up" in said.err


def test_a_head_of_many_is_said_to_be_one(mhagen: Run, tmp_path: Path) -> None:
    heads = written(tmp_path / "heads.toml", TINY.replace("k <= q", "k <= q + h"))
    assert "Head 0; the others of 2 may differ." in words(mhagen("show", heads, "--format", "svg").out)


MIXED = """\
name = "mixed"
[heads]
query = 4
dim = 16
pruned = [3]
[mask]
keep = "k <= q"
[[groups]]
heads = [1, 2]
mask.keep = "k <= q - 64 * (h - 1) and q - k < 200"
"""


@pytest.mark.parametrize(
    ("head", "seen"), [(0, "k <= q"), (1, "k <= q and q - k < 200"), (2, "k <= q - 64 and q - k < 200")]
)
def test_every_head_can_be_drawn(mhagen: Run, tmp_path: Path, head: int, seen: str) -> None:
    """As a spec draws it that says of all heads what is said of this one."""
    mixed = written(tmp_path / "mixed.toml", MIXED)
    alone = written(tmp_path / "alone.toml", TINY.replace("k <= q", seen))
    options = ("--format", "svg", "--shape", "s=600", "--target", "avx512", "--json")
    found = mhagen("show", mixed, *options, "--head", head).document
    expected = mhagen("show", alone, *options).document
    assert found["head"] == head
    for share in ("visible_share", "computed_share", "tiles"):
        assert found[share] == expected[share]
    drawn = words(mhagen("show", mixed, "--format", "svg", "--head", head).out)
    assert f"Head {head}; the others of 4 may differ." in drawn
    assert "keep: k <= q - 64 * (h - 1)" in drawn or head == 0


def test_a_pruned_head_is_drawn_empty(mhagen: Run, tmp_path: Path) -> None:
    mixed = written(tmp_path / "mixed.toml", MIXED)
    found = mhagen("show", mixed, "--format", "svg", "--head", 3, "--json").document
    assert (found["visible_share"], found["computed_share"]) == (0.0, 0.0)
    assert "Head 3 is pruned: it sees nothing, and nothing of it is computed." in found["said"]


def test_a_head_that_is_not_there_is_refused(mhagen: Run, tiny: Path) -> None:
    for head in (-1, 2):
        said = mhagen("show", tiny, "--format", "svg", "--head", head)
        assert said.code == 2 and f"head is {head} and needs a query head, 0 to 1" in said.err


def test_the_window_of_a_group_is_in_the_picture(mhagen: Run, tmp_path: Path) -> None:
    group = '[[groups]]\nheads = [1]\nmask.keep = "k <= q and q - k < 500"\n'
    apart = written(tmp_path / "apart.toml", TINY + group)
    assert mhagen("show", apart, "--format", "svg", "--json").document["shape"]["keys"] == 2048


def test_without_a_mask_every_tile_is_full(mhagen: Run, tmp_path: Path) -> None:
    dense = written(tmp_path / "dense.toml", TINY.split("[mask]")[0])
    said = mhagen("show", dense, "--format", "svg", "--json")
    assert (said.document["visible_share"], said.document["computed_share"]) == (1.0, 1.0)
    assert said.document["tiles"]["partial"] == 0


def test_queries_stand_where_the_spec_has_them(mhagen: Run, tmp_path: Path) -> None:
    end = written(tmp_path / "end.toml", TINY + 'align = "end"\n')
    said = mhagen("show", end, "--format", "svg", "--shape", "q=64,k=512", "--json")
    assert said.document["shape"]["query_offset"] == 448
    assert said.document["visible_share"] > 0.9


def test_a_large_mask_is_drawn_coarser_and_stays_small(mhagen: Run, tmp_path: Path) -> None:
    pattern = "(q // 8 + k // 8) % 2 == 0 and (q * 7919 + k * 104729) % 64 < 60"
    random = written(tmp_path / "random.toml", TINY.replace("k <= q", pattern))
    out = mhagen("show", random, "--format", "svg", "--shape", "s=4096").out
    assert len(out) < 1 << 22
    assert paths(out, "partial") <= 256 * 256


def test_words_of_a_spec_are_escaped(mhagen: Run, tiny: Path) -> None:
    assert "keep: k &lt;= q" in mhagen("show", tiny, "--format", "svg").out

"""`mhagen show`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mhagen.base.errors import InternalError
from mhagen.cli import show
from mhagen.ir.build import build_graph
from mhagen.ir.graph import Graph
from mhagen.ir.parse import parse_graph
from mhagen.passes import PASSES, Stage, run_passes
from mhagen.spec.load import load_spec

from .conftest import ROOT, TINY, Run, written

RICH = """\
name = "rich"
layout = "bshd"
[heads]
query = 6
key_value = 2
dim = 32
value_dim = 48
[scores]
scale = 0.25
modify = "cap * tanh(score / cap) + slope[h]"
[mask]
keep = "k <= q and q - k < window"
align = "end"
[constants]
cap = 30.0
window = 16
[inputs.slope]
shape = ["query_heads"]
[projections]
model_dim = 100
bias = true
[outputs]
statistics = ["lse"]
"""


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    return written(tmp_path / "rich.toml", RICH)


def test_a_spec_is_shown_in_words_with_its_defaults_resolved(mhagen: Run, rich: Path) -> None:
    said = mhagen("show", rich, "--after", "spec")
    assert said.code == 0
    for told in (
        "6, dim 32, values 48; query head h reads key/value head h // 3 of 2",
        "query float32 (batch, queries, 6, 32)",
        "value float32 (batch, keys, 2, 48)",
        "0.25 * <query, key>",
        "then cap * tanh(score / cap) + slope[h]",
        "where k <= q and q - k < window",
        "position keys - queries + i",
        "cap = 30.0",
        "slope: float32 (query_heads,)",
        "wq (192, 100), wk (64, 100), wv (96, 100), wo (100, 288)",
        "bq (192,), bk (64,), bv (96,)",
        "out (batch, queries, 6, 48), lse (batch, 6, queries)",
    ):
        assert told in said.out


def test_defaults_are_told_as_such(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--after", "spec")
    assert "0.25 * <query, key> (dim ** -0.5)" in said.out
    assert "query i is at position i" in said.out


def test_everything_is_shown_from_spec_to_schedule(mhagen: Run, rich: Path) -> None:
    said = mhagen("show", rich)
    assert (said.code, said.err) == (0, "")
    for heading in ("== spec ==", "== build_graph", "== passes", "== skip_pruned_heads", "== schedule for"):
        assert heading in said.out
    for stage in PASSES:
        assert stage.reason in said.out


@pytest.mark.parametrize("stage", show.GRAPHS)
def test_the_graph_after_a_stage_parses_back_to_itself(mhagen: Run, rich: Path, stage: str) -> None:
    graph = build_graph(load_spec(rich))
    if stage != show.NAIVE:
        names = [each.name for each in PASSES]
        graph = run_passes(graph, PASSES[: names.index(stage) + 1])
    assert parse_graph(mhagen("show", rich, "--after", stage).out) == graph


def test_the_schedule_is_shown_in_words_and_numbers(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--after", "schedule", "--target", "avx2")
    assert said.out.startswith("Schedule: a task is ")
    assert "tile_queries" in said.out


def test_the_source_is_the_one_that_build_prints(mhagen: Run, tiny: Path) -> None:
    shown = mhagen("show", tiny, "--after", "source", "--target", "neon")
    assert shown.out == mhagen("build", tiny, "--print", "--target", "neon").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--after", "fold_scal"), ("did you mean `fold_scale`?", "build_graph", "drop_concat", "source")),
        (("--after", "schedule", "--format", "mermaid"), ("not a graph", "build_graph")),
        (("--format", "svg", "--after", "spec"), ("svg", "leave --after out")),
        (("--format", "mermaid", "--target", "avx2"), ("of no target", "leave --target out")),
        (("--after", "fold_scale", "--target", "avx2"), ("of no target", "leave --target out")),
        (("--shape", "q=64"), ("--shape", "for --format svg")),
        (("--json",), ("--json", "for --format svg")),
        (("--format", "html", "--json"), ("--json", "for --format svg")),
        (("--after", "source", "--head", "0"), ("--head", "pictures of the mask")),
        (("--format", "mermaid", "--head", "0"), ("--head", "pictures of the mask")),
        (("--head", "2"), ("head is 2 and needs a query head, 0 to 1",)),
        (("--weights", "layer.npz"), ("--weights", "for --attention")),
        (("--format", "svg", "--shape", "q=8,k=64"), ("8 queries are decoded", "needs q of more than 12")),
        (("--format", "svg", "--shape", "q=65536"), ("too many for a picture", "at most")),
        (("--format", "pdf"), ("mermaid",)),
    ],
)
def test_what_cannot_be_shown_is_refused(
    mhagen: Run, tiny: Path, arguments: tuple[str, ...], told: tuple[str, ...]
) -> None:
    said = mhagen("show", tiny, *arguments)
    assert (said.code, said.out) == (2, "")
    for part in told:
        assert part in said.err


def test_a_wrong_spec_is_told_with_its_places(mhagen: Run, wrong: Path) -> None:
    said = mhagen("show", wrong)
    assert said.code == 2
    assert f"{wrong}:5:13" in said.err


def test_a_stage_can_be_seen_though_a_later_one_is_broken(
    mhagen: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Graph) -> Graph:
        raise InternalError("broken")

    monkeypatch.setattr(show, "PASSES", (*PASSES[:-1], Stage(broken, "for this test")))
    assert mhagen("show", tiny, "--after", PASSES[-2].name).code == 0
    assert mhagen("show", tiny, "--after", PASSES[-1].name).code == 3


def test_mermaid_has_a_box_for_every_input_op_and_output(mhagen: Run, rich: Path) -> None:
    said = mhagen("show", rich, "--format", "mermaid", "--after", "build_graph")
    graph = build_graph(load_spec(rich))
    lines = said.out.splitlines()
    assert lines[0] == "flowchart TD"
    boxes = [line.split("[")[0].split("(")[0].strip() for line in lines[1:] if "-->" not in line]
    expected = [f"input_{value.name}" for value in graph.inputs]
    expected += [f"node_{node.result}" for node in graph.nodes]
    expected += [f"output_{shown}" for shown, _ in graph.outputs]
    assert sorted(boxes) == sorted(expected)
    arrows = sum("-->" in line for line in lines)
    assert arrows == sum(len(node.operands) for node in graph.nodes) + len(graph.outputs)


def test_mermaid_text_is_escaped(mhagen: Run, tiny: Path) -> None:
    said = mhagen("show", tiny, "--format", "mermaid")
    assert "keep=#34;k #60;= q#34;" in said.out


def picture(out: str) -> list[str]:
    return [line[2:] for line in out.splitlines() if line.startswith("  ") and line[2:3] in "█▒·#+."]


def test_a_causal_mask_is_drawn_as_a_triangle(mhagen: Run, tiny: Path) -> None:
    rows = picture(mhagen("show", tiny, "--after", "spec").out)
    assert rows[:3] == ["▒▒" + "· " * 14 + "·", "██▒▒" + "· " * 13 + "·", "████▒▒" + "· " * 12 + "·"]
    assert rows[15] == "██" * 15 + "▒▒"


def test_a_window_is_drawn_large_enough_to_be_seen(mhagen: Run, rich: Path) -> None:
    said = mhagen("show", rich, "--after", "spec")
    assert picture(said.out)[8] == "· " * 4 + "▒▒██████▒▒" + "· " * 6 + "·"
    assert "64 queries (down) and 64 keys (across); about 22% of the pairs are seen" in said.out


@pytest.mark.parametrize(
    ("head", "corner", "remark"),
    [
        (0, "██", "of head 0; the others of 3 may differ"),
        (1, "· ", "of head 1; the others of 3 may differ"),
        (2, "· ", "of head 2, which is pruned and sees nothing"),
    ],
)
def test_every_head_is_drawn_in_text(
    mhagen: Run, tmp_path: Path, head: int, corner: str, remark: str
) -> None:
    heads = TINY.replace("query = 2", "query = 3\npruned = [2]").replace("k <= q", "k <= q and q - k < 30")
    apart = written(tmp_path / "apart.toml", heads + '[[groups]]\nheads = [0]\nmask.keep = "k <= q"\n')
    said = mhagen("show", apart, "--after", "spec", "--head", head)
    assert picture(said.out)[15].startswith(corner) and remark in said.out
    assert (picture(said.out)[15].rstrip()[-2:] == "▒▒") is (head < 2)
    whole = mhagen("show", apart, "--head", head)
    assert picture(said.out) == picture(whole.out)


def test_a_mask_of_arrays_is_drawn_for_made_up_values(mhagen: Run) -> None:
    said = mhagen("show", ROOT / "examples/document_mask.toml", "--after", "spec")
    assert "for made-up values of segment" in said.out


def test_without_a_mask_there_is_no_picture(mhagen: Run, tmp_path: Path) -> None:
    open_ = written(tmp_path / "open.toml", TINY.split("[mask]")[0])
    said = mhagen("show", open_, "--after", "spec")
    assert "none: every query sees every key" in said.out
    assert not picture(said.out)


def test_a_terminal_that_knows_ascii_only_gets_ascii(tiny: Path, process) -> None:  # type: ignore[no-untyped-def]
    done = process("show", tiny, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "##" * 15 + "++" in done.stdout


def test_a_sink_of_all_heads_is_in_the_spec(mhagen: Run, tmp_path: Path) -> None:
    sunk = written(tmp_path / "sunk.toml", TINY + '[softmax]\nsink = "0.5 * h"\n')
    assert "sink       0.5 * h" in mhagen("show", sunk, "--after", "spec").out
    assert "sink" not in mhagen("show", written(tmp_path / "tiny.toml", TINY), "--after", "spec").out


def test_a_spec_of_many_heads_is_shown(mhagen: Run, tmp_path: Path) -> None:
    many = written(tmp_path / "many.toml", TINY.replace("query = 2", "query = 600\npruned = [0]"))
    said = mhagen("show", many, "--after", "spec")
    assert said.code == 0 and "64 queries (down)" in said.out

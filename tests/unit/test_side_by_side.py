"""Films of two evaluations beside each other: which pairs, in which order, and what is said of those that lack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vla_sim.compare import CompareConfig, comparison_page, run
from vla_sim.comparison import compare
from vla_sim.pages import Inlining
from vla_sim.side_by_side import KINDS, MOST, for_page, side_by_side

MARKUP = "<b>&'\""


def report(marks: str, filmed: str, **more: Any) -> dict[str, Any]:
    """Seeds from 0 on of one task: 1 succeeded, 0 failed, e ended in an error; those with an x were filmed."""
    episodes = [
        {
            "task": "stack",
            "seed": seed,
            "instruction": f"stack {MARKUP}",
            "success": mark == "1",
            "steps": 5,
            "error": f"OSError: {MARKUP}" if mark == "e" else None,
            "came_to": "reached",
        }
        for seed, mark in enumerate(marks)
    ]
    videos = [
        {"task": "stack", "seed": seed, "success": marks[seed] == "1", "file": f"videos/stack-{seed}.mp4"}
        for seed, mark in enumerate(filmed)
        if mark == "x"
    ]
    config = {"suite": "tabletop", "templates": "training", "instruction": "own", "policy": "p"}
    return {"episodes": episodes, "videos": videos, "config": config, "hashes": {}, "versions": {}, **more}


def on_disk(folder: Path, tree: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    (folder / "videos").mkdir(parents=True)
    for video in tree["videos"]:
        (folder / video["file"]).write_bytes(f"{folder.name} {video['seed']}".encode())
    return folder, tree


@pytest.fixture
def both(tmp_path: Path) -> tuple[tuple[Path, dict[str, Any]], tuple[Path, dict[str, Any]]]:
    return (
        on_disk(tmp_path / "a", report("10011e0", "xxxxxx-")),
        on_disk(tmp_path / "b", report("1100011", "xxxxxx-")),
    )


def test_what_one_alone_could_do_comes_first(both: Any) -> None:
    found = side_by_side(*both)
    assert [(pair.seed, pair.kind) for pair in found.pairs] == [
        (1, "only_b"),
        (3, "only_a"),
        (4, "only_a"),
        (2, "neither"),
        (0, "both"),
        (5, "error"),
    ]
    assert {pair.kind for pair in found.pairs} == set(KINDS)
    assert (found.num_unfilmed, found.num_left_out) == (1, 0)


def test_a_film_that_is_gone_is_no_film_and_a_report_may_lie_alone(both: Any, tmp_path: Path) -> None:
    (tmp_path / "b" / "videos" / "stack-1.mp4").unlink()
    found = side_by_side(*both)
    assert (found.pairs[0].seed - 2, found.num_unfilmed) == (1, 2)
    assert side_by_side((tmp_path / "elsewhere" / "report.json", both[0][1]), both[1]).pairs == ()


def test_no_more_pairs_are_shown_than_a_page_bears(tmp_path: Path) -> None:
    count = MOST + 3
    a = on_disk(tmp_path / "a", report("1" * (count - 1) + "0", "x" * count))
    b = on_disk(tmp_path / "b", report("1" * count, "x" * count))
    found = side_by_side(a, b)
    assert (len(found.pairs), found.num_left_out) == (MOST, 3)
    assert found.pairs[0].kind == "only_b"


def test_films_beyond_what_a_page_holds_are_named_from_its_folder(both: Any, tmp_path: Path) -> None:
    (first, *_) = for_page(side_by_side(*both), Inlining(limit_bytes=2), tmp_path / "out" / "compare")
    assert [side["source"] for side in first["sides"]] == [
        "../../a/videos/stack-1.mp4",
        "../../b/videos/stack-1.mp4",
    ]


def test_the_page_shows_both_films_and_what_is_not_filmed_and_escapes_words(both: Any, tmp_path: Path) -> None:
    (_, a), (_, b) = both
    page = comparison_page(compare(a, b), side_by_side(*both), tmp_path)
    assert page.count('class="pair sync"') == 6
    assert page.count('src="data:video/mp4;base64,') == 12
    assert page.index("A failed, b succeeded") < page.index("A succeeded, b failed") < page.index("Both failed")
    assert "1 more episodes in which one alone succeeded were not filmed under both" in page
    assert MARKUP not in page
    assert "stack &lt;b&gt;&amp;&#39;&#34;" in page


def test_the_command_writes_what_is_filmed(both: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, tree in both:
        (folder / "report.json").write_text(json.dumps(tree))
    assert run(CompareConfig(a=tmp_path / "a", b=tmp_path / "b" / "report.json", out=tmp_path / "out")) == 0
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert told["films"][0] == {"task": "stack", "seed": 1, "kind": "only_b"}
    assert "comparison:" in capsys.readouterr().out
    assert (tmp_path / "out" / "compare.html").read_text().count("data:video/mp4") == 12

"""The report on disk: what the page shows, that it needs no other file, and that files are whole."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import PredictCall, RolloutResult
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.report import print_table, report_page, worst_first, write_report
from vla_sim.scores import latency, scores, seam_jumps


def result(task: str, seed: int, *, success: bool = True, error: str | None = None) -> RolloutResult:
    actions = np.zeros((4, 5), np.float32)
    return RolloutResult(0, 0, EpisodeSpec(task, seed), f"<{task}> & {seed}", success, 4, actions, error)


RESULTS = [
    result("put_on_pad", 10),
    result("put_on_pad", 11, success=False),
    result("stack", 10, success=False, error="RuntimeError: the wheel came off"),
    result("stack", 11, success=False),
]
FILMS = {"put_on_pad-10.mp4": b"first film", "put_on_pad-11.mp4": b"second film"}


@pytest.fixture
def report() -> dict[str, Any]:
    return {
        "policy": "runs/a",
        "suite": "tabletop",
        "seed": 10,
        **scores(RESULTS),
        "controls": {"random": {"policy": "random", **scores(RESULTS[1:2])}},
        "latency_ms": latency([PredictCall(0.0057, 1)] * 3),
        "latency_batched_ms": latency([PredictCall(0.02, 8)] * 3),
        "seams": seam_jumps(RESULTS, TABLETOP_PANDA),
        "videos": [
            {"task": "put_on_pad", "seed": 10, "success": True, "file": "videos/put_on_pad-10.mp4"},
            {"task": "put_on_pad", "seed": 11, "success": False, "file": "videos/put_on_pad-11.mp4"},
        ],
        "repeated": {"n": 2, "same": 2},
        "workers": 2,
        "seconds": {"episodes": 3.0, "total": 5.0},
        "versions": {"vla": "0.1.0"},
        "hashes": {"checkpoint": "abc", "config": "def"},
        "hardware": {"cpu": "a processor", "cores": 2},
        "render": {"shadow_size": 0},
        "execution": {"mode": "synchronous"},
        "config": {"episodes": 2, "film": {"width": 400, "height": 320, "speed": 0.5}},
    }


class Page(HTMLParser):
    """The words of a page, and whatever it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "poster", "data")]

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_headline_is_the_share_with_its_interval(report: dict[str, Any]) -> None:
    text = Page(report_page(report, FILMS)).text
    assert "33.3 % of 3 episodes succeed; 95 % interval 6.1 % to 79.2 %" in text


def test_every_task_and_control_has_a_row_with_interval_and_n(report: dict[str, Any]) -> None:
    text = Page(report_page(report, FILMS)).text
    assert "put on pad 50.0 % 9.5 % to 90.5 % 2 4.0" in text
    assert "control: random random actions; should be near zero 0.0 % 0.0 % to 79.3 % 1" in text


def test_the_page_loads_nothing_from_elsewhere(report: dict[str, Any]) -> None:
    page = report_page(report, FILMS)
    assert all(source.startswith(("data:video/mp4;base64,", "#")) for source in Page(page).sources)
    assert "url(" not in page
    assert "@import" not in page


def test_failures_come_before_successes(report: dict[str, Any]) -> None:
    first, second = (source for source in Page(report_page(report, FILMS)).sources if source.startswith("data:"))
    assert first == "data:video/mp4;base64,c2Vjb25kIGZpbG0="  # of "second film"
    assert second == "data:video/mp4;base64,Zmlyc3QgZmlsbQ=="


def test_failures_without_a_film_are_listed_with_their_error(report: dict[str, Any]) -> None:
    text = Page(report_page(report, FILMS)).text
    assert "4 episodes, 2 filmed" in text
    assert "<stack> & 10 RuntimeError: the wheel came off 4 steps error" in text


def test_errors_stand_apart_from_failures_with_what_they_could_change(report: dict[str, Any]) -> None:
    text = Page(report_page(report, FILMS)).text
    assert "1 of 4 episodes ended in errors and are not counted" in text
    assert "25.0 % if they were failures, 50.0 % if successes; either is inside the interval" in text
    assert "stack 0.0 % 0.0 % to 79.3 % 1 1 4.0" in text


def test_a_task_of_which_nothing_was_carried_out_has_no_success_rate(tmp_path: Path) -> None:
    broken = scores([result("reach", 1, success=False, error="OSError: no"), result("stack", 1)])
    assert broken["tasks"]["reach"] == {
        "n": 0, "success": None, "low": 0.0, "high": 1.0, "errors": 1, "bounds": {"low": 0.0, "high": 1.0}
    }  # fmt: skip
    shares = {"hard": broken["tasks"]["reach"], "easy": {"success": 0.0}}
    assert [group["name"] for group in worst_first(shares)] == ["hard", "easy"]


def test_a_report_of_nothing_but_errors_can_be_shown(report: dict[str, Any], tmp_path: Path) -> None:
    report |= scores([result("stack", 10, success=False, error="OSError: no")])
    write_report(tmp_path, {**report, "videos": []}, {})
    print_table(report, tmp_path, Console(file=io.StringIO()))
    assert "of 0 episodes succeed; 95 % interval 0.0 % to 100.0 %" in Page((tmp_path / "report.html").read_text()).text


def test_instructions_are_text_and_never_markup(report: dict[str, Any]) -> None:
    assert "<put_on_pad>" not in report_page(report, FILMS)
    assert "&lt;put_on_pad&gt; &amp; 10" in report_page(report, FILMS)


def test_latency_says_how_it_was_measured(report: dict[str, Any]) -> None:
    text = Page(report_page(report, FILMS)).text
    assert "one chunk, p50 5.7 ms" in text
    assert "a call of the policy with one observation: 3 calls after warm-up" in text
    assert "a call had 8.0 observations on average and took 20 ms (p50), in each of 2 processes" in text


def test_the_worst_group_comes_first(report: dict[str, Any]) -> None:
    shares = {"n": 4, "low": 0.0, "high": 1.0}
    report["groups"] = {"easy": {**shares, "success": 0.75}, "hard": {**shares, "success": 0.25}}
    text = Page(report_page(report, FILMS)).text
    assert 0 < text.index("Groups of tasks") < text.index("hard 25.0 %") < text.index("easy 75.0 %")


def test_stopping_certainty_and_contamination_are_told(report: dict[str, Any]) -> None:
    report["stopped"] = {"until": 0.05, "half_width": 0.048, "looks": 3, "episodes": 30}
    judged = {"auroc": 0.71, "low": 0.6, "high": 0.8, "within_tasks": 0.6}
    report["calibration"] = {"failures": 3, "successes": 1, "mean_entropy": judged, "highest_entropy": judged}
    report["contamination"] = {"scenes": 4, "stores": {"data/a": 7, "data/b": 5}, "hashed": 12, "seen": 0}
    text = Page(report_page(report, FILMS)).text
    assert "stop at a half-width of 5.0 %, looked at 3 times, and ended with 30 episodes of each task at 4.8 %" in text
    assert "with an AUROC of 0.71 (0.60 to 0.80), from 3 failures" in text
    assert "None of the 4 scenes is in the training data (12 episodes)" in text


def test_pairs_have_a_row_when_there_are_any(report: dict[str, Any]) -> None:
    report["pairs"] = {"stack+stack_swapped": {"n": 2, "success": 0.5, "low": 0.1, "high": 0.9}}
    assert "pairs: stack+stack swapped" in Page(report_page(report, FILMS)).text


def test_chance_stands_beside_a_task_and_in_its_bar(report: dict[str, Any]) -> None:
    report["chance"] = {"put_on_pad": 0.5}
    page = report_page(report, FILMS)
    assert "put on pad 50.0 % is chance 50.0 % 9.5 % to 90.5 % 2" in Page(page).text
    assert page.count('<line class="chance" x1="50.0"') == 1


def test_perturbations_are_shown_by_axis_and_strength(report: dict[str, Any]) -> None:
    cell = {"n": 20, "success": 0.75, "low": 0.53, "high": 0.89, "lost": 5, "gained": 1, "p": 0.21875}
    report["axes"] = {"camera": {"1": cell, "2": {**cell, "success": 0.25}}}
    text = Page(report_page(report, FILMS)).text
    assert "camera 1 75.0 % 53.0 % to 89.0 % 20 5 1 0.22 2 25.0 %" in text


def test_long_tasks_show_how_many_steps_were_completed(report: dict[str, Any]) -> None:
    share = {"n": 4, "low": 0.1, "high": 0.9}
    at_least = {"1": {**share, "success": 1.0}, "2": {**share, "success": 0.5}}
    report["steps"] = {"set_table": {"steps": 2, "mean_completed": 1.5, "at_least": at_least}}
    text = Page(report_page(report, FILMS)).text
    assert "set table 1 of 2 100.0 % 10.0 % to 90.0 % 4 1.50 2 of 2 50.0 %" in text


def test_a_report_is_a_json_a_page_and_videos(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path / "out", report, FILMS)
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert files == ["report.html", "report.json", "videos/put_on_pad-10.mp4", "videos/put_on_pad-11.mp4"]
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert (tmp_path / "out" / "videos" / "put_on_pad-11.mp4").read_bytes() == b"second film"


def test_videos_of_an_older_report_go_and_other_files_stay(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report, FILMS)
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"kept")
    write_report(tmp_path, {**report, "videos": report["videos"][:1]}, {"put_on_pad-10.mp4": b"first film"})
    assert sorted(path.name for path in (tmp_path / "videos").iterdir()) == ["mine.mp4", "put_on_pad-10.mp4"]


def test_a_damaged_older_report_is_replaced(report: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{half")
    write_report(tmp_path, report, FILMS)
    assert json.loads((tmp_path / "report.json").read_text())["policy"] == "runs/a"


def test_the_table_shows_tasks_controls_errors_and_where_the_report_lies(
    report: dict[str, Any], tmp_path: Path
) -> None:
    console = Console(file=io.StringIO(), width=100)
    print_table(report, tmp_path, console)
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.replace("│", " ").split()) for line in console.file.getvalue().splitlines()]
    assert "put_on_pad 50.0 % 9.5 % to 90.5 % 2" in lines
    assert "stack 0.0 % 0.0 % to 79.3 % 1 1" in lines
    assert "all 33.3 % 6.1 % to 79.2 % 3 1" in lines
    assert "control: random 0.0 % 0.0 % to 79.3 % 1" in lines
    assert "the first error: RuntimeError: the wheel came off" in lines
    assert any(line.startswith("1 of 4 episodes ended in errors and are not counted") for line in lines)
    assert f"report: {tmp_path}/report.html" in lines

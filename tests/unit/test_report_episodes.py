"""The list of episodes in a report: what can be filtered, what the counts link to, and that nothing is markup."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from html.parser import HTMLParser
from importlib import resources
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.interfaces import EpisodeSpec
from vla_policies.certainty import TokenEntropy
from vla_policies.rollout import RolloutResult
from vla_sim.attribution import Progress
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.episode_list import listed, with_facts
from vla_sim.jobs import Outcome
from vla_sim.pages import Inlining, page_environment
from vla_sim.report import report_page
from vla_sim.scores import latency, scores, seam_jumps
from vla_sim.taxonomy import OUTCOMES, STAGE_MEANING, filter_link, stage_meaning, stage_names, taxonomy

STAGES = ("reached", "grasped")
NASTY = "<script>alert('x')</script> \"&amp; ' </tr>"


def ended(
    task: str, seed: int, *, success: bool = False, held: tuple[str, ...] = (), error: str | None = None, **more: bool
) -> Outcome:
    result = RolloutResult(0, 0, EpisodeSpec(task, seed), NASTY, success, 4, np.zeros((4, 5), np.float32), error)
    progress = Progress(STAGES, frozenset(held), more.get("moved_another", False))
    late = None if error else more.get("timed_out", not success)
    return Outcome(0, result, None, progress, TokenEntropy(0.5, 1.0), late)


OUTCOMES_FOUND = [
    ended("stack", 10, success=True, held=STAGES),
    ended("stack", 11, held=("reached",), moved_another=True),
    ended("stack", 12, held=("reached",), timed_out=False),
    ended("stack", 13),
    ended("reach & go", 10, error=f"RuntimeError: {NASTY}"),
    ended("reach & go", 11, held=STAGES),
]


@pytest.fixture
def report() -> dict[str, Any]:
    results = [outcome.result for outcome in OUTCOMES_FOUND]
    scored = scores(results)
    return {
        "policy": NASTY,
        "suite": "tabletop",
        "seed": 10,
        **scored,
        "episodes": with_facts(scored["episodes"], OUTCOMES_FOUND),
        "controls": {},
        "latency_ms": latency([]),
        "latency_batched_ms": latency([]),
        "seams": seam_jumps(results, TABLETOP_PANDA),
        "videos": [{"task": "stack", "seed": 11, "success": False, "file": "videos/stack-11.mp4"}],
        "repeated": {"n": 1, "same": 1},
        "workers": 1,
        "seconds": {"episodes": 3.0, "total": 5.0},
        "versions": {},
        "hashes": {},
        "hardware": {},
        "render": {},
        "execution": {"mode": "synchronous"},
        "config": {"film": {"width": 400, "height": 320, "speed": 0.5}},
    }


@dataclasses.dataclass
class Page(HTMLParser):
    """Elements of a page with their attributes, and whether every one that is opened is closed in its turn."""

    text: str

    def __post_init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "input", "br", "img", "line", "rect", "option"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag == "option":
            return
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def shown_by(link: str, rows: list[dict[str, str]]) -> int:
    """How many rows a link asks for, as its words say."""
    found = rows
    for part in link.removeprefix("#").split("&"):
        name, _, value = part.partition("=")
        if name in OUTCOMES:
            found = [row for row in found if row["data-outcome"] == name]
        elif value:
            found = [row for row in found if row[f"data-{name}"] == unquote(value)]
        else:
            found = [row for row in found if name in row["data-flags"].split()]
    return len(found)


def page_of(report: dict[str, Any]) -> Page:
    return Page(report_page(report, {"stack-11.mp4": b"a film"}))


def test_every_tag_is_closed_in_its_turn(report: dict[str, Any]) -> None:
    assert page_of(report).open == []


def test_what_came_from_outside_is_text_and_never_markup(report: dict[str, Any]) -> None:
    page = page_of(report)
    assert len(page.of("script")) == 1
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(&#39;x&#39;)" in page.text


def test_every_episode_has_a_row_with_what_filters_read(report: dict[str, Any]) -> None:
    rows = [row for row in page_of(report).of("tr") if "data-key" in row]
    assert [row["data-key"] for row in rows] == [
        "stack-10", "stack-11", "stack-12", "stack-13", "reach & go-10", "reach & go-11"
    ]  # fmt: skip
    assert [row["data-outcome"] for row in rows] == ["succeeded", "failed", "failed", "failed", "error", "failed"]
    assert [row["data-stage"] for row in rows] == ["", "reached", "reached", "start", "", "grasped"]
    assert rows[1]["data-flags"] == "timed_out moved_another"
    assert rows[2]["data-flags"] == ""
    assert rows[1]["data-entropy"] == "0.5"


def test_a_film_has_the_same_data_as_its_row(report: dict[str, Any]) -> None:
    page = page_of(report)
    (film,) = page.of("figure")
    row = next(row for row in page.of("tr") if row.get("data-key") == "stack-11")
    assert {name: value for name, value in film.items() if name.startswith("data-")} == row


def test_every_count_links_to_as_many_episodes(report: dict[str, Any]) -> None:
    page = page_of(report)
    rows = [row for row in page.of("tr") if "data-key" in row]
    stages = stage_names(report["episodes"], {})
    cells = [cell for row in taxonomy(report["episodes"], stages) for cell in row["cells"].values()]
    assert sum(cell["count"] for cell in cells) > 10
    for cell in cells:
        assert shown_by(cell["link"], rows) == cell["count"], cell
        assert (cell["link"] in [link["href"] for link in page.of("a")]) == (cell["count"] > 0)


def test_an_error_is_no_failure_and_has_no_stage(report: dict[str, Any]) -> None:
    *_, whole = taxonomy(report["episodes"], ["start", "reached", "grasped"])
    counts = {name: cell["count"] for name, cell in whole["cells"].items()}
    assert counts == {
        "failed": 4, "start": 1, "reached": 2, "grasped": 1, "timed_out": 3, "moved_another": 1, "error": 1
    }  # fmt: skip


def test_every_stage_is_explained_in_the_page(report: dict[str, Any]) -> None:
    report["stages"] = {"stack": {"came_to": {"start": 1, "reached": 2, "flown_away": 0}}}
    text = page_of(report).text
    assert STAGE_MEANING["reached"] in text
    assert "came as far as &#39;flown away&#39;, and no farther" in text
    assert stage_meaning("flown_away").startswith("came as far as")


def test_stages_stand_in_the_order_in_which_they_are_reached() -> None:
    known = {"push": {"came_to": {"start": 1, "contacted": 0, "placed": 0}}, "pick": {"came_to": {"grasped": 0}}}
    assert stage_names([], known) == ["start", "contacted", "grasped", "placed"]


@given(st.text(max_size=20))
def test_a_link_says_its_values_whatever_they_hold(value: str) -> None:
    link = filter_link("failed", task=value)
    assert link.count("&") == 1
    assert unquote(link.removeprefix("#task=").removesuffix("&failed")) == value.encode("utf-8", "replace").decode()


def test_films_go_into_the_page_until_it_is_full() -> None:
    inlining = Inlining(limit_bytes=10)
    assert inlining.source(b"sixsix", "videos/a.mp4").startswith("data:video/mp4;base64,")
    assert inlining.source(b"sixsix", "videos/b.mp4") == "videos/b.mp4"
    assert inlining.source(b"four", "videos/c.mp4").startswith("data:")
    assert inlining.num_beside == 1


def test_a_name_that_a_template_is_not_given_is_an_error() -> None:
    with pytest.raises(Exception, match="'nothing' is undefined"):
        page_environment().from_string("{{ nothing }}").render()


def test_a_list_of_many_episodes_stays_small(report: dict[str, Any]) -> None:
    small = len(page_of(report).text)
    more = [{**report["episodes"][1], "seed": seed} for seed in range(100, 1100)]
    report["episodes"] = [*report["episodes"], *more]
    assert (len(page_of(report).text) - small) / 1000 < 700  # bytes an episode


# ------------------------------------------------------------------ the script, where there is something to run it


def in_node(expression: str) -> Any:
    """What an expression over the script's pure functions comes to."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node.js here")
    script = (resources.files("vla_sim") / "report_episodes.js").read_text(encoding="utf-8")
    program = f"{script}\nprocess.stdout.write(JSON.stringify({expression}));"
    return json.loads(subprocess.run([node, "-e", program], check=True, capture_output=True, timeout=60).stdout)


def test_the_script_shows_what_each_count_links_to(report: dict[str, Any]) -> None:
    stages = stage_names(report["episodes"], {})
    cells = [cell for row in taxonomy(report["episodes"], stages) for cell in row["cells"].values()]
    rows = [{**row["data"], "words": "", "filmed": False} for row in listed(report["episodes"])]
    links = json.dumps([cell["link"] for cell in cells])
    counted = in_node(f"{links}.map((link) => {json.dumps(rows)}.filter((row) => matches(row, readHash(link))).length)")
    assert counted == [cell["count"] for cell in cells]


def test_the_script_reads_back_what_it_writes_and_leaves_out_what_it_does_not_know() -> None:
    assert in_node("writeHash(readHash('#task=reach%20%26%20go&failed&timed_out&evil=1&%E0%A4%A'))") == (
        "task=reach%20%26%20go&failed&timed_out"
    )


def test_the_script_finds_all_words_in_any_order_and_sorts() -> None:
    row = {"task": "a", "outcome": "failed", "stage": "", "flags": "", "key": "a-1", "words": "pick the red cube"}
    for words, fits in (("cube RED", True), ("red pad", False), ("", True)):
        assert in_node(f"matches({json.dumps(row)}, readHash('#words={words}'.replace(' ', '+')))") is fits
    rows = [
        {"order": "0", "seed": "5", "steps": "9", "entropy": "", "outcome": "succeeded"},
        {"order": "1", "seed": "4", "steps": "20", "entropy": "0.1", "outcome": "failed"},
        {"order": "2", "seed": "6", "steps": "9", "entropy": "0.7", "outcome": "error"},
    ]
    for sort, order in (("order", "012"), ("steps", "102"), ("seed", "102"), ("entropy", "210"), ("failures", "120")):
        found = in_node(f"{json.dumps(rows)}.sort((a, b) => compareRows(a, b, '{sort}')).map((row) => row.order)")
        assert "".join(found) == order, sort

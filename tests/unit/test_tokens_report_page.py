"""The comparison on disk: keys, the page, the table."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from vla.testing import SMALL_EMBODIMENT
from vla_policies.tokens_charts import Axis, error_histogram, example, rate_distortion, token_histogram
from vla_policies.tokens_data import Chunks
from vla_policies.tokens_measures import Compared, compare
from vla_policies.tokens_report import print_table, report_tree, write_report

KEYS = [
    "tokens_mean",
    "tokens_p99",
    "compression",
    "mae",
    "error_p99",
    "error_max",
    "undecodable_unconstrained",
    "undecodable_constrained",
    "undecodable_one_substitution",
    "fields",
]


@pytest.fixture(scope="module")
def compared() -> Compared:
    generator = np.random.default_rng(0)
    walk = generator.normal(0, 0.4, (120, 4, 5)).cumsum(axis=1)
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    chunks = (low + (high - low) * (np.sin(walk) + 1) / 2).astype(np.float32)
    data = Chunks(SMALL_EMBODIMENT, chunks, np.repeat(np.arange(12, dtype=np.int32), 10), 12, ("a <b>/store",))
    return compare(data, names=["bins", "fast", "ordered"], vocabulary=128, held_out=0.2, seed=0)


def test_the_json_has_the_promised_keys(compared: Compared, tmp_path: Path) -> None:
    write_report(tmp_path / "new" / "out", compared, {"seed": 0})
    tree = json.loads((tmp_path / "new" / "out" / "tokens.json").read_text())
    assert list(tree) == ["bins", "fast", "ordered", "about"]
    for name in ("bins", "fast", "ordered"):
        assert list(tree[name]) == KEYS
        assert list(tree[name]["fields"]) == ["dx", "dy", "dz", "dyaw", "gripper"]
        assert list(tree[name]["fields"]["dx"]) == ["unit", "mae", "error_p99", "error_max"]


def test_the_report_says_of_what_and_by_whom(compared: Compared) -> None:
    about = report_tree(compared, {"vocabulary": 128})["about"]
    assert about["data"]["sha256"] == compared.data.sha256
    assert about["data"]["chunks_fitted_to"] + about["data"]["chunks_held_out"] == 120
    assert set(about["fingerprints"]) == set(about["fit_seconds"]) == {"bins", "fast", "ordered"}
    assert about["ranges"]["dyaw"]["unit"] == "rad"
    assert 0.0 < about["clipped"] < 0.05
    assert about["config"] == {"vocabulary": 128}
    assert {"vla", "python", "numpy"} <= set(about["versions"])
    assert len(about["prefixes"]["ordered"]) == compared.tokenizers["ordered"].max_tokens


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(compared: Compared, tmp_path_factory: pytest.TempPathFactory) -> _Page:
    out = tmp_path_factory.mktemp("page")
    write_report(out, compared, {})
    page = _Page()
    page.feed((out / "tokens.html").read_text(encoding="utf-8"))
    return page


def test_the_page_is_whole_and_needs_no_other_file(page: _Page) -> None:
    assert page.open == []
    assert page.sources == []


def test_the_page_shows_names_and_figures(compared: Compared, page: _Page) -> None:
    assert "a <b>/store" in page.text
    for name, measured in compared.measured.items():
        assert name in page.text
        assert f"{measured.measures.mae:.4f}" in page.text
    assert compared.data.sha256 in page.text


def test_the_table_fits_a_terminal(compared: Compared) -> None:
    stream = io.StringIO()
    print_table(compared, Path("out"), Console(file=stream, width=80))
    text = stream.getvalue()
    assert "…" not in text
    assert f"{compared.measured['fast'].measures.mae:.4f}" in text
    assert "out/tokens.html" in text


# --------------------------------------------------------------------------- drawings


def test_a_logarithmic_axis_gives_ratios_equal_room() -> None:
    axis = Axis(1.0, 100.0, 0.0, 200.0)
    assert [axis.place(value) for value in (1.0, 10.0, 100.0, 1000.0)] == [0.0, 100.0, 200.0, 200.0]
    assert axis.ticks([0.1, 1.0, 10.0]) == [(0.0, "1"), (100.0, "10")]


def test_a_plain_axis_may_point_upwards() -> None:
    axis = Axis(0.0, 4.0, 80.0, 0.0, is_log=False)
    assert [axis.place(value) for value in (0.0, 1.0, 4.0)] == [80.0, 60.0, 0.0]


def test_fewer_tokens_stand_to_the_left_and_smaller_errors_below(compared: Compared) -> None:
    marks = {mark.name: mark for mark in rate_distortion(compared).marks}
    assert marks["ordered"].x < marks["bins"].x
    assert marks["bins"].y > marks["ordered"].y > marks["ordered"].y_p99


def test_the_curve_of_prefixes_ends_at_the_tokenizer(compared: Compared) -> None:
    plane = rate_distortion(compared)
    (mark,) = [mark for mark in plane.marks if mark.name == "ordered"]
    assert set(plane.curves) == {"ordered"}
    assert plane.curves["ordered"][-1] == mark


def test_histograms_stay_inside_their_canvas(compared: Compared) -> None:
    for measured in compared.measured.values():
        for chart in (token_histogram(measured, longest=20), error_histogram(measured)):
            assert max(height for _, _, _, height in chart.bars) == chart.height
            assert all(x >= 0 and x + width <= chart.width for x, _, width, _ in chart.bars)


def test_the_example_has_a_panel_for_each_field_and_tokenizer(compared: Compared) -> None:
    shown = example(compared)
    assert [name for name, _ in shown.columns] == ["bins", "fast", "ordered"]
    assert [len(panels) for *_, panels in shown.rows] == [3] * 5
    assert all(len(panel.decoded) == 4 for *_, panels in shown.rows for panel in panels)

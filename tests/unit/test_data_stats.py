from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from vla.commands import main
from vla.embodiment import Field
from vla.errors import StoreError
from vla.normalization import Distribution, Statistics
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.charts import BINS, HEIGHT, WIDTH, histogram, line, rounded
from vla_datasets.upkeep.statistics_of_stores import statistics_of


def made(path: Path, seeds: range, body=SMALL_EMBODIMENT) -> EpisodeStore:
    store = EpisodeStore.create(path, body)
    for seed in seeds:
        store.append(make_episode(body, 10 + seed, seed, success=seed % 2 == 0))
    return store


@pytest.fixture
def stores(tmp_path: Path) -> list[EpisodeStore]:
    return [made(tmp_path / "a", range(3)), made(tmp_path / "b", range(3, 5))]


def test_stores_of_one_embodiment_are_one_entry(stores: list[EpisodeStore]) -> None:
    (body,) = statistics_of(stores)
    actions = np.concatenate([store.read(key).actions for store in stores for key in store]).astype(np.float64)
    assert (body.episodes, body.steps) == (5, len(actions))
    np.testing.assert_array_equal(body.actions.quantile(0.25), np.quantile(actions, 0.25, axis=0))
    np.testing.assert_allclose(body.actions.mean, actions.mean(axis=0), rtol=0, atol=1e-15)


def test_stores_of_two_embodiments_are_two_entries(stores: list[EpisodeStore], tmp_path: Path) -> None:
    other = made(tmp_path / "c", range(2), dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0))
    bodies = statistics_of([stores[0], other, stores[1]])
    assert [body.stores for body in bodies] == [(stores[0].name, stores[1].name), (other.name,)]


def test_failures_are_left_out_when_asked(stores: list[EpisodeStore]) -> None:
    (body,) = statistics_of(stores, keep=lambda row: row.success)
    assert body.episodes == 3


def test_a_store_of_which_nothing_is_kept_is_refused(stores: list[EpisodeStore]) -> None:
    with pytest.raises(StoreError, match=r"no episode of store .*a is left"):
        statistics_of(stores, keep=lambda row: row.seed > 3)


def test_the_command_writes_statistics_that_read_back(stores: list[EpisodeStore], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["data", "stats", f"data=[{stores[0].name},{stores[1].name}]", f"out={out}", "levels=[0.5]"]) == 0
    (tree,) = json.loads((out / "statistics.json").read_text())
    read, (body,) = Statistics.from_json(tree["actions"]), statistics_of(stores, [0.5])
    np.testing.assert_array_equal(read.mean, body.actions.mean)
    page = (out / "statistics.html").read_text()
    assert page.count("<svg") == SMALL_EMBODIMENT.action_dim + SMALL_EMBODIMENT.state_dim
    assert "http" not in page


def test_a_level_that_is_none_is_refused(stores: list[EpisodeStore], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", f"data={stores[0].name}", "levels=[2]"]) == 2
    assert "a quantile's level lies in 0..1, got 2.0" in capsys.readouterr().err


def test_statistics_of_no_store_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "stats", "data=[]"]) == 2
    assert "data= names no store" in capsys.readouterr().err


FIELD = Field("x", "m", -1.0, 1.0)


def test_a_histogram_counts_every_value() -> None:
    chart = histogram(FIELD, Distribution.of(np.array([-1.0, -1.0, 0.0, 1.0])), np.array([0.0]))
    tall = [bar[3] for bar in chart.bars]
    assert len(tall) == 3
    assert tall[0] == pytest.approx(2 * tall[1], abs=0.2)
    assert chart.marks == (WIDTH / 2,)
    assert len(chart.limits) == 2
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y, _, _ in chart.bars)


def test_a_field_that_never_moves_has_a_chart() -> None:
    chart = histogram(FIELD, Distribution.of(np.zeros(5)), np.zeros(1))
    assert len(chart.bars) == 1
    assert chart.bars[0][0] == pytest.approx(WIDTH / 2, abs=WIDTH / BINS)
    assert line(FIELD, np.zeros(1), shows_limits=False, beyond_share=0.0).low == "0"


@pytest.mark.parametrize(("value", "text"), [(0.12345678, "0.123"), (-1e-9, "0"), (2.0, "2")])
def test_numbers_are_rounded_to_what_matters_of_their_range(value: float, text: str) -> None:
    assert rounded(FIELD, value) == text


@pytest.mark.parametrize(("value", "is_beyond"), [(1.0, False), (1.01, False), (1.2, True), (-1.2, True)])
def test_a_line_beyond_its_limits_says_so(value: float, is_beyond: bool) -> None:
    drawn = line(FIELD, np.array([0.0, value]), shows_limits=True, beyond_share=0.02)
    assert drawn.is_beyond is is_beyond
    assert len(drawn.limits) == 2

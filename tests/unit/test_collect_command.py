"""`vla collect`: what is in the store afterwards, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla_datasets.store import EpisodeStore
from vla_sim import collect
from vla_sim.demonstrations import demonstrate


def _collect(out: Path, *arguments: str) -> int:
    return collect.main([f"out={out}", "tasks=[reach,press_button]", "workers=1", *arguments])


def test_every_task_gets_its_episodes(tmp_path: Path) -> None:
    assert _collect(tmp_path / "store", "episodes=2", "seed=5", "horizon=2") == 0
    store = EpisodeStore.open(tmp_path / "store")
    assert [(row.task, row.seed, row.source) for row in store.index()] == [
        ("press_button", 5, "scripted"),
        ("press_button", 6, "scripted"),
        ("reach", 5, "scripted"),
        ("reach", 6, "scripted"),
    ]
    assert store.metadata["horizon"] == 2


def test_the_stored_episode_is_the_demonstration(tmp_path: Path) -> None:
    _collect(tmp_path / "store", "episodes=1")
    store = EpisodeStore.open(tmp_path / "store")
    stored = store.read(store.keys()[-1])
    made = demonstrate("reach", 0, horizon=4)
    assert np.array_equal(stored.images["wrist"], made.images["wrist"])
    assert np.array_equal(stored.labels["lookahead"], made.labels["lookahead"])


def test_what_is_there_is_not_collected_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _collect(tmp_path / "store", "episodes=1")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert _collect(tmp_path / "store", "episodes=1") == 0
    assert "nothing to collect" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()}


def test_a_collection_that_was_stopped_goes_on(tmp_path: Path) -> None:
    _collect(tmp_path / "store", "episodes=1")
    _collect(tmp_path / "store", "episodes=3")
    assert len(EpisodeStore.open(tmp_path / "store")) == 6


@pytest.mark.slow
def test_two_workers_write_what_one_writes(tmp_path: Path) -> None:
    _collect(tmp_path / "one", "episodes=4")
    assert _collect(tmp_path / "two", "episodes=4", "workers=2") == 0
    one, two = EpisodeStore.open(tmp_path / "one"), EpisodeStore.open(tmp_path / "two")
    assert one.keys() == two.keys()
    for key in one:
        assert np.array_equal(one.read(key).images["scene"], two.read(key).images["scene"])
        assert np.array_equal(one.read(key).labels["lookahead"], two.read(key).labels["lookahead"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tasks=[reech]", "unknown task 'reech'; did you mean 'reach'?"),
        ("suite=tabeltop", "unknown suite 'tabeltop'; did you mean 'tabletop'?"),
        ("episodes=0", "episodes is at least 1, got 0"),
        ("workers=-1", "workers is at least 1, or null for one each core, got -1"),
        ("beta=1.5", "beta is a chance between 0 and 1, got 1.5"),
        ("policy=nobody/here", "there is no checkpoint folder nobody/here"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert collect.main([f"out={tmp_path / 'store'}", "workers=1", argument]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_labels_of_another_horizon_are_not_mixed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _collect(tmp_path / "store", "episodes=1", "horizon=2")
    assert _collect(tmp_path / "store", "episodes=2", "horizon=3") == 2
    assert "horizon: 2 against 3" in capsys.readouterr().err
    assert len(EpisodeStore.open(tmp_path / "store")) == 2


def test_the_states_that_a_policy_visits_are_labelled(tmp_path: Path) -> None:
    assert _collect(tmp_path / "store", "episodes=3", "policy=random", "batch=2", "horizon=3") == 0
    store = EpisodeStore.open(tmp_path / "store")
    assert {row.source for row in store.index()} == {"policy:random"}
    assert len(store) == 6
    episode = store.read(store.keys()[0])
    assert episode.labels["lookahead"].shape == (episode.num_steps, 3, 5)
    assert np.abs(episode.actions - episode.labels["lookahead"][:, 0]).max() > 0.01


def test_the_expert_alone_acts_where_beta_is_one(tmp_path: Path) -> None:
    _collect(tmp_path / "store", "episodes=2", "policy=random", "beta=1")
    assert all(row.success for row in EpisodeStore.open(tmp_path / "store").index())


def test_labels_of_a_policy_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    _collect(tmp_path / "one", "episodes=3", "policy=random", "batch=1")
    _collect(tmp_path / "four", "episodes=3", "policy=random", "batch=4")
    one, four = EpisodeStore.open(tmp_path / "one"), EpisodeStore.open(tmp_path / "four")
    assert one.keys() == four.keys()
    for key in one:
        assert np.array_equal(one.read(key).images["scene"], four.read(key).images["scene"])
        assert np.array_equal(one.read(key).labels["lookahead"], four.read(key).labels["lookahead"])


def test_a_checkpoint_is_known_by_its_folder_s_name_alone() -> None:
    assert collect.source("runs/somewhere/first") == "policy:first"
    assert collect.source("scripted") == "scripted"

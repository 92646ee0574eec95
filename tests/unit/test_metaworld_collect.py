"""`vla collect suite=metaworld`: what is in the store afterwards, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ObservationError
from vla.interfaces import Episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_sim import collect
from vla_sim.metaworld_suite import METAWORLD_SAWYER_BLIND, METAWORLD_SAWYER_SMALL, library
from vla_sim.metaworld_suite.demonstrations import demonstrate
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment


def _collect(out: Path, *arguments: str) -> int:
    return collect.main([f"out={out}", "suite=metaworld", "images=false", "workers=1", *arguments])


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("metaworld")
    out = tmp_path_factory.mktemp("collected") / "store"
    assert _collect(out, "tasks=[reach,button_press]", "episodes=2", "seed=5") == 0
    return out


def test_the_store_says_that_it_has_no_cameras(out: Path) -> None:
    store = EpisodeStore.open(out, METAWORLD_SAWYER_BLIND)
    assert store.embodiment.cameras == ()
    assert store.metadata["suite"] == "metaworld"
    assert store.metadata["images"] is False
    assert [(row.task, row.seed) for row in store.index()] == [
        ("button_press", 5),
        ("button_press", 6),
        ("reach", 5),
        ("reach", 6),
    ]


def test_the_stored_episode_is_the_demonstration(out: Path) -> None:
    store = EpisodeStore.open(out)
    stored, made = store.read(store.keys()[-1]), demonstrate("reach", 6)
    assert np.array_equal(stored.actions, made.actions)
    assert np.array_equal(stored.proprioception, made.proprioception)
    assert (stored.images, stored.instruction, stored.success) == ({}, made.instruction, made.success)


def test_pictures_are_stored(tmp_path: Path) -> None:
    pytest.importorskip("metaworld")
    arguments = ["suite=metaworld_small", "tasks=[reach]", "episodes=1", "workers=1"]
    assert collect.main([f"out={tmp_path / 'store'}", *arguments]) == 0
    store = EpisodeStore.open(tmp_path / "store", METAWORLD_SAWYER_SMALL)
    episode = store.read(store.keys()[0])
    assert {name: images.shape[1:] for name, images in episode.images.items()} == {
        "corner2": (96, 96, 3),
        "gripper": (48, 48, 3),
    }
    assert len(np.unique(episode.images["corner2"][0])) > 50
    assert not np.array_equal(episode.images["corner2"][0], episode.images["corner2"][-1])
    assert isinstance(store.metadata["render"], dict)


def test_an_expert_whose_world_diverges_costs_one_episode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("metaworld")

    def diverge_once(task: str, seed: int, *, environment: MetaWorldEnvironment) -> Episode:
        if seed == 1:
            raise ObservationError("the physics diverged")
        return demonstrate(task, seed, environment=environment)

    monkeypatch.setattr(collect, "demonstrate_metaworld", diverge_once)
    assert _collect(tmp_path / "store", "tasks=[reach]", "episodes=3") == 3
    assert "1 episodes ended in errors" in capsys.readouterr().err
    assert [row.seed for row in EpisodeStore.open(tmp_path / "store").index()] == [0, 2]


def test_chunks_are_what_was_executed(out: Path) -> None:
    store = EpisodeStore.open(out)
    frames = load_frames([store], horizon=8, progress=False)
    episode = store.read(store.keys()[0])
    assert np.array_equal(frames.chunks[3], episode.actions[3:11])
    assert frames.images == {}


def test_what_is_there_is_not_collected_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _collect(out, "tasks=[reach,button_press]", "episodes=2", "seed=5") == 0
    assert "nothing to collect" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tasks=[push_to_pad]", "unknown task 'push_to_pad'"),
        ("policy=random", "policy does not apply to suite 'metaworld'"),
        ("noise.jitter_m=0.1", "noise does not apply to suite 'metaworld'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert _collect(tmp_path / "store", argument) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_the_tabletop_is_not_collected_without_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main([f"out={tmp_path / 'store'}", "images=false"]) == 2
    assert "suite 'tabletop' is collected with pictures" in capsys.readouterr().err


def test_without_the_package_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    library.metaworld.cache_clear()
    assert _collect(tmp_path / "store") == 2
    assert "pip install 'vla-stack[metaworld]'" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()

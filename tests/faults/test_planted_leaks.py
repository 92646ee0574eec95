"""Scenes of an evaluation that were planted in the training data are found, under whatever name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.errors import ConfigError
from vla.interfaces import Episode, EpisodeSpec
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_policies import train
from vla_sim import collect, evaluate
from vla_sim.contamination import require_unseen
from vla_sim.demonstrations import demonstrate
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.near_duplicates import distances, too_near
from vla_sim.suites import suite

SPACED = [EpisodeSpec("reach", 50), EpisodeSpec("reach", 51)]
SPECS = [EpisodeSpec("reach", 50), EpisodeSpec("stack", 50)]


@pytest.fixture(scope="module")
def demonstration() -> Episode:
    return demonstrate("reach", 7, horizon=1)


def store(path: Path, *episodes: Episode, codec: ImageCodec = ImageCodec.LOSSLESS) -> str:
    made = EpisodeStore.create(path, episodes[0].embodiment, image_codec=codec)
    for episode in episodes:
        made.append(episode)
    return str(path)


def test_other_seeds_of_the_same_tasks_are_no_leak(tmp_path: Path, demonstration: Episode) -> None:
    checked = require_unseen([store(tmp_path / "a", demonstration)], SPECS, TabletopEnvironment)
    assert (checked.scenes, checked.hashed, list(checked.stores.values())) == (2, 1, [1])


def test_a_planted_task_and_seed_is_named(tmp_path: Path, demonstration: Episode) -> None:
    planted = dataclasses.replace(demonstration, seed=50, task="stack")
    data = [store(tmp_path / "clean", demonstration), store(tmp_path / "leaky", planted)]
    with pytest.raises(ConfigError, match=r"episode stack, seed 50, is in the training store .*leaky as '.*same task"):
        require_unseen(data, SPECS, TabletopEnvironment)


def test_a_scene_that_two_tasks_share_leaks_from_one_to_the_other(tmp_path: Path, demonstration: Episode) -> None:
    planted = store(tmp_path / "a", dataclasses.replace(demonstration, seed=50, task="stack_swapped"))
    with pytest.raises(ConfigError, match="leak: the evaluation's episode stack, seed 50"):
        require_unseen([planted], SPECS, TabletopEnvironment, suite("tabletop").scene_of)


def test_a_scene_under_another_name_is_found_by_its_first_moment(tmp_path: Path) -> None:
    planted = dataclasses.replace(demonstrate("reach", 50, horizon=1), seed=3, task="somewhere_else")
    with pytest.raises(ConfigError, match=r"episode reach, seed 50, .*same first state and pictures"):
        require_unseen([store(tmp_path / "a", planted)], SPECS, TabletopEnvironment, suite("tabletop").scene_of)


def test_stores_of_another_robot_are_compared_by_name_alone(tmp_path: Path) -> None:
    other = store(tmp_path / "a", make_episode(SMALL_EMBODIMENT, steps=3, seed=1))
    assert require_unseen([other], SPECS, TabletopEnvironment).hashed == 0
    leaky = store(tmp_path / "b", make_episode(SMALL_EMBODIMENT, steps=3, seed=50))
    with pytest.raises(ConfigError, match="episode reach, seed 50"):
        require_unseen([leaky], SPECS, TabletopEnvironment)


def test_pictures_that_lost_bits_are_compared_by_what_they_look_like(tmp_path: Path, demonstration: Episode) -> None:
    lossy = store(tmp_path / "a", demonstration, codec=ImageCodec.JPEG)
    checked = require_unseen([lossy], SPACED, TabletopEnvironment)
    assert (checked.hashed, checked.sketched) == (0, 1)
    assert checked.nearest is not None
    assert checked.too_near is not None
    assert checked.nearest > 3 * checked.too_near


def disturbed(episode: Episode, picture: Callable[[np.ndarray], np.ndarray]) -> Episode:
    """An episode under another name, whose pictures are not what they were."""
    images = {name: np.stack([picture(frame) for frame in frames]) for name, frames in episode.images.items()}
    return dataclasses.replace(episode, seed=3, task="somewhere_else", images=images)


@pytest.mark.parametrize(
    "picture",
    [
        lambda frame: frame,
        lambda frame: np.clip(frame.astype(np.int16) + 6, 0, 255).astype(np.uint8),
        lambda frame: np.clip(frame + np.random.default_rng(0).normal(0, 10, frame.shape), 0, 255).astype(np.uint8),
    ],
    ids=["compressed", "brighter", "noisy"],
)
def test_a_scene_that_was_disturbed_is_found_by_what_it_looks_like(
    tmp_path: Path, picture: Callable[[np.ndarray], np.ndarray]
) -> None:
    planted = disturbed(demonstrate("reach", 50, horizon=1), picture)
    leaky = store(tmp_path / "a", planted, codec=ImageCodec.JPEG)
    with pytest.raises(ConfigError, match=r"episode reach, seed 50, .*pictures 0\.0\d+ apart, near is 0\.1"):
        require_unseen([leaky], SPACED, TabletopEnvironment)


def test_one_scene_of_a_task_does_not_tell_what_is_near(tmp_path: Path, demonstration: Episode) -> None:
    checked = require_unseen([store(tmp_path / "a", demonstration)], SPECS, TabletopEnvironment)
    assert checked.too_near is None
    assert checked.nearest is not None


@given(hnp.arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32)))
def test_no_scene_of_an_evaluation_is_too_near_to_another(sketches: np.ndarray) -> None:
    limit = too_near(sketches, ["reach"] * 5)
    assert limit is not None
    apart = distances(sketches, sketches)[~np.eye(5, dtype=bool)]
    assert (apart >= limit).all()


def test_a_leak_fails_the_command_and_nothing_is_written(
    tmp_path: Path, demonstration: Episode, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = store(tmp_path / "planted", dataclasses.replace(demonstration, seed=1_000_001))
    arguments = ["policy=zero", "tasks=[reach]", "episodes=2", "workers=1", "videos=0", f"train_data=[{planted}]"]
    assert evaluate.main([*arguments, f"out={tmp_path}/out"]) == 2
    assert "leak: the evaluation's episode reach, seed 1000001" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert evaluate.main([*arguments, "seed=1000002", f"out={tmp_path}/out"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    contamination = report["contamination"]
    assert (contamination["scenes"], contamination["stores"], contamination["hashed"]) == (2, {planted: 1}, 1)
    assert contamination["nearest"] > contamination["too_near"]
    assert demonstration.embodiment == TABLETOP_PANDA


def test_a_seed_that_the_policy_was_trained_on_is_a_clash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    assert collect.main(["tasks=[stack]", "episodes=2", "seed=1000003", "workers=1", f"out={data}"]) == 0
    small = ["experiment=tabletop-small", "dagger_steps=[]", "steps=1", "validation_share=0.0", "batch_size=4"]
    small += ["backbone.width=32", "backbone.layers=1", "backbone.heads=2", "backbone.channels=8", "batch_size=4"]
    assert (
        train.main(
            [
                "experiment=tabletop-small",
                "dagger_steps=[]",
                f"data=[{data}]",
                f"out={run}",
                "steps=1",
                "validation_share=0.0",
                *small,
            ]
        )
        == 0
    )
    asked = [f"policy={run}", "tasks=[stack_swapped]", "episodes=1", "controls=[]", "workers=1", "videos=0"]
    assert evaluate.main([*asked, "seed=1000004", f"out={tmp_path}/out"]) == 2
    assert "seed clash: the policy was trained on the scene" in capsys.readouterr().err
    assert evaluate.main([*asked, "seed=1000005", f"out={tmp_path}/out"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["contamination"] == {"scenes": 1, "stores": {}, "seen": 2}

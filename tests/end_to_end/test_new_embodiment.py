"""A checkpoint of one robot, carried over to another that has the same actions and cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from vla.embodiment import CameraSpec, Embodiment, Field
from vla.errors import ConfigError, EmbodimentMismatch
from vla.interfaces import Observation
from vla.model.compact import CompactConfig, StateEncoding
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_policies.checkpoint import Checkpoint, load_checkpoint
from vla_policies.new_embodiment import for_new_embodiment
from vla_policies.token_policy import TokenPolicy
from vla_policies.train import TrainConfig, train

SMALL = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=24)
TWICE = dataclasses.replace(
    SMALL_EMBODIMENT,
    name="twice_as_large",
    action=tuple(
        dataclasses.replace(field, low=2 * field.low, high=2 * field.high) for field in SMALL_EMBODIMENT.action
    ),
    proprioception=(
        Field("elbow", "rad", -1.0, 1.0),
        *(
            dataclasses.replace(field, low=2 * field.low, high=2 * field.high)
            for field in reversed(SMALL_EMBODIMENT.proprioception)
        ),
    ),
)
"""All lengths doubled, the fields of proprioception in another order, and a joint more."""


def store_of(path: Path, embodiment: Embodiment, episodes: int = 3) -> EpisodeStore:
    store = EpisodeStore.open_or_create(path, embodiment)
    for seed in range(episodes):
        store.append(make_episode(embodiment, steps=10, seed=seed, lookahead=2))
    return store


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Of the first robot, trained."""
    store_of(tmp_path / "store", SMALL_EMBODIMENT)
    first = TrainConfig(
        out=str(tmp_path / "run"),
        data=[str(tmp_path / "store")],
        steps=2,
        batch_size=4,
        horizon=2,
        vocabulary=9,
        validation_share=0.0,
        checkpoint_every=2,
        device="cpu",
        backbone=SMALL,
    )
    train(first)
    return first


def carried(tmp_path: Path, checkpoint: Checkpoint, embodiment: Embodiment) -> Checkpoint:
    return for_new_embodiment(checkpoint, load_frames([store_of(tmp_path / embodiment.name, embodiment)], 2))


def observation(embodiment: Embodiment, proprioception: np.ndarray) -> Observation:
    random = np.random.default_rng(0)
    images = {c.name: random.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in embodiment.cameras}
    fresh = frozenset([*images, "proprioception"])
    return Observation(images, proprioception.astype(np.float32), "go", 0.0, fresh)


def test_the_same_place_within_its_limits_means_the_same_to_another_robot(config: TrainConfig, tmp_path: Path) -> None:
    """Untrained for the new one, it does with twice the lengths what it did, whatever the joint it never had does."""
    checkpoint = load_checkpoint(Path(config.out))
    own = np.array([field.low + 0.3 * (field.high - field.low) for field in SMALL_EMBODIMENT.proprioception])
    theirs = np.concatenate([[0.7], 2 * own[::-1]])
    (before,) = TokenPolicy(checkpoint, device="cpu").predict([observation(SMALL_EMBODIMENT, own)])
    policy = TokenPolicy(carried(tmp_path, checkpoint, TWICE), device="cpu")
    for elbow in (0.7, -0.7):
        theirs[0] = elbow
        (after,) = policy.predict([observation(TWICE, theirs)])
        np.testing.assert_allclose(after.actions, 2 * before.actions, atol=1e-5)


def test_it_trains_on_few_demonstrations_and_leaves_what_is_frozen(config: TrainConfig, tmp_path: Path) -> None:
    store_of(tmp_path / "few", TWICE, episodes=2)
    frozen = ["backbone.text_embedding", "backbone.vision"]
    more = dataclasses.replace(
        config,
        data=[str(tmp_path / "few")],
        init=config.out,
        new_embodiment=True,
        freeze=frozen,
        out=str(tmp_path / "new"),
    )
    train(more)
    old, new = load_checkpoint(Path(config.out)), load_checkpoint(Path(more.out))
    assert new.embodiment == TWICE
    for name, tensor in old.weights.items():
        if name.startswith(tuple(frozen)):
            assert torch.equal(new.weights[name], tensor), name
    assert not torch.equal(new.weights["logits.weight"], old.weights["logits.weight"])
    check_policy(lambda: TokenPolicy(new, device="cpu"))
    train(dataclasses.replace(more, steps=2))  # a run that has ended goes on from its own robot


def test_what_does_not_go_over_is_listed(config: TrainConfig, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(Path(config.out))
    other = dataclasses.replace(
        TWICE,
        name="other",
        control_hz=5.0,
        cameras=(CameraSpec("front", 16, 16),),
        proprioception=(Field("elbow", "rad", -1.0, 1.0),),
    )
    with pytest.raises(EmbodimentMismatch, match=r"control_hz .* cameras .*front.* no field of proprioception"):
        carried(tmp_path, checkpoint, other)
    tokens = dataclasses.replace(SMALL, state=StateEncoding.TOKENS)
    with pytest.raises(EmbodimentMismatch, match=r"backbone\.state=tokens reads each field by itself"):
        carried(tmp_path, dataclasses.replace(checkpoint, backbone=tokens), TWICE)


def test_a_robot_that_nothing_goes_over_to_is_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"say which, init="):
        train(dataclasses.replace(config, new_embodiment=True))


def test_without_being_asked_no_checkpoint_goes_over(config: TrainConfig, tmp_path: Path) -> None:
    store_of(tmp_path / "few", TWICE)
    few, out = [str(tmp_path / "few")], str(tmp_path / "new")
    with pytest.raises(EmbodimentMismatch, match="twice_as_large"):
        train(dataclasses.replace(config, data=few, init=config.out, out=out))

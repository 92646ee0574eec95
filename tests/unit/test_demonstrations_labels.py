"""Demonstrations: what is recorded, and that every label is the undisturbed expert's."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_sim.demonstrations import Disturbance, LabellingEnvironment, NoiseConfig, demonstrate
from vla_sim.environment import TabletopEnvironment
from vla_sim.oracle import lookahead
from vla_sim.tasks import SUITES
from vla_sim.worlds.scene import WORKSPACE_HIGH

QUIET = NoiseConfig(burst_probability=0.0, jitter_m=0.0)
LOUD = NoiseConfig(burst_probability=0.4, clean_probability=0.0, flip_probability=0.5)


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


@pytest.mark.parametrize("task", SUITES["tabletop"])
def test_an_episode_has_a_row_of_everything_for_each_step(environment: TabletopEnvironment, task: str) -> None:
    episode = demonstrate(task, 0, horizon=3, environment=environment)
    steps = episode.num_steps
    assert episode.images["scene"].shape == (steps, 64, 80, 3)
    assert episode.images["wrist"].shape == (steps, 32, 40, 3)
    assert episode.proprioception.shape == (steps, 12)
    assert episode.labels["lookahead"].shape == (steps, 3, 5)
    assert episode.labels["target"].shape == episode.labels["destination"].shape == (steps, 2)
    assert {array.dtype for array in episode.labels.values()} == {np.dtype(np.float32)}
    assert (episode.task, episode.seed, episode.source) == (task, 0, "scripted")


@pytest.mark.parametrize("task", ["push_to_pad", "stack", "open_drawer"])
def test_every_label_is_what_the_expert_does_from_that_state(environment: TabletopEnvironment, task: str) -> None:
    episode = demonstrate(task, 1, horizon=4, noise=LOUD, environment=environment)
    environment.reset(EpisodeSpec(task, 1))
    for applied, label in zip(episode.actions, episode.labels["lookahead"], strict=True):
        assert np.array_equal(lookahead(environment, 4), label)
        environment.step(applied)


def test_recorded_actions_replay_to_the_recorded_pictures(environment: TabletopEnvironment) -> None:
    episode = demonstrate("put_in_bowl", 2, noise=LOUD, environment=environment)
    observation = environment.reset(EpisodeSpec("put_in_bowl", 2))
    success = False
    for step, applied in enumerate(episode.actions):
        assert np.array_equal(observation.images["scene"], episode.images["scene"][step])
        assert np.array_equal(observation.proprioception, episode.proprioception[step])
        transition = environment.step(applied)
        observation, success = transition.observation, transition.success
    assert success == episode.success


def test_a_demonstration_depends_on_its_arguments_alone(environment: TabletopEnvironment) -> None:
    first = demonstrate("pick_up", 3, environment=environment)
    demonstrate("open_drawer", 9, environment=environment)
    again = demonstrate("pick_up", 3)
    assert np.array_equal(first.images["scene"], again.images["scene"])
    assert np.array_equal(first.actions, again.actions)
    assert np.array_equal(first.labels["lookahead"], again.labels["lookahead"])


def test_without_noise_the_expert_is_executed(environment: TabletopEnvironment) -> None:
    episode = demonstrate("stack", 4, noise=QUIET, environment=environment)
    assert episode.success
    assert np.array_equal(episode.actions, episode.labels["lookahead"][:, 0])


def test_noise_disturbs_the_actions_and_not_the_labels(environment: TabletopEnvironment) -> None:
    episode = demonstrate("reach", 5, noise=LOUD, environment=environment)
    differs = np.abs(episode.actions - episode.labels["lookahead"][:, 0]).max(axis=1) > 1e-3
    assert differs.any()


def test_failures_are_kept(environment: TabletopEnvironment) -> None:
    wild = NoiseConfig(burst_probability=1.0, burst_steps=8, offset_m=0.2, clean_probability=0.0)
    episodes = [demonstrate("stack", seed, noise=wild, environment=environment) for seed in range(2)]
    assert [episode.success for episode in episodes] == [False, False]
    assert all(episode.num_steps == environment.attempt.task.max_steps for episode in episodes)


def test_labels_point_into_the_picture_or_nowhere(environment: TabletopEnvironment) -> None:
    with_destination = demonstrate("put_on_pad", 6, environment=environment).labels
    without = demonstrate("pick_up", 6, environment=environment).labels
    for points in (with_destination["target"], with_destination["destination"], without["target"]):
        assert (points >= 0).all()
        assert (points <= 1).all()
    assert np.isnan(without["destination"]).all()


def test_the_target_is_where_the_named_colour_is_seen(environment: TabletopEnvironment) -> None:
    channel = {"red": 0, "green": 1, "blue": 2}
    hits = []
    for seed in range(12):
        episode = demonstrate("reach", seed, noise=QUIET, environment=environment)
        named = environment.attempt.names[0].split()[0]
        if named in channel:
            u, v = episode.labels["target"][0]
            hits.append(episode.images["scene"][0, int(v * 64), int(u * 80)].argmax() == channel[named])
    # The arm may stand before a block.
    assert np.mean(hits) > 0.75


def test_disturbed_actions_are_clipped_by_the_world(environment: TabletopEnvironment) -> None:
    episode = demonstrate("pick_up", 7, noise=LOUD, environment=environment)
    assert (np.abs(episode.actions[:, :3]) <= 0.0400001).all()
    assert episode.proprioception[:, 10].max() < WORKSPACE_HIGH[2] + 0.01


def test_a_burst_holds_its_offset_for_a_while() -> None:
    config = NoiseConfig(burst_probability=1.0, burst_steps=4, clean_probability=0.0, flip_probability=0.0)
    disturb = Disturbance(config, np.random.default_rng(3))
    still = np.zeros(5, np.float32)
    offsets = np.stack([disturb(still)[:4] for _ in range(40)])
    changes = np.flatnonzero(np.abs(np.diff(offsets, axis=0)).max(axis=1) > 0)
    assert 10 <= len(changes) < 39
    assert np.diff(changes).max() <= 4


def test_a_policy_s_states_are_labelled_by_the_expert(environment: TabletopEnvironment) -> None:
    labelling = LabellingEnvironment(environment, horizon=3)
    labelling.reset(EpisodeSpec("press_button", 0))
    stay = np.array([0, 0, 0, 0, 1], np.float32)
    for _ in range(5):
        labelling.step(stay)
    episode = labelling.episode(success=False, seed=0, source="policy:still")
    assert np.array_equal(episode.actions, np.tile(stay, (5, 1)))
    environment.reset(EpisodeSpec("press_button", 0))
    assert np.array_equal(episode.labels["lookahead"][0], lookahead(environment, 3))


@pytest.mark.parametrize(("beta", "is_expert"), [(0.0, False), (1.0, True)])
def test_beta_is_the_chance_that_the_expert_acts(
    environment: TabletopEnvironment, beta: float, is_expert: bool
) -> None:
    labelling = LabellingEnvironment(environment, horizon=1, beta=beta)
    labelling.reset(EpisodeSpec("press_button", 1))
    for _ in range(4):
        labelling.step(np.array([0, 0, 0.01, 0, 1], np.float32))
    episode = labelling.episode(success=False, seed=1, source="policy:up")
    assert np.array_equal(episode.actions, episode.labels["lookahead"][:, 0]) == is_expert

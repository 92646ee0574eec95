"""What the policies that learn nothing do."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vla.embodiment import ActionKind, Embodiment, Field
from vla.errors import ConfigError, ObservationError, StoreError
from vla.interfaces import Episode, Observation, Policy
from vla_datasets.store import EpisodeStore
from vla_policies.baselines import BlindPolicy, RandomPolicy, ReplayPolicy, ZeroPolicy
from vla_sim.embodiments import TABLETOP_PANDA

STEPS = 6


def observation(
    time_s: float = 0.0, instruction: str = "stack", embodiment: Embodiment = TABLETOP_PANDA
) -> Observation:
    images = {c.name: np.full((c.height, c.width, 3), 200, np.uint8) for c in embodiment.cameras}
    state = np.linspace(0.0, 1.0, embodiment.state_dim, dtype=np.float32)
    return Observation(images, state, instruction, time_s, frozenset())


def episode(seed: int = 3, instruction: str = "stack") -> Episode:
    rng = np.random.default_rng(seed)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    return Episode(
        embodiment=TABLETOP_PANDA,
        images={c.name: np.zeros((STEPS, c.height, c.width, 3), np.uint8) for c in TABLETOP_PANDA.cameras},
        proprioception=np.zeros((STEPS, TABLETOP_PANDA.state_dim), np.float32),
        actions=rng.uniform(low, high, (STEPS, TABLETOP_PANDA.action_dim)).astype(np.float32),
        times_s=np.arange(STEPS) / TABLETOP_PANDA.control_hz,
        instruction=instruction,
        task="stack",
        success=True,
        seed=seed,
        source="scripted",
        licence="CC0-1.0",
    )


def absolute_joints() -> Embodiment:
    joints = TABLETOP_PANDA.proprioception[:7]
    fields = (*joints, Field("gripper", "1", 0.0, 1.0))
    return dataclasses.replace(TABLETOP_PANDA, action=fields, action_kind=ActionKind.ABSOLUTE_JOINT)


def act(policy: Policy, seed: int, **seen: object) -> np.ndarray:
    policy.reset([seed], [0])
    (chunk,) = policy.predict([observation(**seen)], [0])  # type: ignore[arg-type]
    return chunk.actions


def test_random_actions_fill_the_limits() -> None:
    actions = act(RandomPolicy(TABLETOP_PANDA, horizon=4000), seed=1)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    assert ((actions >= low) & (actions <= high)).all()
    np.testing.assert_allclose(actions.mean(axis=0), (low + high) / 2, atol=0.05 * (high - low).max())
    np.testing.assert_allclose(np.ptp(actions, axis=0), high - low, rtol=0.01)


def test_random_actions_follow_from_the_seed_alone() -> None:
    policy = RandomPolicy(TABLETOP_PANDA)
    policy.reset([7, 8], [5, 0])
    crowded = policy.predict([observation(), observation()], [0, 5])
    np.testing.assert_array_equal(crowded[1].actions, act(RandomPolicy(TABLETOP_PANDA), seed=7))
    np.testing.assert_array_equal(crowded[0].actions, act(RandomPolicy(TABLETOP_PANDA), seed=8))


def test_random_actions_are_not_those_of_the_scenes_generator() -> None:
    scene = np.random.default_rng(5).random(TABLETOP_PANDA.action_dim, np.float32)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    assert not np.allclose(act(RandomPolicy(TABLETOP_PANDA), seed=5)[0], low + scene * (high - low))


def test_zero_rests_with_the_gripper_open() -> None:
    np.testing.assert_array_equal(act(ZeroPolicy(TABLETOP_PANDA, horizon=2), seed=0), [[0, 0, 0, 0, 1]] * 2)


def test_zero_holds_the_measured_pose_where_actions_are_absolute() -> None:
    embodiment = absolute_joints()
    expected = [*observation().proprioception[:7], 1.0]
    np.testing.assert_array_equal(act(ZeroPolicy(embodiment, horizon=1), seed=0)[0], np.array(expected, np.float32))


def test_zero_refuses_an_absolute_field_that_is_not_measured() -> None:
    fields = (Field("elbow", "rad", -1.0, 1.0), *absolute_joints().action)
    with pytest.raises(ConfigError, match="tabletop_panda does not measure elbow: no absolute action is known to rest"):
        ZeroPolicy(dataclasses.replace(absolute_joints(), action=fields))


def test_replay_plays_a_recording_at_its_own_speed() -> None:
    recorded, policy = episode(), ReplayPolicy.of_episodes([episode()], horizon=4)
    np.testing.assert_array_equal(act(policy, seed=3), recorded.actions[:4])
    (later,) = policy.predict([observation(time_s=0.2)], [0])
    np.testing.assert_array_equal(later.actions, recorded.actions[2:6])


def test_replay_rests_when_a_recording_has_ended() -> None:
    policy = ReplayPolicy.of_episodes([episode()], horizon=4)
    act(policy, seed=3)
    (last,) = policy.predict([observation(time_s=0.5)], [0])
    np.testing.assert_array_equal(last.actions[0], episode().actions[5])
    np.testing.assert_array_equal(last.actions[1:], [[0, 0, 0, 0, 1]] * 3)


def test_replay_tells_recordings_of_one_seed_apart_by_their_instruction() -> None:
    first, second = episode(), dataclasses.replace(episode(), instruction="reach", actions=-episode().actions)
    policy = ReplayPolicy.of_episodes([first, second])
    np.testing.assert_array_equal(act(policy, seed=3, instruction="reach"), second.actions[:4])


def test_replay_begins_anew_after_a_reset() -> None:
    policy = ReplayPolicy.of_episodes([episode()])
    act(policy, seed=3, time_s=10.0)
    np.testing.assert_array_equal(act(policy, seed=3, time_s=20.0), episode().actions[:4])


@pytest.mark.parametrize(("seed", "instruction"), [(4, "stack"), (3, "reach")])
def test_replay_makes_nothing_up(seed: int, instruction: str) -> None:
    with pytest.raises(
        StoreError, match=f"no episode of seed {seed} with the instruction '{instruction}' was recorded"
    ):
        act(ReplayPolicy.of_episodes([episode()]), seed=seed, instruction=instruction)


def test_replay_reads_a_store(tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "store", TABLETOP_PANDA).append(episode())
    policy = ReplayPolicy.of_store(tmp_path / "store", TABLETOP_PANDA)
    np.testing.assert_array_equal(act(policy, seed=3), episode().actions[:4])


def test_blind_shows_black_images_and_nothing_else_changed() -> None:
    seen: list[Observation] = []

    class Witness(ZeroPolicy):
        def predict(self, observations, slots=None, committed=None):  # type: ignore[no-untyped-def]
            seen.extend(observations)
            return super().predict(observations, slots, committed)

    act(BlindPolicy(Witness(TABLETOP_PANDA)), seed=0)
    assert all(not image.any() for image in seen[0].images.values())
    np.testing.assert_array_equal(seen[0].proprioception, observation().proprioception)
    assert (seen[0].instruction, seen[0].time_s) == ("stack", 0.0)


@pytest.mark.parametrize(
    "policy",
    [
        RandomPolicy(TABLETOP_PANDA),
        ZeroPolicy(TABLETOP_PANDA),
        ReplayPolicy.of_episodes([episode()]),
        BlindPolicy(ZeroPolicy(TABLETOP_PANDA)),
    ],
    ids=lambda policy: type(policy).__name__,
)
def test_a_missing_camera_is_noticed(policy: Policy) -> None:
    policy.reset([3], [0])
    broken = dataclasses.replace(observation(), images={"scene": observation().images["scene"]})
    with pytest.raises(ObservationError, match="lacks camera 'wrist' of tabletop_panda; it has: scene"):
        policy.predict([broken], [0])

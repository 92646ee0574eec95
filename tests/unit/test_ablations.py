"""What a policy is shown when one thing is taken from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import ActionChunk, Observation, Policy
from vla.testing import FakePolicy, check_policy, make_observation
from vla_policies.ablations import SEEN_S, FrozenPolicy, RemovedImagePolicy, ShuffledPolicy
from vla_policies.loading import checkpoint_hash, is_checkpoint, load_policy
from vla_sim.embodiments import TABLETOP_PANDA

WORDS = ["reach the red block", "push the blue block", "open the drawer"]


class Listener:
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self._inner = FakePolicy()
        self.seen: list[Observation] = []

    @property
    def embodiment(self) -> Embodiment:
        return self._inner.embodiment

    @property
    def horizon(self) -> int:
        return self._inner.horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._inner.reset(seeds, slots)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        self.seen += observations
        return self._inner.predict(observations, slots, committed)


def observations(policy: Policy, count: int) -> list[Observation]:
    return [make_observation(policy.embodiment, seed) for seed in range(count)]


@pytest.mark.parametrize("wrap", [FrozenPolicy, RemovedImagePolicy, lambda policy: ShuffledPolicy(policy, WORDS)])
def test_they_keep_the_contract_of_policies(wrap: type) -> None:
    check_policy(lambda: wrap(FakePolicy()))


def test_a_frozen_policy_sees_the_first_moment_of_its_own_episode() -> None:
    listener = Listener()
    policy, (a, b, c) = FrozenPolicy(listener), observations(listener, 3)
    policy.reset([1, 2], [0, 1])
    policy.predict([a, b], [0, 1])
    policy.predict([c, c], [1, 0])
    assert [seen.images for seen in listener.seen] == [a.images, b.images, b.images, a.images]
    np.testing.assert_array_equal(listener.seen[2].proprioception, c.proprioception)
    policy.reset([3], [1])
    policy.predict([c], [1])
    assert listener.seen[-1].images == c.images


def test_images_are_removed_from_some_time_after_the_first_of_an_episode_on() -> None:
    listener = Listener()
    policy, (seen,) = RemovedImagePolicy(listener), observations(listener, 1)
    policy.reset([1, 2], [0, 1])
    for begin_s, slot in ((5.0, 0), (0.0, 1)):
        for later_s in (0.0, SEEN_S - 0.05, SEEN_S + 0.05, 3.0):
            policy.predict([dataclasses.replace(seen, time_s=begin_s + later_s)], [slot])
    is_black = [not any(image.any() for image in told.images.values()) for told in listener.seen]
    assert is_black == [False, False, True, True] * 2
    np.testing.assert_array_equal(listener.seen[2].proprioception, seen.proprioception)
    policy.reset([3], [0])
    policy.predict([dataclasses.replace(seen, time_s=9.0)], [0])
    assert listener.seen[-1].images == seen.images
    assert isinstance(load_policy("removed:zero", TABLETOP_PANDA), RemovedImagePolicy)


def test_a_shuffled_policy_is_told_another_sentence_for_the_whole_episode() -> None:
    listener = Listener()
    policy = ShuffledPolicy(listener, WORDS)
    told = [dataclasses.replace(o, instruction=WORDS[0]) for o in observations(listener, 2)]
    for seed in range(20):
        policy.reset([seed], [3])
        policy.predict(told[:1], [3])
        policy.predict(told[1:], [3])
    words = [seen.instruction for seen in listener.seen]
    assert set(words) == set(WORDS[1:])
    assert words[::2] == words[1::2]


def test_another_wording_of_the_same_task_is_not_another_instruction() -> None:
    listener = Listener()
    words = ["pick up the red block", "lift the red block", "open the drawer"]
    policy = ShuffledPolicy(listener, words, meaning=lambda sentence: "red" in sentence)
    (told,) = observations(listener, 1)
    for seed in range(10):
        policy.reset([seed], [0])
        policy.predict([dataclasses.replace(told, instruction="take the red block")], [0])
    assert {seen.instruction for seen in listener.seen} == {"open the drawer"}


def test_one_sentence_cannot_be_shuffled() -> None:
    with pytest.raises(ConfigError, match="expected sentences of two or more meanings to shuffle, got 1"):
        ShuffledPolicy(FakePolicy(), ["open the drawer"] * 3)


def test_a_frozen_policy_is_found_by_its_name() -> None:
    assert isinstance(load_policy("frozen:zero", TABLETOP_PANDA), FrozenPolicy)
    assert not is_checkpoint("frozen:runs/a")
    assert checkpoint_hash("frozen") == checkpoint_hash("shuffled:pretrained") == checkpoint_hash("pretrained")
    assert checkpoint_hash("frozen:zero") is None

"""Maps of what matters: a planted policy's own region is found, and a map that explains nothing says so."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import ActionChunk, Observation
from vla.testing import SMALL_EMBODIMENT, make_observation
from vla_policies.checkpoint import Checkpoint
from vla_policies.decisions import Decision, Decisions
from vla_policies.faithfulness import Faithfulness, faithfulness, mean_score, verdict
from vla_policies.occlusion import GREY, by_camera, change_of, greyed, occlusion_map, patches
from vla_policies.token_policy import TokenPolicy
from vla_sim.explaining import ExplainConfig, check_explain, explained, summary

CAMERA = SMALL_EMBODIMENT.cameras[0]
ALONG = 4
SIZE = min(CAMERA.height, CAMERA.width) // ALONG
ROW, COLUMN = 2, 1
"""Of the patch that the planted policy looks at."""
REGION = (slice(ROW * SIZE, (ROW + 1) * SIZE), slice(COLUMN * SIZE, (COLUMN + 1) * SIZE))

type Rule = Callable[[Observation], float]


@dataclasses.dataclass
class Planted:
    """A policy whose every action is one number, -1 to 1 of each field's half-range, made of what it sees."""

    rule: Rule
    horizon: int = 2

    @property
    def embodiment(self) -> Embodiment:
        return SMALL_EMBODIMENT

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        pass

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        body = self.embodiment
        middle, half = (body.action_high + body.action_low) / 2, (body.action_high - body.action_low) / 2
        rows = [np.tile(middle + half * self.rule(o), (self.horizon, 1)).astype(np.float32) for o in observations]
        return [ActionChunk(row, o.time_s, 1.0) for row, o in zip(rows, observations, strict=True)]


def region(observation: Observation) -> float:
    return float(observation.images[CAMERA.name][REGION].mean() / 127.5 - 1)


def everything(observation: Observation) -> float:
    return float(np.mean([image.mean() for image in observation.images.values()]) / 127.5 - 1)


def blindly(observation: Observation) -> float:
    return float(observation.proprioception[0])


def chaos(observation: Observation) -> float:
    """Different with every pixel, and no pixel more than another."""
    digest = hashlib.sha256(b"".join(image.tobytes() for image in observation.images.values())).digest()
    return int.from_bytes(digest[:4]) / 2**31 - 1


def seen(seed: int) -> Observation:
    """Bright pictures, so that grey is a change everywhere."""
    generator = np.random.default_rng(seed)
    observation = make_observation(SMALL_EMBODIMENT, seed)
    images = {name: generator.integers(200, 256, image.shape, np.uint8) for name, image in observation.images.items()}
    return dataclasses.replace(observation, images=images)


def decisions_of(rule: Rule, frames: int = 6) -> tuple[Planted, list[Decision]]:
    policy = Planted(rule)
    kept = Decisions(policy, num_observations=frames)
    kept.reset([3])
    for seed in range(frames):
        kept.predict([seen(seed)])
    return policy, kept.finish(0)


def frames_of(rule: Rule, frames: int = 6) -> list[dict[str, object]]:
    policy, kept = decisions_of(rule, frames)
    return explained(policy, kept, 3, ExplainConfig(episodes=1, steps=frames, patches=ALONG))


def test_pictures_are_cut_into_patches_that_cover_every_pixel_once() -> None:
    observation = seen(0)
    counts = {name: np.zeros(image.shape[:2], int) for name, image in observation.images.items()}
    for patch in patches(observation, ALONG):
        counts[patch.camera][patch.pixels] += 1
    assert all((count == 1).all() for count in counts.values())


def test_greying_leaves_the_observation_and_all_other_pixels_as_they_were() -> None:
    observation = seen(0)
    before = {name: image.copy() for name, image in observation.images.items()}
    chosen = patches(observation, ALONG)[:2]
    changed = greyed(observation, chosen)
    is_grey = np.zeros(before[CAMERA.name].shape[:2], bool)
    for patch in chosen:
        is_grey[patch.pixels] = True
    assert (changed.images[CAMERA.name][is_grey] == GREY).all()
    np.testing.assert_array_equal(changed.images[CAMERA.name][~is_grey], before[CAMERA.name][~is_grey])
    for name, image in observation.images.items():
        np.testing.assert_array_equal(image, before[name])


def test_a_policy_that_looks_at_one_region_has_its_map_there_and_a_high_score() -> None:
    for frame in frames_of(region):
        grid = np.array(frame["maps"][CAMERA.name])  # type: ignore[index]
        assert np.unravel_index(grid.argmax(), grid.shape) == (ROW, COLUMN)
        assert (np.delete(grid.ravel(), grid.argmax()) == 0).all()
        assert frame["score"] > 0.7  # type: ignore[operator]
    told = summary(frames_of(region))
    assert told is not None
    assert told["low"] > 0.7
    assert told["verdict"].startswith("The maps point at what matters")


def test_a_policy_that_ignores_pictures_scores_nothing_and_is_told_so() -> None:
    told = summary(frames_of(blindly))
    assert told is not None
    assert (told["score"], told["low"], told["high"], told["largest"]) == (0.0, 0.0, 0.0, 0.0)
    assert "it ignores them, and there is nothing to see" in told["verdict"]


def test_a_map_that_explains_nothing_does_no_better_than_random() -> None:
    told = summary(frames_of(chaos, frames=12))
    assert told is not None
    assert told["low"] <= 0 < told["largest"]
    assert told["verdict"].endswith("do not believe them.")


def test_where_all_patches_matter_alike_no_order_is_much_better() -> None:
    told = summary(frames_of(everything))
    assert told is not None
    assert 0 <= told["score"] < 0.2


def test_a_map_turned_around_scores_below_nothing() -> None:
    policy, (decision, *_) = decisions_of(region)
    assert decision.observation is not None
    cut = patches(decision.observation, ALONG)
    change = change_of(policy, decision, 3)
    importance = occlusion_map(change, decision.observation, cut)
    right, wrong = (
        faithfulness(change, decision.observation, cut, sign * importance, np.random.default_rng(0)).score
        for sign in (1, -1)
    )
    assert wrong < -0.5 < 0.7 < right


def test_tokens_that_become_less_likely_are_the_change_of_a_token_policy(small_checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(small_checkpoint, device="cpu", batch_size=4)
    kept = Decisions(policy, num_observations=1)
    kept.reset([0])
    kept.predict([seen(1)])
    (decision,) = kept.finish(0)
    assert decision.tokens is not None
    change = change_of(policy, decision, 0)
    assert change([seen(1)])[0] == pytest.approx(0, abs=1e-6)
    other = policy.token_log_probability([seen(2)], [decision.tokens.ids])[0]
    own = np.log(decision.tokens.probability).mean()
    assert change([seen(2)])[0] == pytest.approx(own - other, abs=1e-5)


def test_the_same_maps_come_out_again_and_are_json_of_every_camera() -> None:
    one, again = frames_of(region, 2), frames_of(region, 2)
    assert one == again
    assert set(one[0]["maps"]) == {camera.name for camera in SMALL_EMBODIMENT.cameras}  # type: ignore[call-overload]
    cut = patches(seen(0), ALONG)
    grids = by_camera([float(index) for index in range(len(cut))], cut)
    assert [value for grid in grids.values() for row in grid for value in row] == list(range(len(cut)))


@given(st.lists(st.floats(0, 1), min_size=11, max_size=11))
def test_an_order_that_is_as_good_as_random_scores_nothing(curve: list[float]) -> None:
    values = np.array(curve)
    assert Faithfulness(values, values[::-1], values).score == pytest.approx(0, abs=1e-12)


def test_few_frames_have_no_interval_and_no_verdict_of_belief() -> None:
    assert mean_score([0.5] * 4) == (0.5, None, None)
    assert "too few" in verdict(0.5, None, 1.0)
    assert verdict(0.1, 0.05, 1.0).startswith("The maps do better than patches in random order, but not by much")


def test_a_decision_without_its_observation_cannot_be_explained() -> None:
    policy, (decision, *_) = decisions_of(region)
    with pytest.raises(ValueError, match="expected a decision whose observation was kept"):
        change_of(policy, dataclasses.replace(decision, observation=None), 0)


@pytest.mark.parametrize(("name", "value"), [("episodes", -1), ("steps", 0), ("patches", 33), ("orders", 0)])
def test_what_cannot_be_explained_is_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"explain.{name} is from \d+ to \d+, got {value}"):
        check_explain(dataclasses.replace(ExplainConfig(), **{name: value}))

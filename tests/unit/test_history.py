"""Policies that see the frames of several control steps: in training, in a rollout, and where nobody keeps them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ConfigError, ObservationError
from vla.interfaces import ActionChunk, Environment, EpisodeSpec, Observation, Policy, Transition
from vla.model.compact import CompactConfig
from vla.model.vla_model import Head
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode
from vla.testing.fakes import make_observation
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_policies.ablations import FrozenPolicy, RemovedImagePolicy
from vla_policies.baselines import BlindPolicy
from vla_policies.batches import FrameBatches
from vla_policies.checkpoint import Checkpoint, load_checkpoint
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.history import Recollection, history_of, require_present_alone
from vla_policies.model_inputs import InputMaker
from vla_policies.rollout import rollout
from vla_policies.token_policy import TokenPolicy
from vla_policies.train import TrainConfig, train
from vla_policies.trained_policy import trained_policy
from vla_policies.wall_rollout import wall_rollout

STEPS, HISTORY, HORIZON = 7, 3, 2
CPU = torch.device("cpu")


def configured(folder: Path, *, head: Head = Head.SLOTS, history: int = HISTORY) -> TrainConfig:
    store = EpisodeStore.open_or_create(folder / "store", SMALL_EMBODIMENT)
    if not store.index():
        for seed in range(3):
            store.append(make_episode(SMALL_EMBODIMENT, steps=STEPS, seed=seed, lookahead=HORIZON))
    return TrainConfig(
        out=str(folder / "run"),
        data=[str(folder / "store")],
        steps=2,
        batch_size=4,
        horizon=HORIZON,
        vocabulary=9,
        validation_share=0.0,
        log_every=1,
        checkpoint_every=1,
        device="cpu",
        head=head,
        backbone=CompactConfig(width=32, layers=1, heads=2, channels=8, history=history),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(configured(folder))
    return folder


@pytest.fixture
def checkpoint(trained: Path) -> Checkpoint:
    return load_checkpoint(trained / "run")


def observed(seed: int, step: int) -> Observation:
    """Of an episode of noise, with the pictures of the steps before."""
    recollection = Recollection(HISTORY)
    dt_s = SMALL_EMBODIMENT.control_dt_s
    seen = [make_observation(SMALL_EMBODIMENT, 1000 * seed + at, time_s=at * dt_s) for at in range(step + 1)]
    return [recollection.with_past(observation) for observation in seen][-1]


@pytest.mark.parametrize(("head", "batch_size"), [(Head.SLOTS, 2), (Head.FLOW, 1)])
def test_a_policy_with_a_history_keeps_the_contract_of_policies(tmp_path: Path, head: Head, batch_size: int) -> None:
    config = configured(tmp_path, head=head)
    train(config)
    check_policy(
        lambda: trained_policy(load_checkpoint(Path(config.out)), device="cpu", batch_size=batch_size), observe=observed
    )


def test_frames_of_before_reach_what_is_done(checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(checkpoint, device="cpu")
    assert history_of(policy) == HISTORY
    shown = observed(5, 3)
    assert shown.past is not None
    black = tuple({name: np.zeros_like(image) for name, image in images.items()} for images in shown.past)
    (probability,) = policy.predict_with_tokens([shown])[1]
    (without,) = policy.predict_with_tokens([dataclasses.replace(shown, past=black)])[1]
    assert np.abs(probability.probability - without.probability).max() > 1e-6


def test_more_frames_than_a_policy_sees_do_no_harm(checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(checkpoint, device="cpu")
    shown = observed(5, 4)
    assert shown.past is not None
    longer = dataclasses.replace(shown, past=(dict(observed(9, 0).images), *shown.past))
    assert np.array_equal(policy.predict([shown])[0].actions, policy.predict([longer])[0].actions)


def test_training_and_acting_see_the_same_windows(trained: Path, checkpoint: Checkpoint) -> None:
    store = EpisodeStore.open(str(trained / "store"), SMALL_EMBODIMENT)
    frames = load_frames([store], HORIZON, progress=False)
    batches = FrameBatches(
        frames,
        checkpoint.action_tokenizer,
        checkpoint.text_tokenizer,
        checkpoint.backbone.text_tokens,
        checkpoint.state_normalizer,
        CPU,
        shift_pixels=0,
        history=HISTORY,
    )
    drawn = batches.batch(np.arange(STEPS), None)
    recollection, maker = Recollection(HISTORY), InputMaker(checkpoint, STEPS, CPU)
    shown = [
        recollection.with_past(
            Observation(
                {name: images[step] for name, images in frames.images.items()},
                frames.proprioception[step],
                frames.instructions[frames.instruction_index[step]],
                step * SMALL_EMBODIMENT.control_dt_s,
                frozenset(),
            )
        )
        for step in range(STEPS)
    ]
    made = maker.make(shown)
    assert made.past is not None
    assert drawn.past is not None
    assert torch.equal(made.past.is_padding, drawn.past.is_padding)
    assert made.past.is_padding.sum(1).tolist() == [2, 1, 0, 0, 0, 0, 0]
    for name, images in drawn.past.images.items():
        assert torch.equal(made.past.images[name], images)
        assert torch.equal(images[4, 0], torch.from_numpy(frames.images[name][2]))


def test_frames_of_one_sample_are_shifted_alike(trained: Path, checkpoint: Checkpoint) -> None:
    frames = load_frames([EpisodeStore.open(str(trained / "store"), SMALL_EMBODIMENT)], HORIZON, progress=False)
    for images in frames.images.values():
        images[:] = images[:1]  # a scene that stands still
    batches = FrameBatches(
        frames,
        checkpoint.action_tokenizer,
        checkpoint.text_tokenizer,
        checkpoint.backbone.text_tokens,
        checkpoint.state_normalizer,
        CPU,
        shift_pixels=3,
        history=HISTORY,
    )
    drawn = batches.batch(np.arange(STEPS), torch.Generator().manual_seed(0))
    assert drawn.past is not None
    for name, images in drawn.images.items():
        assert torch.equal(drawn.past.images[name], images[:, None].expand_as(drawn.past.images[name]))
        assert (images != images[:1]).any()


class NoiseWorld:
    """Pictures of noise that show the seed and the step; an episode takes `STEPS` actions."""

    embodiment: Embodiment = SMALL_EMBODIMENT

    def reset(self, spec: EpisodeSpec) -> Observation:
        self._seed, self._step = spec.seed, 0
        return self._seen()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        self._step += 1
        is_over = self._step == STEPS
        return Transition(self._seen(), action, terminated=False, truncated=is_over, success=False)

    def close(self) -> None:
        """Nothing to close."""

    def _seen(self) -> Observation:
        time_s = self._step * SMALL_EMBODIMENT.control_dt_s
        return make_observation(SMALL_EMBODIMENT, 1000 * self._seed + self._step, time_s=time_s)


class Watcher:
    """Another policy, whose observations are kept by episode."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.shown: dict[tuple[int, float], Observation] = {}
        self._seeds: dict[int, int] = {}

    embodiment, horizon, history = SMALL_EMBODIMENT, HORIZON, HISTORY

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._seeds.update(zip(slots or [0], seeds, strict=True))

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        for observation, slot in zip(observations, slots or [0], strict=True):
            self.shown[self._seeds[slot], round(observation.time_s, 6)] = observation
        return self._policy.predict(observations, slots, committed)


EVERY_SECOND = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=2)


@pytest.mark.parametrize("num_slots", [1, 2])
def test_a_rollout_shows_every_control_step_also_those_without_a_prediction(
    checkpoint: Checkpoint, num_slots: int
) -> None:
    watcher = Watcher(TokenPolicy(checkpoint, device="cpu"))
    worlds: list[Environment] = [NoiseWorld() for _ in range(num_slots)]
    specs = [EpisodeSpec("reach", seed) for seed in (3, 4, 5)]
    assert [result.error for result in rollout(watcher, worlds, specs, EVERY_SECOND)] == [None] * 3
    _check_shown(watcher.shown, (3, 4, 5))


def _check_shown(shown: Mapping[tuple[int, float], Observation], seeds: tuple[int, ...]) -> None:
    dt_s = SMALL_EMBODIMENT.control_dt_s
    assert {seed for seed, _ in shown} == set(seeds)
    for (seed, time_s), observation in shown.items():
        step, past = round(time_s / dt_s), observation.past
        assert past is not None
        assert len(past) == min(step, HISTORY - 1)
        for age, images in zip(range(len(past), 0, -1), past, strict=True):
            true = make_observation(SMALL_EMBODIMENT, 1000 * seed + step - age).images
            assert all(np.array_equal(images[name], true[name]) for name in true)


def test_actions_do_not_depend_on_how_many_act_beside(checkpoint: Checkpoint) -> None:
    def actions(num_slots: int) -> dict[int, np.ndarray]:
        worlds: list[Environment] = [NoiseWorld() for _ in range(num_slots)]
        specs = [EpisodeSpec("reach", seed) for seed in (3, 4, 5)]
        policy = TokenPolicy(checkpoint, device="cpu")
        return {result.spec.seed: result.actions for result in rollout(policy, worlds, specs, EVERY_SECOND)}

    alone, together = actions(1), actions(3)
    assert all(np.array_equal(alone[seed], together[seed]) for seed in alone)


def test_a_rollout_by_the_clock_shows_the_same_frames(checkpoint: Checkpoint) -> None:
    from vla.clock import VirtualClock

    watcher = Watcher(TokenPolicy(checkpoint, device="cpu"))
    ((result, _),) = wall_rollout(watcher, NoiseWorld(), [EpisodeSpec("reach", 3)], EVERY_SECOND, clock=VirtualClock())
    assert result.error is None
    _check_shown(watcher.shown, (3,))


def test_a_frame_without_its_past_is_refused(checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(checkpoint, device="cpu")
    with pytest.raises(ObservationError, match="sees 3 frames at once, and was shown one"):
        policy.predict([make_observation(SMALL_EMBODIMENT, 0)])
    with pytest.raises(ConfigError, match="sees 3 frames at once, and a client shows it one"):
        require_present_alone(policy, "a client")


def test_a_past_with_a_picture_of_another_size_is_refused(checkpoint: Checkpoint) -> None:
    shown = observed(1, 2)
    name = SMALL_EMBODIMENT.cameras[0].name
    spoiled = dataclasses.replace(shown, past=({**shown.images, name: np.zeros((3, 3, 3), np.uint8)},))
    with pytest.raises(ObservationError, match=name):
        TokenPolicy(checkpoint, device="cpu").predict([spoiled])


def test_what_takes_pictures_away_takes_those_of_before_too(checkpoint: Checkpoint) -> None:
    inner = Watcher(TokenPolicy(checkpoint, device="cpu"))
    dt_s = SMALL_EMBODIMENT.control_dt_s
    blind, frozen, removed = BlindPolicy(inner), FrozenPolicy(inner), RemovedImagePolicy(inner)
    assert history_of(blind) == history_of(frozen) == history_of(removed) == HISTORY
    name = SMALL_EMBODIMENT.cameras[0].name

    def shown_by(policy: Policy, steps: int) -> tuple[np.ndarray, list[np.ndarray]]:
        policy.reset([2], [0])
        for step in range(steps + 1):
            policy.predict([observed(2, step)], [0])
        seen = inner.shown[2, round(steps * dt_s, 6)]
        assert seen.past is not None
        return seen.images[name], [images[name] for images in seen.past]

    present, past = shown_by(blind, 2)
    assert not present.any()
    assert not any(image.any() for image in past)
    first = make_observation(SMALL_EMBODIMENT, 2000).images[name]
    present, past = shown_by(frozen, 2)
    assert all(np.array_equal(image, first) for image in (present, *past))
    gone = next(step for step in range(50) if step * dt_s >= 0.35)
    present, past = shown_by(removed, gone)
    assert not present.any()
    assert all(image.any() for image in past)
    present, past = shown_by(removed, gone + 1)
    assert [bool(image.any()) for image in past] == [True, False]


def test_a_run_of_before_there_were_histories_goes_on(tmp_path: Path) -> None:
    import json

    config = configured(tmp_path, history=1)
    train(dataclasses.replace(config, steps=2))
    manifest = tmp_path / "run" / "checkpoint.json"
    tree = json.loads(manifest.read_text())
    del tree["config"]["backbone"]["history"], tree["config"]["pretrained"]["history"], tree["backbone"]["history"]
    manifest.write_text(json.dumps(tree))
    train(config)  # nothing is left to do, and nothing to complain about


def test_a_history_of_no_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="history counts the present frame: expected 1 or more, got 0"):
        train(configured(tmp_path, history=0))

"""Policies whose heads say numbers, against the policy's contract and the loop's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from vla.errors import CheckpointError, StatisticsError
from vla.interfaces import EpisodeSpec
from vla.model.continuous import ExpertConfig
from vla.model.vla_model import Head
from vla.normalization import Statistics
from vla.testing import SMALL_EMBODIMENT, check_policy, make_observation
from vla.testing.fakes import INSTRUCTION, FakeEnvironment
from vla_policies.checkpoint import MANIFEST, Checkpoint, load_checkpoint, make_model, save_checkpoint
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.continuous_policy import ContinuousPolicy
from vla_policies.loading import load_policy
from vla_policies.rollout import rollout
from vla_policies.token_policy import TokenPolicy
from vla_policies.trained_policy import trained_policy

CONTINUOUS = tuple(head for head in Head if head.is_continuous)
EXPERT = ExpertConfig(width=16, layers=1, heads=2, euler_steps=4)


def untrained(small: Checkpoint, head: Head, scale: float = 0.01) -> Checkpoint:
    """A model of the made-up robot whose flow is not the untrained one, which stands still."""
    torch.manual_seed(1)
    model = make_model(small.embodiment, small.action_tokenizer, small.text_tokenizer, small.backbone, head, EXPERT)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, tensor in weights.items():
        if name.startswith("continuous.leave"):
            tensor.normal_()
    dim = SMALL_EMBODIMENT.action_dim
    actions = np.random.default_rng(0).normal(scale=scale, size=(64, dim))
    statistics = Statistics.of(actions, [field.name for field in SMALL_EMBODIMENT.action]).without_values()
    return dataclasses.replace(small, head=head, weights=weights, expert=EXPERT, action_statistics=statistics)


@pytest.fixture(params=CONTINUOUS)
def checkpoint(request: pytest.FixtureRequest, small_checkpoint: Checkpoint) -> Checkpoint:
    return untrained(small_checkpoint, request.param)


@pytest.fixture
def flow(small_checkpoint: Checkpoint) -> Checkpoint:
    return untrained(small_checkpoint, Head.FLOW)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_policy_that_says_numbers_keeps_the_policy_contract(checkpoint: Checkpoint, batch_size: int) -> None:
    check_policy(lambda: ContinuousPolicy(checkpoint, device="cpu", batch_size=batch_size))


def test_the_noise_of_a_flow_follows_from_the_seed_and_the_chunks_so_far(flow: Checkpoint) -> None:
    policy, observation = ContinuousPolicy(flow, device="cpu"), make_observation(SMALL_EMBODIMENT, 0)

    def chunks(seed: int) -> list[np.ndarray]:
        policy.reset([seed])
        return [policy.predict([observation])[0].actions for _ in range(2)]

    first, again, other = chunks(1), chunks(1), chunks(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_a_refused_observation_does_not_move_the_noise_on(flow: Checkpoint) -> None:
    policy, good = ContinuousPolicy(flow, device="cpu"), make_observation(SMALL_EMBODIMENT, 0)
    bad = dataclasses.replace(good, images={})
    policy.reset([1, 2])
    with pytest.raises(Exception, match="lacks camera"):
        policy.predict([good, bad])
    after_refusal = policy.predict([good])[0].actions
    policy.reset([1])
    np.testing.assert_array_equal(policy.predict([good])[0].actions, after_refusal)


@pytest.mark.parametrize("head", CONTINUOUS)
def test_actions_stay_within_the_limits(small_checkpoint: Checkpoint, head: Head) -> None:
    policy = ContinuousPolicy(untrained(small_checkpoint, head, scale=100.0), device="cpu")
    chunks = policy.predict([make_observation(SMALL_EMBODIMENT, seed) for seed in range(20)])
    actions = np.stack([chunk.actions for chunk in chunks])
    assert (actions >= SMALL_EMBODIMENT.action_low).all()
    assert (actions <= SMALL_EMBODIMENT.action_high).all()
    assert (actions == SMALL_EMBODIMENT.action_high).any()


@pytest.mark.parametrize("mode", ExecutionMode)
def test_outcomes_do_not_depend_on_how_many_worlds_there_are(checkpoint: Checkpoint, mode: ExecutionMode) -> None:
    late = SMALL_EMBODIMENT.control_dt_s
    overlaps = mode in (ExecutionMode.ASYNCHRONOUS, ExecutionMode.REAL_TIME_CHUNKING)
    execution = ExecutionConfig(mode=mode, delay_s=late if overlaps else 0.0)
    specs = [EpisodeSpec("far", seed, instruction=INSTRUCTION) for seed in range(5)]

    def actions(worlds: int) -> list[np.ndarray]:
        policy = ContinuousPolicy(checkpoint, device="cpu")
        environments = [FakeEnvironment(max_steps=6) for _ in range(worlds)]
        results = sorted(rollout(policy, environments, specs, execution), key=lambda result: result.index)
        assert [result.error for result in results] == [None] * len(specs)
        return [result.actions for result in results]

    for alone, beside in zip(actions(1), actions(3), strict=True):
        np.testing.assert_array_equal(alone, beside)


def test_a_checkpoint_of_numbers_reads_back_whole_and_acts_the_same(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint)
    copy = load_checkpoint(tmp_path)
    assert (copy.head, copy.expert) == (checkpoint.head, EXPERT)
    assert copy.action_statistics is not None
    assert checkpoint.action_statistics is not None
    assert copy.action_statistics.to_json() == checkpoint.action_statistics.to_json()
    loaded = load_policy(str(tmp_path), SMALL_EMBODIMENT)
    assert isinstance(loaded, ContinuousPolicy)
    given = ContinuousPolicy(checkpoint)
    for policy in (loaded, given):
        policy.reset([4])
    observation = make_observation(SMALL_EMBODIMENT, 3)
    np.testing.assert_array_equal(loaded.predict([observation])[0].actions, given.predict([observation])[0].actions)


def test_statistics_of_actions_are_not_done_without(checkpoint: Checkpoint, tmp_path: Path) -> None:
    without = dataclasses.replace(checkpoint, action_statistics=None)
    with pytest.raises(StatisticsError, match=f"head={checkpoint.head.value} says actions as numbers"):
        ContinuousPolicy(without)
    with pytest.raises(StatisticsError, match="their statistics are absent"):
        save_checkpoint(tmp_path, without)
    save_checkpoint(tmp_path, checkpoint)
    manifest = tmp_path / MANIFEST
    manifest.write_text(manifest.read_text().replace('"action_statistics"', '"other"'))
    with pytest.raises(CheckpointError, match="not a whole checkpoint: KeyError: 'action_statistics'"):
        load_checkpoint(tmp_path)


def test_the_head_says_which_policy_acts(small_checkpoint: Checkpoint, checkpoint: Checkpoint) -> None:
    assert isinstance(trained_policy(checkpoint), ContinuousPolicy)
    assert isinstance(trained_policy(small_checkpoint), TokenPolicy)
    with pytest.raises(CheckpointError, match="expected a head that says numbers, got head=slots"):
        ContinuousPolicy(small_checkpoint)


def test_more_euler_steps_change_what_a_flow_does_and_nothing_else(flow: Checkpoint) -> None:
    finer = dataclasses.replace(flow, expert=dataclasses.replace(EXPERT, euler_steps=32))
    observation = make_observation(SMALL_EMBODIMENT, 0)
    coarse, fine = (ContinuousPolicy(some).predict([observation])[0].actions for some in (flow, finer))
    assert not np.array_equal(coarse, fine)

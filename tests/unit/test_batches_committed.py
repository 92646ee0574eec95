"""Samples that begin with actions committed to: what was done, then what the expert does after it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from vla.normalization import Normalizer, Scheme
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import Frames, load_frames
from vla_policies.batches import Batch, FrameBatches

HORIZON, STEPS = 4, 6
DIM = SMALL_EMBODIMENT.action_dim


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    store = EpisodeStore.create(tmp_path_factory.mktemp("store") / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, steps=STEPS, seed=seed, lookahead=HORIZON))
    return load_frames([store], HORIZON, progress=False)


def batch(frames: Frames, share: float, indices: list[int], *, is_training: bool = True) -> tuple[Batch, BinTokenizer]:
    tokenizer = BinTokenizer.fit(frames.chunks, SMALL_EMBODIMENT, 4096)
    text = TextTokenizer.train(list(frames.instructions), vocabulary_size=270)
    statistics = frames.statistics()["proprioception"].without_values()
    normalizer = Normalizer.of(statistics, SMALL_EMBODIMENT.proprioception, Scheme.DEVIATION)
    batches = FrameBatches(
        frames, tokenizer, text, 64, normalizer, torch.device("cpu"), shift_pixels=0, committed_share=share
    )
    generator = torch.Generator().manual_seed(0) if is_training else None
    return batches.batch(np.array(indices), generator), tokenizer


def test_a_committed_sample_is_what_was_done_and_then_what_the_expert_does(frames: Frames) -> None:
    indices = [*range(len(frames))] * 8
    drawn, tokenizer = batch(frames, 1.0, indices)
    assert drawn.forced is not None
    executed, imitated = tokenizer.encode_batch(frames.executed()), tokenizer.encode_batch(frames.chunks)
    counts = (drawn.forced >= 0).sum(1).tolist()
    assert set(counts) == {0, DIM, 2 * DIM}
    for row, (index, count) in enumerate(zip(indices, counts, strict=True)):
        later = index + count // DIM
        expected = [*executed[index][:count], *imitated[later][: HORIZON * DIM - count]]
        assert drawn.actions[row].tolist() == expected
        assert frames.episode_index[later] == frames.episode_index[index]


def test_what_is_committed_to_does_not_count(frames: Frames) -> None:
    drawn, _ = batch(frames, 1.0, [*range(len(frames))])
    assert drawn.forced is not None
    assert drawn.is_padding[drawn.forced >= 0].all()


def test_the_last_frame_of_an_episode_commits_to_nothing(frames: Frames) -> None:
    drawn, _ = batch(frames, 1.0, [STEPS - 1] * 16)
    assert drawn.forced is not None
    assert (drawn.forced < 0).all()


@pytest.mark.parametrize(("share", "is_training"), [(0.0, True), (1.0, False)])
def test_without_a_share_or_a_generator_nothing_is_committed_to(
    frames: Frames, share: float, is_training: bool
) -> None:
    drawn, tokenizer = batch(frames, share, [0, 3], is_training=is_training)
    assert drawn.forced is None
    assert drawn.actions.tolist() == tokenizer.encode_batch(frames.chunks[[0, 3]]).tolist()


def test_executed_actions_stop_at_the_end_of_their_episode(frames: Frames) -> None:
    executed = frames.executed()
    np.testing.assert_array_equal(executed[STEPS - 2, 0], frames.actions[STEPS - 2])
    for ahead in (1, 2, 3):
        np.testing.assert_array_equal(executed[STEPS - 2, ahead], frames.actions[STEPS - 1])


def test_steps_left_count_down_in_each_episode(frames: Frames) -> None:
    assert frames.steps_left.tolist() == [*range(STEPS - 1, -1, -1)] * 3
    assert dataclasses.replace(frames).steps_left.dtype == np.int32

"""Chunks as numbers: the same actions as the tokens stand for, in units of the training data's deviations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla.errors import StatisticsError
from vla.model.continuous import ChunkTargets
from vla.normalization import Normalizer, Scheme, Statistics
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.files import fit_tokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import Frames, load_frames
from vla_policies.batches import Batch, FrameBatches
from vla_policies.chunk_batches import ChunkBatches, action_normalizer

HORIZON, STEPS = 4, 6
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    store = EpisodeStore.create(tmp_path_factory.mktemp("store") / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, steps=STEPS, seed=seed))
    return load_frames([store], HORIZON, progress=False)


@pytest.fixture(scope="module")
def units(frames: Frames) -> Normalizer:
    return action_normalizer(frames.statistics()["actions"], SMALL_EMBODIMENT)


def targets(
    frames: Frames, units: Normalizer, index: list[int], steps: list[int] | None = None, seed: int | None = 0
) -> ChunkTargets:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    committed = None if steps is None else torch.tensor(steps)
    return ChunkBatches(frames, units, CPU).targets(torch.tensor(index), committed, generator)


def test_numbers_are_chunks_in_units_of_their_deviation(frames: Frames, units: Normalizer) -> None:
    drawn = targets(frames, units, [*range(len(frames))])
    counted = drawn.actions[~drawn.is_padding]
    torch.testing.assert_close(counted.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(counted.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)
    np.testing.assert_allclose(units.unnormalise(drawn.actions.numpy()), frames.chunks, atol=1e-7)


def test_what_lies_behind_the_end_of_the_episode_does_not_count(frames: Frames, units: Normalizer) -> None:
    drawn = targets(frames, units, [STEPS - 1, STEPS - 2, 0])
    assert drawn.is_padding.tolist() == [
        [False, True, True, True],
        [False, False, True, True],
        [False, False, False, False],
    ]


def test_a_chunk_goes_on_after_what_is_committed_to(frames: Frames, units: Normalizer) -> None:
    drawn = targets(frames, units, [0, 0, 1], [0, 2, 1])
    chunks, executed = units.normalise(frames.chunks), units.normalise(frames.executed())
    np.testing.assert_array_equal(drawn.actions[0], chunks[0])
    np.testing.assert_array_equal(drawn.actions[1], np.concatenate([executed[0, :2], chunks[2, :2]]))
    np.testing.assert_array_equal(drawn.actions[2], np.concatenate([executed[1, :1], chunks[2, :3]]))
    assert drawn.is_committed.sum(1).tolist() == [0, 2, 1]
    assert drawn.is_padding[drawn.is_committed].all()


def test_noise_follows_from_the_generator_alone(frames: Frames, units: Normalizer) -> None:
    one, same, other = (targets(frames, units, [0, 5], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.noise, same.noise)
    assert torch.equal(one.time, same.time)
    assert not torch.equal(one.noise, other.noise)
    validations = [targets(frames, units, [0, 5], seed=None) for _ in range(2)]
    assert torch.equal(validations[0].noise, validations[1].noise)


def test_statistics_of_other_fields_are_refused() -> None:
    with pytest.raises(StatisticsError, match="5 fields, got 2"):
        action_normalizer(Statistics.of(np.random.default_rng(0).random((9, 2))), SMALL_EMBODIMENT)


# --------------------------------------------------------------------------- beside tokens


def batch(frames: Frames, units: Normalizer | None, tokenizer: str, share: float, *, trims_text: bool = False) -> Batch:
    statistics = frames.statistics()["proprioception"].without_values()
    batches = FrameBatches(
        frames,
        fit_tokenizer(tokenizer, frames.chunks, SMALL_EMBODIMENT, 512),
        TextTokenizer.train(list(frames.instructions), vocabulary_size=270),
        64,
        Normalizer.of(statistics, SMALL_EMBODIMENT.proprioception, Scheme.DEVIATION),
        CPU,
        shift_pixels=1,
        committed_share=share,
        chunks=None if units is None else ChunkBatches(frames, units, CPU),
        trims_text=trims_text,
    )
    return batches.batch(np.arange(len(frames)), torch.Generator().manual_seed(3))


def test_numbers_and_tokens_stand_for_the_same_actions(frames: Frames, units: Normalizer) -> None:
    drawn = batch(frames, units, "bins", 1.0)
    assert drawn.chunks is not None
    assert drawn.chunks.is_committed.any()
    tokenizer = fit_tokenizer("bins", frames.chunks, SMALL_EMBODIMENT, 512)
    assert isinstance(tokenizer, BinTokenizer)
    said = units.unnormalise(drawn.chunks.actions.numpy())
    np.testing.assert_array_equal(tokenizer.encode_batch(said), drawn.actions.numpy())


def test_what_tokens_are_given_does_not_depend_on_whether_numbers_are(frames: Frames, units: Normalizer) -> None:
    with_numbers, without = batch(frames, units, "bins", 0.5), batch(frames, None, "bins", 0.5)
    assert without.chunks is None
    for name in ("text", "state", "actions", "is_padding", "points", "forced"):
        one, other = getattr(with_numbers, name), getattr(without, name)
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert all(torch.equal(with_numbers.images[name], image) for name, image in without.images.items())


def test_a_batch_of_trimmed_text_ends_with_its_longest_instruction(frames: Frames) -> None:
    """Its text is that of a batch with room for 64 tokens, and so is the rest."""
    whole, cut = batch(frames, None, "bins", 0.0), batch(frames, None, "bins", 0.0, trims_text=True)
    longest = int((~whole.text_is_padding).sum(1).max())
    assert cut.text.shape[1] == longest < 64
    assert torch.equal(cut.text, whole.text[:, :longest])
    assert torch.equal(cut.text_is_padding, whole.text_is_padding[:, :longest])
    assert torch.equal(cut.state, whole.state)


def test_tokens_of_whole_chunks_do_not_count_where_numbers_are_committed_to(frames: Frames, units: Normalizer) -> None:
    drawn = batch(frames, units, "vq", 1.0)
    assert drawn.chunks is not None
    commits = drawn.chunks.is_committed.any(1)
    assert commits.any()
    assert drawn.is_padding[commits].all()
    assert not drawn.is_padding[~commits].all(1).any()

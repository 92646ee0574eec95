from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import Frames, executed_chunks, load_frames, lookahead_chunks

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def signed_episode(seed: int, steps: int) -> Episode:
    """An episode whose every number says (seed, step)."""
    episode = make_episode(SMALL_EMBODIMENT, steps, seed, instruction=f"instruction {seed % 3}")
    signature = (100 * seed + np.arange(steps, dtype=np.float32))[:, None]
    for images in episode.images.values():
        images[:] = (16 * seed + np.arange(steps))[:, None, None, None]
    return dataclasses.replace(
        episode,
        proprioception=np.repeat(signature, SMALL_EMBODIMENT.state_dim, axis=1),
        actions=np.repeat(signature, SMALL_EMBODIMENT.action_dim, axis=1),
    )


def frames_of(lengths: list[int], horizon: int) -> Frames:
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore.create(Path(folder) / "store", SMALL_EMBODIMENT)
        for seed, steps in enumerate(lengths):
            store.append(signed_episode(seed, steps))
        return load_frames([store], horizon)


@given(LENGTHS, st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=15)
def test_no_window_crosses_an_episode(lengths: list[int], horizon: int, history: int) -> None:
    frames = frames_of(lengths, horizon)
    windows = frames.windows(np.arange(len(frames)), history)
    own = frames.episode_index[:, None]
    assert (windows.proprioception[:, :, 0] // 100 == own).all()
    assert (windows.chunks[:, :, 0] // 100 == own).all()
    assert (windows.images["scene"][:, :, 0, 0, 0] // 16 == own).all()


@given(LENGTHS, st.integers(1, 6))
@settings(max_examples=15)
def test_a_chunk_is_the_next_actions_then_padding(lengths: list[int], horizon: int) -> None:
    frames = frames_of(lengths, horizon)
    ahead = frames.step_index[:, None] + np.arange(horizon)
    last = np.array(lengths)[frames.episode_index][:, None] - 1
    np.testing.assert_array_equal(frames.chunk_padding, ahead > last)
    np.testing.assert_array_equal(frames.chunks[:, :, 0] % 100, np.minimum(ahead, last))
    assert not frames.chunk_padding[:, 0].any()


@given(LENGTHS, st.integers(1, 5))
@settings(max_examples=15)
def test_a_history_is_the_last_observations_after_padding(lengths: list[int], history: int) -> None:
    frames = frames_of(lengths, 2)
    windows = frames.windows(np.arange(len(frames)), history)
    behind = frames.step_index[:, None] - np.arange(history - 1, -1, -1)
    np.testing.assert_array_equal(windows.history_padding, behind < 0)
    np.testing.assert_array_equal(windows.proprioception[:, :, 0] % 100, np.maximum(behind, 0))
    assert not windows.history_padding[:, -1].any()


@given(LENGTHS)
@settings(max_examples=10)
def test_every_frame_of_every_episode_is_there_once(lengths: list[int]) -> None:
    frames = frames_of(lengths, 1)
    expected = np.concatenate([100 * seed + np.arange(steps) for seed, steps in enumerate(lengths)])
    np.testing.assert_array_equal(frames.proprioception[:, 0], expected)
    np.testing.assert_array_equal(frames.images["wrist"][:, 0, 0, 0], 16 * (expected // 100) + expected % 100)
    told = [frames.instructions[i] for i in frames.instruction_index]
    assert told == [f"instruction {seed % 3}" for seed in expected.astype(int) // 100]


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 3), st.integers(0, 2**32))
def test_a_lookahead_counts_up_to_its_first_nan(steps: int, horizon: int, spare: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.normal(size=(steps, horizon + spare, 2)).astype(np.float32)
    known = generator.integers(0, horizon + 1, steps)
    for row, num in enumerate(known):
        labels[row, num:] = np.nan
    chunks, padding = lookahead_chunks(labels, horizon)
    np.testing.assert_array_equal(padding, np.arange(horizon) >= known[:, None])
    np.testing.assert_array_equal(chunks[~padding], labels[:, :horizon][~padding])
    assert np.isfinite(chunks).all()


@given(st.integers(1, 8), st.integers(1, 12))
def test_padding_repeats_the_last_action(steps: int, horizon: int) -> None:
    actions = np.arange(steps, dtype=np.float32)[:, None]
    chunks, padding = executed_chunks(actions, horizon)
    assert (chunks[padding] == steps - 1).all()
    assert padding.sum() == sum(max(0, horizon - left) for left in range(1, steps + 1))

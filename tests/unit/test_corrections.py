"""Steps at which a human corrected a policy are drawn as often as was said."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.small_runs import small_run
from vla.errors import ConfigError
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_policies.batches import FrameBatches
from vla_policies.corrections import MOST, drawn_rows
from vla_policies.train import train

ROWS = np.arange(6)
CORRECTED = np.array([False, False, True, True, False, False])


def driven(seed: int, human: list[int] | None) -> Episode:
    """An episode of ten steps as a run leaves it; `human` is its label."""
    episode = make_episode(SMALL_EMBODIMENT, steps=10, seed=seed)
    labels = {} if human is None else {"human": np.array(human, np.uint8)}
    return dataclasses.replace(episode, labels=labels)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Five episodes that a human drove alone or a policy alone, and one in which a policy was corrected three times."""
    made = EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed, human in enumerate([None, [1] * 10, [0] * 10, None, [0, 0, 0, 0, 1, 1, 1, 0, 0, 0], [0] * 10]):
        made.append(driven(seed, human))
    return tmp_path / "store"


def test_a_weight_of_one_leaves_every_row_once() -> None:
    assert drawn_rows(ROWS, CORRECTED, 1.0, 0).tolist() == ROWS.tolist()


def test_a_whole_weight_is_how_often_a_correction_comes() -> None:
    assert drawn_rows(ROWS, CORRECTED, 3.0, 0).tolist() == [0, 1, 2, 2, 2, 3, 3, 3, 4, 5]


@given(
    is_correction=arrays.arrays(np.bool_, st.integers(1, 60)).filter(lambda flags: flags.any()),
    weight=st.floats(0.01, 20.0),
    seed=st.integers(0, 5),
)
def test_corrections_come_by_their_weight_and_all_else_once(
    is_correction: np.ndarray, weight: float, seed: int
) -> None:
    rows = np.arange(len(is_correction))
    drawn = drawn_rows(rows, is_correction, weight, seed)
    times = np.bincount(drawn, minlength=len(rows))
    assert (times[~is_correction] == 1).all()
    assert abs(times[is_correction].sum() - weight * is_correction.sum()) <= 0.5 + 1e-6
    assert set(times[is_correction]) <= {math.floor(weight), math.floor(weight) + 1}
    assert np.array_equal(drawn, drawn_rows(rows, is_correction, weight, seed))


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf, MOST + 1])
def test_a_weight_out_of_range_is_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="correction_weight must be above 0 and at most 1000, got"):
        drawn_rows(ROWS, CORRECTED, weight, 0)


def test_a_weight_with_nothing_to_weigh_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the stores have none to train on: give one that `vla deploy keep.store=`"):
        drawn_rows(ROWS, np.zeros(6, np.bool_), 2.0, 0)


def test_corrections_are_steps_of_a_human_in_an_episode_where_a_policy_acted_too(store: Path) -> None:
    frames = load_frames([EpisodeStore.open(store)], 2, progress=False)
    where = np.flatnonzero(frames.is_correction)
    assert frames.step_index[where].tolist() == [4, 5, 6]
    assert [frames.episodes[index].seed for index in frames.episode_index[where]] == [4, 4, 4]


def test_training_draws_corrections_by_their_weight(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    batch = FrameBatches.batch

    def recorded(self: FrameBatches, indices: np.ndarray, generator: Any, *more: Any) -> Any:
        drawn.extend(indices if generator is not None else [])
        return batch(self, indices, generator, *more)

    monkeypatch.setattr(FrameBatches, "batch", recorded)
    config = small_run(tmp_path, data=[str(store)], correction_weight=19.0, batch_size=19, validation_share=0.0)
    train(config)
    # An epoch: 57 rows once, three corrections nineteen times, six batches of nineteen.
    frames = load_frames([EpisodeStore.open(store)], 2, progress=False)
    times = np.bincount(drawn, minlength=60)
    assert (times[frames.is_correction] == 19).all()
    assert (times[~frames.is_correction] == 1).all()


def test_a_run_does_not_go_on_with_another_weight(store: Path, tmp_path: Path) -> None:
    config = small_run(tmp_path, data=[str(store)], correction_weight=2.0, steps=2, checkpoint_every=1)
    train(config)
    with pytest.raises(ConfigError, match="another configuration \\(correction_weight\\)"):
        train(dataclasses.replace(config, correction_weight=3.0))

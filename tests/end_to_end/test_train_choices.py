"""`vla train`: which episodes are taken, and how their instructions become tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vla.model.compact import CompactConfig
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.text import TextTokenizer
from vla_datasets.store import EpisodeStore
from vla_policies.checkpoint import load_checkpoint
from vla_policies.train import TrainConfig, Words, train

SENTENCE = "unscrew the turquoise flask"


def _config(tmp_path: Path) -> TrainConfig:
    store = EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(4):
        episode = make_episode(SMALL_EMBODIMENT, steps=10, seed=seed)
        store.append(dataclasses.replace(episode, success=seed > 0, instruction=SENTENCE))
    return TrainConfig(
        out=str(tmp_path / "run"),
        data=[str(store.path)],
        steps=1,
        batch_size=8,
        horizon=2,
        vocabulary=9,
        validation_share=0.0,
        device="cpu",
        backbone=CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=24),
    )


def test_failed_episodes_can_be_left_out(tmp_path: Path) -> None:
    config = _config(tmp_path)
    train(config)
    assert load_checkpoint(Path(config.out)).statistics.count == 40
    train(dataclasses.replace(config, out=str(tmp_path / "other"), only_successes=True))
    assert load_checkpoint(tmp_path / "other").statistics.count == 30


def test_words_can_be_fitted_to_the_data(tmp_path: Path) -> None:
    config = dataclasses.replace(_config(tmp_path), words=Words.FITTED)
    train(config)
    assert len(load_checkpoint(Path(config.out)).text_tokenizer.encode(SENTENCE)) == 4
    assert len(TextTokenizer.shipped().encode(SENTENCE)) > 4

"""Runs of `vla train` that take seconds, on stores of made-up episodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from vla.model.compact import CompactConfig
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_policies.train import TrainConfig

SMALL = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8)
"""The smallest backbone that has every part."""


def fill_store(path: Path, *, episodes: int = 6, steps: int = 10) -> None:
    """Make a store of the made-up robot's episodes, seeds 0 and up."""
    store = EpisodeStore.open_or_create(path, SMALL_EMBODIMENT)
    for seed in range(episodes):
        store.append(make_episode(SMALL_EMBODIMENT, steps=steps, seed=seed, lookahead=2))


def small_run(folder: Path, **changes: Any) -> TrainConfig:
    """A run into `folder/run`, on `folder/store`; six steps, but for what is to be another way."""
    small = TrainConfig(
        out=str(folder / "run"),
        data=[str(folder / "store")],
        steps=6,
        batch_size=8,
        horizon=2,
        vocabulary=9,
        validation_share=0.2,
        log_every=1,
        checkpoint_every=2,
        device="cpu",
        backbone=SMALL,
    )
    return dataclasses.replace(small, **changes)

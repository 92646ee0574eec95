"""Reading episodes: what the store's checksums and compression cost against plain arrays in one `.npz` an episode.

Here the contender is not meant to be faster: the figure is the price of noticing every altered byte.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.comparison import Comparison
from vla.interfaces import Episode
from vla_datasets.store import EpisodeStore
from vla_sim.demonstrations import demonstrate
from vla_sim.embodiments import TABLETOP_PANDA

EPISODES = 10


def comparisons() -> list[Comparison]:
    folder = Path(tempfile.mkdtemp(prefix="vla-reading-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    store = EpisodeStore.create(folder / "store", TABLETOP_PANDA)
    for seed in range(EPISODES):
        episode = demonstrate("reach", seed)
        store.append(episode)
        _save(folder / f"{seed}.npz", episode)
    return [
        Comparison(
            claim="episodes with every byte checked, against uncompressed .npz without checks",
            baseline=lambda: [_load(folder / f"{seed}.npz") for seed in range(EPISODES)],
            contender=lambda: [store.read(key) for key in store],
            work=EPISODES,
            unit="episodes",
            settings={
                "store_bytes": _bytes(folder / "store"),
                "npz_bytes": sum(path.stat().st_size for path in folder.glob("*.npz")),
            },
        )
    ]


def _save(path: Path, episode: Episode) -> None:
    arrays = {"proprioception": episode.proprioception, "actions": episode.actions, "times_s": episode.times_s}
    np.savez(path, allow_pickle=False, **arrays, **episode.images, **episode.labels)


def _load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

"""Record demonstrations into a store, and read windows of training samples out of it.

Usage: python examples/02_record_and_read.py [STORE]
"""

from __future__ import annotations

import sys

import numpy as np

from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_sim.demonstrations import demonstrate
from vla_sim.embodiments import TABLETOP_PANDA


def main(path: str = "demonstrations") -> None:
    store = EpisodeStore.open_or_create(path, TABLETOP_PANDA)
    for seed in range(2):
        if not store.contains("reach", seed, "scripted"):
            store.append(demonstrate("reach", seed))
    for row in store.index():
        print(f"{row.task}, seed {row.seed}: {row.num_steps} steps, success {row.success}: {row.instruction}")
    frames = load_frames([store], horizon=4)
    windows = frames.windows(np.arange(3))
    print(f"{len(frames)} frames; three windows hold action chunks of shape {windows.chunks.shape}")


if __name__ == "__main__":
    main(*sys.argv[1:])

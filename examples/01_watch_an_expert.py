"""Watch an expert: one episode as a strip of five pictures.

Usage: python examples/01_watch_an_expert.py [TASK [FILE]]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment


def main(task: str = "put_on_pad", file: str = "episode.png") -> None:
    environment = TabletopEnvironment()
    observation = environment.reset(EpisodeSpec(task, seed=7))
    print(f"told: {observation.instruction}")
    frames = [environment.render()]
    while True:
        transition = environment.step(environment.expert_action())
        frames.append(environment.render())
        if transition.terminated or transition.truncated:
            break
    print(f"{'achieved' if transition.success else 'missed'} after {len(frames) - 1} steps")
    # OpenCV writes BGR.
    cv2.imwrite(file, strip(frames, observation.instruction)[:, :, ::-1])
    print(f"wrote {file}")


def strip(frames: Sequence[UInt8[np.ndarray, "height width 3"]], words: str) -> UInt8[np.ndarray, "high wide 3"]:
    """Five of the frames side by side, below the instruction."""
    chosen = np.linspace(0, len(frames) - 1, 5).round().astype(int)
    row = np.concatenate([np.pad(frames[index], ((0, 0), (0, 6), (0, 0)), constant_values=255) for index in chosen], 1)
    title = np.full((44, row.shape[1], 3), 255, np.uint8)
    cv2.putText(title, words, (4, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (40, 40, 40), 2, cv2.LINE_AA)
    return np.concatenate([title, row])


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Ask the shipped policy: your words, its tokens and how sure it was of them, and the episode as a strip of pictures.

Usage: python examples/05_ask_the_shipped_policy.py [SENTENCE [FILE]]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.interfaces import EpisodeSpec
from vla_policies.loading import checkpoint_folder
from vla_policies.token_policy import TokenPolicy
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import match


def main(sentence: str = "put the red block in the blue bowl", file: str = "episode.png") -> None:
    found = match(sentence)
    if found is None:
        sys.exit(f"no task of the tabletop is asked for by '{sentence}'; try 'stack the red block on the blue block'")
    task, _ = found
    environment, policy = TabletopEnvironment(), TokenPolicy.from_checkpoint(checkpoint_folder("pretrained"))
    observation = environment.reset(EpisodeSpec(task, seed=1_000_003, instruction=sentence))
    decoded = policy.decode([observation])
    print(f"told: {sentence}")
    print(f"first five action tokens: {decoded.ids[0, :5].tolist()}")
    print(f"entropy of each, in nats: {', '.join(f'{entropy:.2f}' for entropy in decoded.entropy[0, :5])}")
    frames, is_over, success = [environment.render()], False, False
    while not is_over:
        for action in policy.predict([observation])[0].actions:
            transition = environment.step(action)
            observation, success = transition.observation, transition.success
            frames.append(environment.render())
            is_over = transition.terminated or transition.truncated
            if is_over:
                break
    print(f"{'achieved' if success else 'missed'} after {len(frames) - 1} steps")
    # OpenCV writes BGR.
    cv2.imwrite(file, strip(frames, sentence)[:, :, ::-1])
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

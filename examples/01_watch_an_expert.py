"""Watch an expert: one episode of a scripted expert, and how many steps it took.

Usage: python examples/01_watch_an_expert.py [TASK]
"""

from __future__ import annotations

import sys

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment


def main(task: str = "put_on_pad") -> None:
    environment = TabletopEnvironment()
    observation = environment.reset(EpisodeSpec(task, seed=7))
    print(f"told: {observation.instruction}")
    num_steps = 0
    while True:
        transition = environment.step(environment.expert_action())
        num_steps += 1
        if transition.terminated or transition.truncated:
            break
    print(f"{'achieved' if transition.success else 'missed'} after {num_steps} steps")


if __name__ == "__main__":
    main(*sys.argv[1:])

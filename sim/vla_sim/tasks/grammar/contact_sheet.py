"""One picture of scenes with their sentences: `python -m vla_sim.tasks.grammar.contact_sheet OUT.png`."""

from __future__ import annotations

import sys
import textwrap

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks.grammar import SUITES

SEED = 1_000_004
SHOWN = {
    "spatial": ("pick_by_direction", "put_between", "pick_from_view", "pick_from_camera"),
    "object": ("colour_put", "shape_pick", "both_put", "count_both"),
    "goal": ("table_push_to_pad", "table_press_button", "cabinet_open_drawer", "cabinet_stack"),
    "language": ("negation_put", "sides_swapped", "contradiction_pick", "impossible"),
}
HEIGHT, WIDTH = 168, 210
_GAP, _TEXT, _LINE, _COLUMNS = 8, 56, 13, 34

type Picture = UInt8[np.ndarray, "height width 3"]


def contact_sheet(seed: int = SEED) -> Picture:
    """A row a suite: what stands there, larger than a policy sees it, and what is said."""
    return np.concatenate([_row(suite, tasks, seed) for suite, tasks in SHOWN.items()], axis=0)


def _row(suite: str, tasks: tuple[str, ...], seed: int) -> Picture:
    environment = TabletopEnvironment(cast=SUITES[suite].cast)
    return np.concatenate([_card(environment, suite, task, seed) for task in tasks], axis=1)


def _card(environment: TabletopEnvironment, suite: str, task: str, seed: int) -> Picture:
    observation = environment.reset(EpisodeSpec(task, seed))
    card = np.full((HEIGHT + _TEXT + _GAP, WIDTH + _GAP, 3), 255, np.uint8)
    card[_TEXT : _TEXT + HEIGHT, :WIDTH] = environment.render(HEIGHT, WIDTH)
    for number, line in enumerate([suite, *textwrap.wrap(observation.instruction, _COLUMNS)]):
        colour = (150, 150, 150) if number == 0 else (0, 0, 0)
        place = (2, 11 + _LINE * number)
        cv2.putText(card, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)
    return card


def main(arguments: list[str]) -> int:
    """Write the sheet; the exit status."""
    if len(arguments) != 1:
        print("usage: python -m vla_sim.tasks.grammar.contact_sheet OUT.png", file=sys.stderr)
        return 2
    return 0 if cv2.imwrite(arguments[0], contact_sheet()[..., ::-1]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

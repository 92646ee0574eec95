"""One picture of every axis at every strength, at one seed: `python -m vla_sim.perturbations.contact_sheet OUT.png`.

A row is an axis; its columns are the episode unperturbed, then by strength. What only shows later (a shove, friction)
is shown later: after `STEPS` control steps of the expert.
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.perturbations.axes import AXES, STRENGTHS
from vla_sim.tasks.task import BASE

TASK, SEED = "put_on_pad", 1_000_004
STEPS = {"shove": 13, "friction": 13, "mass": 13}
HEIGHT, WIDTH = 64, 80
_SCALE, _GAP, _LABEL = 2, 6, 110


def contact_sheet(task: str = TASK, seed: int = SEED) -> UInt8[np.ndarray, "height width 3"]:
    """The scene camera's pictures as a policy sees them, twice as large."""
    environment = TabletopEnvironment()
    return np.concatenate([_row(environment, axis, task, seed) for axis in AXES], axis=0)


def _row(environment: TabletopEnvironment, axis: str, task: str, seed: int) -> UInt8[np.ndarray, "height width 3"]:
    names = [task, *(f"{task}{BASE}{axis}{strength}" for strength in STRENGTHS)]
    label = np.full((_SCALE * HEIGHT + _GAP, _LABEL, 3), 255, np.uint8)
    cv2.putText(label, axis, (4, _SCALE * HEIGHT // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    pictures = [_picture(environment, EpisodeSpec(name, seed), STEPS.get(axis, 0)) for name in names]
    return np.concatenate([label, *(_framed(picture) for picture in pictures)], axis=1)


def _picture(environment: TabletopEnvironment, spec: EpisodeSpec, steps: int) -> UInt8[np.ndarray, "height width 3"]:
    environment.reset(spec)
    for _ in range(steps):
        environment.step(environment.expert_action())
    return environment.observe().images["scene"]


def _framed(picture: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "framed_height framed_width 3"]:
    large = picture.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1)
    return np.pad(large, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)


def main(arguments: list[str]) -> int:
    """Write the sheet; the exit status."""
    if len(arguments) != 1:
        print("usage: python -m vla_sim.perturbations.contact_sheet OUT.png", file=sys.stderr)
        return 2
    return 0 if cv2.imwrite(arguments[0], contact_sheet()[..., ::-1]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What Franka's arms may do, by model and by version: joints, speeds, and speeds that depend on where a joint is.

Sources: Franka Control Interface documentation, "Robot and interface specifications", limits for Panda and for Franka
Research 3. The Research 3's joints may go the slower the nearer they are to an end:

    speed <= min(max_speed, max(0, -offset + sqrt(2 * deceleration * (high - position))))        and mirrored below
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from jaxtyping import Float64

from vla.interfaces import ArmSpec
from vla_robot_io.panda import JOINTS, MAX_OPENING_M, MAX_SPEED_RAD_S, POSITION_HIGH_RAD, POSITION_LOW_RAD

_TOLERANCE_RAD = 1e-3


@dataclasses.dataclass(frozen=True)
class FrankaModel:
    """One arm and one range of versions."""

    name: str
    low: tuple[float, ...]
    """rad"""
    high: tuple[float, ...]
    """rad"""
    max_speed: tuple[float, ...]
    """rad/s"""
    offset: tuple[float, ...] | None = None
    """rad/s; `None` where speeds do not depend on positions."""
    deceleration: tuple[float, ...] | None = None
    """rad/s²"""

    def spec(self, name: str, rate_hz: float) -> ArmSpec:
        """The arm with Franka's hand."""
        return ArmSpec(
            name=name,
            joints=JOINTS,
            position_low=np.array(self.low),
            position_high=np.array(self.high),
            max_speed=np.array(self.max_speed),
            gripper_low_m=0.0,
            gripper_high_m=MAX_OPENING_M,
            rate_hz=rate_hz,
        )

    def speeds_at(
        self, positions: Float64[np.ndarray, " joints"]
    ) -> tuple[Float64[np.ndarray, " joints"], Float64[np.ndarray, " joints"]]:
        """The lowest and the highest speed of each joint here, rad/s."""
        most = np.array(self.max_speed)
        if self.offset is None or self.deceleration is None:
            return -most, most
        offset, doubled = np.array(self.offset), 2 * np.array(self.deceleration)
        up = np.sqrt(doubled * np.maximum(0.0, np.array(self.high) - positions)) - offset
        down = np.sqrt(doubled * np.maximum(0.0, positions - np.array(self.low))) - offset
        return -np.clip(down, 0.0, most), np.clip(up, 0.0, most)


FER = FrankaModel("fer", POSITION_LOW_RAD, POSITION_HIGH_RAD, MAX_SPEED_RAD_S)
FR3 = FrankaModel(
    "fr3",
    low=(-2.9007, -1.8361, -2.9007, -3.0770, -2.8763, 0.4398, -3.0508),
    high=(2.9007, 1.8361, 2.9007, -0.1169, 2.8763, 4.6216, 3.0508),
    max_speed=(2.62, 2.62, 2.62, 2.62, 5.26, 4.18, 5.26),
    offset=(0.6599, 0.2517, 0.2, 0.3533, 0.5757, 0.4878, 0.4628),
    deceleration=(6.0, 2.585, 3.5, 4.0, 17.0, 5.5, 17.0),
)
"""With a system of version 5.9 or later."""
MODELS = {model.name: model for model in (FER, FR3)}


def model_in(urdf: str) -> str:
    """The model whose limits a controller tells in its URDF; else what it tells, which is no model's name.

    Args:
        urdf: as the controller sends it.
    """
    limits = [
        (float(low), float(high))
        for low, high in re.findall(r'<limit[^>]*lower="([-0-9.]+)"[^>]*upper="([-0-9.]+)"', urdf)
    ][: len(JOINTS)]
    for model in MODELS.values():
        if np.shape(limits) == (len(JOINTS), 2) and np.allclose(
            limits, np.stack([model.low, model.high], axis=1), atol=_TOLERANCE_RAD
        ):
            return model.name
    named = re.search(r'<robot[^>]*name="([^"]*)"', urdf)
    return f"{named.group(1) if named else 'arm'} with joint limits {limits}"

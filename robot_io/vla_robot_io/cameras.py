"""All cameras of a robot, looked through at once, and watched for pictures that are old or frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError, ObservationError
from vla.interfaces import Camera, CameraFrame, Clock, Robot
from vla_robot_io.freshness import CameraWatch
from vla_robot_io.reasons import Reason


@dataclasses.dataclass(frozen=True)
class Sight:
    """One look through every camera."""

    images: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    """By camera name."""
    fresh: frozenset[str]
    """The cameras that showed something new."""
    reasons: tuple[Reason, ...]
    """Why it is not to be acted upon; empty if it is."""


class WatchedCameras:
    """The cameras of one robot."""

    def __init__(self, robot: Robot, clock: Clock, max_age_s: float, max_repeats: int) -> None:
        """Check that they are all there.

        Args:
            robot: whose embodiment says which cameras there must be.
            clock: by which pictures age.
            max_age_s: an older picture is not to be acted upon.
            max_repeats: nor is one that has been handed out again this many times.

        Raises:
            ConfigError: naming the camera that the robot lacks.
        """
        present = {camera.name for camera in robot.cameras}
        for camera in robot.embodiment.cameras:
            if camera.name not in present:
                known = ", ".join(sorted(present)) or "none"
                raise ConfigError(f"the robot lacks camera '{camera.name}' of {robot.embodiment.name}; it has: {known}")
        self._cameras = robot.cameras
        self._clock = clock
        self._limits = (max_age_s, max_repeats)
        self._watches: dict[str, CameraWatch] = {}
        self.forget()

    def forget(self) -> None:
        """Take whatever comes next as new."""
        self._watches = {camera.name: CameraWatch(camera.name, *self._limits) for camera in self._cameras}

    def look(self) -> Sight:
        """What every camera shows now.

        Raises:
            ObservationError: if one cannot be read.
        """
        images, fresh, reasons = {}, set(), []
        for camera in self._cameras:
            frame = _read(camera)
            is_new, reason = self._watches[camera.name].look(frame, self._clock.now())
            images[camera.name] = frame.image
            fresh |= {camera.name} if is_new else set()
            reasons += [reason] if reason else []
        return Sight(images, frozenset(fresh), tuple(reasons))

    def close(self) -> None:
        for camera in self._cameras:
            camera.close()


def _read(camera: Camera) -> CameraFrame:
    try:
        return camera.read()
    except OSError as error:
        raise ObservationError(f"camera '{camera.name}' cannot be read: {error}") from error

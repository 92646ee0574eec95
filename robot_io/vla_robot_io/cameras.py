"""All cameras of a robot, looked through at once, and watched.

Of the frames that each camera has kept, those nearest to one instant are looked at (`alignment`). A picture is not
acted upon if its camera shows nothing newer than an old one, or the same again and again, if its time stamp jumps or is
far from that of another camera, or if it shows nothing. One of another size than was promised is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError, ObservationError
from vla.interfaces import Camera, CameraFrame, Clock, Robot
from vla_robot_io.alignment import aligned, recent_of, skew_s
from vla_robot_io.freshness import CameraWatch
from vla_robot_io.picture_quality import why_blank
from vla_robot_io.reasons import Code, Reason

SKEW_S = 0.1
"""Pictures of one look are taken no farther apart than this: cameras of 15 Hz that run freely are up to 0.067 s."""


@dataclasses.dataclass(frozen=True)
class Sight:
    """One look through every camera."""

    images: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    """By camera name."""
    fresh: frozenset[str]
    """The cameras that showed something new."""
    reasons: tuple[Reason, ...]
    """Why it is not to be acted upon; empty if it is."""
    skew_s: float = 0.0
    """How far apart in time its pictures were exposed, s."""


class WatchedCameras:
    """The cameras of one robot."""

    def __init__(
        self,
        robot: Robot,
        clock: Clock,
        max_age_s: float,
        max_repeats: int,
        *,
        max_skew_s: float = SKEW_S,
        may_be_blank: bool = False,
    ) -> None:
        """Check that they are all there.

        Args:
            robot: whose embodiment says which cameras there must be.
            clock: by which pictures age.
            max_age_s: an older picture is not to be acted upon.
            max_repeats: nor is one that has been handed out again this many times.
            max_skew_s: nor are pictures that were taken farther apart than this.
            may_be_blank: whether pictures that are black, saturated or of one colour are acted upon.

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
        self._max_skew_s, self._may_be_blank = max_skew_s, may_be_blank
        self._specs = {camera.name: camera for camera in robot.embodiment.cameras}
        self._watches: dict[str, CameraWatch] = {}
        self._seen: dict[str, int] = {}
        self.forget()

    def forget(self) -> None:
        """Take whatever comes next as new."""
        self._watches = {camera.name: CameraWatch(camera.name, *self._limits) for camera in self._cameras}
        self._seen = {}

    def look(self) -> Sight:
        """What every camera has shown at the latest instant of which all have seen something.

        Raises:
            ObservationError: if one cannot be read, or shows pictures of another size than was promised.
        """
        recent = {camera.name: self._recent(camera) for camera in self._cameras}
        frames = aligned(recent) if recent else {}
        reasons = []
        for name, frame in frames.items():
            # Whether a camera still sees is asked of its newest frame, whichever is looked at.
            _, reason = self._watches[name].look(recent[name][-1], self._clock.now())
            reasons += [reason or self._blank(name, frame)]
        reasons.append(self._skew(frames))
        fresh = frozenset(name for name, frame in frames.items() if frame.sequence > self._seen.get(name, -1))
        self._seen = {name: frame.sequence for name, frame in frames.items()}
        images = {name: frame.image for name, frame in frames.items()}
        return Sight(images, fresh, tuple(reason for reason in reasons if reason is not None), skew_s(frames))

    def close(self) -> None:
        for camera in self._cameras:
            camera.close()

    def _recent(self, camera: Camera) -> Sequence[CameraFrame]:
        try:
            frames = recent_of(camera)
        except (OSError, ObservationError) as error:
            self._watches[camera.name].lost()
            raise ObservationError(f"camera '{camera.name}' cannot be read: {error}") from error
        spec = self._specs.get(camera.name)
        strange = [frame for frame in frames if spec and frame.image.shape != (spec.height, spec.width, 3)]
        if spec is not None and strange:
            self._watches[camera.name].lost()
            came = " x ".join(map(str, strange[-1].image.shape))
            raise ObservationError(
                f"camera '{camera.name}' gives pictures of {came}, expected {spec.height} x {spec.width} x 3"
            )
        return frames

    def _blank(self, name: str, frame: CameraFrame) -> Reason | None:
        why = None if self._may_be_blank else why_blank(frame.image)
        if why is None:
            return None
        brightest = float(frame.image.max())
        return Reason(Code.BLANK_PICTURE, name, brightest, 0.0, f"the picture of camera '{name}' {why}")

    def _skew(self, frames: Mapping[str, CameraFrame]) -> Reason | None:
        """The cameras whose pictures were taken farthest apart, if that is too far."""
        if len(frames) < 2:
            return None
        oldest, newest = (choose(frames, key=lambda name: frames[name].time_s) for choose in (min, max))
        lag_s = frames[newest].time_s - frames[oldest].time_s
        if lag_s <= self._max_skew_s:
            return None
        text = f"camera '{oldest}' lags {lag_s:.3f} s behind '{newest}', over {self._max_skew_s:.3f} s"
        return Reason(Code.CAMERA_CLOCK, oldest, lag_s, self._max_skew_s, text)

"""One instant for all cameras: of the frames that each has kept, those that were exposed nearest to it.

    scene  30 Hz  ──o────o────o────●────o──►         ● chosen
    wrist  15 Hz  ─────o─────────●─────────►         the common instant: the newest frame of the camera that is last

Cameras run freely, so that their newest frames are up to a period of the slowest apart. Those nearest to the common
instant are a period of the faster one apart, at most: half of one where the slower is last, as it is most of the time.
The faster must have kept frames that far back. What is left is told, and watched: see `cameras`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from vla.interfaces import Camera, CameraFrame

KEPT_FRAMES = 4
"""Of each camera: at 30 Hz they reach back 0.1 s, more than a period of a camera of 15 Hz."""


@runtime_checkable
class RecallingCamera(Protocol):
    """A camera that has kept its last frames."""

    def recent(self) -> Sequence[CameraFrame]:
        """Oldest first, the newest last; never empty, and raises as `read` does."""
        ...


def recent_of(camera: Camera) -> Sequence[CameraFrame]:
    """The frames that a camera has kept: the newest alone where it keeps none.

    Raises:
        ObservationError: as its `read` does.
    """
    return camera.recent() if isinstance(camera, RecallingCamera) else (camera.read(),)


def common_instant(recent: Mapping[str, Sequence[CameraFrame]]) -> float:
    """The latest time of which every camera has seen something, s: exposure of the newest frame that is oldest."""
    return min(frames[-1].time_s for frames in recent.values())


def aligned(recent: Mapping[str, Sequence[CameraFrame]]) -> dict[str, CameraFrame]:
    """Of each camera the frame exposed nearest to the common instant; of two as near, the newer.

    Args:
        recent: by camera name, oldest first; none is empty.
    """
    instant_s = common_instant(recent)
    return {
        name: min(reversed(frames), key=lambda frame: abs(frame.time_s - instant_s)) for name, frames in recent.items()
    }


def skew_s(frames: Mapping[str, CameraFrame]) -> float:
    """How far apart in time frames were exposed, s; 0 for fewer than two."""
    times = [frame.time_s for frame in frames.values()]
    return max(times) - min(times) if times else 0.0

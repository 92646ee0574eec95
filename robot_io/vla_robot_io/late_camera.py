"""A camera that opens its device at its first picture, so that a process which never looks leaves it to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vla.interfaces import Camera, CameraFrame
from vla_robot_io.alignment import recent_of


class LateCamera:
    """Another camera, opened when it is first looked through, or told to."""

    def __init__(self, name: str, make: Callable[[], Camera]) -> None:
        """Nothing is opened yet.

        Args:
            name: of the camera.
            make: opens it.
        """
        self._name, self._make = name, make
        self._camera: Camera | None = None

    @property
    def name(self) -> str:
        return self._name

    def open(self) -> Camera:
        """The camera itself.

        Raises:
            ConfigError: if there is nothing to open.
            ObservationError: if it shows nothing.
        """
        if self._camera is None:
            self._camera = self._make()
        return self._camera

    def read(self) -> CameraFrame:
        """The newest frame; raises as `open` does, the first time."""
        return self.open().read()

    def recent(self) -> Sequence[CameraFrame]:
        """The frames that it has kept; raises as `open` does, the first time."""
        return recent_of(self.open())

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


def open_late(cameras: Iterable[Camera]) -> None:
    """Open those that have waited for it, so that what is missing is told before anything else begins.

    Raises:
        ConfigError, ObservationError: as `LateCamera.open` does; those that were opened are closed again.
    """
    waiting = [camera for camera in cameras if isinstance(camera, LateCamera)]
    try:
        for camera in waiting:
            camera.open()
    except BaseException:
        for camera in waiting:
            camera.close()
        raise

"""What pictures are grabbed from: a device of the kernel's, a video file, a RealSense; opened by name.

0, /dev/video0, serial=A1B2   a device, by OpenCV; its driver says when a picture was exposed
realsense, realsense=1234     Intel's library, the only one connected or by serial number
anything else                 a video file, or pictures in a folder
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from vla.errors import ConfigError
from vla.libraries import require_library
from vla_robot_io.camera_serials import PREFIX, device_of

REALSENSE = "realsense"
REALSENSE_HZ = 30
PLAUSIBLE_S = 1.0
"""A picture that would be older than this when it comes has a stamp of another clock."""
_log = logging.getLogger(__name__)
_WAIT_MS = 1000


@runtime_checkable
class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...

    def read(self) -> tuple[bool, Any]: ...

    def set(self, property: int, value: float, /) -> bool: ...

    def release(self) -> None: ...


@runtime_checkable
class Stamped(Protocol):
    """A capture that knows when its last picture was taken."""

    def exposed_s(self) -> float:
        """By the host's monotonic clock, s; NaN if it is not known."""
        ...


def open_capture(device: int | str) -> Capture:
    """Something to grab pictures from; whether it is open, it tells itself.

    Raises:
        ConfigError: if there is no camera of this serial number, or Intel's library is missing.
    """
    if isinstance(device, str) and device.partition("=")[0] == REALSENSE:
        return RealSenseCapture(device.partition("=")[2])
    place = device_of(device)
    return cv2.VideoCapture(place) if is_file(device) else KernelCapture(place)


def is_file(device: int | str) -> bool:
    """Whether a device's name is that of a file."""
    return isinstance(device, str) and not device.startswith(("/dev/", PREFIX, REALSENSE))


def exposed_s(capture: Capture, arrived_s: float) -> float:
    """When the last picture of a capture was taken; when it came, where its driver does not say anything plausible."""
    stamp_s = capture.exposed_s() if isinstance(capture, Stamped) else math.nan
    return stamp_s if 0 <= arrived_s - stamp_s <= PLAUSIBLE_S else arrived_s


class KernelCapture:
    """A device of Video4Linux, whose pictures the kernel stamps."""

    def __init__(self, device: int | str) -> None:
        self._capture = cv2.VideoCapture(device)

    def isOpened(self) -> bool:
        return self._capture.isOpened()

    def read(self) -> tuple[bool, Any]:
        return self._capture.read()

    def set(self, property: int, value: float) -> bool:
        return self._capture.set(property, value)

    def release(self) -> None:
        self._capture.release()

    def exposed_s(self) -> float:
        """For drivers such as uvcvideo this is the monotonic clock at the start of exposure."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3


class RealSenseCapture:
    """The colour stream of a RealSense camera."""

    def __init__(
        self,
        serial: str = "",
        prepare: Callable[[Any, Any], None] = lambda pipeline, config: None,
        library: Any = None,
    ) -> None:
        """Start the stream.

        Args:
            serial: number of the device; any if empty.
            prepare: is handed the library's pipeline and configuration before they start, for devices of software.
            library: pyrealsense2 if not given.

        Raises:
            ConfigError: if the library is not installed, or no such camera starts.
        """
        self._library = library or require_library("pyrealsense2", what="a RealSense camera", extra="realsense")
        self._pipeline, config = self._library.pipeline(), self._library.config()
        if serial:
            config.enable_device(serial)
        config.enable_stream(self._library.stream.color, self._library.format.bgr8, REALSENSE_HZ)
        self._exposed_s = math.nan
        try:
            prepare(self._pipeline, config)
            self._pipeline.start(config)
        except RuntimeError as error:
            raise ConfigError(f"RealSense {serial or 'camera'} does not start: {error}") from error

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        """Waits for the next picture, at most a second."""
        try:
            is_there, frames = self._pipeline.try_wait_for_frames(_WAIT_MS)
        except RuntimeError as error:
            _log.warning("a RealSense camera cannot be read: %s", error)
            return False, None
        frame = frames.get_color_frame() if is_there else None
        if not frame:
            return False, None
        self._exposed_s = self._monotonic_s(frame)
        # The library reuses its memory.
        return True, np.array(frame.get_data())

    def set(self, property: int, value: float) -> bool:
        """Nothing of OpenCV's can be set."""
        return False

    def release(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._pipeline.stop()

    def exposed_s(self) -> float:
        return self._exposed_s

    def _monotonic_s(self, frame: Any) -> float:
        """Stamps by the host's calendar are moved to its monotonic clock; the camera's own clock tells nothing here."""
        if frame.get_frame_timestamp_domain() == self._library.timestamp_domain.hardware_clock:
            return math.nan
        return time.monotonic() - (time.time() - frame.get_timestamp() / 1e3)

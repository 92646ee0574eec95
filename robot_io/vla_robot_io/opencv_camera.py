"""A camera that OpenCV reads: a device, or a video file; frames are stamped as they are grabbed."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError
from vla.interfaces import CameraFrame, Clock

FIRST_FRAME_S = 5.0
"""How long a camera may take to wake."""


class OpenCvCamera:
    """The newest frame of a device, grabbed by a thread of its own, so that none is older than the camera's period."""

    def __init__(self, spec: CameraSpec, device: int | str, clock: Clock, rate_hz: float | None = None) -> None:
        """Open it and wait for its first frame.

        Args:
            spec: the name and size that pictures are to have; another size is scaled, another shape cut first.
            device: a number, a path such as /dev/video0, or a video file, which is played again and again.
            clock: by which frames are stamped.
            rate_hz: of a video file; as fast as it is read if not given.

        Raises:
            ConfigError: if it cannot be opened.
            ObservationError: if it gives no frame.
        """
        self._spec, self._clock, self._period_s = spec, clock, 1.0 / rate_hz if rate_hz else 0.0
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened():
            raise ConfigError(f"camera '{spec.name}': there is nothing to read at {device}")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._is_file = isinstance(device, str) and not device.startswith("/dev/")
        self._frame: CameraFrame | None = None
        self._ended: str | None = None
        self._first, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._grab, name=f"camera {spec.name}", daemon=True)
        self._thread.start()
        if not self._first.wait(FIRST_FRAME_S) or self._frame is None:
            self.close()
            raise ObservationError(f"camera '{spec.name}' at {device} gives no frame: {self._ended or 'it is silent'}")

    @property
    def name(self) -> str:
        return self._spec.name

    def read(self) -> CameraFrame:
        """The newest frame; the same again if there is no newer one.

        Raises:
            ObservationError: if the device is gone.
        """
        if self._ended is not None or self._frame is None:
            raise ObservationError(f"camera '{self.name}' has ended: {self._ended}")
        return self._frame

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._capture.release()

    def _grab(self) -> None:
        sequence = 0
        while not self._stop.is_set():
            is_there, picture = self._capture.read()
            time_s = self._clock.now()
            if not is_there:
                if self._is_file and sequence and self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                    continue
                self._ended = "it gives no more frames"
                break
            sequence += 1
            self._frame = CameraFrame(_fitted(picture, self._spec), time_s, sequence)
            self._first.set()
            if self._period_s:
                self._stop.wait(self._period_s)
            else:
                time.sleep(0)
        self._first.set()


def _fitted(picture: UInt8[np.ndarray, "rows columns 3"], spec: CameraSpec) -> UInt8[np.ndarray, "height width 3"]:
    """Cut to the shape that is wanted, around the middle, scaled, and in the order red, green, blue."""
    rows, columns = picture.shape[:2]
    scale = min(rows / spec.height, columns / spec.width)
    height, width = round(spec.height * scale), round(spec.width * scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    cut = picture[top : top + height, left : left + width]
    scaled = cv2.resize(cut, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled[..., ::-1])

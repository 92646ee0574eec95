"""A camera: a device, or a video file; frames are stamped with when they were exposed, where the driver says so.

    open ─► grab, by a thread of its own ─► newest frame          the same picture again is no new frame
     ▲            └─ no frame: gone, and `read` says so
     └─ tried again until it is back, by serial number where it is named so; then it must show five new frames

A run does not survive this: who reads a camera that is gone gets an error, the arm is held, and a person begins anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError
from vla.interfaces import CameraFrame, Clock
from vla_robot_io.alignment import KEPT_FRAMES
from vla_robot_io.captures import Capture, exposed_s, is_file, open_capture
from vla_robot_io.freshness import SETTLED_FRAMES

FIRST_FRAME_S = 5.0
"""How long a camera may take to wake."""
RETRY_S = 0.5
"""How often a camera that is gone is looked for."""


class OpenCvCamera:
    """The newest frame of a device, grabbed by a thread of its own, so that none is older than the camera's period."""

    def __init__(
        self,
        spec: CameraSpec,
        device: int | str,
        clock: Clock,
        rate_hz: float | None = None,
        *,
        retry_s: float = RETRY_S,
        open_capture: Callable[[int | str], Capture] = open_capture,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Open it and wait for its first frame.

        Args:
            spec: the name and size that pictures are to have; another size is scaled, another shape cut first.
            device: as `captures` names them; a video file is played over and over.
            clock: by which frames are stamped.
            rate_hz: of a video file; as fast as it is read if not given.
            retry_s: how often a device that is gone is looked for.
            open_capture: opens it.
            on_change: called, by the thread that grabs, when there is a new frame or none any more.

        Raises:
            ConfigError: if it cannot be opened.
            ObservationError: if it gives no frame.
        """
        self._spec, self._device, self._clock, self._period_s = spec, device, clock, 1.0 / rate_hz if rate_hz else 0.0
        self._retry_s, self._open_capture, self._on_change = retry_s, open_capture, on_change
        self._is_file = is_file(device)
        self._frame: CameraFrame | None = None
        self._recent: tuple[CameraFrame, ...] = ()
        self._picture: np.ndarray | None = None
        self._ended: str | None = None
        self._sequence, self._settled_at = 0, 0
        self._first, self._stop = threading.Event(), threading.Event()
        self._capture = self._opened()
        self._thread = threading.Thread(target=self._run, name=f"camera {spec.name}", daemon=True)
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
            ObservationError: if the device is gone, or has only just come back.
        """
        frame, ended = self._frame, self._ended
        if ended is not None or frame is None:
            raise ObservationError(f"camera '{self.name}' has ended: {ended}")
        if frame.sequence < self._settled_at:
            shown = SETTLED_FRAMES - (self._settled_at - frame.sequence)
            raise ObservationError(
                f"camera '{self.name}' is back, and has shown {shown} of {SETTLED_FRAMES} new pictures: begin anew"
            )
        return frame

    def recent(self) -> Sequence[CameraFrame]:
        """The last frames, oldest first; raises as `read` does."""
        newest = self.read()
        # The thread may have taken another since.
        return [frame for frame in self._recent if frame.sequence < newest.sequence] + [newest]

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._capture.release()

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        try:
            self._grab()
            while not (self._is_file or self._stop.is_set()):
                self._capture.release()
                if self._reopened():
                    self._grab()
        except Exception as error:  # a thread that dies unheard would leave an old picture standing
            self._ended = " ".join(f"{type(error).__name__}: {error}".split())
        finally:
            self._tell()

    def _grab(self) -> None:
        """Until there are no more frames."""
        while not self._stop.is_set():
            is_there, picture = self._capture.read()
            time_s = exposed_s(self._capture, self._clock.now())
            if not is_there or picture is None:
                if self._is_file and self._sequence and self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0):
                    continue
                self._ended = "it gives no more frames"
                self._tell()
                return
            self._take(picture, time_s)
            if self._period_s:
                self._stop.wait(self._period_s)
            else:
                time.sleep(0)

    def _take(self, picture: np.ndarray, time_s: float) -> None:
        before = self._picture
        if before is not None and picture.shape != before.shape:
            raise ObservationError(f"its pictures changed from {before.shape} to {picture.shape}")
        # Noise makes any two pictures of a sensor differ: the same one again is a driver that has lost its device.
        if not self._is_file and before is not None and np.array_equal(picture, before):
            return
        self._picture = picture
        self._sequence += 1
        self._frame = CameraFrame(_fitted(picture, self._spec), time_s, self._sequence)
        self._recent = (*self._recent[1 - KEPT_FRAMES :], self._frame)
        self._ended = None
        self._tell()

    def _tell(self) -> None:
        self._first.set()
        self._on_change()

    def _reopened(self) -> bool:
        self._stop.wait(self._retry_s)
        if self._stop.is_set():
            return False
        try:
            self._capture = self._opened()
        except ConfigError:
            return False
        self._picture, self._recent, self._settled_at = None, (), self._sequence + SETTLED_FRAMES
        return True

    def _opened(self) -> Capture:
        capture = self._open_capture(self._device)
        if not capture.isOpened():
            capture.release()
            raise ConfigError(f"camera '{self._spec.name}': there is nothing to read at {self._device}")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture


def _fitted(picture: UInt8[np.ndarray, "rows columns 3"], spec: CameraSpec) -> UInt8[np.ndarray, "height width 3"]:
    """Cut to the shape that is wanted, around the middle, scaled, and in the order red, green, blue."""
    rows, columns = picture.shape[:2]
    scale = min(rows / spec.height, columns / spec.width)
    height, width = round(spec.height * scale), round(spec.width * scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    cut = picture[top : top + height, left : left + width]
    scaled = cv2.resize(cut, (spec.width, spec.height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(scaled[..., ::-1])

"""A camera in a process of its own: its pictures cost the control loop nothing, and a driver that hangs hangs alone.

    device ─► its process: grab, scale ─► a ring of frames, in memory that both map ─► `CameraProcess.recent`, `read`

Frames keep the stamp of their exposure: the monotonic clock is one for all processes of a machine. Where the process
dies, `read` says so and starts another, whose first five pictures are not trusted yet; where this process dies, the
other one ends with its standard input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla.clock import RealClock
from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError, VlaError
from vla.interfaces import CameraFrame
from vla_robot_io.alignment import KEPT_FRAMES
from vla_robot_io.freshness import SETTLED_FRAMES
from vla_robot_io.opencv_camera import FIRST_FRAME_S, RETRY_S, OpenCvCamera
from vla_robot_io.operating.letterbox import Mailbox, memory

STARTS_S = 30.0
"""How long a process may take to come up, and its camera to wake."""
_HEAD = np.dtype([("number", "i8"), ("sequence", "i8"), ("time_s", "f8"), ("ended", "S200")])
"""Of a message: its number, counted from 1, then the frame's; or why there is none any more."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a camera's process is made from; it travels as JSON."""

    name: str
    height: int
    width: int
    device: int | str
    rate_hz: float | None
    folder: str
    """Of the ring, until the process has opened it."""

    @property
    def spec(self) -> CameraSpec:
        return CameraSpec(self.name, height=self.height, width=self.width)

    @property
    def num_bytes(self) -> int:
        """Of a message."""
        return _HEAD.itemsize + self.height * self.width * 3

    @property
    def places(self) -> list[Path]:
        """Of the ring's mailboxes: messages go to one after the other."""
        return [Path(self.folder) / f"frames-{place}" for place in range(KEPT_FRAMES)]


class CameraProcess:
    """The newest frame of a camera that is read in a process of its own."""

    def __init__(
        self, spec: CameraSpec, device: int | str, rate_hz: float | None = None, *, retry_s: float = RETRY_S
    ) -> None:
        """Start it, and wait for its first frame.

        Args:
            spec: the name and size that pictures are to have.
            device: as `OpenCvCamera` takes it.
            rate_hz: of a video file.
            retry_s: a process that died is started again no sooner than this after it was started.

        Raises:
            ConfigError: if the camera cannot be opened.
            ObservationError: if it gives no frame.
        """
        self._recipe = Recipe(spec.name, spec.height, spec.width, device, rate_hz, "")
        self._retry_s = retry_s
        self._recent: tuple[CameraFrame, ...] = ()
        self._ended = ""
        self._before = self._settled_at = 0
        self._start()
        self._await_first()

    @property
    def name(self) -> str:
        return self._recipe.name

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def read(self) -> CameraFrame:
        """The newest frame; the same again if there is no newer one. Waits for nothing.

        Raises:
            ObservationError: if the camera or its process is gone, or has only just come back.
        """
        self._take()
        status = self._process.poll()
        if status is not None:
            self._start_again()
            raise ObservationError(f"camera '{self.name}': its process ended with status {status}, another is started")
        if self._ended or not self._recent:
            raise ObservationError(self._ended or f"camera '{self.name}' shows nothing yet")
        newest = self._recent[-1]
        if newest.sequence < self._settled_at:
            shown = SETTLED_FRAMES - (self._settled_at - newest.sequence)
            raise ObservationError(
                f"camera '{self.name}' is back, and has shown {shown} of {SETTLED_FRAMES} new pictures: begin anew"
            )
        return newest

    def recent(self) -> Sequence[CameraFrame]:
        """The last frames, oldest first; waits for nothing, and raises as `read` does."""
        self.read()
        return self._recent

    def close(self) -> None:
        """End the process."""
        self._end(FIRST_FRAME_S)

    # ------------------------------------------------------------------ the process

    def _start(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="vla-camera-", dir=memory())
        recipe = dataclasses.replace(self._recipe, folder=self._folder.name)
        self._boxes = [Mailbox(place, recipe.num_bytes) for place in recipe.places]
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(vars(recipe)) + "\n")
            self._process.stdin.flush()

    def _start_again(self) -> None:
        if time.monotonic() - self._started_s < self._retry_s:
            return
        if self._recent:
            self._before = self._recent[-1].sequence
        self._recent, self._ended, self._settled_at = (), "", self._before + SETTLED_FRAMES
        self._end(0.0)
        self._start()

    def _await_first(self) -> None:
        assert self._process.stdout is not None
        # A driver may hang while it opens its device.
        deadline = threading.Timer(STARTS_S, self._process.kill)
        deadline.start()
        line = self._process.stdout.readline()
        deadline.cancel()
        told = json.loads(line) if line.strip() else {"error": f"camera '{self.name}' at {self._recipe.device} hangs"}
        if "error" in told:
            self.close()
            raise (ConfigError if told.get("kind") == "ConfigError" else ObservationError)(told["error"])
        self._take()

    def _end(self, within_s: float) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for box in self._boxes:
            box.close()
        self._folder.cleanup()

    def _take(self) -> None:
        """Whatever has come into the ring since."""
        messages = [message for box in self._boxes if (message := box.read()) is not None]
        heads = [(np.frombuffer(message, _HEAD, count=1)[0], message) for message in messages]
        for head, message in sorted(heads, key=lambda each: int(each[0]["number"])):
            self._heed(head, message)

    def _heed(self, head: np.void, message: bytes) -> None:
        self._ended = head["ended"].item().decode(errors="replace")
        if self._ended:
            return
        picture = np.frombuffer(message, np.uint8, offset=_HEAD.itemsize)
        image = picture.reshape(self._recipe.height, self._recipe.width, 3)
        frame = CameraFrame(image, float(head["time_s"]), self._before + int(head["sequence"]))
        # What was away and is back is written again with the number that it had.
        kept = [each for each in self._recent if each.sequence < frame.sequence]
        self._recent = (*kept[1 - KEPT_FRAMES :], frame)


# --------------------------------------------------------------------------- in the process


class _Publisher:
    """Puts what a camera shows into the ring whenever that changes."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._changed, self._stopped = recipe, threading.Event(), threading.Event()
        self._boxes, self._number = [Mailbox(place) for place in recipe.places], 0

    def run(self) -> None:
        recipe = self._recipe
        camera = OpenCvCamera(recipe.spec, recipe.device, RealClock(), recipe.rate_hz, on_change=self._changed.set)
        self._publish(camera)
        print("{}", flush=True)
        threading.Thread(target=self._wait_for_the_end, daemon=True).start()
        while not self._stopped.is_set():
            self._changed.wait()
            self._changed.clear()
            self._publish(camera)
        camera.close()

    def _publish(self, camera: OpenCvCamera) -> None:
        self._number += 1
        head, box = np.zeros((), _HEAD), self._boxes[self._number % len(self._boxes)]
        head["number"] = self._number
        try:
            frame = camera.read()
        except ObservationError as error:
            head["time_s"], head["ended"] = math.nan, str(error).encode()
            box.write(head.tobytes())
            return
        head["sequence"], head["time_s"] = frame.sequence, frame.time_s
        box.write(head.tobytes(), frame.image.data.cast("B"))

    def _wait_for_the_end(self) -> None:
        sys.stdin.read()
        self._stopped.set()
        self._changed.set()
        # A driver that hangs would keep this process.
        threading.Timer(FIRST_FRAME_S, os._exit, [1]).start()


def main(arguments: Sequence[str]) -> int:
    """Publish until standard input ends."""
    # Whoever presses Ctrl-C means the run, which ends this process when it has held the arm.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    recipe = Recipe(**json.loads(sys.stdin.readline()))
    try:
        _Publisher(recipe).run()
    except VlaError as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

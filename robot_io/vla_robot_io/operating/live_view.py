"""What a run shows of itself while it goes on: through memory, so that nobody who looks can slow it down.

    DIR/live.json ── names ─► a folder in memory:  standing      how things stand, JSON
                                                   camera-NAME   the newest picture
                                                   pads          the other way: what a browser's pads say

The run writes, and never waits or looks whether anybody reads. Whoever reads sees the newest and misses the rest.
A folder that a killed run left is removed by the next one.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError
from vla.files import write_atomically
from vla.interfaces import Robot
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.recording import plain

FILE_NAME = "live.json"
"""In a run's folder, while the run goes on."""
MAX_STANDING_BYTES = 1 << 18
MAX_PADS_BYTES = 1 << 10
NUM_EVENTS = 40
"""The newest so many go with every message; the log has all of them."""
_MEMORY = Path("/dev/shm")
_PREFIX = "vla-live-"


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened, for the operator to read."""

    number: int
    kind: str
    text: str
    time: float
    """Seconds since 1970."""


class LiveView:
    """The run's side."""

    def __init__(self, folder: Path, robot: Robot, about: Mapping[str, Any]) -> None:
        """Make the mailboxes and say where they are.

        Args:
            folder: of the run.
            robot: whose cameras are shown.
            about: what does not change while the run goes on.

        Raises:
            ConfigError: if there is no room for them.
        """
        _sweep()
        place = _MEMORY if os.access(_MEMORY, os.W_OK) else folder
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
        self._events: collections.deque[Event] = collections.deque(maxlen=NUM_EVENTS)
        self._num_events = 0
        cameras = robot.embodiment.cameras
        names = [field.name for field in robot.embodiment.proprioception]
        self._measured = [names.index(name) for name in (*robot.arm.spec.joints, "gripper") if name in names]
        self._is_closed = False
        self._standing = Mailbox(self._folder / "standing", MAX_STANDING_BYTES)
        self._cameras = {
            camera.name: Mailbox(self._folder / f"camera-{index}", camera.height * camera.width * 3)
            for index, camera in enumerate(cameras)
        }
        self.pads = Mailbox(self._folder / "pads", MAX_PADS_BYTES)
        """Where the console puts what a browser's pads say."""
        self._link = folder / FILE_NAME
        shapes = [{"name": camera.name, "height": camera.height, "width": camera.width} for camera in cameras]
        tree = {"folder": str(self._folder), "pid": os.getpid(), "cameras": shapes, **plain(about)}
        write_atomically(self._link, json.dumps(tree))

    def tell(self, kind: str, text: str) -> None:
        """Add an event; it goes with the next message."""
        self._num_events += 1
        self._events.append(Event(self._num_events, kind, text, time.time()))

    def publish(
        self, standing: Mapping[str, Any], images: Mapping[str, UInt8[np.ndarray, "height width 3"]] | None = None
    ) -> None:
        """Show how things stand, and the newest pictures.

        Args:
            standing: with `state`, an observation's proprioception, of which the joints and the gripper are shown.
            images: by camera.
        """
        if standing.get("state") is not None:
            standing = {**standing, "state": standing["state"][self._measured]}
        events = [dataclasses.asdict(event) for event in self._events]
        tree = plain({**standing, "events": events, "told_s": time.monotonic()})
        self._standing.write(json.dumps(tree).encode())
        for name, image in (images or {}).items():
            if name in self._cameras:
                self._cameras[name].write(np.ascontiguousarray(image).data.cast("B"))

    def close(self, ended: str) -> None:
        """Say how the run ended; those who look keep the last they saw. Once closed, it stays so."""
        if self._is_closed:
            return
        self._is_closed = True
        self.tell("end", f"the run has ended: {ended}")
        self.publish({"ended": ended, "mode": "disconnected", "actor": "nobody", "why": f"the run has ended: {ended}"})
        for mailbox in (self._standing, self.pads, *self._cameras.values()):
            mailbox.close()
        self._link.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)


class LiveReader:
    """The side of whoever looks."""

    def __init__(self, folder: Path) -> None:
        """Open what a run shows.

        Raises:
            ConfigError: if no run goes on there.
        """
        try:
            self.about: dict[str, Any] = json.loads((folder / FILE_NAME).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"no run goes on in {folder} that can be looked at: {error}") from error
        memory = Path(self.about["folder"])
        self._standing = Mailbox(memory / "standing")
        self._cameras = [Mailbox(memory / f"camera-{index}") for index in range(len(self.about["cameras"]))]
        self.pads = Mailbox(memory / "pads")

    @property
    def is_alive(self) -> bool:
        """Whether the run's process is there."""
        return _is_alive(int(self.about["pid"]))

    def standing(self) -> dict[str, Any] | None:
        """How things stand, if that is newer than what this gave last."""
        message = self._standing.read()
        return None if message is None else json.loads(message)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"] | None:
        """The newest picture of a camera, if it is newer than what this gave last."""
        message = self._cameras[index].read()
        camera = self.about["cameras"][index]
        if message is None:
            return None
        return np.frombuffer(message, np.uint8).reshape(camera["height"], camera["width"], 3)

    def close(self) -> None:
        for mailbox in (self._standing, self.pads, *self._cameras):
            mailbox.close()


def _sweep() -> None:
    """Remove what runs that were killed have left."""
    for path in _MEMORY.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.getuid() and pid.isdigit() and not _is_alive(int(pid)):
                shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

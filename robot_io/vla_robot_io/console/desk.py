"""What the console knows of a run, and what it can do to it: two files, and memory that both map.

    DIR/stop.flag         pressed here, looked at by the arm's own process: nothing of the run lies between
    DIR/operator.jsonl    what is asked of the run
    DIR/live.json         where the run shows itself; the pads go the other way

A run may begin after the console, end, and be followed by another in the same folder.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError, WireError
from vla_robot_io.operating.asking import Request, Verb, ask
from vla_robot_io.operating.live_view import FILE_NAME, LiveReader
from vla_robot_io.stop_flag import FILE_NAME as STOP_FILE
from vla_robot_io.stop_flag import StopFlag
from vla_robot_io.teleoperation.browser import NO_PADS, Pads, pads_message, pads_of

MAX_ECHO_S = 0.4
"""A page that has last seen the arm as it was longer ago than this is too far behind to drive it."""
PADS_REST_S = 0.15
"""Pads that have said nothing for this long are let go."""
_SMALL_PX = 200
_QUALITY = 80


@dataclasses.dataclass
class Desk:
    """One run's folder, seen by any number of pages; driven by one of them at a time."""

    folder: Path
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._reader: LiveReader | None = None
        self._driver: object = None
        self._pads = NO_PADS
        self._shown: collections.deque[tuple[int, float]] = collections.deque(maxlen=256)
        self.number = 0
        """Of what was last read of the run."""
        self.about: dict[str, Any] | None = None
        self.standing: dict[str, Any] = {}
        self.pictures: dict[int, tuple[int, bytes]] = {}
        """JPEG or PNG by camera, each with the number at which it came."""

    # ------------------------------------------------------------------ looking

    def look(self) -> None:
        """Read what is new, attach to a run that has begun, and say that somebody looks."""
        self.number += 1
        self._shown.append((self.number, self.now()))
        if self._reader is None or (self.standing.get("ended") and (self.folder / FILE_NAME).exists()):
            self._attach()
        if self._reader is None:
            return
        self.standing = self._reader.standing() or self.standing
        for index in range(len(self._reader.about["cameras"])):
            image = self._reader.image(index)
            if image is not None:
                self.pictures[index] = (self.number, encoded(image))
        self._rest()

    @property
    def is_alive(self) -> bool:
        """Whether the run's process is there."""
        return self._reader is not None and not self.standing.get("ended") and self._reader.is_alive

    def _attach(self) -> None:
        with contextlib.suppress(ConfigError):
            reader = LiveReader(self.folder)
            self._detach()
            self._reader, self.about, self.standing, self.pictures = reader, reader.about, {}, {}

    def _detach(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def close(self) -> None:
        self._detach()

    # ------------------------------------------------------------------ stopping, asking

    @property
    def is_stop_pressed(self) -> bool | None:
        """Whether the stop button is down; None where there is none yet."""
        path = self.folder / STOP_FILE
        if not path.is_file():
            return None
        try:
            with StopFlag(path) as flag:
                return flag.is_pressed
        except OSError:
            return None

    def press_stop(self, pressed: bool) -> None:
        """Press the stop button, or let it up; a run that begins where it is down does not move.

        Raises:
            ConfigError: if it cannot be written.
        """
        try:
            with StopFlag(self.folder / STOP_FILE) as flag:
                if pressed:
                    flag.press()
                else:
                    flag.release()
        except OSError as error:
            raise ConfigError(f"the stop button could not be reached ({error}): use the arm's own") from error

    def ask(self, request: Request, page: object) -> None:
        """Ask something of the run; who takes over holds the pads.

        Raises:
            ConfigError: if no run goes on.
        """
        if request.verb is Verb.TAKE_OVER:
            self._driver = page
        if not self.is_alive:
            raise ConfigError("no run goes on: nobody hears this")
        try:
            ask(self.folder, request, self.now)
        except OSError as error:
            raise ConfigError(f"the run could not be asked: {error}") from error

    # ------------------------------------------------------------------ driving

    @property
    def driver(self) -> object:
        """The page that holds the pads."""
        return self._driver

    def drive(self, tree: Any, page: object) -> None:
        """Take what a page's pads say, if it is the one that drives, and sees the arm as it is.

        Args:
            tree: pads, with the number `seen` of what the page has last seen.
            page: that says so.

        Raises:
            WireError: if it is none of pads.
            ConfigError: if another drives, or the page is too far behind.
        """
        pads = pads_of(tree, said_s=self.now())
        if page is not self._driver:
            if pads.is_held:
                raise ConfigError("another page drives: take over first")
            return
        behind_s = self._behind_s(tree.get("seen"))
        late = pads.is_held and behind_s > MAX_ECHO_S
        self._say(dataclasses.replace(pads, is_held=pads.is_held and not late))
        if late:
            raise ConfigError(f"the connection is {behind_s:.1f} s behind: too slow to drive")

    def leave(self, page: object) -> None:
        """A page is gone; if it drove, nobody does."""
        if page is self._driver:
            self._driver = None
            self._say(dataclasses.replace(NO_PADS, said_s=self.now()))

    def _behind_s(self, seen: object) -> float:
        shown = dict(self._shown)
        if isinstance(seen, bool) or not isinstance(seen, int) or seen not in shown:
            return float("inf")
        return self.now() - shown[seen]

    def _rest(self) -> None:
        """Let go of pads that say nothing any more."""
        if self.now() - self._pads.said_s > PADS_REST_S:
            self._say(dataclasses.replace(NO_PADS, said_s=self.now()))

    def _say(self, pads: Pads) -> None:
        self._pads = pads
        if self._reader is not None:
            self._reader.pads.write(pads_message(pads))


def encoded(image: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """JPEG; small pictures, which are shown enlarged, as PNG."""
    kind, how = (".png", []) if min(image.shape[:2]) < _SMALL_PX else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    done, buffer = cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), how)
    if not done:
        raise WireError(f"a picture could not be made a {kind}")
    return buffer.tobytes()

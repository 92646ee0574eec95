"""What a run leaves behind, each file whole or absent.

    DIR/log.jsonl   a header, then a line for each chunk, control step and event, in order
    DIR/video.mp4   the cameras side by side, a frame a control step
    DIR/run.json    the summary; written last, so that its presence says that the run was closed in order

Until a run is closed its files are called `*.partial`; those of a run that was killed stay so.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8

from vla.errors import ConfigError, VlaError
from vla.files import write_atomically
from vla.interfaces import Observation
from vla_robot_io.background_writer import BackgroundWriter
from vla_robot_io.envelope import Setpoint

MOST_LINES_WAITING = 20_000
"""Half an hour at 10 Hz, some 20 MB: a disk that is slow for a while costs no line."""
MOST_FRAMES_WAITING = 64
"""Pictures are larger, and one less is no loss."""
FILM_HEIGHT = 240
"""px; each camera is enlarged to it, pixel by pixel"""
_FILM_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "threads": "1"}
_FILE_OPTIONS = {"movflags": "frag_keyframe+empty_moov"}
"""In pieces, so that what a run that was killed has filmed can still be seen."""


def observation_hash(observation: Observation) -> str:
    """Sixteen hexadecimal digits that stand for what is seen and measured, to the last bit; not for the time."""
    digest = hashlib.sha256(np.ascontiguousarray(observation.proprioception).tobytes())
    for name in sorted(observation.images):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(observation.images[name]).tobytes())
    return digest.hexdigest()[:16]


class RunRecorder:
    """The files of one run in the making."""

    def __init__(
        self, folder: Path, header: Mapping[str, Any], frames_per_second: float | None, *, may_wait: bool = False
    ) -> None:
        """Begin them.

        Args:
            folder: made if it is not there.
            header: the log's first line.
            frames_per_second: of the video; none is made if not given.
            may_wait: whether the run may wait for the disk and the codec: where time is virtual.

        Raises:
            ConfigError: if the folder holds a run already, or cannot be made.
            VlaError: if the disk will not take the first line.
        """
        self._folder = folder
        make_folder(folder)
        self._log = open(folder / "log.jsonl.partial", "w", encoding="utf-8")  # noqa: SIM115
        self._film = None if frames_per_second is None else _Film(folder / "video.mp4.partial", frames_per_second)
        with self._writing():
            self._write_line(_line("header", header))
        self._lines = BackgroundWriter("run's log", MOST_LINES_WAITING, may_wait=may_wait)
        self._frames = BackgroundWriter("run's film", MOST_FRAMES_WAITING, may_wait=may_wait)

    def log(self, kind: str, **values: Any) -> None:
        """Append one line; never waits for the disk, and what it will not take is told by `finish`."""
        line = _line(kind, values)
        self._lines.do(lambda: self._write_line(line))

    def film(self, images: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> None:
        """Append one frame: these pictures side by side, in their order; never waits for the codec."""
        film = self._film
        if film is not None:
            self._frames.do(lambda: film.add(side_by_side(images)))

    def flush(self) -> None:
        """Wait until all so far is written."""
        self._lines.flush()
        self._frames.flush()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Write the log's last line, close and name the files; the summary last.

        A film that failed stays `*.partial`, and the summary says why.

        Raises:
            VlaError: if the disk will not take log or summary; they stay `*.partial`.
        """
        self.log("end", **{key: summary.get(key) for key in ("ended", "error", "final_mode")})
        self._lines.finish()
        self._frames.finish()
        with self._writing(), self._log:
            if self._lines.error is not None:
                raise self._lines.error
            os.fsync(self._log.fileno())
        with self._writing():
            os.replace(self._folder / "log.jsonl.partial", self._folder / "log.jsonl")
            whole = {**summary, "files": self._close_film()}
            write_atomically(self._folder / "run.json", json.dumps(plain(whole), indent=2, allow_nan=False) + "\n")

    def _close_film(self) -> dict[str, Any]:
        """What became of log and film."""
        error = self._frames.error
        if self._film is not None and error is None:
            try:
                if self._film.close():
                    os.replace(self._folder / "video.mp4.partial", self._folder / "video.mp4")
            except Exception as caught:  # of the codec's own kinds
                error = caught
        told = None if error is None else " ".join(f"{type(error).__name__}: {error}".split())
        return {"lines_dropped": self._lines.dropped, "frames_dropped": self._frames.dropped, "film_error": told}

    def _write_line(self, line: str) -> None:
        self._log.write(line)
        self._log.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise VlaError(f"the files of the run in {self._folder} cannot be written: {error}") from error


def _line(kind: str, values: Mapping[str, Any]) -> str:
    return json.dumps({"kind": kind, **plain(values)}, allow_nan=False) + "\n"


def make_folder(folder: Path) -> None:
    """Make the folder of a run, if it is not there.

    Raises:
        ConfigError: if it holds a run already, or cannot be made.
    """
    if (folder / "run.json").exists():
        raise ConfigError(f"{folder} holds a run already ({folder / 'run.json'}): choose another out=DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out={folder} cannot be made: {error.strerror}") from error


def side_by_side(images: Mapping[str, UInt8[np.ndarray, "height width 3"]]) -> UInt8[np.ndarray, "tall wide 3"]:
    """Every picture enlarged or reduced to `FILM_HEIGHT`, next to each other."""
    scaled = []
    for image in images.values():
        height, width = image.shape[:2]
        wide = 2 * max(1, round(width * FILM_HEIGHT / height / 2))
        scaled.append(cv2.resize(image, (wide, FILM_HEIGHT), interpolation=cv2.INTER_NEAREST))
    return np.concatenate(scaled, axis=1)


def plain(value: Any) -> Any:
    """A value as JSON has it; numbers that are not finite become words."""
    match value:
        case float() | np.floating():
            return float(value) if math.isfinite(value) else str(value)
        case np.ndarray():
            return plain(value.tolist())
        case np.integer():
            return int(value)
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case enum.Enum():
            return value.value
        case Path():
            return str(value)
        case Setpoint():
            return {"positions": plain(value.positions), "gripper_m": value.gripper_m}
        case _:
            return value


class _Film:
    """H.264, 4:2:0, written as frames come; the first says how large it is, and makes the file."""

    def __init__(self, path: Path, frames_per_second: float) -> None:
        self._path = path
        self._rate = round(frames_per_second)
        self._open: tuple[OutputContainer, VideoStream] | None = None

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        container, stream = self._open = self._open or self._begin(*frame.shape[:2])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))

    def close(self) -> bool:
        """Whether there is a film."""
        if self._open is None:
            return False
        container, stream = self._open
        container.mux(stream.encode())
        container.close()
        return True

    def _begin(self, height: int, width: int) -> tuple[OutputContainer, VideoStream]:
        container = av.open(str(self._path), "w", format="mp4", options=_FILE_OPTIONS)
        stream = container.add_stream("libx264", rate=self._rate, options=_FILM_OPTIONS)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        return container, stream

"""A camera in a process of its own: what it shows, and what becomes of it when either side dies."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla.clock import RealClock
from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError
from vla_robot_io.camera_process import CameraProcess
from vla_robot_io.captures import REALSENSE, RealSenseCapture, exposed_s, is_file
from vla_robot_io.opencv_camera import OpenCvCamera
from vla_robot_io.operating.letterbox import memory

SPEC = CameraSpec("scene", height=24, width=32)
NUM_PICTURES = 40


@pytest.fixture
def film(tmp_path: Path) -> str:
    """Pictures of 48 x 64 whose brightness tells their number."""
    for number in range(NUM_PICTURES):
        pixels = bytes([5 * number + 10]) * (48 * 64 * 3)
        (tmp_path / f"frame_{number:02d}.ppm").write_bytes(b"P6\n64 48\n255\n" + pixels)
    return str(tmp_path / "frame_%02d.ppm")


@pytest.fixture
def camera(film: str) -> Iterator[CameraProcess]:
    made = CameraProcess(SPEC, film, 50.0, retry_s=0.0)
    yield made
    made.close()


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < end_s, "it never came about"
        threading.Event().wait(0.005)


def shown(camera: CameraProcess) -> int:
    """The number of the newest frame; 0 where there is none."""
    with contextlib.suppress(ObservationError):
        return camera.read().sequence
    return 0


def told_by(camera: CameraProcess) -> str:
    try:
        camera.read()
    except ObservationError as error:
        return str(error)
    return ""


def test_frames_of_another_process_are_those_of_the_camera_and_age_by_the_same_clock(camera: CameraProcess) -> None:
    first = camera.read()
    until(lambda: shown(camera) > first.sequence + 2)
    frame = camera.read()
    assert camera.pid != os.getpid()
    assert frame.image.shape == (24, 32, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image.min() == frame.image.max() == 5 * ((frame.sequence - 1) % NUM_PICTURES) + 10
    assert 0 <= time.monotonic() - frame.time_s < 5.0
    assert frame.time_s > first.time_s


def test_a_process_that_is_killed_is_told_and_started_anew_and_its_first_five_pictures_are_not_trusted(
    camera: CameraProcess,
) -> None:
    until(lambda: shown(camera) > 3)
    before, killed = camera.read(), camera.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: "its process ended with status -9, another is started" in told_by(camera))
    assert camera.pid != killed
    until(lambda: "of 5 new pictures: begin anew" in told_by(camera))
    until(lambda: told_by(camera) == "")
    assert camera.read().sequence >= before.sequence + 5


def test_a_process_that_hangs_keeps_nobody_waiting_and_its_picture_ages(camera: CameraProcess) -> None:
    os.kill(camera.pid, signal.SIGSTOP)
    try:
        # What was put in before it stopped is still taken out.
        until(lambda: camera.read().sequence == camera.read().sequence)
        stopped = camera.read()
        until(lambda: time.monotonic() - camera.read().time_s > 0.2)
        assert camera.read().sequence <= stopped.sequence + 1
    finally:
        os.kill(camera.pid, signal.SIGCONT)


def test_a_device_that_is_not_there_is_refused_as_in_one_process() -> None:
    with pytest.raises(ConfigError, match=r"camera 'scene': there is nothing to read at /nothing/here\.avi"):
        CameraProcess(SPEC, "/nothing/here.avi")


def test_nothing_is_left_in_memory_when_a_camera_is_closed(film: str) -> None:
    before = set(memory().glob("vla-camera-*"))
    camera = CameraProcess(SPEC, film, 50.0)
    (folder,) = set(memory().glob("vla-camera-*")) - before
    camera.close()
    assert not folder.exists()


def test_the_process_ends_when_the_one_that_reads_it_is_killed(film: str) -> None:
    program = (
        "import sys; from vla.embodiment import CameraSpec; from vla_robot_io.camera_process import CameraProcess\n"
        "camera = CameraProcess(CameraSpec('scene', 24, 32), sys.argv[1], 50.0); print(camera.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, film]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        pid = int(reader.stdout.readline())
        reader.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())


# --------------------------------------------------------------------------- when a picture was taken


class Stamping:
    """A capture of moving pictures whose driver stamps them."""

    def __init__(self, stamp: Callable[[], float]) -> None:
        self._stamp, self._number = stamp, 0

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, Any]:
        self._number += 1
        return True, np.full((24, 32, 3), self._number % 200 + 1, np.uint8)

    def set(self, property: int, value: float) -> bool:
        return True

    def release(self) -> None:
        return None

    def exposed_s(self) -> float:
        return self._stamp()


def test_a_picture_is_as_old_as_its_exposure_not_as_its_arrival() -> None:
    capture = Stamping(lambda: time.monotonic() - 0.5)
    camera = OpenCvCamera(SPEC, 0, RealClock(), open_capture=lambda device: capture)
    assert time.monotonic() - camera.read().time_s >= 0.5
    camera.close()


@pytest.mark.parametrize("stamp", [math.nan, 0.0, -1.0, 1e9, 101.0, 98.9], ids=str)
def test_a_stamp_of_another_clock_is_not_taken_for_a_time(stamp: float) -> None:
    assert exposed_s(Stamping(lambda: stamp), 100.0) == 100.0


def test_only_what_is_no_device_is_a_file() -> None:
    files = ["film.mp4", "/data/frame_%02d.png"]
    named: list[int | str] = [0, "/dev/video0", "serial=A1", REALSENSE, f"{REALSENSE}=12", *files]
    assert [name for name in named if is_file(name)] == files


# --------------------------------------------------------------------------- RealSense, with a device of software


class SoftwareDevice:
    """A device of Intel's library that shows what it is handed."""

    def __init__(self, library: Any) -> None:
        self._library, self._number = library, 0
        self.device = library.software_device()
        self._sensor = self.device.add_sensor("Color")
        stream = library.video_stream()
        stream.type, stream.fmt, stream.fps = library.stream.color, library.format.bgr8, 30
        stream.uid, stream.width, stream.height, stream.bpp = 1, 64, 48, 3
        size = library.intrinsics()
        size.width, size.height = 64, 48
        stream.intrinsics = size
        self._profile = self._sensor.add_video_stream(stream)

    def show(self, brightness: int, age_s: float, domain: Any) -> None:
        frame = self._library.software_video_frame()
        frame.pixels, frame.bpp, frame.stride = np.full((48, 64, 3), brightness, np.uint8), 3, 64 * 3
        self._number += 1
        frame.frame_number, frame.timestamp, frame.domain = self._number, 1e3 * (time.time() - age_s), domain
        frame.profile = self._profile.as_video_stream_profile()
        self._sensor.on_video_frame(frame)


@pytest.mark.parametrize("domain", ["system_time", "global_time", "hardware_clock"])
def test_a_realsense_camera_shows_its_pictures_and_when_they_were_exposed(domain: str) -> None:
    library = pytest.importorskip("pyrealsense2")
    device = SoftwareDevice(library)
    capture = RealSenseCapture(prepare=lambda pipeline, config: pipeline.set_device(device.device))
    told = getattr(library.timestamp_domain, domain)
    device.show(7, 0.25, told)
    is_there, picture = capture.read()
    arrived_s = time.monotonic()
    assert is_there
    assert picture.shape == (48, 64, 3)
    assert (picture == 7).all()
    if domain == "hardware_clock":
        assert math.isnan(capture.exposed_s())
    else:
        assert 0.25 <= arrived_s - capture.exposed_s() < 5.0
    device.show(8, 0.0, told)
    assert (capture.read()[1] == 8).all()
    assert (picture == 7).all(), "the library's memory was handed out"
    assert capture.read() == (False, None), "a camera that is silent for a second is gone"
    capture.release()


def test_a_realsense_camera_that_is_not_connected_is_refused() -> None:
    pytest.importorskip("pyrealsense2")
    with pytest.raises(ConfigError, match="RealSense 123 does not start: No device connected"):
        RealSenseCapture("123")

"""Rows F38 to F46 of the fault catalogue: a camera goes wrong under a moving arm, and the loop holds it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla.clock import RealClock, VirtualClock
from vla.embodiment import CameraSpec
from vla.errors import ConfigError, ObservationError
from vla.interfaces import ArmMode, CameraFrame, EpisodeSpec
from vla.testing import LoggedArm, check_applied
from vla_robot_io.camera_serials import connected_cameras, device_of
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig, StepReport
from vla_robot_io.fake_arm import Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.opencv_camera import OpenCvCamera
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SPEC = EpisodeSpec(task="", seed=0, instruction="push the red block")
FORWARD = np.array([0.004, 0.0, 0.0, 0.0, 1.0], np.float32)
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
START_S, FAULT_S, STEP_S = 100.0, 0.35, 0.1
Change = Callable[[CameraFrame, float], CameraFrame]


@dataclasses.dataclass
class ChangedCamera:
    """Another camera, whose frames are changed while something is wrong with it."""

    inner: object
    clock: VirtualClock
    change: Change
    window: Window

    @property
    def name(self) -> str:
        return self.inner.name  # type: ignore[attr-defined]

    def read(self) -> CameraFrame:
        frame: CameraFrame = self.inner.read()  # type: ignore[attr-defined]
        elapsed_s = self.clock.now() - START_S
        return self.change(frame, elapsed_s) if elapsed_s in self.window else frame

    def close(self) -> None:
        return None


class Lab:
    """An arm that moves, and a camera `wrist` with which something is wrong from `FAULT_S` on."""

    def __init__(
        self, change: Change, window: Window | None = None, control: ControlConfig | None = None, which: int = 1
    ) -> None:
        self.clock = VirtualClock(START_S)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        cameras = list(robot.cameras)
        cameras[which] = ChangedCamera(cameras[which], self.clock, change, window or Window(FAULT_S))  # type: ignore[call-overload]
        self.reports: list[StepReport] = []
        robot = dataclasses.replace(robot, arm=self.arm, cameras=tuple(cameras))
        self.environment = ArmEnvironment(robot, self.clock, BOX, control)
        self.environment.on_step = self.reports.append
        self.environment.reset(SPEC)

    def move(self, steps: int) -> None:
        for _ in range(steps):
            self.environment.step(FORWARD)

    def codes(self) -> set[Code]:
        return {reason.code for report in self.reports for reason in report.reasons}

    def check(self, allowed_s: float = 2 * STEP_S) -> None:
        """Nothing moved later than this after the fault, nor beyond a limit before it."""
        check_applied(self.arm)
        assert self.arm.mode is ArmMode.HOLD
        assert max(entry.time_s for entry in self.arm.written) <= START_S + FAULT_S + allowed_s


def shown(image: Callable[[np.ndarray], np.ndarray]) -> Change:
    return lambda frame, _: dataclasses.replace(frame, image=image(frame.image))


# --------------------------------------------------------------------------- frozen, gone, back


def test_f38_a_camera_that_freezes_holds_before_anyone_acts_upon_it() -> None:
    frozen: list[CameraFrame] = []

    def freeze(frame: CameraFrame, _: float) -> CameraFrame:
        frozen.append(frame)
        return frozen[0]

    lab = Lab(freeze)
    lab.move(8)
    assert Code.STALE_CAMERA in lab.codes()
    lab.check(0.15 + 2 * STEP_S)


def test_f40_a_camera_that_was_away_is_trusted_after_five_new_pictures() -> None:
    def stand_still(frame: CameraFrame, _: float) -> CameraFrame:
        return dataclasses.replace(frame, time_s=START_S + FAULT_S - 0.1, sequence=10)

    lab = Lab(stand_still, Window(FAULT_S, 0.75))
    lab.move(14)
    told = [reason.text for report in lab.reports for reason in report.reasons]
    assert any("'wrist' is back, and has shown 4 of 5 new pictures" in text for text in told)
    assert lab.arm.mode is ArmMode.RUNNING
    check_applied(lab.arm)


class Plugged:
    """A device of OpenCV's that can be pulled out and put in again, of another size if need be."""

    def __init__(self) -> None:
        self.number, self.is_there, self.shape, self.opened = 0, True, (48, 64), 0
        self.is_same = False
        self.raises: Exception | None = None
        self.grabbed = threading.Semaphore(3)

    def open(self, device: int | str) -> Plugged:
        self.opened += 1
        return self

    def isOpened(self) -> bool:
        return self.is_there

    def read(self) -> tuple[bool, np.ndarray | None]:
        assert self.grabbed.acquire(timeout=10)
        if self.raises is not None:
            raise self.raises
        if not self.is_there:
            return False, None
        self.number += 0 if self.is_same else 1
        return True, np.full((*self.shape, 3), self.number % 200 + 1, np.uint8)

    def set(self, property: int, value: float) -> bool:
        return True

    def release(self) -> None:
        return None

    def show(self, pictures: int) -> None:
        """Let the driver hand out so many more."""
        self.grabbed.release(pictures)


@pytest.fixture
def plugged() -> Plugged:
    return Plugged()


def camera_on(plugged: Plugged) -> OpenCvCamera:
    spec = CameraSpec("wrist", height=24, width=32)
    return OpenCvCamera(spec, 0, RealClock(), retry_s=0.0, open_capture=plugged.open)


def until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(2000):
        if holds():
            return
        waiting.wait(0.005)
    pytest.fail("it never came about")


def told_by(camera: OpenCvCamera) -> str:
    try:
        camera.read()
    except ObservationError as error:
        return str(error)
    return ""


def close(camera: OpenCvCamera, plugged: Plugged) -> None:
    plugged.show(10_000)
    camera.close()


def test_f40_a_camera_that_is_pulled_out_is_looked_for_and_used_after_five_pictures(plugged: Plugged) -> None:
    camera = camera_on(plugged)
    until(lambda: camera.read().sequence == 3)
    plugged.is_there = False
    plugged.show(1)
    until(lambda: "it gives no more frames" in told_by(camera))
    until(lambda: plugged.opened > 5)
    plugged.is_there = True
    plugged.show(3)
    until(lambda: "is back, and has shown 3 of 5 new pictures: begin anew" in told_by(camera))
    plugged.show(2)
    until(lambda: told_by(camera) == "")
    assert camera.read().sequence >= 5
    close(camera, plugged)


def test_f40_a_camera_that_was_away_for_a_moment_ends_the_run_that_looked_through_it(plugged: Plugged) -> None:
    lab = Lab(lambda frame, _: _raise(OSError("no such device")), Window(FAULT_S, FAULT_S + 0.1))
    lab.move(3)
    with pytest.raises(ObservationError, match="camera 'wrist' cannot be read: no such device"):
        lab.move(1)
    lab.check()


def _raise(error: Exception) -> CameraFrame:
    raise error


# --------------------------------------------------------------------------- what is shown

BLANK = {
    "is black": lambda image: np.zeros_like(image) + 3,
    "is saturated": lambda image: np.full_like(image, 252),
    "is of one colour": lambda image: np.full_like(image, 120),
}


@pytest.mark.parametrize("why", BLANK)
def test_f41_a_picture_that_shows_nothing_holds(why: str) -> None:
    lab = Lab(shown(BLANK[why]))
    lab.move(6)
    assert any(why in reason.text for report in lab.reports for reason in report.reasons)
    assert lab.codes() == {Code.BLANK_PICTURE}
    lab.check()


def test_f41_who_says_so_acts_upon_pictures_that_show_nothing() -> None:
    lab = Lab(shown(BLANK["is black"]), control=ControlConfig(blank_pictures=True))
    lab.move(6)
    assert lab.arm.mode is ArmMode.RUNNING
    assert not lab.codes()


def test_f42_pictures_of_another_size_are_refused_and_hold() -> None:
    lab = Lab(shown(lambda image: image[::2, ::2]))
    lab.move(3)
    with pytest.raises(ObservationError, match=r"camera 'wrist' gives pictures of 16 x 20 x 3, expected 32 x 40 x 3"):
        lab.move(1)
    lab.check()


def test_f42_a_device_that_changes_its_size_is_given_up(plugged: Plugged) -> None:
    camera = camera_on(plugged)
    plugged.shape = (24, 32)
    plugged.show(2)
    until(lambda: "its pictures changed from (48, 64, 3) to (24, 32, 3)" in told_by(camera))
    close(camera, plugged)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["red", "green", "blue"])
def test_f42_red_is_red_green_is_green_and_blue_is_blue(which: int, tmp_path: Path) -> None:
    """The file is written byte by byte, so that no library's own order of colours is on both sides."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., which] = 200
    (tmp_path / "frame_00.ppm").write_bytes(b"P6 32 32 255\n" + picture.tobytes())
    camera = OpenCvCamera(CameraSpec("scene", 32, 32), str(tmp_path / "frame_%02d.ppm"), RealClock(), rate_hz=100.0)
    seen = camera.read().image
    camera.close()
    assert np.array_equal(seen, picture)


def test_f44_a_read_that_says_true_and_shows_the_same_again_is_no_new_picture(plugged: Plugged) -> None:
    camera = camera_on(plugged)
    until(lambda: camera.read().sequence == 3)
    before = camera.read()
    plugged.is_same = True
    plugged.show(20)
    until(lambda: plugged.grabbed._value == 0)
    after = camera.read()
    assert (after.sequence, after.time_s) == (before.sequence, before.time_s)
    close(camera, plugged)


def test_f74_a_driver_that_raises_is_told_to_who_reads(plugged: Plugged) -> None:
    camera = camera_on(plugged)
    plugged.raises = cv2.error("the driver broke")
    plugged.show(1)
    until(lambda: "error: the driver broke" in told_by(camera))
    camera.close()


# --------------------------------------------------------------------------- which camera


def system(folder: Path, cameras: Sequence[tuple[str, str, int]]) -> Path:
    """What the kernel tells of cameras: (node, serial number, which of its nodes)."""
    listed = folder / "class"
    listed.mkdir()
    for node, serial, index in cameras:
        usb = folder / f"usb-{serial}"
        interface = usb / f"interface-{node}"
        interface.mkdir(parents=True)
        (usb / "serial").write_text(serial + "\n")
        (listed / node).mkdir()
        (listed / node / "index").write_text(f"{index}\n")
        (listed / node / "device").symlink_to(interface)
    return listed


def test_f43_cameras_that_change_places_are_found_by_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "after").mkdir()
    before = system(tmp_path / "before", [("video0", "A", 0), ("video1", "A", 1), ("video2", "B", 0)])
    after = system(tmp_path / "after", [("video0", "B", 0), ("video2", "A", 0)])
    assert connected_cameras(before) == [("A", "/dev/video0"), ("B", "/dev/video2")]
    assert (device_of("serial=A", before), device_of("serial=B", before)) == ("/dev/video0", "/dev/video2")
    assert (device_of("serial=A", after), device_of("serial=B", after)) == ("/dev/video2", "/dev/video0")


def test_f43_a_camera_that_is_another_one_is_refused_and_those_there_are_named(tmp_path: Path) -> None:
    there = system(tmp_path, [("video0", "B", 0)])
    with pytest.raises(ConfigError, match="no camera with serial number 'A'; connected are: B at /dev/video0"):
        device_of("serial=A", there)
    with pytest.raises(ConfigError, match="connected are: none"):
        device_of("serial=A", tmp_path / "nowhere")


def test_f43_two_cameras_of_one_number_are_told_apart_by_their_places(tmp_path: Path) -> None:
    there = system(tmp_path, [("video0", "SN0001", 0)])
    (there / "video4").mkdir()
    (there / "video4" / "device").symlink_to((there / "video0" / "device").resolve())
    with pytest.raises(ConfigError, match="/dev/video0 and /dev/video4 both have serial number 'SN0001'"):
        device_of("serial=SN0001", there)


def test_f43_a_name_that_is_no_number_is_opened_as_it_is(tmp_path: Path) -> None:
    assert [device_of(name, tmp_path) for name in (2, "/dev/video7", "film.avi")] == [2, "/dev/video7", "film.avi"]


# --------------------------------------------------------------------------- when


@pytest.mark.parametrize(("by_s", "way"), [(10.0, "10.000 s ahead|9.9"), (-50.0, "not after the one before")])
def test_f45_a_clock_that_jumps_holds_until_it_has_shown_five_pictures(by_s: float, way: str) -> None:
    lab = Lab(lambda frame, _: dataclasses.replace(frame, time_s=frame.time_s + by_s), Window(FAULT_S, 0.45))
    lab.move(4)
    reasons = [reason for report in lab.reports for reason in report.reasons]
    assert lab.arm.mode is ArmMode.RUNNING
    assert not reasons
    lab.move(1)
    (told,) = [reason for reason in lab.reports[-1].reasons if "jumped" in reason.text]
    assert told.code is Code.CAMERA_CLOCK
    assert "camera 'wrist' shows a picture from" in told.text
    assert any(part in told.text for part in way.split("|"))
    assert lab.arm.mode is ArmMode.HOLD
    lab.move(6)
    assert lab.arm.mode is ArmMode.RUNNING
    check_applied(lab.arm)


def test_f46_pictures_that_are_taken_120_ms_apart_hold() -> None:
    lab = Lab(lambda frame, _: dataclasses.replace(frame, time_s=frame.time_s - 0.12))
    lab.move(3)
    lab.move(3)
    assert any(
        "camera 'wrist' lags 0.120 s behind 'scene', over 0.100 s" in reason.text
        for report in lab.reports
        for reason in report.reasons
    )
    lab.check()

"""Cameras that run freely are looked at as of one instant; how far apart their pictures are is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.interfaces import CameraFrame, EpisodeSpec, Robot
from vla_robot_io.alignment import KEPT_FRAMES, aligned, common_instant, recent_of, skew_s
from vla_robot_io.cameras import WatchedCameras
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.fake_arm import Window
from vla_robot_io.fake_camera import FakeCamera
from vla_robot_io.late_camera import LateCamera
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

START_S, BETWEEN_S = 100.0, 0.01
BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01)
PICTURE = np.zeros((2, 2, 3), np.uint8)


def frames(*times_s: float) -> list[CameraFrame]:
    return [CameraFrame(PICTURE, time_s, sequence) for sequence, time_s in enumerate(times_s)]


def looked(rates_hz: tuple[float, float], late_s: float, kept: int) -> tuple[VirtualClock, WatchedCameras, Robot]:
    """A robot of two cameras that run freely; the second hands out each frame late."""
    clock = VirtualClock(START_S)
    specs = TABLETOP_PANDA.cameras
    first = FakeCamera(specs[0], clock, rates_hz[0], kept=kept)
    clock.advance(BETWEEN_S)
    second = FakeCamera(specs[1], clock, rates_hz[1], kept=kept, late_s=late_s)
    robot = dataclasses.replace(loopback_robot(clock, TABLETOP_PANDA), cameras=(first, second))
    return clock, WatchedCameras(robot, clock, 0.15, 5), robot


def test_the_common_instant_is_the_newest_of_which_every_camera_has_seen_something() -> None:
    assert common_instant({"scene": frames(1.0, 1.1, 1.2), "wrist": frames(1.02, 1.09)}) == 1.09


def test_of_each_camera_the_frame_nearest_to_the_common_instant_is_chosen_and_the_newer_of_two_as_near() -> None:
    chosen = aligned({"scene": frames(1.0, 1.0625, 1.125, 1.1875), "wrist": frames(1.0, 1.09375)})
    assert {name: frame.time_s for name, frame in chosen.items()} == {"scene": 1.125, "wrist": 1.09375}
    assert skew_s(chosen) == 0.03125


def test_one_camera_shows_its_newest() -> None:
    recent = {"scene": frames(1.0, 1.1)}
    assert aligned(recent)["scene"].time_s == 1.1
    assert skew_s(aligned(recent)) == 0.0


@given(
    slow=st.floats(15.0, 30.0),
    fast=st.floats(30.0, 60.0),
    late_s=st.floats(0.0, 0.01),
    steps=st.lists(st.floats(0.02, 0.1), min_size=3, max_size=12),
)
def test_the_skew_is_at_most_a_period_of_the_faster_and_time_never_goes_back(
    slow: float, fast: float, late_s: float, steps: list[float]
) -> None:
    clock, _, robot = looked((fast, slow), late_s, kept=12)
    clock.advance(0.3)
    before = {camera.name: -1 for camera in robot.cameras}
    for step in steps:
        clock.advance(step)
        chosen = aligned({camera.name: recent_of(camera) for camera in robot.cameras})
        assert skew_s(chosen) <= 1.0 / fast + 1e-6
        assert all(chosen[name].sequence >= sequence for name, sequence in before.items())
        before = {name: frame.sequence for name, frame in chosen.items()}


@pytest.mark.parametrize(("kept", "most_s", "least_s"), [(1, 0.1, 0.05), (KEPT_FRAMES, 0.017, 0.005)])
def test_frames_that_were_kept_take_the_skew_of_a_late_camera_away(kept: int, most_s: float, least_s: float) -> None:
    clock, cameras, _ = looked((30.0, 15.0), 0.03, kept)
    clock.advance(0.2)
    found = []
    for _ in range(30):
        clock.advance(0.05)
        sight = cameras.look()
        assert sight.reasons == ()
        found.append(sight.skew_s)
    assert least_s < max(found) <= most_s


def test_a_camera_shows_something_new_only_when_what_is_looked_at_is_new() -> None:
    clock, cameras, robot = looked((30.0, 10.0), 0.0, KEPT_FRAMES)
    clock.advance(0.205)
    assert cameras.look().fresh == {"scene", "wrist"}
    clock.advance(0.04)
    # The fast camera has gone on; as of the instant of the slow one there is nothing new.
    assert recent_of(robot.cameras[0])[-1].time_s > START_S + 0.2
    assert cameras.look().fresh == frozenset()
    clock.advance(0.06)
    assert cameras.look().fresh == {"scene", "wrist"}


def test_a_camera_that_freezes_is_named_alone_though_the_other_is_led_back_to_its_instant() -> None:
    clock = VirtualClock(START_S)
    specs = TABLETOP_PANDA.cameras
    frozen = FakeCamera(specs[1], clock, frozen=Window(0.5), kept=KEPT_FRAMES)
    robot = dataclasses.replace(
        loopback_robot(clock, TABLETOP_PANDA),
        cameras=(FakeCamera(specs[0], clock, kept=KEPT_FRAMES), frozen),
    )
    cameras, named = WatchedCameras(robot, clock, 0.15, 50), []
    for _ in range(40):
        clock.advance(0.02)
        named += [reason.field for reason in cameras.look().reasons if reason.code is Code.STALE_CAMERA]
    assert set(named) == {"wrist"}


def test_a_camera_that_opens_late_hands_out_what_the_other_has_kept() -> None:
    clock = VirtualClock(START_S)
    inner = FakeCamera(TABLETOP_PANDA.cameras[0], clock, kept=3)
    clock.advance(1.0)
    late = LateCamera(inner.name, lambda: inner)
    assert [frame.sequence for frame in recent_of(late)] == [28, 29, 30]


def test_each_step_of_a_run_tells_the_skew_of_the_pictures_that_it_answers() -> None:
    clock, _, robot = looked((30.0, 15.0), 0.01, KEPT_FRAMES)
    environment, reports = ArmEnvironment(robot, clock, BOX), list[StepReport]()
    environment.on_step = reports.append
    environment.reset(EpisodeSpec(task="", seed=0, instruction="push the red block"))
    for _ in range(6):
        environment.step(np.array([0.004, 0.0, 0.0, 0.0, 1.0], np.float32))
    found = [report.camera_skew_s for report in reports]
    assert max(found) > 0.005
    assert max(found) < 0.018

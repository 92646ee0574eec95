"""The contract of `vla.interfaces.Camera`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from vla.clock import VirtualClock
from vla.embodiment import CameraSpec
from vla.interfaces import Camera, CameraFrame, Clock
from vla.testing.promises import require

_READS = 20
_BETWEEN_READS_S = 0.02


def check_camera(
    make_camera: Callable[[Clock], Camera], spec: CameraSpec, *, make_clock: Callable[[], Clock] = VirtualClock
) -> None:
    """Return if the camera keeps its contract.

    Pictures have the promised size, times lie in the past and advance with the sequence number, and the same
    number means the same picture.

    Args:
        make_camera: gives a camera that lives by a clock.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    clock = make_clock()
    camera = make_camera(clock)
    require(camera.name == spec.name, f"the camera should be named '{spec.name}', it is '{camera.name}'")
    frames: list[CameraFrame] = []
    for _ in range(_READS):
        frame = camera.read()
        _check_frame(frame, spec, clock)
        frames.append(dataclasses.replace(frame, image=frame.image.copy()))
        clock.sleep_until(clock.now() + _BETWEEN_READS_S)
    for before, after in itertools.pairwise(frames):
        _check_order(before, after)
    require(frames[-1].sequence > frames[0].sequence, f"no new picture came in {_READS * _BETWEEN_READS_S} s")
    camera.close()


def _check_frame(frame: CameraFrame, spec: CameraSpec, clock: Clock) -> None:
    shape = (spec.height, spec.width, 3)
    pictured = frame.image.shape == shape and frame.image.dtype == np.uint8
    require(pictured, f"'{spec.name}' gives uint8 {shape}, got {frame.image.dtype} {frame.image.shape}")
    past = frame.time_s <= clock.now() + 1e-9
    require(past, f"a picture was exposed in the past; {frame.time_s} s is after {clock.now()} s")


def _check_order(before: CameraFrame, after: CameraFrame) -> None:
    ordered = after.sequence >= before.sequence and after.time_s >= before.time_s
    require(ordered, f"pictures come in order; {after.sequence} came after {before.sequence}")
    if after.sequence == before.sequence:
        same = after.time_s == before.time_s and np.array_equal(after.image, before.image)
        require(same, f"picture {after.sequence} came twice, and differed")
    else:
        require(after.time_s > before.time_s, f"picture {after.sequence} should be later than {before.sequence}")

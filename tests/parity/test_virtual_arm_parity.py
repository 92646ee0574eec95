"""The virtual arm behind the control loop, and the simulated environment: one world, reached by two ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla import cli
from vla.clock import VirtualClock
from vla.interfaces import EpisodeSpec, Transition
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.deploy import DeployConfig
from vla_sim.environment import TabletopEnvironment
from vla_sim.virtual_arm import make_robot

INSTRUCTION = "pick up the red block"
SPEC = EpisodeSpec(task="pick_up", seed=3, instruction=INSTRUCTION)
WORDS = ["robot=virtual", "policy=zero", "instruction=unused", "out=unused"]


def play(action_at: Callable[[int], np.ndarray], steps: int) -> tuple[list[Transition], list[Transition]]:
    """The same actions on the simulated environment and on the arm."""
    clock = VirtualClock()
    arm = ArmEnvironment(
        make_robot(clock, instruction=INSTRUCTION, seed=3), clock, cli.compose("deploy", DeployConfig, WORDS).envelope
    )
    simulated = TabletopEnvironment()
    arm.reset(SPEC)
    simulated.reset(SPEC)
    actions = [action_at(step) for step in range(steps)]
    return [simulated.step(action) for action in actions], [arm.step(action) for action in actions]


def weave(step: int) -> np.ndarray:
    return np.array([0.015 * np.sin(step), 0.02 * np.cos(0.7 * step), -0.005, 0.05 * np.sin(step), step % 8 < 4])


def test_the_arm_is_where_the_simulated_environment_has_it() -> None:
    simulated, real = play(lambda step: weave(step).astype(np.float32), 20)
    joints = np.stack([t.observation.proprioception for t in simulated])
    # The arm takes some milliseconds to come to speed; the simulated environment changes speed at once.
    assert np.stack([t.observation.proprioception for t in real]) == pytest.approx(joints, abs=1e-2)


def test_the_cameras_see_what_the_simulated_environment_shows() -> None:
    simulated, real = play(lambda step: weave(step).astype(np.float32), 10)
    for camera in ("scene", "wrist"):
        shown, seen = (np.stack([t.observation.images[camera] for t in side]).astype(int) for side in (simulated, real))
        of_one_step = np.abs(np.diff(shown, axis=0)).mean()
        assert np.abs(shown - seen).mean() < 0.1 * of_one_step


def test_what_was_applied_is_what_the_simulated_environment_applied() -> None:
    simulated, real = play(lambda step: weave(step).astype(np.float32), 20)
    applied = np.stack([t.applied for t in simulated])
    assert np.stack([t.applied for t in real]) == pytest.approx(applied, abs=5e-4)

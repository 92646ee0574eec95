"""Rows F55 and F78 of the fault catalogue: a policy in states that it was not trained on, an arm far from its start."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vla import cli
from vla.clock import VirtualClock
from vla.errors import ArmError, ConfigError, ObservationError, WireError
from vla.interfaces import ActionChunk, ArmMode, EpisodeSpec, Observation
from vla.kinematics import ArmKinematics
from vla.normalization import Statistics
from vla.testing import SMALL_EMBODIMENT, LoggedArm, check_applied
from vla_policies.chunking import ExecutionConfig
from vla_policies.serving.messages import Greeting
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.doubts import DoubtConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.familiarity import Familiarity
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import EXIT_OK, LiveRun, Task
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_robot_io.recording import RunRecorder
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
NAMES = [field.name for field in TABLETOP_PANDA.proprioception]
X = NAMES.index("x")
SIMULATED = (
    "virtual",
    "virtual_published",
    "virtual_so101",
    "virtual_ur5e",
    "servos_emulated",
    "lerobot_emulated",
    "ur_emulated",
    "franka_emulated",
)


class Ahead:
    """A policy that moves ahead, trained around a place."""

    embodiment = TABLETOP_PANDA
    horizon = 4

    def __init__(self, statistics: Statistics | None) -> None:
        self.state_statistics = statistics

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """It remembers nothing."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        actions = np.tile(np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32), (4, 1))
        return [ActionChunk(actions, observation.time_s, 1.0) for observation in observations]


class Lab:
    """A run on a loopback robot."""

    def __init__(self, out: Path, *, doubt: DoubtConfig | None = None, **wrong: Callable[[np.ndarray], None]) -> None:
        self.out, self.clock = out, VirtualClock()
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        robot = dataclasses.replace(robot, arm=self.arm)
        self.environment = ArmEnvironment(robot, self.clock, BOX, ControlConfig(), duration_s=2.5)
        self.doubt = doubt or DoubtConfig()
        here = self.environment.preview(EpisodeSpec(task="", seed=0, instruction="go")).proprioception
        seen = here + np.random.default_rng(0).uniform(-0.6, 0.6, (1000, len(here)))
        seen[:, X] = here[X] + np.random.default_rng(1).uniform(-0.05, 0.05, 1000)
        for spoil in wrong.values():
            spoil(seen)
        self.policy = Ahead(Statistics.of(seen, NAMES).without_values())

    def run(self, policy: Any = None, *, may_be_led: bool = False) -> int:
        policy = policy or self.policy
        run = LiveRun(
            self.environment,
            policy,
            RunRecorder(self.out, {}, None),
            Task("go", 0, 3.0),
            ExecutionConfig(),
            Console(quiet=True),
            familiarity=Familiarity(policy, self.doubt, may_be_led=may_be_led),
        )
        status = run.run({})
        check_applied(self.arm)
        return status

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))


def in_degrees(seen: np.ndarray) -> None:
    seen[:, :7] = np.degrees(seen[:, :7])


def test_f55_an_arm_in_a_state_that_training_never_saw_is_refused_before_torque(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", wrong=in_degrees)
    with pytest.raises(ObservationError, match=r"joint_6 is 2\.549, and in training it was between 1\d\d\.\d"):
        lab.run()
    assert "arm" not in {entry.verb for entry in lab.arm.entries}


def test_f55_an_arm_that_leaves_what_training_saw_is_held_when_most_of_its_last_states_lie_beyond(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path / "run", doubt=DoubtConfig(unseen_steps=8))
    assert lab.run() == EXIT_OK
    statistics = lab.policy.state_statistics
    assert statistics is not None
    seen_m = float(statistics.high[X]) + 0.5 * float(np.ptp(statistics.quantiles[:, X]))
    hand = [float(ArmKinematics("panda").forward(e.applied.positions)[0]) for e in lab.arm.written if e.applied]
    # The median of eight states lies beyond when four or five do, 1 cm each.
    assert seen_m < max(hand) < seen_m + 0.07
    assert lab.summary["final_mode"] == "hold"
    assert lab.summary["reasons"][Code.UNSEEN_STATE.value] > 0
    assert lab.summary["unusual_states"]["x"] > 0.5


def test_f55_states_as_in_training_hold_nobody(tmp_path: Path) -> None:
    def far(seen: np.ndarray) -> None:
        seen[:, X] = 0.6 + np.random.default_rng(1).uniform(-0.4, 0.4, len(seen))

    lab = Lab(tmp_path / "run", wrong=far)
    lab.run()
    assert Code.UNSEEN_STATE.value not in {name for name, count in lab.summary["reasons"].items() if count}


def test_f55_an_arm_that_is_led_elsewhere_first_may_stand_anywhere(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", wrong=in_degrees)
    lab.run(may_be_led=True)
    assert lab.summary["final_mode"] == "hold"


def test_a_policy_that_was_not_trained_is_not_judged(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", wrong=in_degrees)
    assert lab.run(Ahead(None)) == EXIT_OK
    assert lab.summary["unusual_states"] == {}


@given(st.lists(st.floats(-2, 2), min_size=20, max_size=20))
def test_what_is_held_has_its_median_beyond_all_that_was_seen(values: list[float]) -> None:
    state = np.zeros(len(NAMES), np.float32)
    seen = np.random.default_rng(0).uniform(-1, 1, (200, len(NAMES)))
    statistics = Statistics.of(seen, NAMES).without_values()
    watch = Familiarity(Ahead(statistics), DoubtConfig(unseen_margin=0.25))
    for value in values:
        state[X] = value
        watch.look(state.copy())
    margin = 0.25 * float(np.ptp(statistics.quantiles[:, X]))
    median = float(np.median(np.array(values, np.float32)))
    is_beyond = median > statistics.high[X] + margin or median < statistics.low[X] - margin
    reason = watch.objection()
    assert (reason is not None) == is_beyond
    assert reason is None or reason.field == "x"


def test_a_state_that_is_not_finite_is_never_familiar() -> None:
    statistics = Statistics.of(np.random.default_rng(0).uniform(-1, 1, (200, len(NAMES))), NAMES)
    state = np.zeros(len(NAMES), np.float32)
    state[2] = np.nan
    with pytest.raises(ObservationError, match="joint_3 is nan"):
        Familiarity(Ahead(statistics), DoubtConfig()).require(state)


@pytest.mark.parametrize("wrong", [{"unseen_steps": 0}, {"unseen_margin": -0.1}, {"unseen_margin": math.nan}])
def test_a_doubt_that_limits_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ArmEnvironment(
            loopback_robot(VirtualClock(), TABLETOP_PANDA),
            VirtualClock(),
            BOX,
            ControlConfig(doubt=DoubtConfig(**wrong)),
        )


def test_a_server_tells_what_its_policy_was_trained_on() -> None:
    names = [field.name for field in SMALL_EMBODIMENT.proprioception]
    statistics = Statistics.of(np.random.default_rng(0).normal(size=(50, len(names))), names)
    told = Greeting("mine", None, SMALL_EMBODIMENT, 4, statistics).to_message()
    heard = Greeting.from_message(told)
    assert heard.state_statistics is not None
    assert heard.state_statistics.to_json() == statistics.to_json()
    assert Greeting.from_message(told | {"state_statistics": None}).state_statistics is None
    for wrong in ({"names": ["elbow"] * len(names)}, {"quantiles": [[math.nan]]}, {"format": "pickle"}):
        with pytest.raises(WireError, match="the server's greeting"):
            Greeting.from_message(told | {"state_statistics": told["state_statistics"] | wrong})


# --------------------------------------------------------------------------- F78


def of(robot: str) -> DeployConfig:
    words = [f"robot={robot}", "policy=zero", "instruction=reach the red block", "out=unused"]
    return cli.compose("deploy", DeployConfig, words)


@pytest.mark.parametrize("robot", SIMULATED)
def test_f78_every_simulated_robot_declares_where_its_tasks_begin(robot: str) -> None:
    start = of(robot).control.start
    assert start.posture_rad
    assert not start.go_there


@pytest.mark.parametrize("robot", ["virtual", "virtual_so101", "virtual_ur5e"])
@pytest.mark.parametrize("seed", range(2))
def test_f78_a_virtual_arm_stands_where_it_declares(robot: str, seed: int) -> None:
    config = dataclasses.replace(of(robot), seed=seed)
    clock = VirtualClock()
    environment = ArmEnvironment(make_robot(config, clock), clock, config.envelope, config.control)
    environment.reset(EpisodeSpec(task="", seed=seed, instruction=config.instruction))
    assert environment.mode is ArmMode.ARMED
    environment.close()


def test_f78_an_arm_of_a_shipped_robot_that_stands_elsewhere_is_refused_before_torque() -> None:
    config = of("virtual")
    clock = VirtualClock()
    robot = loopback_robot(clock, TABLETOP_PANDA)
    away = [value + 1.0 * (index == 0) for index, value in enumerate(config.control.start.posture_rad)]
    start = dataclasses.replace(config.control.start, posture_rad=away)
    environment = ArmEnvironment(robot, clock, config.envelope, dataclasses.replace(config.control, start=start))
    with pytest.raises(ArmError, match=r"joint_1 is at 0\.000 rad, 1\.000 rad from where the task begins"):
        environment.reset(EpisodeSpec(task="", seed=0, instruction="go"))
    assert robot.arm.mode is ArmMode.CONFIGURED

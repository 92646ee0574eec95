"""A run done again from its log: the same robot, scene and envelope, the actions that were asked for then.

With a simulated robot on the virtual clock everything comes out the same to the last bit, which is checked; what was
recorded by real time, or on hardware, is compared and the differences are told.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla import cli
from vla.clock import VirtualClock
from vla.errors import ActionError, ArmFault, ConfigError
from vla.interfaces import EpisodeSpec
from vla_robot_io.bench import BenchConfig
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.reasons import Code, Reason
from vla_robot_io.recording import observation_hash
from vla_robot_io.run_log import RunLog

_OF_THE_POLICY = (Code.SERVER_SILENT.value, Code.UNSEEN_STATE.value)
"""What holds an arm and is not seen from its actions."""


@dataclasses.dataclass(frozen=True)
class Replayed:
    """How a run went the second time."""

    steps: int
    same_steps: int
    """Steps whose applied action, command, mode and reasons were the same to the last bit."""
    first_difference: int | None
    """The first step that was not."""
    largest_rad: float
    """The largest difference of a commanded joint position."""
    observations: int
    """That the policy answered."""
    same_observations: int
    """Of these, what was seen again to the last bit."""

    @property
    def is_same(self) -> bool:
        return (self.same_steps, self.same_observations) == (self.steps, self.observations)


def replay(log: RunLog) -> Replayed:
    """Do a run again in simulation, and compare every step.

    Raises:
        ConfigError: if its robot is no simulated one, or its configuration is not of this version.
    """
    config = config_of(log.header)
    clock = VirtualClock()
    robot = make_robot(config, clock)
    if not robot.is_simulated:
        raise ConfigError(f"robot '{config.driver}' is no simulated one: a run on it is drawn, and not done again")
    # What is done again in simulation takes nobody's place on a bench.
    control = dataclasses.replace(config.control, bench=BenchConfig())
    environment = ArmEnvironment(robot, clock, config.envelope, control, duration_s=config.seconds, speed=config.speed)
    reports: list[StepReport] = []
    environment.on_step = reports.append
    spec = EpisodeSpec(task="", seed=config.seed, instruction=config.instruction)
    environment.preview(spec)
    observations = [environment.reset(spec)]
    for step in log.steps:
        environment.permit = functools.partial(_objection, step)
        try:
            if step.get("waited"):
                environment.wait(Reason(Code.OPERATOR, "waiting", 1.0, 0.0, "the operator held the arm"))
                continue
            observations.append(environment.step(np.array(step["asked"], np.float32)).observation)
        except (ActionError, ArmFault):
            continue  # as it was then: the report says why
    environment.close()
    return _compared(log, reports, {observation_hash(observation) for observation in observations})


def _objection(step: Mapping[str, Any]) -> Reason | None:
    """Why nothing of the policy's was carried out in this step, by what its run knew of the policy."""
    for reason in step["reasons"]:
        if reason["code"] in _OF_THE_POLICY:
            return Reason(Code(reason["code"]), *(reason[name] for name in ("field", "value", "limit", "text")))
    return None


def config_of(header: Mapping[str, Any]) -> DeployConfig:
    """The configuration that a run's header tells.

    Raises:
        ConfigError: if it is not of this version.
    """
    overrides = cli.overrides_of(header["config"], without=("out", "options"))
    options = f"options={json.dumps(header['config']['options'])}"
    return cli.compose("deploy", DeployConfig, ["robot=custom", *overrides, options, "out=unused"])


def _compared(log: RunLog, now: Sequence[StepReport], seen: Collection[str]) -> Replayed:
    then = log.steps
    same = [_is_same(old, new) for old, new in zip(then, now, strict=False)]
    gaps = [np.abs(_positions(old) - new.command.positions).max() for old, new in zip(then, now, strict=False)]
    return Replayed(
        steps=len(then),
        same_steps=sum(same),
        first_difference=next((index for index, is_same in enumerate(same) if not is_same), None),
        largest_rad=float(max(gaps, default=0.0)),
        observations=len(log.chunks),
        same_observations=sum(chunk["seen"] in seen for chunk in log.chunks),
    )


def _is_same(old: Mapping[str, Any], new: StepReport) -> bool:
    return (
        np.array_equal(np.array(old["applied"], np.float32), new.applied)
        and np.array_equal(_positions(old), new.command.positions)
        and old["mode"] == new.mode.value
        and [reason["text"] for reason in old["reasons"]] == [reason.text for reason in new.reasons]
    )


def _positions(step: Mapping[str, Any]) -> Float64[np.ndarray, " joints"]:
    return np.array(step["command"]["positions"], np.float64)

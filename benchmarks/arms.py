"""The shipped policy on arms: the same scenes in simulation, on the virtual arm, and through emulated servos.

    `vla eval`                      the arm is where it is told at the end of a control step
    virtual arm                     control loop, envelope, 100 commands a second, an arm that lags
    Feetech and Dynamixel servos    all that, and packets, ticks, registers

Seeds are those of `vla eval`, which no demonstration began from; the same ones everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vla import cli
from vla.clock import VirtualClock
from vla.interfaces import Clock, EpisodeSpec, Policy, Robot
from vla_policies.loading import load_policy
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.servos.registers import MODELS
from vla_robot_io.servos.robot import emulated_robot
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED
from vla_sim.intervals import share
from vla_sim.tasks import SUITES, TASKS
from vla_sim.virtual_arm import make_robot

EPISODES = 25
"""Of each task."""
RATE_HZ = 100.0
type RobotMaker = Callable[[Clock, dict[str, Any]], Robot]


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back success, with its interval, on each arm."""
    torch.set_num_threads(1)
    policy = load_policy("pretrained", TABLETOP_PANDA, batch_size=1)
    found = {"simulation": _simulated(policy)}
    for name, make in _ROBOTS.items():
        found[name] = [_on_arm(policy, make, spec) for spec in _specs()]
    result = {name: share(successes).to_json() for name, successes in found.items()}
    for name, row in result.items():
        print(f"{name}: {row['success']:.1%} of {row['n']}, {row['low']:.1%} to {row['high']:.1%}")
    return {"arms": result}


def _specs() -> list[EpisodeSpec]:
    seeds = range(FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + EPISODES)
    return [EpisodeSpec(task, seed) for task in SUITES["tabletop"] for seed in seeds]


def _simulated(policy: Policy) -> list[bool]:
    return [result.success for result in rollout(policy, [TabletopEnvironment()], _specs())]


def _virtual(clock: Clock, scene: dict[str, Any]) -> Robot:
    return make_robot(clock, **scene, rate_hz=RATE_HZ)


def _servos(model: str) -> RobotMaker:
    return lambda clock, scene: emulated_robot(clock, MODELS[model], "virtual", rate_hz=RATE_HZ, scene=scene)


_ROBOTS: dict[str, RobotMaker] = {
    "virtual arm": _virtual,
    "emulated sts3215": _servos("sts3215"),
    "emulated xm430_w350": _servos("xm430_w350"),
}


def _on_arm(policy: Policy, make: RobotMaker, spec: EpisodeSpec) -> bool:
    words = begin(spec).instruction
    clock = VirtualClock()
    robot = make(clock, {"instruction": words, "seed": spec.seed, "task": spec.task, "arm": "panda"})
    config = cli.compose("deploy", DeployConfig, ["robot=virtual", "policy=zero", "instruction=unused", "out=unused"])
    seconds = TASKS[spec.task].max_steps * TABLETOP_PANDA.control_dt_s
    environment = ArmEnvironment(robot, clock, config.envelope, config.control, duration_s=seconds)
    told = EpisodeSpec(spec.task, spec.seed, instruction=words)
    (result,) = rollout(policy, [environment], [told])
    environment.close()
    return result.success

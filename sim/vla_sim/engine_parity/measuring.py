"""One scene on two engines.

MuJoCo: the expert acts ──commands──► Bullet: the same commands        how far arm and things are apart, step by step
Bullet: the expert acts                                                whether experts succeed there too
states of either ──────► judged in both worlds                         whether success is read alike
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Float64

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.worlds.scene import Kind


@dataclasses.dataclass(frozen=True)
class Pass:
    """One expert, from the first state to success or the end of its time."""

    success: bool
    actions: list[Float32[np.ndarray, " action_dim"]]
    states: list[Float64[np.ndarray, " numbers"]]
    """One more than there are actions."""
    verdicts: list[tuple[bool, ...]]
    """On each state, see `verdict`."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What came of one scene."""

    spec: EpisodeSpec
    success: bool
    """Of MuJoCo's expert in MuJoCo."""
    other_success: bool
    """Of Bullet's expert in Bullet."""
    replayed_success: bool
    """Of the commands of MuJoCo's expert in Bullet."""
    end_effector_mm: list[float]
    """Between both worlds under the same commands, after each step."""
    things_mm: list[float]
    """The same of the thing that is farthest from where it is in the other world."""
    num_states: int
    """Judged in both worlds."""
    num_agreeing: int
    """Of these."""
    num_equal: int
    """States that are the same numbers after they were put into the other world and taken out again."""


def measure(one: TabletopEnvironment, other: TabletopEnvironment, spec: EpisodeSpec) -> Scored:
    """One scene on both engines.

    Args:
        one: MuJoCo's, or whose commands are replayed.
        other: Bullet's.
    """
    told = act(one, spec)
    own = act(other, spec)
    arm, things, replayed = _replay(one, other, spec, told)
    # `other` stands in the scene already; so does `one`.
    found = [_judge(other, state, verdict) for state, verdict in zip(told.states, told.verdicts, strict=True)]
    found += [_judge(one, state, verdict) for state, verdict in zip(own.states, own.verdicts, strict=True)]
    return Scored(
        spec,
        told.success,
        own.success,
        replayed,
        arm,
        things,
        len(found),
        sum(agrees for agrees, _ in found),
        sum(equal for _, equal in found),
    )


def act(environment: TabletopEnvironment, spec: EpisodeSpec) -> Pass:
    """What the expert does; nothing is drawn."""
    begin(environment, spec)
    states, verdicts = [environment.world.save()], [verdict(environment)]
    actions: list[np.ndarray] = []
    while not verdicts[-1][0] and len(actions) < environment.attempt.task.max_steps:
        action = environment.expert_action()
        environment.world.step(action)
        actions.append(action)
        states.append(environment.world.save())
        verdicts.append(verdict(environment))
    return Pass(verdicts[-1][0], actions, states, verdicts)


def begin(environment: TabletopEnvironment, spec: EpisodeSpec) -> None:
    """Set up the scene."""
    environment.reset(spec)


def verdict(environment: TabletopEnvironment) -> tuple[bool, ...]:
    """Everything that is judged of a state: success, its stages, and which blocks the gripper touches."""
    attempt, table = environment.attempt, environment.table
    blocks = [thing.name for thing in attempt.scene.of_kind(Kind.BLOCK)]
    touched = [table.is_touched(block) for block in blocks]
    return attempt.task.success(table, attempt.names), *environment.stages().values(), *touched


def _replay(
    one: TabletopEnvironment, other: TabletopEnvironment, spec: EpisodeSpec, told: Pass
) -> tuple[list[float], list[float], bool]:
    begin(one, spec)
    begin(other, spec)
    names = [thing.name for thing in one.attempt.scene.things]
    arm, things, success = [], [], False
    for action in told.actions:
        one.world.step(action)
        other.world.step(action)
        arm.append(_apart_mm(one.world.end_effector()[:3], other.world.end_effector()[:3]))
        things.append(max(_apart_mm(one.world.position(name), other.world.position(name)) for name in names))
        success = success or other.attempt.task.success(other.table, other.attempt.names)
    return arm, things, success


def _apart_mm(one: Float64[np.ndarray, " xyz"], other: Float64[np.ndarray, " xyz"]) -> float:
    return 1e3 * float(np.linalg.norm(one - other))


def _judge(
    environment: TabletopEnvironment, state: Float64[np.ndarray, " numbers"], expected: tuple[bool, ...]
) -> tuple[bool, bool]:
    """Whether a state of the other engine is judged alike here, and stays the same numbers."""
    environment.world.restore(state)
    return verdict(environment) == expected, bool(np.array_equal(environment.world.save(), state))

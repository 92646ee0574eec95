"""A world that does not wait for the policy, by a clock that nobody has to wait for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float32

from vla.clock import VirtualClock
from vla.embodiment import ActionKind
from vla.errors import ConfigError
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Transition
from vla.testing import SMALL_EMBODIMENT
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.rollout import RolloutResult, rollout
from vla_policies.wall_rollout import WARM_UP_CALLS, WallClock, WallStats, hold_action, wall_rollout
from vla_sim.wall_clock import told, wall_tree

DT, HORIZON, STEPS = SMALL_EMBODIMENT.control_dt_s, 8, 40
WAITING = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=4)
OVERLAPPING = ExecutionConfig(ExecutionMode.ASYNCHRONOUS, execute_steps=4)


class Road:
    """Success is to have come far enough in so many steps; a step may take its time to compute."""

    embodiment = SMALL_EMBODIMENT

    def __init__(self, clock: VirtualClock, step_s: float = 0.0, distance: float = math.inf) -> None:
        self.clock, self.step_s, self.distance = clock, step_s, distance
        self.place, self.num_steps = 0.0, 0
        self.seen_at: list[float] = []

    def reset(self, spec: EpisodeSpec) -> Observation:
        self.place, self.num_steps = 0.0, 0
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        self.clock.advance(self.step_s)
        self.place += float(action[0])
        self.num_steps += 1
        success = self.place >= self.distance
        return Transition(self.observe(), action, success, self.num_steps == STEPS and not success, success)

    def observe(self) -> Observation:
        embodiment = self.embodiment
        images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in embodiment.cameras}
        state = np.zeros(embodiment.state_dim, np.float32)
        return Observation(images, state, "go on", self.num_steps * DT, frozenset())

    def close(self) -> None:
        pass


class Thinker:
    """Says in each action which step it was asked at, and how many steps ahead the action is; takes its time."""

    embodiment, horizon = SMALL_EMBODIMENT, HORIZON

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        self.clock, self.seconds, self.asked_at = clock, seconds, list[float]()

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        pass

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None = None,
    ) -> list[ActionChunk]:
        (observation,) = observations
        self.asked_at.append(self.clock.now())
        self.clock.advance(self.seconds)
        actions = np.zeros((HORIZON, self.embodiment.action_dim), np.float32)
        actions[:, 0] = 0.01
        actions[:, 1] = round(observation.time_s / DT)
        actions[:, 2] = range(HORIZON)
        return [ActionChunk(actions, observation.time_s, HORIZON * DT)]


def run(
    seconds: float,
    execution: ExecutionConfig = WAITING,
    *,
    step_s: float = 0.0,
    distance: float = math.inf,
    delay_s: float = 0.0,
) -> tuple[RolloutResult, WallStats]:
    clock = VirtualClock(5.0)
    worlds, policy = Road(clock, step_s, distance), Thinker(clock, seconds)
    (found,) = wall_rollout(policy, worlds, [EpisodeSpec("go", 1)], execution, clock=clock, wall=WallClock(delay_s))
    return found


def plan(result: RolloutResult) -> list[tuple[int, int]]:
    """For each step: when its chunk was asked for, and which of its actions it is."""
    return [(int(asked), int(ahead)) for asked, ahead in result.actions[:, 1:3]]


@pytest.mark.parametrize("execution", [WAITING, OVERLAPPING])
def test_a_policy_that_takes_no_time_acts_as_in_a_world_that_waits(execution: ExecutionConfig) -> None:
    clock = VirtualClock()
    (waited,) = rollout(Thinker(clock, 0.0), [Road(clock)], [EpisodeSpec("go", 1)], execution)
    result, stats = run(0.0, execution)
    assert result.actions.tobytes() == waited.actions.tobytes()
    assert (stats.stale, stats.missing, stats.slow, result.seams) == (0, 0, 0, waited.seams)
    assert stats.seconds == pytest.approx(STEPS * DT)


def test_a_wait_shorter_than_a_control_step_costs_none() -> None:
    _, stats = run(0.6 * DT)
    assert (stats.missing, stats.stale) == (0, 0)
    assert stats.seconds == pytest.approx(STEPS * DT)


def test_a_policy_that_waits_holds_the_arm_for_the_steps_that_pass() -> None:
    result, stats = run(2.5 * DT)
    assert plan(result)[:8] == [(0, 0), (0, 0), (0, 0), (0, 1), (0, 2), (0, 3), (0, 0), (0, 0)]
    assert result.actions[:2, 0].tolist() == [0.0, 0.0]
    assert stats.missing == sum(action[0] == 0.0 for action in result.actions) > 0
    assert stats.stale == 0


def test_an_overlapping_policy_goes_on_under_its_older_chunk_and_takes_over_where_time_has_come_to() -> None:
    result, stats = run(2.5 * DT, OVERLAPPING)
    waited = [(0, 0), (0, 0)]  # the first chunk: nothing was there to go on with
    assert plan(result)[:13] == [*waited, *((0, i) for i in range(7)), *((6, i) for i in range(3, 7))]
    assert result.actions[6 : 6 + 3, 0].tolist() == pytest.approx([0.01] * 3)
    assert stats.missing == 2
    assert stats.stale > STEPS // 3


def test_a_chunk_that_comes_after_the_older_one_has_run_out_leaves_steps_without_an_action() -> None:
    _, stats = run(4.5 * DT, OVERLAPPING)
    assert stats.missing > 4
    assert stats.stale > 0


@pytest.mark.parametrize("execution", [WAITING, OVERLAPPING])
def test_a_policy_slower_than_its_horizon_never_acts_on_what_it_sees_in_time(execution: ExecutionConfig) -> None:
    result, stats = run((HORIZON + 2) * DT, execution)
    assert (result.error, result.steps) == (None, STEPS)
    assert stats.missing == STEPS


@pytest.mark.parametrize("execution", [WAITING, OVERLAPPING])
def test_a_policy_slower_than_the_control_step_loses(execution: ExecutionConfig) -> None:
    distance = 0.01 * STEPS * 0.8
    assert [run(seconds, execution, distance=distance)[0].success for seconds in (0.0, 0.5 * DT, 7.5 * DT)] == [
        True,
        True,
        False,
    ]


def test_an_added_delay_is_as_good_as_a_slow_policy() -> None:
    slow, added = run(3.5 * DT, OVERLAPPING), run(0.5 * DT, OVERLAPPING, delay_s=3 * DT)
    assert slow[0].actions.tobytes() == added[0].actions.tobytes()
    assert slow[1].latencies_s == pytest.approx(added[1].latencies_s)


@given(st.floats(0, 5 * DT), st.floats(0, 0.99 * DT), st.sampled_from([WAITING, OVERLAPPING]))
def test_a_simulator_within_real_time_changes_nothing(
    seconds: float, step_s: float, execution: ExecutionConfig
) -> None:
    at_once, computed = run(seconds, execution), run(seconds, execution, step_s=step_s)
    assert computed[0].actions.tobytes() == at_once[0].actions.tobytes()
    assert computed[1].slow == 0


def test_a_world_waits_for_its_next_step() -> None:
    clock = VirtualClock()
    policy = Thinker(clock, 0.2 * DT)
    list(wall_rollout(policy, Road(clock, 0.3 * DT), [EpisodeSpec("go", 1)], WAITING, clock=clock))
    asked = np.diff(policy.asked_at[WARM_UP_CALLS:])
    np.testing.assert_allclose(asked, 4 * DT)


def test_a_simulator_slower_than_real_time_makes_the_number_void_and_says_so() -> None:
    _, stats = run(0.0, step_s=1.5 * DT)
    tree = wall_tree([stats], control_hz=1 / DT, delay_s=0.0)
    assert (stats.slow, tree["void"]) == (STEPS, True)
    assert told(tree)[0].startswith("VOID: the simulator was too slow for real time in 100.0 %")
    assert not wall_tree([run(0.0)[1]], control_hz=1 / DT, delay_s=0.0)["void"]


def test_shares_rates_and_latencies_are_of_all_episodes() -> None:
    one = WallStats(steps=30, stale=3, missing=0, slow=0, latencies_s=(0.1, 0.2), seconds=3.0)
    other = WallStats(steps=10, stale=0, missing=5, slow=0, latencies_s=(0.3,), seconds=1.0)
    tree = wall_tree([one, other], control_hz=10.0, delay_s=0.05)
    assert (tree["stale"], tree["missing"]) == (3 / 40, 5 / 40)
    assert (tree["realised_hz"], tree["acted_hz"]) == (10.0, 8.75)
    assert (tree["latency_ms"]["p50"], tree["latency_ms"]["calls"], tree["delay_ms"]) == (200.0, 3, 50.0)


def test_what_raises_ends_its_own_episode() -> None:
    clock = VirtualClock()

    class Broken(Road):
        def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
            if self.num_steps == 3 and self.seed == 2:
                raise OSError("the cable is cut")
            return super().step(action)

        def reset(self, spec: EpisodeSpec) -> Observation:
            self.seed = spec.seed
            return super().reset(spec)

    specs = [EpisodeSpec("go", seed) for seed in (1, 2, 3)]
    found = list(wall_rollout(Thinker(clock, DT), Broken(clock), specs, WAITING, clock=clock))
    assert [result.error for result, _ in found] == [None, "OSError: the cable is cut", None]
    assert [result.index for result, _ in found] == [0, 1, 2]


def test_an_arm_that_holds_keeps_its_gripper_and_its_absolute_commands() -> None:
    before = np.arange(1, SMALL_EMBODIMENT.action_dim + 1).astype(np.float32)
    state = np.full(SMALL_EMBODIMENT.state_dim, 0.5, np.float32)
    gripper = [field.name for field in SMALL_EMBODIMENT.action].index("gripper")
    held = hold_action(SMALL_EMBODIMENT)(state, before)
    assert held[gripper] == before[gripper]
    assert np.delete(held, gripper).tolist() == [0.0] * (len(before) - 1)
    fields = SMALL_EMBODIMENT.proprioception
    absolute = dataclasses.replace(SMALL_EMBODIMENT, action=fields, action_kind=ActionKind.ABSOLUTE_JOINT)
    commanded = np.array([0.1, 0.2, 0.03], np.float32)
    assert hold_action(absolute)(state, commanded).tolist() == commanded.tolist()
    assert hold_action(absolute)(state, None)[:2].tolist() == state[:2].tolist()


def test_an_execution_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="execute_steps"):
        run(0.0, ExecutionConfig(execute_steps=HORIZON + 1))

"""The rollout loop against small environments and policies whose every step is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation
from vla.errors import ConfigError
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Transition, beginning_with
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.rollout import PredictCall, RolloutEvents, RolloutResult, rollout

EMBODIMENT = Embodiment(
    name="counter",
    action=(Field("push", "1", -1.0, 1.0),),
    action_kind=ActionKind.DELTA_JOINT,
    frame="base",
    rotation=Rotation.NONE,
    gripper="none",
    proprioception=(Field("place", "1", -1e3, 1e3),),
    control_hz=10.0,
    cameras=(CameraSpec("eye", 2, 2),),
)
HORIZON = 3


class Track:
    """A place on a line that actions move; an episode of seed s has s steps, and succeeds on an even place."""

    def __init__(self, embodiment: Embodiment = EMBODIMENT) -> None:
        self.embodiment = embodiment
        self.place, self.step_count, self.spec = 0.0, 0, EpisodeSpec("none", 0)

    def reset(self, spec: EpisodeSpec) -> Observation:
        if spec.task == "broken_reset":
            raise RuntimeError("the door\n is shut")
        self.place, self.step_count, self.spec = float(spec.seed), 0, spec
        return self.observe()

    def step(self, action: np.ndarray) -> Transition:
        if self.spec.task == "broken_step" and self.step_count == 2:
            raise ValueError("the wheel came off")
        self.place += float(action[0])
        self.step_count += 1
        is_over = self.step_count >= self.spec.seed
        return Transition(self.observe(), action, is_over, False, is_over and int(self.place) % 2 == 0)

    def observe(self) -> Observation:
        brightness = np.nan if self.spec.task == "blackout" and self.step_count >= HORIZON else self.place
        return Observation(
            images={"eye": np.zeros((2, 2, 3), np.uint8)},
            proprioception=np.array([brightness], np.float32),
            instruction=f"walk {self.spec.seed} steps",
            time_s=self.step_count / EMBODIMENT.control_hz,
            fresh=frozenset(["eye", "proprioception"]),
        )

    def close(self) -> None:
        pass


class Walker:
    """Steps that depend on what is seen and on the slot's own random numbers; remembers the size of every batch."""

    def __init__(self) -> None:
        self.generators: dict[int, np.random.Generator] = {}
        self.batches: list[int] = []

    @property
    def embodiment(self) -> Embodiment:
        return EMBODIMENT

    @property
    def horizon(self) -> int:
        return HORIZON

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        assert slots is not None
        for slot, seed in zip(slots, seeds, strict=True):
            self.generators[slot] = np.random.default_rng(seed)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        assert slots is not None
        self.batches.append(len(observations))
        if any("walk 13 " in observation.instruction for observation in observations):
            raise RuntimeError("thirteen")
        chunks = [self._chunk(o, self.generators[slot]) for o, slot in zip(observations, slots, strict=True)]
        return beginning_with(chunks, committed)

    def _chunk(self, observation: Observation, generator: np.random.Generator) -> ActionChunk:
        noise = generator.integers(0, 3, (HORIZON, 1)).astype(np.float32)
        actions = noise + np.float32(observation.proprioception[0] % 2)
        if observation.instruction == "walk 14 steps":
            actions[0] = np.inf
        return ActionChunk(actions, observation.time_s, HORIZON * EMBODIMENT.control_dt_s)


def specs(seeds: Sequence[int], task: str = "walk") -> list[EpisodeSpec]:
    return [EpisodeSpec(task, seed) for seed in seeds]


def run(
    todo: Sequence[EpisodeSpec], slots: int = 2, execution: ExecutionConfig | None = None
) -> dict[EpisodeSpec, RolloutResult]:
    results = list(rollout(Walker(), [Track() for _ in range(slots)], todo, execution))
    assert len(results) == len(todo)
    return {result.spec: result for result in results}


def outcome(result: RolloutResult) -> tuple[bool, int, bytes, str, str | None]:
    return result.success, result.steps, result.actions.tobytes(), result.instruction, result.error


def test_an_episode_ends_when_its_environment_says_so() -> None:
    results = run(specs([4, 7, 1]))
    assert {spec.seed: result.steps for spec, result in results.items()} == {4: 4, 7: 7, 1: 1}


def test_success_is_what_the_environment_said_last() -> None:
    for spec, result in run(specs(range(1, 9))).items():
        assert result.success == (int(spec.seed + result.actions.sum()) % 2 == 0)


def test_a_result_says_what_the_policy_was_told() -> None:
    (result,) = run(specs([5])).values()
    assert result.instruction == "walk 5 steps"


@pytest.mark.parametrize("mode", list(ExecutionMode))
@pytest.mark.parametrize("slots", [2, 3, 7, 32])
def test_an_outcome_does_not_depend_on_the_number_of_slots(slots: int, mode: ExecutionMode) -> None:
    todo = specs(range(1, 12)) + specs([3, 5], "broken_step") + specs([13, 14]) + specs([9], "blackout")
    alone, crowded = run(todo, 1, ExecutionConfig(mode)), run(todo, slots, ExecutionConfig(mode))
    assert {spec: outcome(result) for spec, result in crowded.items()} == {
        spec: outcome(result) for spec, result in alone.items()
    }


def test_an_outcome_does_not_depend_on_the_order_of_episodes() -> None:
    todo = specs(range(1, 12)) + specs([13])
    forward, backward = run(todo, 4), run(todo[::-1], 4)
    assert all(outcome(forward[spec]) == outcome(backward[spec]) for spec in todo)


def test_a_free_slot_takes_the_next_spec_at_once() -> None:
    policy = Walker()
    list(rollout(policy, [Track(), Track()], specs([3, 9, 3, 3]), ExecutionConfig(ExecutionMode.SYNCHRONOUS)))
    # Slot 0 lives through three short episodes while slot 1 lives through one long one.
    assert policy.batches == [2, 2, 2]


def test_an_index_is_the_place_among_the_specs() -> None:
    todo = specs([8, 1, 3])
    results = list(rollout(Walker(), [Track(), Track()], todo))
    assert all(todo[result.index] == result.spec for result in results)
    assert [result.index for result in results] == [1, 2, 0]


def test_specs_are_taken_only_when_a_slot_is_free() -> None:
    taken: list[int] = []

    def lazily() -> Iterator[EpisodeSpec]:
        for spec in specs([2, 5, 4]):
            taken.append(spec.seed)
            yield spec

    results = rollout(Walker(), [Track()], lazily())
    assert next(results).spec.seed == 2
    assert taken == [2]


@pytest.mark.parametrize(
    ("spec", "message", "steps"),
    [
        (EpisodeSpec("broken_reset", 5), "RuntimeError: the door is shut", 0),
        (EpisodeSpec("broken_step", 5), "ValueError: the wheel came off", 2),
        (EpisodeSpec("walk", 13), "RuntimeError: thirteen", 0),
        (EpisodeSpec("walk", 14), "ActionError: the action chunk is not finite: 'push' at step 0", 0),
        (EpisodeSpec("blackout", 9), "ObservationError: proprioception of counter is not finite: place", 3),
    ],
)
def test_an_exception_ends_its_own_episode_alone(spec: EpisodeSpec, message: str, steps: int) -> None:
    results = run([*specs([6]), spec, *specs([7, 8])])
    assert (results[spec].error, results[spec].success, results[spec].steps) == (message, False, steps)
    assert all(result.error is None for other, result in results.items() if other != spec)


def test_an_action_that_was_not_carried_out_is_no_seam() -> None:
    spec = EpisodeSpec("broken_step", 5)
    result = run([spec], execution=ExecutionConfig(execute_steps=1))[spec]
    assert (len(result.actions), result.seams) == (2, (1,))


def test_every_call_of_the_policy_is_timed_with_its_batch_size() -> None:
    calls: list[PredictCall] = []
    whole, events = ExecutionConfig(ExecutionMode.SYNCHRONOUS), RolloutEvents(on_predict=calls.append)
    list(rollout(Walker(), [Track(), Track()], specs([3, 9, 3]), whole, events=events))
    assert [call.batch_size for call in calls] == [2, 2, 1]
    assert all(call.seconds >= 0 for call in calls)


def test_every_reset_and_step_is_told_with_its_slot() -> None:
    resets: list[tuple[int, int]] = []
    steps: list[int] = []
    events = RolloutEvents(
        on_reset=lambda slot, spec, observation: resets.append((slot, spec.seed)),
        on_step=lambda slot, action, transition: steps.append(slot),
    )
    list(rollout(Walker(), [Track(), Track()], specs([2, 5, 4]), events=events))
    assert resets == [(0, 2), (1, 5), (0, 4)]
    assert (steps.count(0), steps.count(1)) == (6, 5)


def test_a_fault_of_the_listener_is_not_taken_for_one_of_the_episode() -> None:
    def full_disk(slot: int, action: np.ndarray, transition: Transition) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        list(rollout(Walker(), [Track()], specs([3]), events=RolloutEvents(on_step=full_disk)))


def test_an_execution_that_does_not_fit_the_policy_is_refused_before_anything_moves() -> None:
    with pytest.raises(ConfigError, match=r"from 1 to the policy's horizon, 3; got 4"):
        rollout(Walker(), [Track()], specs([3]), ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=4))


def test_a_chunk_that_comes_too_late_by_the_clock_ends_the_episode() -> None:
    clock = VirtualClock()

    class Slow(Walker):
        def predict(
            self,
            observations: Sequence[Observation],
            slots: Sequence[int] | None = None,
            committed: Sequence[np.ndarray | None] | None = None,
        ) -> list[ActionChunk]:
            clock.advance(0.5)
            return super().predict(observations, slots, committed)

    (result,) = rollout(Slow(), [Track()], specs([3]), clock=clock)
    assert result.error == "ActionError: the chunk was valid for 0.300 s and comes 0.500 s after its start"


def test_a_clock_is_for_one_environment() -> None:
    with pytest.raises(ValueError, match="just one with a clock; got 2"):
        rollout(Walker(), [Track(), Track()], specs([3]), clock=VirtualClock())


def test_a_rollout_needs_an_environment() -> None:
    with pytest.raises(ValueError, match="at least one environment"):
        rollout(Walker(), [], specs([3]))

"""A contract check is worth what it catches: each of these breaks one promise, and must be told so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.embodiment import CameraSpec
from vla.errors import ActionError, ArmError
from vla.interfaces import (
    ActionChunk,
    Applied,
    ArmCommand,
    ArmState,
    EpisodeSpec,
    Grammar,
    Observation,
    Transition,
    beginning_with,
)
from vla.testing import (
    SMALL_EMBODIMENT,
    FakeEnvironment,
    FakePolicy,
    check_action_tokenizer,
    check_arm,
    check_camera,
    check_environment,
    check_policy,
)
from vla.tokens.bins import BinTokenizer
from vla.tokens.ranges import ActionRanges
from vla_robot_io.fake_arm import FakeArm
from vla_robot_io.fake_camera import FakeCamera

# --------------------------------------------------------------------------- policies


class NotFinite(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks = super().predict(observations, slots, committed)
        return [dataclasses.replace(chunk, actions=chunk.actions * np.float32("nan")) for chunk in chunks]


class TooShort(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks = super().predict(observations, slots, committed)
        return [dataclasses.replace(chunk, actions=chunk.actions[:-1]) for chunk in chunks]


class LooksAtTheBatch(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks = super().predict(observations, slots, committed)
        more = np.float32(1e-3 * len(observations))
        return beginning_with([dataclasses.replace(c, actions=c.actions + more) for c in chunks], committed)


class LooksAtTheSlot(FakePolicy):
    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        slots = range(len(seeds)) if slots is None else slots
        super().reset([seed + slot for seed, slot in zip(seeds, slots, strict=True)], slots)


class NeverForgets(FakePolicy):
    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        for seed, slot in zip(seeds, range(len(seeds)) if slots is None else slots, strict=True):
            self._episodes.setdefault(slot, (seed, 0))


class ForgetsAll(FakePolicy):
    """Begins every episode anew when one is begun."""

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        super().reset(seeds, slots)
        self._episodes = {slot: (seed, 0) for slot, (seed, _) in self._episodes.items()}


class WritesToImages(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks = super().predict(observations, slots, committed)
        for observation in observations:
            observation.images["wrist"][0] = 0
        return chunks


class DoesWithoutCameras(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        black = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in self.embodiment.cameras}
        return super().predict([dataclasses.replace(o, images=black) for o in observations], slots, committed)


class GoesItsOwnWay(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        return super().predict(observations, slots)


class OutOfThePast(FakePolicy):
    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        return [dataclasses.replace(c, start_s=c.start_s - 1) for c in super().predict(observations, slots, committed)]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (NotFinite, "a policy's chunk: the action chunk is not finite"),
        (TooShort, r"a policy's chunk: expected a float32 \(4, 5\) chunk"),
        (LooksAtTheBatch, "an episode in a batch should do as it does alone"),
        (LooksAtTheSlot, "an episode in a batch should do as it does alone"),
        (NeverForgets, "an episode begun again with the same seed should do as it does alone"),
        (ForgetsAll, "an episode beside a slot that is begun again should do as it does alone"),
        (WritesToImages, "a policy leaves images alone; it wrote to 'wrist'"),
        (DoesWithoutCameras, "an observation without camera 'scene' should raise ObservationError, it was accepted"),
        (OutOfThePast, "a chunk starts no earlier than"),
        (GoesItsOwnWay, "a chunk begins with exactly the actions that are committed to"),
    ],
)
def test_a_policy_that_breaks_a_promise_is_caught(policy: type[FakePolicy], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_policy(policy)


def test_a_tolerance_lets_batches_differ_by_rounding() -> None:
    check_policy(LooksAtTheBatch, tolerance=0.1)


# --------------------------------------------------------------------------- environments


class RemembersTheLast(FakeEnvironment):
    def reset(self, spec: EpisodeSpec) -> Observation:
        before = self._place
        super().reset(spec)
        self._place += 0.01 * before
        return self._observation()


class AppliesAnything(FakeEnvironment):
    def step(self, action: np.ndarray) -> Transition:
        return dataclasses.replace(super().step(action), applied=action)


class AcceptsNan(FakeEnvironment):
    def step(self, action: np.ndarray) -> Transition:
        return super().step(np.nan_to_num(action).astype(np.float32))


class StepsThenRefuses(FakeEnvironment):
    def step(self, action: np.ndarray) -> Transition:
        if not np.isfinite(action).all():
            super().step(np.ones(5, np.float32))
            raise ActionError("not finite")
        return super().step(action)


class RunsAtTwiceTheRate(FakeEnvironment):
    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        late = dataclasses.replace(transition.observation, time_s=2 * transition.observation.time_s)
        return dataclasses.replace(transition, observation=late)


class LosesTheWrist(FakeEnvironment):
    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        images = {"scene": transition.observation.images["scene"]}
        return dataclasses.replace(transition, observation=dataclasses.replace(transition.observation, images=images))


class SpeaksItsOwnMind(FakeEnvironment):
    def reset(self, spec: EpisodeSpec) -> Observation:
        return super().reset(dataclasses.replace(spec, instruction=None))


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (RemembersTheLast, "played again should give the same proprioception as before"),
        (AppliesAnything, "applied actions lie within the limits"),
        (AcceptsNan, "an action with nan should raise ActionError, it was accepted"),
        (StepsThenRefuses, "a step after refused actions should give the same proprioception as before"),
        (RunsAtTwiceTheRate, r"a control step takes 0\.1 s"),
        (LosesTheWrist, "the observation lacks camera 'wrist'"),
        (SpeaksItsOwnMind, "a spec's own words are used as they are: 'do exactly this' became 'go to the near end'"),
    ],
)
def test_an_environment_that_breaks_a_promise_is_caught(environment: type[FakeEnvironment], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_environment(environment(), [EpisodeSpec("near", 1), EpisodeSpec("far", 2)])


# --------------------------------------------------------------------------- arms and cameras


class RunsWhenever(FakeArm):
    def run(self) -> None:
        if self.mode.value == "connected":
            super().configure()
            super().arm()
        super().run()


class ForgetsItsFault(FakeArm):
    def configure(self) -> None:
        if self._modes.fault is not None:
            super().acknowledge(self._modes.fault)
        super().configure()


class ClearsAnyFault(FakeArm):
    def acknowledge(self, reason: str) -> None:
        super().acknowledge(self._modes.fault or reason)


class TakesStaleCommands(FakeArm):
    def write(self, command: ArmCommand) -> Applied:
        valid = command.valid_until_s if not command.valid_until_s < self._clock.now() else self._clock.now()
        return super().write(dataclasses.replace(command, valid_until_s=valid))


class SaysNothingOfLimits(FakeArm):
    def write(self, command: ArmCommand) -> Applied:
        return dataclasses.replace(super().write(command), reasons=())


class IsAlwaysFresh(FakeArm):
    def read(self) -> ArmState:
        return dataclasses.replace(super().read(), fresh=True)


class ReadsWhileDisconnected(FakeArm):
    def read(self) -> ArmState:
        return self._reading()


class HasANanPosition(FakeArm):
    def read(self) -> ArmState:
        state = super().read()
        return dataclasses.replace(state, positions=state.positions * np.nan)


class WritesThenRefuses(FakeArm):
    def write(self, command: ArmCommand) -> Applied:
        try:
            return super().write(command)
        except ArmError:
            self._commanded = (np.zeros(7), 0.0)
            raise


@pytest.mark.parametrize(
    ("arm", "told"),
    [
        (RunsWhenever, "'run' while connected should raise ArmError, it was accepted"),
        (ForgetsItsFault, "'configure' while a fault is latched should raise ArmFault, it was accepted"),
        (ClearsAnyFault, "the acknowledgement of another fault should raise ArmError, it was accepted"),
        (TakesStaleCommands, "a command that comes too late should raise ArmError, it was accepted"),
        (SaysNothingOfLimits, "a command beyond the limits is not applied as it is, yet no reason says so"),
        (IsAlwaysFresh, "a reading is fresh if the device's clock advanced"),
        (ReadsWhileDisconnected, "a reading while disconnected should raise ArmError"),
        (HasANanPosition, "'positions' of a reading is finite"),
        (WritesThenRefuses, "is refused, yet it changed what is commanded"),
    ],
)
def test_an_arm_that_breaks_a_promise_is_caught(arm: type[FakeArm], told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_arm(arm)


SPEC = CameraSpec("scene", 4, 6)


@pytest.mark.parametrize(
    ("make_camera", "told"),
    [
        (lambda clock: FakeCamera(CameraSpec("top", 4, 6), clock), "the camera should be named 'scene', it is 'top'"),
        (lambda clock: FakeCamera(CameraSpec("scene", 6, 4), clock), r"'scene' gives uint8 \(4, 6, 3\), got uint8"),
        (lambda clock: FakeCamera(SPEC, clock, rate_hz=0.1), r"no new picture came in 0\.4 s"),
        (lambda clock: FakeCamera(SPEC, VirtualClock(5.0), rate_hz=30.0), "a picture was exposed in the past"),
    ],
)
def test_a_camera_that_breaks_a_promise_is_caught(make_camera: Callable, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_camera(make_camera, SPEC)


# --------------------------------------------------------------------------- tokenizers

LOW, HIGH = SMALL_EMBODIMENT.action_low.astype(np.float64), SMALL_EMBODIMENT.action_high.astype(np.float64)
RANGES = ActionRanges.of(LOW, HIGH)
BOUND = (HIGH - LOW) / 2 / 8


class Leaves(BinTokenizer):
    """Decodes beyond the limits."""

    def decode(self, ids: Sequence[int]) -> np.ndarray:
        return super().decode(ids) * np.float32(1.5)


class DecodesAnything(BinTokenizer):
    def decode(self, ids: Sequence[int]) -> np.ndarray:
        padded = [*ids, *[0] * self.max_tokens][: self.max_tokens]
        return super().decode([min(max(index, 0), self.num_bins - 1) for index in padded])


class HasADeadEnd(BinTokenizer):
    def grammar(self) -> Grammar:
        grammar = super().grammar()
        return dataclasses.replace(grammar, accepting=np.zeros_like(grammar.accepting))


class NeverEnds(BinTokenizer):
    def grammar(self) -> Grammar:
        grammar = super().grammar()
        table = grammar.next_state.copy()
        table[-1] = len(table) - 1
        return dataclasses.replace(grammar, next_state=table)


class RoundsDown(BinTokenizer):
    def encode(self, actions: np.ndarray) -> list[int]:
        return [max(index - 1, 0) for index in super().encode(actions)]


class EncodesNan(BinTokenizer):
    def encode(self, actions: np.ndarray) -> list[int]:
        return super().encode(np.nan_to_num(actions))


@pytest.mark.parametrize(
    ("tokenizer", "told"),
    [
        (Leaves, "accepted ids decode to actions within the limits"),
        (DecodesAnything, "ids that the grammar does not accept should raise ActionError, it was accepted"),
        (HasADeadEnd, "every state that is reached can reach an end; these cannot: "),
        (NeverEnds, "no sequence is longer than max_tokens = 20; one is"),
        (RoundsDown, "comes back .* away from itself, bound"),
        (EncodesNan, "a chunk with NaN should raise ActionError, it was accepted"),
    ],
)
def test_a_tokenizer_that_breaks_a_promise_is_caught(tokenizer: type[BinTokenizer], told: str) -> None:
    broken = tokenizer(RANGES, 9, 4)
    with pytest.raises(AssertionError, match=told):
        check_action_tokenizer(broken, low=LOW, high=HIGH, bound=BOUND, from_json=BinTokenizer.from_json)


def test_a_tokenizer_that_json_changes_is_caught() -> None:
    tokenizer = BinTokenizer(RANGES, 9, 4)
    with pytest.raises(AssertionError, match="JSON gives back an equal tokenizer, its JSON differs"):
        check_action_tokenizer(
            tokenizer,
            low=LOW,
            high=HIGH,
            bound=BOUND,
            from_json=lambda tree: dataclasses.replace(tokenizer, ranges=ActionRanges.of(LOW - 1e-3, HIGH)),
        )


def test_a_tokenizer_that_keeps_its_promises_passes() -> None:
    check_action_tokenizer(
        BinTokenizer(RANGES, 9, 4), low=LOW, high=HIGH, bound=BOUND, from_json=BinTokenizer.from_json
    )

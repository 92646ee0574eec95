"""The contract of `vla.interfaces.Policy`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ObservationError
from vla.interfaces import Observation, Policy, check_chunk
from vla.testing.fakes import make_observation
from vla.testing.promises import kept, refused, require

Observe = Callable[[int, int], Observation]
"""The observation of an episode, by its seed, at a step."""
Actions = Float32[np.ndarray, "horizon action_dim"]

_SEEDS = (11, 12, 13, 14, 15)
_STEPS = 3


def check_policy(make_policy: Callable[[], Policy], *, observe: Observe | None = None, tolerance: float = 0.0) -> None:
    """Return if the policy keeps its contract.

    Chunks are finite and of the declared shape; what happens in an episode depends on its seed and observations
    alone, not on its slot, on other slots or on how many there are; observations are not written to; one that the
    embodiment does not promise is refused by name; a chunk begins with exactly the actions that are committed to.

    Args:
        make_policy: gives a new policy; called many times.
        observe: gives observations; noise if not given. Seeds are 11 to 15, steps 0 to 2.
        tolerance: how far actions of batches of different sizes may lie apart, in physical units.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    policy = make_policy()
    observe = observe or _noise(policy.embodiment)
    alone = {seed: _episode_alone(make_policy(), seed, observe) for seed in _SEEDS}
    _check_reset(policy, alone, observe)
    _check_independence(make_policy, alone, observe, tolerance)
    _check_subsets(make_policy(), alone, observe, tolerance)
    _check_reset_of_one_slot(make_policy(), alone, observe, tolerance)
    _check_inputs_are_left_alone(make_policy(), observe)
    _check_refusals(make_policy(), observe)
    _check_commitment(make_policy(), observe)


def _check_reset(policy: Policy, alone: dict[int, list[Actions]], observe: Observe) -> None:
    for _ in range(2):
        again = _episode_alone(policy, _SEEDS[0], observe)
        _require_same(again, alone[_SEEDS[0]], 0.0, "an episode begun again with the same seed")


def _check_independence(
    make_policy: Callable[[], Policy], alone: dict[int, list[Actions]], observe: Observe, tolerance: float
) -> None:
    last = len(_SEEDS) - 1
    slotted = {
        "in a batch": [*range(len(_SEEDS))],
        "in slots of another order": [last - i for i in range(len(_SEEDS))],
        "in slots with gaps": [3 * i + 2 for i in range(len(_SEEDS))],
    }
    for how, slots in slotted.items():
        policy = make_policy()
        policy.reset(_SEEDS, slots)
        steps = [_predict(policy, [observe(seed, step) for seed in _SEEDS], slots) for step in range(_STEPS)]
        for i, seed in enumerate(_SEEDS):
            _require_same([chunks[i] for chunks in steps], alone[seed], tolerance, f"an episode {how}")


def _check_subsets(policy: Policy, alone: dict[int, list[Actions]], observe: Observe, tolerance: float) -> None:
    """Slots that ask at different times, as after chunks of different length."""
    policy.reset(_SEEDS)
    came: dict[int, list[Actions]] = {seed: [] for seed in _SEEDS}
    for turn in range(2 * _STEPS):
        slots = [i for i in range(len(_SEEDS)) if i % 2 == turn % 2]
        chunks = _predict(policy, [observe(_SEEDS[slot], turn // 2) for slot in slots], slots)
        for slot, actions in zip(slots, chunks, strict=True):
            came[_SEEDS[slot]].append(actions)
    for seed in _SEEDS:
        _require_same(came[seed], alone[seed], tolerance, "an episode whose slot is not always asked")


def _check_reset_of_one_slot(
    policy: Policy, alone: dict[int, list[Actions]], observe: Observe, tolerance: float
) -> None:
    first, second, third = _SEEDS[:3]
    policy.reset([first, second])
    _predict(policy, [observe(first, 0), observe(second, 0)], [0, 1])
    policy.reset([third], [0])
    chunks = _predict(policy, [observe(third, 0), observe(second, 1)], [0, 1])
    _require_same(chunks[:1], alone[third][:1], tolerance, "an episode in a slot that another one had")
    _require_same(chunks[1:], alone[second][1:2], tolerance, "an episode beside a slot that is begun again")


def _check_inputs_are_left_alone(policy: Policy, observe: Observe) -> None:
    given, same = observe(_SEEDS[0], 0), observe(_SEEDS[0], 0)
    policy.reset(_SEEDS[:1])
    _predict(policy, [given], [0])
    for name, image in same.images.items():
        require(np.array_equal(given.images[name], image), f"a policy leaves images alone; it wrote to '{name}'")
    unchanged = np.array_equal(given.proprioception, same.proprioception)
    require(unchanged, "a policy leaves proprioception alone; it wrote to it")


def _check_refusals(policy: Policy, observe: Observe) -> None:
    policy.reset(_SEEDS[:1])
    good = observe(_SEEDS[0], 0)
    for camera in policy.embodiment.cameras:
        images = {name: image for name, image in good.images.items() if name != camera.name}
        with refused(f"an observation without camera '{camera.name}'", ObservationError, naming=camera.name):
            policy.predict([dataclasses.replace(good, images=images)])
        images = {**good.images, camera.name: np.zeros((3, 3, 3), np.uint8)}
        with refused(f"a 3 x 3 image of '{camera.name}'", ObservationError, naming=camera.name):
            policy.predict([dataclasses.replace(good, images=images)])
    with refused("NaN in proprioception", ObservationError, naming="proprioception"):
        policy.predict([dataclasses.replace(good, proprioception=np.full_like(good.proprioception, np.nan))])


def _check_commitment(policy: Policy, observe: Observe) -> None:
    """Some slots commit to some actions, one to a whole chunk, one to nothing."""
    policy.reset(_SEEDS)
    body, horizon = policy.embodiment, policy.horizon
    ratios = np.random.default_rng(0).random((len(_SEEDS), horizon, body.action_dim), np.float32)
    whole = np.clip(body.action_low + ratios * (body.action_high - body.action_low), body.action_low, body.action_high)
    counts: list[int | None] = [None, *(min(count, horizon) for count in (1, horizon // 2, horizon, 0))]
    committed = [None if count is None else actions[:count] for count, actions in zip(counts, whole, strict=True)]
    chunks = policy.predict([observe(seed, 0) for seed in _SEEDS], range(len(_SEEDS)), committed)
    for chunk, first in zip(chunks, committed, strict=True):
        with kept("a chunk that goes on from committed actions"):
            check_chunk(chunk, body, horizon)
        same = first is None or np.array_equal(chunk.actions[: len(first)], first)
        require(same, "a chunk begins with exactly the actions that are committed to; it begins with others")


def _episode_alone(policy: Policy, seed: int, observe: Observe) -> list[Actions]:
    policy.reset([seed])
    return [_predict(policy, [observe(seed, step)], None)[0] for step in range(_STEPS)]


def _predict(policy: Policy, observations: Sequence[Observation], slots: Sequence[int] | None) -> list[Actions]:
    """The actions of valid chunks, one an observation."""
    chunks = policy.predict(observations) if slots is None else policy.predict(observations, slots)
    require(
        len(chunks) == len(observations), f"{len(observations)} observations give as many chunks, not {len(chunks)}"
    )
    for chunk, observation in zip(chunks, observations, strict=True):
        with kept("a policy's chunk"):
            check_chunk(chunk, policy.embodiment, policy.horizon)
        timed = math.isfinite(chunk.start_s) and chunk.start_s >= observation.time_s and chunk.valid_s > 0
        require(timed, f"a chunk starts no earlier than {observation.time_s} s, and is valid a while: {chunk}")
    return [np.array(chunk.actions) for chunk in chunks]


def _require_same(came: list[Actions], expected: list[Actions], tolerance: float, what: str) -> None:
    for step, (a, b) in enumerate(zip(came, expected, strict=True)):
        apart = float(np.abs(a - b).max())
        require(apart <= tolerance, f"{what} should do as it does alone; at prediction {step} it is {apart:.3g} apart")


def _noise(embodiment: Embodiment) -> Observe:
    def observe(seed: int, step: int) -> Observation:
        return make_observation(embodiment, 1000 * seed + step, time_s=step * embodiment.control_dt_s)

    return observe

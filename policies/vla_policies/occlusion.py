"""Which patches of the pictures a decision hangs on: grey each one out, and see how the decision changes.

    observation ─► patch p grey ─► policy ─► change(p)      the map: one number a patch, of every camera

Any policy can be asked. For one of action tokens the change is how much less likely, in nats a token, the tokens are
that it decided on; for any other, how far its actions move, in half-ranges of each field's limits, on average. A policy
is asked as if its episode began with the observation: what it remembers of earlier ones is not in the map.

Source: Zeiler and Fergus 2014, arXiv:1311.2901, section 4.2. Ours differs in that patches do not overlap, and that
what is watched is an action.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from vla.interfaces import Observation, Policy
from vla_policies.decisions import DecidingPolicy, Decision

GREY = 127
"""Of 0 to 255: what a patch that is greyed out shows."""
ASKED_AT_ONCE = 16


class Measure(enum.Enum):
    """What is watched."""

    TOKENS = "tokens"
    """The mean log-probability of the tokens that were decided on; a change is by how many nats it falls."""
    ACTIONS = "actions"
    """The chunk; a change is its mean distance from the one that was decided on, in half-ranges of the limits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of one camera's picture."""

    camera: str
    row: int
    column: int
    pixels: tuple[slice, slice]


type Change = Callable[[Sequence[Observation]], Float64[np.ndarray, " observations"]]
"""How much the decision changes when this is seen instead; 0 if not at all."""


def patches(observation: Observation, along: int) -> tuple[Patch, ...]:
    """Every picture cut into squares, `along` of them on its shorter side; those at the far edges may be cut off."""
    return tuple(
        Patch(camera, row, column, (slice(top, top + size), slice(left, left + size)))
        for camera, image in observation.images.items()
        for size in [max(1, -(-min(image.shape[:2]) // along))]
        for row, top in enumerate(range(0, image.shape[0], size))
        for column, left in enumerate(range(0, image.shape[1], size))
    )


def greyed(observation: Observation, chosen: Iterable[Patch]) -> Observation:
    """The observation with some patches grey."""
    images = dict(observation.images)
    copied: set[str] = set()
    for patch in chosen:
        if patch.camera not in copied:
            images[patch.camera] = images[patch.camera].copy()
            copied.add(patch.camera)
        images[patch.camera][patch.pixels] = GREY
    return dataclasses.replace(observation, images=images)


def measure_of(policy: Policy) -> Measure:
    """What can be watched of a policy."""
    return Measure.TOKENS if isinstance(policy, DecidingPolicy) else Measure.ACTIONS


def change_of(policy: Policy, decision: Decision, seed: int) -> Change:
    """How to tell the change of a decision.

    Args:
        policy: the one that decided, or another of its kind; its episodes in the first slots are begun anew.
        seed: of the episode.

    Raises:
        ValueError: if the decision was kept without its observation.
    """
    if decision.observation is None:
        raise ValueError("expected a decision whose observation was kept, got one without")
    asked = _token_change if isinstance(policy, DecidingPolicy) and decision.tokens is not None else _action_change
    one_by_one = asked(policy, decision, seed)

    def change(observations: Sequence[Observation]) -> Float64[np.ndarray, " observations"]:
        groups = range(0, len(observations), ASKED_AT_ONCE)
        return np.concatenate([one_by_one(observations[start : start + ASKED_AT_ONCE]) for start in groups])

    return change


def occlusion_map(change: Change, observation: Observation, chosen: Sequence[Patch]) -> Float64[np.ndarray, " patches"]:
    """The change for each patch, greyed out alone."""
    return change([greyed(observation, [patch]) for patch in chosen])


def by_camera(values: Sequence[float], chosen: Sequence[Patch]) -> Mapping[str, list[list[float]]]:
    """A number for each patch as rows and columns of each camera."""
    grids: dict[str, list[list[float]]] = {}
    for value, patch in zip(values, chosen, strict=True):
        grid = grids.setdefault(patch.camera, [])
        if patch.row == len(grid):
            grid.append([])
        grid[patch.row].append(value)
    return grids


def _token_change(policy: Policy, decision: Decision, seed: int) -> Change:
    assert isinstance(policy, DecidingPolicy)
    assert decision.tokens is not None
    assert decision.observation is not None
    ids, committed = decision.tokens.ids, decision.committed

    def log_probability(observations: Sequence[Observation]) -> Float64[np.ndarray, " observations"]:
        count = len(observations)
        found = policy.token_log_probability(observations, [ids] * count, [committed] * count)
        return found.astype(np.float64)

    before = log_probability([decision.observation])[0]
    return lambda observations: before - log_probability(observations)


def _action_change(policy: Policy, decision: Decision, seed: int) -> Change:
    assert decision.observation is not None
    body = policy.embodiment
    half = (body.action_high - body.action_low) / 2

    def chunks(observations: Sequence[Observation]) -> np.ndarray:
        slots = range(len(observations))
        policy.reset([seed] * len(observations), slots)
        found = policy.predict(observations, slots, [decision.committed] * len(observations))
        return np.stack([chunk.actions for chunk in found]).astype(np.float64)

    before = chunks([decision.observation])
    return lambda observations: (np.abs(chunks(observations) - before) / half).mean(axis=(1, 2))

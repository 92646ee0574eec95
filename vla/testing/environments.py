"""The contract of `vla.interfaces.Environment`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vla.errors import ActionError
from vla.interfaces import Environment, EpisodeSpec, Observation, Transition, check_observation
from vla.testing.promises import kept, refused, require

_LIMIT_ROUNDING = 1e-6


def check_environment(environment: Environment, specs: Sequence[EpisodeSpec], *, steps: int = 8) -> None:
    """Return if the environment keeps its contract on these episodes.

    Observations are what the embodiment promises; the same spec and actions give the same episode, bit for bit,
    whatever was done in between; what is applied lies within the limits; an action that is not finite, or of
    another shape, is refused and changes nothing.

    Args:
        specs: episodes to begin; two or more show that one leaves no trace in another.
        steps: control steps of each episode.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    first = {spec: _play(environment, spec, steps) for spec in specs}
    for spec in reversed(specs):
        _require_same(_play(environment, spec, steps), first[spec], f"'{spec.task}', seed {spec.seed}, played again")
    for spec in specs:
        _check_words(environment, spec)
        _check_refusals(environment, spec)
    _require_same(_play(environment, specs[0], steps), first[specs[0]], "an episode after refused actions")


@dataclasses.dataclass(frozen=True)
class _Played:
    observations: list[Observation]
    transitions: list[Transition]


def _play(environment: Environment, spec: EpisodeSpec, steps: int) -> _Played:
    """Play random actions, of which a third lie outside the limits."""
    body = environment.embodiment
    generator = np.random.default_rng(spec.seed)
    middle, half = (body.action_low + body.action_high) / 2, (body.action_high - body.action_low) / 2
    played = _Played([environment.reset(spec)], [])
    _check_observation(environment, played.observations[0])
    for _ in range(steps):
        action = (middle + 1.5 * half * generator.uniform(-1, 1, body.action_dim)).astype(np.float32)
        transition = environment.step(action)
        _check_transition(environment, transition, played.observations[-1])
        played.observations.append(transition.observation)
        played.transitions.append(transition)
        if transition.terminated or transition.truncated:
            break
    return played


def _check_transition(environment: Environment, transition: Transition, before: Observation) -> None:
    body, applied, after = environment.embodiment, transition.applied, transition.observation
    _check_observation(environment, after)
    shaped = applied.shape == (body.action_dim,) and applied.dtype == np.float32
    require(shaped, f"the applied action is float32 ({body.action_dim},), got {applied.dtype} {applied.shape}")
    over = np.maximum(body.action_low - applied, applied - body.action_high)
    worst = int(over.argmax())
    within = bool((over <= _LIMIT_ROUNDING).all())
    require(within, f"applied actions lie within the limits; '{body.action[worst].name}' is {over[worst]:.3g} outside")
    expected = before.time_s + body.control_dt_s
    on_time = abs(after.time_s - expected) < 0.5 * body.control_dt_s
    require(on_time, f"a control step takes {body.control_dt_s} s; time went from {before.time_s} to {after.time_s} s")
    require(after.instruction == before.instruction, f"the instruction stays '{before.instruction}' in an episode")


def _check_observation(environment: Environment, observation: Observation) -> None:
    with kept("an environment's observation"):
        check_observation(observation, environment.embodiment)
    require(observation.instruction.strip(), "an observation holds an instruction, it is empty")


def _check_words(environment: Environment, spec: EpisodeSpec) -> None:
    words = "do exactly this"
    told = environment.reset(dataclasses.replace(spec, instruction=words)).instruction
    require(told == words, f"a spec's own words are used as they are: '{words}' became '{told}'")


def _check_refusals(environment: Environment, spec: EpisodeSpec) -> None:
    body = environment.embodiment
    rest = (body.action_low + body.action_high) / 2
    environment.reset(spec)
    expected = environment.step(rest).observation
    environment.reset(spec)
    for bad in (np.nan, np.inf, -np.inf):
        action = rest.copy()
        action[-1] = bad
        with refused(f"an action with {bad}", ActionError):
            environment.step(action)
    with refused("an action of the wrong width", ActionError):
        environment.step(np.zeros(body.action_dim + 1, np.float32))
    _require_same_observation(environment.step(rest).observation, expected, "a step after refused actions")


def _require_same(came: _Played, expected: _Played, what: str) -> None:
    require(len(came.transitions) == len(expected.transitions), f"{what} should take as many steps as before")
    for seen, before in zip(came.observations, expected.observations, strict=True):
        _require_same_observation(seen, before, what)
    for a, b in zip(came.transitions, expected.transitions, strict=True):
        require(np.array_equal(a.applied, b.applied), f"{what} should apply the same actions as before")
        flags = [(t.terminated, t.truncated, t.success) for t in (a, b)]
        require(flags[0] == flags[1], f"{what} should end as before: {flags[1]} became {flags[0]}")


def _require_same_observation(came: Observation, expected: Observation, what: str) -> None:
    require(came.instruction == expected.instruction, f"{what} should have its instruction '{expected.instruction}'")
    same = np.array_equal(came.proprioception, expected.proprioception)
    require(same, f"{what} should give the same proprioception as before")
    for name, image in expected.images.items():
        require(np.array_equal(came.images[name], image), f"{what} should give the same image of '{name}' as before")

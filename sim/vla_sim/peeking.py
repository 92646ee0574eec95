"""Whether a policy looks into the simulator: what it does must follow from what it is shown.

    episode A begins ─► observation a ─► chunk 1       the simulator is in A
    episode B begins ─► observation a ─► chunk 2       the simulator is in B, and the policy is shown A all the same

A policy that acts on observations gives the same chunk both times. One that reads the simulator's state, as the
scripted experts do, gives two, wherever the right motion differs between A and B.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from vla.interfaces import ActionChunk, Environment, EpisodeSpec, Observation, Policy
from vla_policies.history import Recollection, history_of


def peeks(make_policy: Callable[[], Policy], environment: Environment, specs: Sequence[EpisodeSpec]) -> bool:
    """Whether actions depend on what the simulator is doing and not on the observation alone.

    Args:
        make_policy: gives one that acts in `environment` as slot 0; asked for every chunk, and reset before it.
        specs: two or more episodes that begin differently.

    Raises:
        ValueError: if there are fewer than two.
    """
    if len(specs) < 2:
        raise ValueError(f"expected two or more episodes that begin differently, got {len(specs)}")
    return any(_depends(make_policy, environment, shown, other) for shown, other in pairwise(specs))


def _depends(
    make_policy: Callable[[], Policy], environment: Environment, shown: EpisodeSpec, other: EpisodeSpec
) -> bool:
    observation = _copied(environment.reset(shown))
    in_place = _chunk(make_policy(), observation, shown.seed)
    environment.reset(other)
    elsewhere = _chunk(make_policy(), observation, shown.seed)
    return not np.array_equal(in_place.actions, elsewhere.actions)


def _copied(observation: Observation) -> Observation:
    """With pictures that are drawn now and arrays that are nobody else's."""
    return Observation(
        images={name: np.array(observation.images[name]) for name in observation.images},
        proprioception=observation.proprioception.copy(),
        instruction=observation.instruction,
        time_s=observation.time_s,
        fresh=observation.fresh,
    )


def _chunk(policy: Policy, observation: Observation, seed: int) -> ActionChunk:
    policy.reset([seed], [0])
    return policy.predict([Recollection(history_of(policy)).with_past(observation)], [0])[0]

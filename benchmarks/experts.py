"""Episodes of the scripted experts, without pictures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED
from vla_sim.suites import suite


def expert_outcomes(suite_name: str, tasks: Iterable[str], seeds: int) -> list[RolloutResult]:
    """What comes of the experts at so many seeds of each task, from the first that no demonstration has."""
    environment = suite(suite_name).make_environment()
    assert isinstance(environment, TabletopEnvironment)
    specs = [EpisodeSpec(task, FIRST_UNSEEN_SEED + index) for task in tasks for index in range(seeds)]
    return [_played(environment, index, spec) for index, spec in enumerate(specs)]


def _played(environment: TabletopEnvironment, index: int, spec: EpisodeSpec) -> RolloutResult:
    """One episode; its actions are not kept."""
    environment.begin(spec)
    steps, is_over, success = 0, False, False
    while not is_over:
        environment.act(environment.expert_action())
        is_lost, is_late, success = environment.judge()
        is_over, steps = is_lost or is_late or success, steps + 1
    actions = np.zeros((0, environment.embodiment.action_dim), np.float32)
    return RolloutResult(index, 0, spec, environment.attempt.instruction, success, steps, actions)

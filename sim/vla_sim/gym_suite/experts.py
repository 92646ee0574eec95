"""Scripted experts for environments of others, where we have written some."""

from __future__ import annotations

from vla_sim.gym_suite.environment import ExpertMaker
from vla_sim.gym_suite.mapping import GymMapping


def expert_maker(mapping: GymMapping) -> ExpertMaker | None:
    """What makes the experts of a mapping's tasks; None if there are none."""
    return None

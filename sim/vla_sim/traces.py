"""What a policy decided in a filmed episode, as a tree for JSON: tokens, how sure it was of each, and what was done.

Decisions ─► chunks: step, actions, ids, p, entropy ─┐
RolloutResult ─► actions, seams ─────────────────────┴─► traces/TASK-SEED.json, and the report's plots
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vla.embodiment import Embodiment
from vla_policies.decisions import Decision
from vla_policies.rollout import RolloutResult

MOST_STEPS = 1000
"""Of an episode; what comes later is not in its trace."""


def trace(
    result: RolloutResult, decisions: Sequence[Decision], body: Embodiment, token_fields: Sequence[str] | None
) -> dict[str, Any]:
    """One episode.

    Args:
        token_fields: the field that each token of a step stands for, if every step has one a field.

    Returns:
        `fields` (name, unit, low, high), `control_hz`, `actions` (steps of numbers in the fields' units), `seams`,
        `token_fields`, and `chunks`: the `step` a chunk was decided on, its `actions`, and for tokens `ids`,
        `p` (probabilities) and `entropy` (nats), in the order they were written.
    """
    fields = [{"name": f.name, "unit": f.unit, "low": f.low, "high": f.high} for f in body.action]
    chunks = [_chunk(decision, round(decision.time_s * body.control_hz)) for decision in decisions]
    return {
        "fields": fields,
        "control_hz": body.control_hz,
        "steps": result.steps,
        "actions": _numbers(result.actions[:MOST_STEPS]),
        "seams": [seam for seam in result.seams if seam < MOST_STEPS],
        "token_fields": None if token_fields is None else list(token_fields),
        "chunks": [chunk for chunk in chunks if chunk["step"] < MOST_STEPS],
    }


def _chunk(decision: Decision, step: int) -> dict[str, Any]:
    tree: dict[str, Any] = {"step": step, "actions": _numbers(decision.chunk.actions)}
    if decision.tokens is None:
        return tree
    tokens = decision.tokens
    return tree | {
        "ids": [int(index) for index in tokens.ids],
        "p": [round(float(value), 4) for value in tokens.probability],
        "entropy": [round(float(value), 3) for value in tokens.entropy],
    }


def _numbers(actions: np.ndarray) -> list[list[float]]:
    return [[float(f"{value:.4g}") for value in row] for row in actions.tolist()]

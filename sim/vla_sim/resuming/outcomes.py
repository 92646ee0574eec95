"""An episode's outcome as JSON and back, to the last bit of its actions; films are not kept."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from vla.interfaces import EpisodeSpec
from vla_policies.certainty import TokenEntropy
from vla_policies.rollout import RolloutResult
from vla_policies.wall_rollout import WallStats
from vla_sim.attribution import Progress
from vla_sim.jobs import Outcome


def outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    """Of an episode that was carried out: all but its film, its spec, and which place it had in its job."""
    result, progress = outcome.result, outcome.progress
    return {
        "instruction": result.instruction,
        "success": bool(result.success),
        "steps": int(result.steps),
        "actions": base64.b64encode(np.ascontiguousarray(result.actions, "<f4").tobytes()).decode(),
        "action_dim": int(result.actions.shape[1]),
        "seams": [int(step) for step in result.seams],
        "timed_out": outcome.timed_out,
        "wall": None if outcome.wall is None else dataclasses.asdict(outcome.wall),
        "progress": None
        if progress is None
        else [list(progress.stages), sorted(progress.held), bool(progress.moved_another)],
        "entropy": None if outcome.entropy is None else [outcome.entropy.mean, outcome.entropy.highest],
    }


def outcome_of_json(tree: Mapping[str, Any], index: int, spec: EpisodeSpec) -> Outcome:
    """The outcome, as that of the job's spec number `index`."""
    actions = np.frombuffer(base64.b64decode(tree["actions"]), "<f4").astype(np.float32)
    result = RolloutResult(
        index,
        0,
        spec,
        tree["instruction"],
        tree["success"],
        tree["steps"],
        actions.reshape(-1, tree["action_dim"]),
        None,
        tuple(tree["seams"]),
    )
    return Outcome(
        index,
        result,
        progress=None if tree["progress"] is None else _progress(*tree["progress"]),
        entropy=None if tree["entropy"] is None else TokenEntropy(*tree["entropy"]),
        timed_out=tree["timed_out"],
        wall=None if tree["wall"] is None else _wall(**tree["wall"]),
    )


def spec_to_json(spec: EpisodeSpec) -> dict[str, Any]:
    """All that names an episode."""
    tree = dataclasses.asdict(spec)
    return tree | {"templates": spec.templates.value, "instruction_kind": spec.instruction_kind.value}


def _wall(latencies_s: list[float], **counts: Any) -> WallStats:
    return WallStats(latencies_s=tuple(latencies_s), **counts)


def _progress(stages: list[str], held: list[str], moved_another: bool) -> Progress:
    return Progress(tuple(stages), frozenset(held), moved_another)

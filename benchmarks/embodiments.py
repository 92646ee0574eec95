"""Every arm at its bench: what its experts achieve on the tabletop's tasks, and how exact its kinematics are.

The experts look into the simulator, so no pictures are drawn: what they miss would be the arm's fault, or the bench's.
Poses for the kinematics are drawn from the whole workspace, and asked for from the rest posture.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.experts import expert_outcomes
from vla.kinematics import ArmKinematics
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED
from vla_sim.scores import scores
from vla_sim.tasks import SUITES
from vla_sim.worlds.benches import BENCHES, PANDA, Bench

EPISODES = 100
"""Of each task."""
POSES = 1000
WIDE_M = 1e-3
"""A pose that is missed by more is counted as out of reach."""


def measurements(store: str | None) -> dict[str, object]:
    """Print and give back the figures of every arm; no store is needed."""
    return {
        "claim": "one set of tasks and experts serves arms of seven, six and five joints",
        "first_seed": FIRST_UNSEEN_SEED,
        "arms": {arm: _arm(bench) for arm, bench in BENCHES.items()},
    }


def _arm(bench: Bench) -> dict[str, Any]:
    suite = "tabletop" if bench is PANDA else f"tabletop_{bench.arm}"
    begin = time.monotonic()
    results = expert_outcomes(suite, SUITES["tabletop"], EPISODES)
    seconds = round(time.monotonic() - begin)
    found = scores(results)
    for name, share in found["tasks"].items():
        print(f"embodiments: {bench.arm} {name}: {share['success']:.1%} of {share['n']}", flush=True)
    return {
        "suite": suite,
        "embodiment": bench.embodiment.fingerprint,
        "scale": bench.scale,
        "overall": found["overall"],
        "tasks": found["tasks"],
        "errors": found["errors"],
        "kinematics": _kinematics(bench),
        "seconds": seconds,
    }


def _kinematics(bench: Bench) -> dict[str, Any]:
    """How far poses of the workspace are missed, in the way from pose to joints and back."""
    kinematics, generator = ArmKinematics(bench.arm), np.random.default_rng(0)
    poses = generator.uniform(bench.workspace_low, bench.workspace_high, (POSES, 4))
    missed = np.array([np.abs(kinematics.forward(kinematics.reach(pose)) - pose) for pose in poses])
    found = {
        "poses": POSES,
        "worst_position_m": float(missed[:, :3].max()),
        "worst_yaw_rad": float(missed[:, 3].max()),
        "out_of_reach": int((missed.max(axis=1) > WIDE_M).sum()),
    }
    print(f"embodiments: {bench.arm} misses a pose by {1000 * found['worst_position_m']:.2f} mm at most", flush=True)
    return found

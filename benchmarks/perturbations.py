"""Where policies break: success by axis and strength of `suite=perturbation`, of the experts and of the shipped policy.

The experts look into the simulator, so pictures do not matter to them: they act without any being drawn, and tell
whether what is asked for can be done at all. The policy acts on what it sees, at the same seeds.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.experts import expert_outcomes
from vla_sim.evaluate import evaluate
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED, EvalConfig
from vla_sim.perturbations.scores import perturbation_groups
from vla_sim.suites import suite

EXPERT_SEEDS = 13
"""Of each task in each cell: 104 episodes a cell."""
POLICY, POLICY_SEEDS = "pretrained", 2
"""16 episodes a cell."""


def measurements(store: str | None) -> dict[str, object]:
    """Print and give back success by cell; no store is needed."""
    begin = time.monotonic()
    experts = perturbation_groups(expert_outcomes("perturbation", suite("perturbation").tasks, EXPERT_SEEDS))
    _print("experts", experts)
    config = EvalConfig(
        policy=POLICY, suite="perturbation", episodes=POLICY_SEEDS, controls=[], videos=0, workers=2, out=Path("unused")
    )
    report = evaluate(config).report
    _print(POLICY, report["groups"])
    return {
        "claim": "where the shipped policy breaks, on scenes in which the experts do not",
        "first_seed": FIRST_UNSEEN_SEED,
        "experts": experts,
        "policy": {name: report[name] for name in ("policy", "overall", "groups", "axes", "hashes", "render")},
        "seconds": round(time.monotonic() - begin),
    }


def _print(who: str, groups: dict[str, dict[str, Any]]) -> None:
    for name, share in groups.items():
        print(f"perturbations: {who} {name}: {share['success']:.1%} of {share['n']}", flush=True)

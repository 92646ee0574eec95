"""The experts of `suite=long_horizon` and `suite=memory`: success by task, at a hundred scenes of each."""

from __future__ import annotations

from benchmarks.experts import expert_outcomes
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED
from vla_sim.scores import scores
from vla_sim.suites import suite

SUITES, SEEDS = ("long_horizon", "memory"), 100


def measurements(store: str | None) -> dict[str, object]:
    """Print and give back success by suite and task; no store is needed."""
    found: dict[str, object] = {}
    for name in SUITES:
        results = expert_outcomes(name, suite(name).tasks, SEEDS)
        tree = scores(results)
        found[name] = {"overall": tree["overall"], "tasks": tree["tasks"]}
        for task, share in tree["tasks"].items():
            print(f"step_and_memory: {task}: {share['success']:.1%} of {share['n']}", flush=True)
    return {"claim": "the experts do what these suites ask for", "first_seed": FIRST_UNSEEN_SEED, **found}

"""MuJoCo against Bullet: experts and the shipped policy on both, and both under the same commands.

The evaluations are kept in `out/engines` and go on where they were stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.experts import expert_outcomes
from vla_sim.comparison import compare
from vla_sim.engine_parity.command import ParityConfig, parity, print_table
from vla_sim.evaluate import evaluate
from vla_sim.evaluation_plan import EvalConfig
from vla_sim.report import write_report
from vla_sim.suites import suite
from vla_sim.tally import tally
from vla_sim.tasks import TASKS
from vla_sim.worlds.engines import Engine

OUT = Path("out/engines")
EXPERT_EPISODES, SUITE_EPISODES, POLICY_EPISODES, PARITY_EPISODES = 100, 20, 50, 20
SUITES = ("spatial", "object", "goal", "language", "memory", "long_horizon")


def measurements(store: str | None) -> dict[str, object]:
    """Everything, with the commands that measure the same."""
    experts = _report("scripted", Engine.BULLET, EXPERT_EPISODES)
    policies = [_report("pretrained", engine, POLICY_EPISODES) for engine in Engine]
    tree = parity(ParityConfig(tasks=list(TASKS), episodes=PARITY_EPISODES, out=OUT / "parity"))
    print_table(tree)
    return {
        "experts": experts_summary(experts),
        "suites": suites_summary(),
        "policy": policy_summary(*policies),
        "parity": parity_summary(tree),
    }


def suites_summary() -> dict[str, Any]:
    """Experts of the other suites in Bullet, without pictures, by suite and task."""
    summary: dict[str, Any] = {}
    for name in SUITES:
        results = expert_outcomes(f"{name}@bullet/mujoco", suite(name).tasks, SUITE_EPISODES)
        tasks = {task: tally([r for r in results if r.spec.task == task]) for task in suite(name).tasks}
        summary[name] = {"overall": tally(results), "tasks": tasks}
        print(f"engines: experts of {name} in Bullet: {summary[name]['overall']}", flush=True)
    return summary


def experts_summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """Experts in Bullet, by task."""
    command = "vla eval policy=scripted engine=bullet tasks=[...] episodes=100 videos=0"
    return {"command": command, "seed": report["seed"], "overall": report["overall"], "tasks": report["tasks"]}


def policy_summary(mujoco: Mapping[str, Any], bullet: Mapping[str, Any]) -> dict[str, Any]:
    """The shipped policy: a in MuJoCo, b in Bullet."""
    tree = compare(mujoco, bullet)
    command = "vla eval policy=pretrained engine=mujoco|bullet tasks=[...] episodes=50 controls=[] videos=0"
    return {"command": command, "overall": tree["overall"], "tasks": tree["tasks"]}


def parity_summary(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The parity report without its curves."""
    keep = ("n", "experts", "end_effector_mm", "things_mm", "states")

    def short(line: Mapping[str, Any]) -> dict[str, Any]:
        return {name: line[name] for name in keep}

    tasks = {name: short(line) for name, line in tree["tasks"].items()}
    return {
        "command": "vla parity tasks=[...]",
        "seed": tree["seed"],
        "overall": short(tree["overall"]),
        "tasks": tasks,
    }


def _report(policy: str, engine: Engine, episodes: int) -> dict[str, Any]:
    out = OUT / f"{policy}-{engine.value}"
    config = EvalConfig(
        policy=policy, engine=engine, tasks=list(TASKS), episodes=episodes, controls=[], videos=0, out=out
    )
    evaluation = evaluate(config)
    write_report(out, evaluation.report, evaluation.films)
    return evaluation.report

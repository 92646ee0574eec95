"""`vla demo`: the shipped policy on every task, at seeds it has never seen; a table, a report and videos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vla import cli
from vla_sim import evaluate
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED, Control, EvalConfig


@dataclasses.dataclass
class DemoConfig:
    """Let the shipped policy drive the simulated arm: a table, a report and videos, in a few minutes.

    Example: vla demo out=out/demo
    """

    out: Path = Path("out/demo")
    """Folder of the report; an older report in it is replaced."""
    policy: str = "pretrained"
    """Who acts; any name that `vla eval` knows."""
    episodes: int = 7
    """Of each task."""
    seed: int = FIRST_UNSEEN_SEED
    """Of the first episode of each task."""
    workers: int | None = None
    """Processes; one for each core if not given."""


def main(arguments: list[str]) -> int:
    """Run `vla demo`."""
    return cli.run("demo", DemoConfig, run, arguments)


def run(config: DemoConfig) -> int:
    """Evaluate with the demo's settings; the exit status."""
    return evaluate.run(evaluation_config(config))


def evaluation_config(config: DemoConfig) -> EvalConfig:
    """The evaluation that a demo is: few episodes, random actions beside them, a video of each task."""
    return EvalConfig(
        policy=config.policy,
        episodes=config.episodes,
        seed=config.seed,
        workers=config.workers,
        controls=[Control.RANDOM],
        control_episodes=2,
        failure_videos=8,
        out=config.out,
    )

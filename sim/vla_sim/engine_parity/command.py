"""`vla parity`: the tabletop on MuJoCo and on Bullet, side by side; parity.json and parity.html."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from omegaconf import MISSING
from rich import box
from rich.console import Console
from rich.table import Table

from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla.interfaces import EpisodeSpec
from vla_sim import provenance
from vla_sim.comparison import compare
from vla_sim.engine_parity.measuring import Scored, measure
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluate import evaluate
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED, EvalConfig, chosen_tasks
from vla_sim.intervals import share
from vla_sim.suites import staged, suite
from vla_sim.worlds.engines import Engine, Engines

TEMPLATE = "parity_page.html"
PERCENTILES = (50, 95, 99)


@dataclasses.dataclass
class ParityConfig:
    """Compare the physics engines: the same scenes, commands and states on both.

    Example: vla parity suite=tabletop out=out/parity
    Example: vla parity tasks=[stack,open_drawer] episodes=50 policy=pretrained out=out/parity
    """

    suite: str = "tabletop"
    """Any suite at the table."""
    tasks: list[str] = dataclasses.field(default_factory=list)
    """Only these, of the suite or not; all of the suite if empty."""
    episodes: int = 20
    """Of each task."""
    seed: int = FIRST_UNSEEN_SEED
    """Of the first episode of each task; the others follow."""
    policy: str | None = None
    """A policy whose success is measured on both engines as well."""
    workers: int | None = None
    """Processes for the policy's episodes; one for each core if not given."""
    out: Path = MISSING
    """Folder for parity.json and parity.html."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla parity`; the exit status."""
    return cli.run("parity", ParityConfig, run, arguments)


def run(config: ParityConfig) -> int:
    """Measure, write, print; 0, or 1 where a state is judged differently, which is a bug of a world.

    Raises:
        ConfigError: if a name or number does not fit, or PyBullet is not installed.
    """
    if config.episodes < 1:
        raise ConfigError(f"episodes is 1 or more, got {config.episodes}")
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    tree = parity(config)
    config.out.mkdir(parents=True, exist_ok=True)
    write_atomically(config.out / "parity.html", parity_page(tree))
    write_atomically(config.out / "parity.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
    print_table(tree)
    print(f"parity: {config.out / 'parity.html'}")
    states = tree["overall"]["states"]
    return 0 if states["agreeing"] == states["n"] else 1


def parity(config: ParityConfig) -> dict[str, Any]:
    """Both engines compared, as a JSON tree; nothing is written."""
    scored = list(_scored(config))
    tasks = {
        task: line([s for s in scored if s.spec.task == task]) for task in dict.fromkeys(s.spec.task for s in scored)
    }
    return {
        "suite": config.suite,
        "seed": config.seed,
        "overall": line(scored),
        "tasks": tasks,
        "policy": None if config.policy is None else _policy(config),
        "versions": provenance.versions(("pybullet",)),
        "hardware": provenance.hardware(),
        "config": cli.resolved(config),
    }


def line(scored: Sequence[Scored]) -> dict[str, Any]:
    """The numbers of one row."""
    return {
        "n": len(scored),
        "experts": {
            "mujoco": share(s.success for s in scored).to_json(),
            "bullet": share(s.other_success for s in scored).to_json(),
            "replayed": share(s.replayed_success for s in scored).to_json(),
        },
        "end_effector_mm": _distribution([value for s in scored for value in s.end_effector_mm]),
        "things_mm": _distribution([value for s in scored for value in s.things_mm]),
        "by_step_mm": {
            "end_effector": _by_step([s.end_effector_mm for s in scored]),
            "things": _by_step([s.things_mm for s in scored]),
        },
        "states": {
            "n": sum(s.num_states for s in scored),
            "agreeing": sum(s.num_agreeing for s in scored),
            "equal": sum(s.num_equal for s in scored),
        },
    }


def _scored(config: ParityConfig) -> Iterator[Scored]:
    names = [staged(config.suite, Engines(engine)) for engine in (Engine.MUJOCO, Engine.BULLET)]
    suite(names[1]).require()
    one, other = (_environment(name) for name in names)
    for task in chosen_tasks(config.suite, config.tasks):
        for seed in range(config.seed, config.seed + config.episodes):
            yield measure(one, other, EpisodeSpec(task, seed))


def _environment(name: str) -> TabletopEnvironment:
    environment = suite(name).make_environment()
    if not isinstance(environment, TabletopEnvironment):
        raise ConfigError(f"suite '{name}' is not at our table: its states cannot be put into another engine")
    return environment


def _distribution(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, PERCENTILES)
    named = {f"p{percent}": round(float(value), 3) for percent, value in zip(PERCENTILES, found, strict=True)}
    return {**named, "max": round(float(max(values)), 3)}


def _by_step(curves: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Median and 95th percentile after each step, of the scenes that were still going on."""
    columns = [[c[step] for c in curves if step < len(c)] for step in range(max(len(c) for c in curves))]
    return {
        f"p{percent}": [round(float(np.percentile(column, percent)), 3) for column in columns] for percent in (50, 95)
    }


def _policy(config: ParityConfig) -> dict[str, Any]:
    """The policy on both engines: the comparison of both reports, a MuJoCo's and b Bullet's."""
    reports = [evaluate(_evaluation(config, engine)).report for engine in (Engine.MUJOCO, Engine.BULLET)]
    tree = compare(*reports)
    return {"name": config.policy, "overall": tree["overall"], "tasks": tree["tasks"]}


def _evaluation(config: ParityConfig, engine: Engine) -> EvalConfig:
    return EvalConfig(
        policy=config.policy or "",
        suite=config.suite,
        engine=engine,
        tasks=config.tasks,
        episodes=config.episodes,
        seed=config.seed,
        controls=[],
        videos=0,
        workers=config.workers,
        out=config.out / f"policy-{engine.value}",
    )


# --------------------------------------------------------------------------- what is shown


def parity_page(tree: Mapping[str, Any]) -> str:
    """One HTML page that needs no other file."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters.update(percent=_percent, mm=_mm, words=lambda name: name.replace("_", " "), curve=_curve)
    template = environment.from_string(
        (resources.files("vla_sim.engine_parity") / TEMPLATE).read_text(encoding="utf-8")
    )
    details = {name: tree[name] for name in ("versions", "hardware", "config")}
    return template.render(tree=tree, details=json.dumps(details, indent=2))


def _curve(values: Sequence[float], highest: float) -> str:
    """Points of an SVG polyline in a box 100 wide and 40 high."""
    across = 100 / max(1, len(values) - 1)
    return " ".join(f"{across * i:.2f},{40 - 40 * min(1.0, value / highest):.2f}" for i, value in enumerate(values))


def print_table(tree: Mapping[str, Any], console: Console | None = None) -> None:
    """Print success on both engines, how far they are apart, and whether states are judged alike."""
    table = Table(title=f"{tree['suite']} on MuJoCo and Bullet", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    for header in ("n", "MuJoCo", "Bullet", "replayed", "arm mm", "things mm", "alike"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, row in tree["tasks"].items():
        table.add_row(*_row(name, row))
    table.add_section()
    table.add_row(*_row("all", tree["overall"]), style="bold")
    console = console or Console()
    console.print(table)
    console.print("experts on both, MuJoCo's commands replayed in Bullet; mm apart: median, 95 %; states judged alike")


def _row(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    experts, states = row["experts"], row["states"]
    rates = (f"{100 * experts[which]['success']:.0f} %" for which in ("mujoco", "bullet", "replayed"))
    apart = (f"{row[what]['p50']:.1f}, {row[what]['p95']:.1f}" for what in ("end_effector_mm", "things_mm"))
    return name, str(row["n"]), *rates, *apart, f"{states['agreeing']}/{states['n']}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _mm(value: float) -> str:
    return f"{value:.1f} mm"

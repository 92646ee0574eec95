"""`vla eval` against `lerobot-eval`: the same policy in the same Meta-World, episodes an hour on the same cores.

    collect, train a few steps ─► checkpoint ─┬─► lerobot_policy_vla's folder ─► lerobot-eval ─► seconds, in turn
                                              └────────────────────────────────► vla eval     ─► seconds

Both are the commands as installed, in processes of their own; the policy in both is the checkpoint, whose model sees
`corner2` at 224 px. It has learned nothing, so that every episode fails and lasts as long as the limit, which is
Meta-World's own, lowered alike for both, since LeRobot renders about a frame a second here. A low limit is hard on us:
to start processes and load libraries, which it does not shorten, is most of our time and little of theirs.

`whole` is the command from start to end. `episodes` is `eval_s` of LeRobot's report, which begins with the first
episode, and `seconds.episodes` of ours, which begins before the workers are started.

LeRobot films every episode here, and so does ours where it says so: by running it a second time.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.evaluators.step_limit import VARIABLE as STEPS_VARIABLE
from vla.errors import ConfigError

TASKS = (
    "reach",
    "push",
    "pick_place",
    "door_open",
    "drawer_open",
    "drawer_close",
    "button_press_topdown",
    "peg_insert_side",
    "window_open",
    "window_close",
)
"""MT10: the ten that Meta-World itself puts together."""
EPISODES = 5
"""Of each task."""
STEPS = 20
ROUNDS = 2
FILMS_VARIABLE = "EVALUATION_FILMS"
OURS = "policy={checkpoint} suite=metaworld tasks=[{tasks}] episodes={episodes} controls=[] failure_videos=0"
THEIRS = (
    "--policy.path={folder} --policy.device=cpu --env.discover_packages_path=benchmarks.evaluators "
    "--env.type=metaworld_limited --env.task={tasks} --eval.n_episodes={episodes}"
)


@dataclasses.dataclass(frozen=True)
class Side:
    """One way to evaluate the policy."""

    name: str
    is_ours: bool
    options: str = ""
    is_filmed: bool = True


SIDES = (
    Side("lerobot_default", False),
    Side("vla_filmed", True, f"videos={EPISODES} film.height=480 film.width=480"),
    Side("lerobot_best", False, "--policy.batch_size=1", is_filmed=False),
    Side("vla", True, "videos=0", is_filmed=False),
)
"""LeRobot's default on two cores is one environment in its own process. Its best, of those tried, is that without
films, which takes a change of its environment, and a pass through the model no larger than the batch."""
VERSIONS = ("lerobot", "metaworld", "gymnasium")
PARTS = ("whole", "episodes", "cpu")
PAIRS = {"filmed": ("vla_filmed", "lerobot_default"), "not_filmed": ("vla", "lerobot_best")}


@dataclasses.dataclass(frozen=True)
class Taken:
    """How long one command took."""

    whole_s: float
    episodes_s: float
    cpu_s: float
    """Of all its processes: what is left of the time when others use the machine too."""


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back what each side takes, round by round.

    Raises:
        ConfigError: if a store is given, LeRobot is not installed, or a command fails, with the end of what it said.
    """
    if store is not None:
        raise ConfigError("the benchmark 'evaluation' collects its own demonstrations: leave data= out")
    for package in ("lerobot_policy_vla", "metaworld"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the benchmark 'evaluation' needs {package}: see docs/how-to/lerobot.md for the versions"
            )
    taken: dict[str, list[Taken]] = {side.name: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _prepare(work)
        for number in range(ROUNDS):
            found = _round(number, work)
            if found is None:
                break
            for name, one in found.items():
                taken[name].append(one)
    result = _summed_up(taken)
    for name, ratio in result["ratios"].items():
        print(
            f"evaluation: {name}: {ratio['whole']:.1f} times as many episodes an hour from start to end, "
            f"{ratio['cpu']:.1f} times as many for the same processor time"
        )
    return result


def _round(number: int, work: Path) -> dict[str, Taken] | None:
    """One run of each side, in turn; `None` if Ctrl-C ended it and there was one before, which is enough."""
    found: dict[str, Taken] = {}
    try:
        for side in SIDES:
            found[side.name] = _run(side, work, work / f"{side.name}-{number}")
            print(f"evaluation: round {number}, {side.name}: {found[side.name]}", flush=True)
    except KeyboardInterrupt:
        if number == 0:
            raise
        return None
    return found


def _prepare(work: Path) -> None:
    """A checkpoint, and LeRobot's folder of it."""
    _vla("collect", "suite=metaworld", "tasks=[reach,push]", "episodes=2", "image_codec=jpeg", f"out={work}/data")
    _vla(
        "train",
        "experiment=metaworld-easy10",
        f"data=[{work}/data]",
        "steps=4",
        "batch_size=8",
        "backbone.text_tokens=64",
        f"out={work}/run",
    )
    _spawn([sys.executable, "-m", "lerobot_policy_vla", f"{work}/run", f"{work}/folder", "mapping=metaworld"], {})


def _run(side: Side, work: Path, out: Path) -> Taken:
    variables = {STEPS_VARIABLE: str(STEPS), FILMS_VARIABLE: "1" if side.is_filmed else "0"}
    command = _ours(side, work, out) if side.is_ours else _theirs(side, work, out)
    begin, used_s = time.perf_counter(), _used_s()
    _spawn(command, variables)
    return Taken(time.perf_counter() - begin, _episodes_s(side, out), _used_s() - used_s)


def _used_s() -> float:
    """Processor time of the commands so far and of whatever they started, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ours(side: Side, work: Path, out: Path) -> list[str]:
    options = OURS.format(checkpoint=work / "run", tasks=",".join(TASKS), episodes=EPISODES)
    return [sys.executable, "-m", "benchmarks.evaluators.our_side", *f"{options} {side.options} out={out}".split()]


def _theirs(side: Side, work: Path, out: Path) -> list[str]:
    names = ",".join(f"{task.replace('_', '-')}-v3" for task in TASKS)
    options = THEIRS.format(folder=work / "folder", tasks=names, episodes=EPISODES)
    program = Path(sys.executable).with_name("lerobot-eval")
    return [str(program), *f"{options} {side.options} --output_dir={out}".split()]


def _episodes_s(side: Side, out: Path) -> float:
    """What the command itself says of its episodes, all of which there must have been, each without success."""
    if side.is_ours:
        report = _read(out / "report.json")
        _check(side, report["overall"]["n"], report["errors"], report["overall"]["success"])
        return float(report["seconds"]["episodes"])
    overall = _read(out / "eval_info.json")["overall"]
    _check(side, overall["n_episodes"], 0, overall["pc_success"])
    return float(overall["eval_s"])


def _check(side: Side, episodes: int, errors: int, success: float) -> None:
    if (episodes, errors, success) != (len(TASKS) * EPISODES, 0, 0.0):
        raise ConfigError(
            f"{side.name}: expected {len(TASKS) * EPISODES} episodes that last to the end, "
            f"got {episodes}, {errors} in error, success {success}"
        )


def _summed_up(taken: Mapping[str, list[Taken]]) -> dict[str, Any]:
    episodes = len(TASKS) * EPISODES
    medians = {
        name: {part: statistics.median(getattr(one, f"{part}_s") for one in found) for part in PARTS}
        for name, found in taken.items()
    }
    return {
        "claim": "episodes of Meta-World an hour, the same policy in both, against lerobot-eval",
        "settings": {
            "tasks": TASKS,
            "episodes": episodes,
            "steps": STEPS,
            "rounds": len(taken[SIDES[0].name]),
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
            "sides": [dataclasses.asdict(side) for side in SIDES],
        },
        "seconds": {name: [dataclasses.asdict(one) for one in found] for name, found in taken.items()},
        "episodes_per_hour": {
            name: {part: 3600 * episodes / parts[part] for part in ("whole", "episodes")}
            for name, parts in medians.items()
        },
        "ratios": {
            pair: {part: medians[theirs][part] / medians[ours][part] for part in PARTS}
            for pair, (ours, theirs) in PAIRS.items()
        },
    }


def _vla(*arguments: str) -> None:
    _spawn([str(Path(sys.executable).with_name("vla")), *arguments], {})


def _spawn(command: list[str], variables: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{' '.join(command)} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")


def _read(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))

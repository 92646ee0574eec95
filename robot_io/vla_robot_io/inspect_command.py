"""`vla deploy inspect`: a run drawn as a page, and done again in simulation where that can be.

DIR/log.jsonl ─┬─► steps, chunks, reasons ─► DIR/inspect.html
               └─► the same actions again ─► the same to the last bit, or where it differs
"""

from __future__ import annotations

import base64
import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla_robot_io.replaying import Replayed, replay
from vla_robot_io.run_log import RunLog

WIDTH, HEIGHT = 760.0, 90.0
_EXIT_DIFFERENT = 3


@dataclasses.dataclass
class InspectConfig:
    """Draw a run of `vla deploy`, and do it again in simulation if its robot was a simulated one.

    Example: vla deploy inspect run=out/deploy
    """

    run: Path = MISSING
    """The folder of the run; one that was killed is read as far as it came."""
    replay: bool = True
    """Whether to do it again and compare every step."""
    out: Path | None = None
    """The page; inspect.html in the run's folder if not given."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """One row of the page: curves over the steps, in pixels."""

    name: str
    low: str
    high: str
    curves: Mapping[str, str]
    """Points of a polyline, by what they are."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla deploy inspect`."""
    return cli.run("deploy inspect", InspectConfig, inspect_run, arguments)


def inspect_run(config: InspectConfig) -> int:
    """Write the page; 0, or 3 if a run that should have come out the same did not.

    Raises:
        ConfigError: if there is no run.
    """
    log = RunLog.read(config.run)
    again, why_not = _again(log) if config.replay else (None, "it was not asked for")
    page = config.out or config.run / "inspect.html"
    write_atomically(page, _page(log, again, why_not))
    print(_told(log, again, why_not))
    print(f"page: {page}")
    return _EXIT_DIFFERENT if again is not None and log.header["clock"] == "virtual" and not again.is_same else 0


def _again(log: RunLog) -> tuple[Replayed | None, str]:
    try:
        return replay(log), ""
    except ConfigError as error:
        return None, str(error)


def _told(log: RunLog, again: Replayed | None, why_not: str) -> str:
    ended = "was killed" if log.end is None else f"ended: {log.end['ended']}"
    if again is None:
        return f"{len(log.steps)} steps, {ended}; not done again: {why_not}"
    if again.is_same:
        return f"{len(log.steps)} steps, {ended}; done again, the same to the last bit"
    return (
        f"{len(log.steps)} steps, {ended}; done again, {again.same_steps} of {again.steps} steps and "
        f"{again.same_observations} of {again.observations} observations are the same, the first other step is "
        f"{again.first_difference}, joints differ by up to {again.largest_rad:.4g} rad"
    )


# --------------------------------------------------------------------------- the page


def _page(log: RunLog, again: Replayed | None, why_not: str) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    source = (resources.files("vla_robot_io") / "inspect_template.html").read_text(encoding="utf-8")
    film = log.folder / "video.mp4"
    return environment.from_string(source).render(
        header=log.header,
        told=_told(log, again, why_not),
        plots=plots(log),
        is_shadow=any("policy_action" in step for step in log.steps),
        actors=Counter(step.get("actor", "policy") for step in log.steps),
        events=log.events,
        modes=Counter(step["mode"] for step in log.steps),
        reasons=[(index, reason) for index, step in enumerate(log.steps) for reason in step["reasons"]],
        latency=_plot("time to predict, ms", {"chunk": [1e3 * chunk["latency_s"] for chunk in log.chunks]}),
        film=base64.b64encode(film.read_bytes()).decode() if film.is_file() else None,
        width=WIDTH,
        height=HEIGHT,
        steps=len(log.steps),
    )


def plots(log: RunLog) -> list[Plot]:
    """Every field of the action, asked and applied, and every joint's command."""
    if not log.steps:
        return []
    columns = {key: _columns(log.steps, key) for key in ("asked", "applied")}
    if any("policy_action" in step for step in log.steps):
        columns["alone"] = _columns(log.steps, "policy_action")
    rows = [
        _plot(name, {key: values[index].tolist() for key, values in columns.items()})
        for index, name in enumerate(log.header["action"])
        if index < min(len(values) for values in columns.values())
    ]
    names = log.header["joints"]
    positions = np.array([step["command"]["positions"] for step in log.steps]).T
    joints = [_plot(f"{name}, rad", {"command": row.tolist()}) for name, row in zip(names, positions, strict=True)]
    return [*rows, *joints]


def _columns(steps: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    found = [step.get(key, []) for step in steps]
    width = max(len(values) for values in found)
    whole = [values if len(values) == width else [np.nan] * width for values in found]
    return np.array([[np.nan if value is None else value for value in row] for row in whole], np.float64).T


def _plot(name: str, curves: Mapping[str, Sequence[float]]) -> Plot:
    """Curves on one scale; what is not finite leaves a gap that is drawn straight."""
    values = np.concatenate([np.asarray(list(curve), np.float64) for curve in curves.values()] or [np.zeros(0)])
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = high - low or 1.0
    return Plot(
        name,
        f"{low:.4g}",
        f"{high:.4g}",
        {what: _points(curve, low, span) for what, curve in curves.items()},
    )


def _points(curve: Sequence[float], low: float, span: float) -> str:
    last = max(1, len(curve) - 1)
    return " ".join(
        f"{WIDTH * index / last:.1f},{HEIGHT * (1 - (value - low) / span):.1f}"
        for index, value in enumerate(curve)
        if np.isfinite(value)
    )

"""The report of an evaluation: report.json, one self-contained page, videos beside it, and a table to print.

Everything is shown as it stands in the JSON tree that `vla_sim.evaluate` makes; nothing is computed anew but pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

from vla.files import write_atomically
from vla_sim.decision_panel import decision_panel
from vla_sim.episode_list import SORTS, listed
from vla_sim.filming import FilmConfig, frames_per_second
from vla_sim.pages import Inlining, page_environment
from vla_sim.tally import told_errors
from vla_sim.taxonomy import FLAG_MEANING, OUTCOMES, filter_link, stage_meaning, stage_names, taxonomy
from vla_sim.wall_clock import told

TEMPLATE = "report_template.html"

CONTROL_MEANING = {
    "random": ("random actions", "should be near zero"),
    "zero": ("no motion", "should be near zero"),
    "blind": ("black images", "should be near zero"),
    "frozen_image": ("the first images for ever", "shows what looking again is worth"),
    "removed_image": ("black images from the fourth step on", "should be far below"),
    "wrong_instruction": ("told another task, scored on this one", "should be near zero"),
    "shuffled_instruction": ("told words of another episode", "should be near zero"),
    "held_out": ("wordings that no training episode had", "should not fall"),
    "oracle_grounding": ("nothing there but what the instruction names", "shows what telling things apart costs"),
    "oracle": ("the scripted expert, who looks into the simulator", "should be near one"),
}
"""What each control is, and where it should be."""

MAX_ROWS = 60
"""Of the printed table: where there are more tasks, it shows their groups."""

_DETAILS = ("versions", "hashes", "hardware", "render", "config")


def write_report(
    out: Path,
    report: Mapping[str, Any],
    films: Mapping[str, bytes],
    traces: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    """Write report.json, report.html, videos/ and traces/ into a folder, each file whole or not at all, the JSON last.

    Videos and traces of an older report in the same folder go with it.
    """
    page = report_page(report, films, traces)
    files = {f"videos/{name}": film for name, film in films.items()} | {
        f"traces/{name}": (json.dumps(trace, allow_nan=False) + "\n").encode() for name, trace in traces.items()
    }
    stale = _listed_files(out)
    for folder in ("videos", *(["traces"] if traces else [])):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_atomically(out / path, content)
    write_atomically(out / "report.html", page)
    write_atomically(out / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")
    for path in stale - files.keys():
        (out / path).unlink(missing_ok=True)


def report_page(
    report: Mapping[str, Any],
    films: Mapping[str, bytes],
    traces: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> str:
    """One HTML page that needs no other file: style, chart and videos are inside.

    Args:
        films: MP4s by file name, as `report["videos"]` lists them.
        traces: what was decided in some of them, by file name; see `vla_sim.traces`.
    """
    environment = page_environment(percent=_percent)
    environment.globals.update(milliseconds=_milliseconds, filter_link=filter_link, stage_meaning=stage_meaning)
    inlining = Inlining()
    stages = stage_names(report["episodes"], report.get("stages", {}))
    rows = listed(report["episodes"])
    return environment.get_template(TEMPLATE).render(
        report=report,
        groups=worst_first(report.get("groups", {})),
        averages=report.get("averages", {}),
        calibration=report.get("calibration"),
        stopped=report.get("stopped"),
        contamination=report.get("contamination"),
        peeks=report.get("peeks"),
        last_seed=max(episode["seed"] for episode in report["episodes"]),
        tasks=[{"name": name, **share, "steps": _mean_steps(report, name)} for name, share in report["tasks"].items()],
        controls=[_control(name, run) for name, run in report["controls"].items()],
        stage_names=stages,
        taxonomy=taxonomy(report["episodes"], stages),
        outcome_meaning=OUTCOMES,
        flag_meaning=FLAG_MEANING,
        sorts=SORTS,
        rows=rows,
        films=_films(report, rows, films, traces, inlining),
        explained=report.get("explained"),
        num_beside=inlining.num_beside,
        told_errors=told_errors(report["overall"]),
        kept_time=told(report["wall_clock"]) if report.get("wall_clock") else [],
        details=json.dumps({name: report[name] for name in _DETAILS}, indent=2),
    )


def _films(
    report: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    films: Mapping[str, bytes],
    traces: Mapping[str, Mapping[str, Any]],
    inlining: Inlining,
) -> list[dict[str, Any]]:
    """The episodes that were filmed, failures first, with their videos and what was decided in them."""
    by_key = {(row["task"], row["seed"]): row for row in rows}

    def source(path: str | None) -> str | None:
        return None if path is None else inlining.source(films[Path(path).name], path)

    def panel(path: str | None) -> str | None:
        trace = None if path is None else traces.get(Path(path).name)
        return None if trace is None else decision_panel(trace, _frames_per_second(report, trace))

    return [
        {
            **by_key[video["task"], video["seed"]],
            "source": source(video["file"]),
            "beside": source(video.get("expert")),
            "decisions": panel(video.get("trace")),
        }
        for video in sorted(report["videos"], key=lambda video: video["success"])
    ]


def _frames_per_second(report: Mapping[str, Any], trace: Mapping[str, Any]) -> int:
    return frames_per_second(FilmConfig(speed=report["config"]["film"]["speed"]), trace["control_hz"])


def worst_first(groups: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups of tasks, each with its name, those without any result first, then the lowest success."""
    named = ({"name": name, **share} for name, share in groups.items())
    return sorted(named, key=lambda group: -1.0 if group["success"] is None else group["success"])


def print_table(report: Mapping[str, Any], out: Path, console: Console | None = None) -> None:
    """Print success by task with its interval, the controls, and where the report lies."""
    console = console or Console()
    table = Table(title=f"{report['policy']} on {report['suite']}, seeds from {report['seed']}")
    table.add_column("task")
    for header in ("success", "95 % interval", "n", "errors"):
        table.add_column(header, justify="right")
    rows = report["tasks"] if len(report["tasks"]) <= MAX_ROWS else report.get("groups", {})
    for name, share in rows.items():
        table.add_row(*_row(name, share))
    table.add_section()
    table.add_row(*_row("all", report["overall"]), style="bold")
    for name, share in report.get("pairs", {}).items():
        table.add_row(*_row(f"both of {name}", share))
    if report["controls"]:
        table.add_section()
    for name, run in report["controls"].items():
        table.add_row(*_row(f"control: {name}", run["overall"]))
    console.print(table)
    _print_rest(report, out, console)


def _print_rest(report: Mapping[str, Any], out: Path, console: Console) -> None:
    call = report["latency_ms"]
    if call["p50"] is not None:
        console.print(
            f"one chunk takes {_milliseconds(call['p50'])} (p50), {_milliseconds(call['p99'])} (p99); "
            f"the whole took {report['seconds']['total']:.0f} s"
        )
    for line in told(report["wall_clock"]) if report.get("wall_clock") else ():
        console.print(line, markup=False, highlight=False)
    done_before = report["seconds"].get("episodes_done_before")
    if done_before:
        console.print(f"{done_before} episodes were done before, and their outcomes kept; resume=false begins anew")
    for group in worst_first(report.get("groups", {}))[:1]:
        console.print(f"worst group: {group['name']}, {_percent(group['success'])} of {group['n']}", markup=False)
    chance = report.get("chance", {})
    for share in dict.fromkeys(chance.values()):
        names = [name for name, own in chance.items() if own == share]
        console.print(f"{_percent(share)} is chance: {', '.join(names)}")
    for name, row in report.get("steps", {}).items():
        console.print(f"{name}: {row['mean_completed']:.2f} of {row['steps']} steps completed in order")
    for name, average in report.get("averages", {}).items():
        console.print(f"{name.replace('_', ' ')}: {_percent(average)}")
    if report.get("peeks"):
        console.print("this policy looks into the simulator: its success is no measure of what it sees")
    _print_errors(report, console)
    console.print(f"report: {out / 'report.html'}", markup=False, soft_wrap=True)


def _print_errors(report: Mapping[str, Any], console: Console) -> None:
    for name, run in {"": report, **report["controls"]}.items():
        told = told_errors(run["overall"])
        if told is not None:
            first = next(episode for episode in run["episodes"] if episode["error"])
            about = f"control {name}: " if name else ""
            console.print(f"{about}{told}", markup=False)
            console.print(f"the first error: {first['error']}", markup=False)


def _row(name: str, share: Mapping[str, Any]) -> tuple[str, ...]:
    interval = f"{_percent(share['low'])} to {_percent(share['high'])}"
    return name, _percent(share["success"]), interval, str(share["n"]), str(share.get("errors") or "")


def _control(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    what, expectation = CONTROL_MEANING[name]
    return {"name": name, "what": what, "expectation": expectation, **run["overall"]}


def _mean_steps(report: Mapping[str, Any], task: str) -> str:
    steps = [episode["steps"] for episode in report["episodes"] if episode["task"] == task and episode["error"] is None]
    return f"{sum(steps) / len(steps):.1f}" if steps else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _milliseconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.3g} ms"


def _listed_files(out: Path) -> set[str]:
    """The videos and traces that an older report in this folder names; nothing outside of their folders."""
    try:
        older = json.loads((out / "report.json").read_bytes())
        found = [
            f"{folder}/{Path(video[name]).name}"
            for video in older["videos"]
            for folder, name in (("videos", "file"), ("videos", "expert"), ("traces", "trace"))
            if video.get(name)
        ]
        return set(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()

"""`vla data check`: a line for each thing that is wrong with a store, and whether every committed episode is whole."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.files import write_atomically
from vla_datasets.upkeep.checking import Report, check
from vla_datasets.upkeep.findings import Severity
from vla_datasets.upkeep.suspicions import Thresholds


@dataclasses.dataclass
class CheckConfig:
    """Check a store: every file against its SHA-256, and every whole episode for what looks wrong.

    The exit status is 0 if every committed episode is whole, and 1 if not; one that is being written is no fault.

    Example: vla data check data=data/tabletop
    """

    data: str = MISSING
    """Episode store."""
    strict: bool = False
    """Whether a warning is enough for the exit status 1."""
    json: Path | None = None
    """A file to write what was found into."""
    workers: int = 0
    """Processes; 0 for as many as there are cores and work for."""
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    """From where on something is suspicious."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data check`; the exit status."""
    return cli.run("data check", CheckConfig, check_data, arguments)


def check_data(config: CheckConfig) -> int:
    """Check, print and write what was found; 0 if every committed episode is whole, else 1.

    Raises:
        VlaError: if there is no store, or an option is not valid.
    """
    report = check(config.data, config.thresholds, workers=config.workers)
    for finding in report.findings:
        print(finding)
    print(summary(report))
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config.json, json.dumps(report.to_json(), indent=1) + "\n")
    return int(bool(report.errors) or (config.strict and bool(report.warnings)))


def summary(report: Report) -> str:
    """One line: `data/a: 12 episodes, 400 steps: all whole; 2 warnings (1 idle, 1 times)`."""
    damaged = len(report.damaged)
    whole = f"{damaged} not whole" if damaged else "the head is altered" if report.errors else "all whole"
    parts = [f"{report.store}: {report.num_episodes} episodes, {report.num_steps} steps: {whole}"]
    for severity in (Severity.WARNING, Severity.NOTE):
        kinds = Counter(finding.kind.value for finding in report.findings if finding.severity is severity)
        if kinds:
            listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
            parts.append(f"{kinds.total()} {severity.value}{'s' if kinds.total() > 1 else ''} ({listed})")
    return "; ".join(parts)

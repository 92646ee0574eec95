"""`vla data stats`: exact statistics of each field, per embodiment, over one store or several."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.statistics_of_stores import LEVELS, statistics_of
from vla_datasets.upkeep.statistics_page import print_statistics, statistics_page


@dataclasses.dataclass
class StatsConfig:
    """Compute exact statistics of states and executed actions, merged over stores of one embodiment.

    Example: vla data stats data=[data/tabletop,data/visited] out=out/statistics
    """

    data: list[str] = MISSING
    """Episode store; or several, [a,b], of one embodiment or more."""
    out: Path | None = None
    """The folder to write statistics.json and statistics.html into; only a table is printed if not given."""
    levels: list[float] = dataclasses.field(default_factory=lambda: list(LEVELS))
    """Which quantiles to tell, each in 0..1."""
    only_successes: bool = False
    """Whether to leave out episodes that failed."""
    workers: int = 0
    """Processes; 0 for as many as there are cores and work for."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data stats`; the exit status."""
    return cli.run("data stats", StatsConfig, stats, arguments)


def stats(config: StatsConfig) -> int:
    """Compute, print and write them; 0.

    Raises:
        VlaError: if a store is absent, empty or damaged, or an option is not valid; nothing is written then.
    """
    if not config.data:
        raise ConfigError("data= names no store: give one or more, data=[STORE,...]")
    if config.out is not None and config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    bodies = statistics_of(
        [EpisodeStore.open(address) for address in config.data],
        config.levels,
        keep=lambda row: row.success or not config.only_successes,
        workers=config.workers,
    )
    for body in bodies:
        print_statistics(body)
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        write_atomically(config.out / "statistics.html", statistics_page(bodies))
        tree = [body.to_json() for body in bodies]
        write_atomically(config.out / "statistics.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
        print(f"{config.out / 'statistics.html'}")
    return 0

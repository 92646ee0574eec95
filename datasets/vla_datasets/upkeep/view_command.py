"""`vla data view`: episodes to look at, as a page with films, or as a recording for Rerun's viewer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError, unknown
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.gallery import choose, write_gallery
from vla_datasets.upkeep.rerun_recording import write_recording


@dataclasses.dataclass
class ViewConfig:
    """Make a gallery of episodes: films, words, outcomes, actions and states with their limits.

    Example: vla data view data=data/tabletop out=out/gallery
    """

    data: str = MISSING
    """Episode store."""
    out: Path | None = None
    """The folder to write index.html and films/ into."""
    rerun: Path | None = None
    """A .rrd file to write for Rerun's viewer; needs the extra `rerun`."""
    episodes: int = 24
    """At most so many, taken in turn from each task, source and outcome."""
    tasks: list[str] = dataclasses.field(default_factory=list)
    """Of these tasks only; of all if empty."""
    keys: list[str] = dataclasses.field(default_factory=list)
    """Just these episodes, by id; chosen if empty."""
    workers: int = 0
    """Processes; 0 for as many as there are cores and work for."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data view`; the exit status."""
    return cli.run("data view", ViewConfig, view, arguments)


def view(config: ViewConfig) -> int:
    """Write what was asked for; 0.

    Raises:
        VlaError: if the store is absent, empty or damaged, or an option is not valid.
    """
    _check(config)
    store = EpisodeStore.open(config.data)
    rows = _chosen(store, config)
    if config.out is not None:
        print(write_gallery(config.out, store, rows, workers=config.workers))
    if config.rerun is not None:
        write_recording(config.rerun, store, [row.id for row in rows])
        print(config.rerun)
    return 0


def _check(config: ViewConfig) -> None:
    if config.out is None and config.rerun is None:
        raise ConfigError("say where to: out=FOLDER for a page, rerun=FILE.rrd for a recording")
    if config.out is not None and config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    if config.episodes < 1:
        raise ConfigError(f"episodes is at least 1, got {config.episodes}")


def _chosen(store: EpisodeStore, config: ViewConfig) -> list[EpisodeRow]:
    rows = store.index()
    for name in config.keys:
        if name not in {row.id for row in rows}:
            raise unknown("episode", name, [row.id for row in rows])
    for name in config.tasks:
        if name not in {row.task for row in rows}:
            raise unknown("task of this store:", name, {row.task for row in rows})
    if config.keys:
        return [row for row in rows if row.id in config.keys]
    return choose([row for row in rows if not config.tasks or row.task in config.tasks], config.episodes)

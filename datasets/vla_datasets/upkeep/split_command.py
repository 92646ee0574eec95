"""`vla data split`: which episodes to train on and which to keep for measuring, as a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.split_files import save_split
from vla_datasets.upkeep.splitting import By, split


@dataclasses.dataclass
class SplitConfig:
    """Split a store by episode, task or instruction; near-duplicates and one scene's episodes stay together.

    Example: vla data split data=data/tabletop by=task parts=[train,validation] shares=[0.8,0.2] out=split.json
    """

    data: str = MISSING
    """Episode store."""
    by: By = By.EPISODE
    """What is never in two parts."""
    parts: list[str] = dataclasses.field(default_factory=lambda: ["train", "validation"])
    """Their names."""
    shares: list[float] = dataclasses.field(default_factory=lambda: [0.9, 0.1])
    """Of the episodes, one for each part; together 1."""
    seed: int = 0
    """Another seed is another split."""
    out: Path = MISSING
    """The file to write."""
    workers: int = 0
    """Processes; 0 for as many as there are cores and work for."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data split`; the exit status."""
    return cli.run("data split", SplitConfig, split_data, arguments)


def split_data(config: SplitConfig) -> int:
    """Split the store and write it down; 0.

    Raises:
        VlaError: if the store is absent, empty or damaged, or an option is not valid; nothing is written then.
    """
    if len(config.parts) != len(config.shares) or len(set(config.parts)) != len(config.parts):
        raise ConfigError(f"parts are different names with a share each; got {config.parts} and {config.shares}")
    if config.out.is_dir():
        raise ConfigError(f"out={config.out} is a folder: name the file to write, {config.out / 'split.json'}")
    store = EpisodeStore.open(config.data)
    shares = dict(zip(config.parts, config.shares, strict=True))
    made = split(store, shares, config.by, config.seed, workers=config.workers)
    save_split(config.out, made, store)
    total = sum(map(len, made.parts.values()))
    for part, keys in made.parts.items():
        print(
            f"{part}: {len(keys)} of {total} episodes, {100 * len(keys) / total:.1f} % ({100 * shares[part]:g} % asked)"
        )
    print(f"{made.num_units} units by {made.by.value}; {made.num_together} episodes stay with others they are like")
    print(config.out)
    return 0

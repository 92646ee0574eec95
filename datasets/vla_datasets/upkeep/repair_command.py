"""`vla data repair`: show, or with `apply=true` do, what makes a store whole again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check
from vla_datasets.upkeep.repair import cannot_be_mended, quarantine_beside, removals, remove


@dataclasses.dataclass
class RepairConfig:
    """Move damaged episodes, what killed writers left, and foreign files out of a store; nothing is deleted.

    Shows what it would do, and does it with apply=true. The exit status is 0 if the store is whole afterwards, else 1.

    Example: vla data repair data=data/tabletop apply=true
    """

    data: str = MISSING
    """Episode store, on this machine."""
    apply: bool = False
    """Whether to do it."""
    quarantine: Path | None = None
    """The folder that takes what is moved; STORE.quarantine if not given. On the store's file system."""
    workers: int = 0
    """Processes; 0 for as many as there are cores and work for."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data repair`; the exit status."""
    return cli.run("data repair", RepairConfig, repair_data, arguments)


def repair_data(config: RepairConfig) -> int:
    """Show or do it; 0 if the store is whole afterwards, else 1.

    Raises:
        VlaError: if there is no store, or it is in a bucket.
    """
    report = check(config.data, workers=config.workers)
    for finding in (unmended := cannot_be_mended(report)):
        print(f"cannot be mended: {finding.message}")
    if unmended:
        return 1
    store = EpisodeStore.open(config.data, may_be_empty=True)
    quarantine = config.quarantine or quarantine_beside(store)
    chosen = removals(store, report)
    for removal in chosen:
        print(f"{'moving' if config.apply else 'would move'} {removal.name}: {'; '.join(removal.reasons)}")
    if not chosen:
        print(f"{config.data}: nothing to repair")
    elif config.apply:
        print(f"{len(remove(store, chosen, quarantine))} moved to {quarantine}")
    else:
        print(f"{len(chosen)} to move to {quarantine}: apply=true does it")
    return int(bool(report.damaged) and not config.apply)

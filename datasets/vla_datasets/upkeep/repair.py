"""Take out of a store what keeps it from being whole, into a quarantine beside it; nothing is deleted.

    STORE/episodes/ID       damaged        ─┐
    STORE/.staging-*        its writer died ├─► STORE.quarantine/NAME, and why: STORE.quarantine/NAME.reason.json
    STORE/whatever          foreign        ─┘

An altered head cannot be mended: it alone says which embodiment the numbers are of.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path

import vla
from vla.files import write_atomically
from vla_datasets.storage import EPISODES
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import Report
from vla_datasets.upkeep.findings import Finding, Kind
from vla_datasets.upkeep.store_contents import move_out

REASON_SUFFIX = ".reason.json"


@dataclasses.dataclass(frozen=True)
class Removal:
    """One thing to take out of a store."""

    name: str
    """Its path inside the store."""
    reasons: tuple[str, ...]
    """Why, a sentence each."""


def quarantine_beside(store: EpisodeStore) -> Path:
    """The folder that takes what is removed, unless another is named: `data/tabletop.quarantine`.

    Raises:
        StoreError: if the store is not on this machine.
    """
    return store.path.with_name(f"{store.path.name}.quarantine")


def removals(store: EpisodeStore, report: Report) -> list[Removal]:
    """What to take out so that a check finds every committed episode whole and nothing foreign.

    What a living writer is at is left alone, and so is an episode that only looks wrong.

    Args:
        report: of a check of this store.
    """
    damaged = [Removal(f"{EPISODES}/{key}", _reasons(report, key)) for key in report.damaged]
    live = {episode.name for episode in store.uncommitted() if episode.is_live}
    kinds = (Kind.UNCOMMITTED, Kind.FOREIGN)
    others = [Removal(x.place, (x.message,)) for x in report.findings if x.kind in kinds and x.place not in live]
    taken = {removal.name for removal in damaged}
    return damaged + [removal for removal in others if removal.name not in taken]


def cannot_be_mended(report: Report) -> list[Finding]:
    """The errors that taking something out does not end."""
    return [finding for finding in report.errors if finding.place not in report.damaged]


def remove(store: EpisodeStore, chosen: Sequence[Removal], quarantine: Path) -> list[Path]:
    """Move each into the quarantine, write beside it why, and say where it is now.

    Args:
        quarantine: on the store's file system; made if it is absent.
    """
    return [path for removal in chosen for path in _remove(store, removal, quarantine)]


def _remove(store: EpisodeStore, removal: Removal, quarantine: Path) -> list[Path]:
    moved = move_out(store, [removal.name], quarantine)
    for path in moved:
        reason = {
            "store": str(store.path),
            "name": removal.name,
            "reasons": list(removal.reasons),
            "moved": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "by": f"vla {vla.__version__}",
        }
        write_atomically(path.with_name(path.name + REASON_SUFFIX), json.dumps(reason, indent=1) + "\n")
    return moved


def _reasons(report: Report, key: str) -> tuple[str, ...]:
    return tuple(finding.message for finding in report.errors if finding.place == key)

"""Check a store: is every committed episode whole, and does any look wrong?

    head ─► each episode: every file's SHA-256 ─► decoded, as its embodiment says ─► suspicions ─┐
                                                                                                 ├─► Report
            all episodes: outliers, duplicates, tasks that never succeed; foreign and half-written ──┘

A store may be appended to meanwhile: what is committed when the check begins is checked.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla.errors import StoreError, VlaError
from vla_datasets.episode_files import check_episode
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.episode_workers import map_episodes
from vla_datasets.upkeep.findings import Finding, Kind, Severity, of_severity
from vla_datasets.upkeep.near_duplicates import Likeness, near_duplicates, same
from vla_datasets.upkeep.outliers import outliers
from vla_datasets.upkeep.store_contents import committed, faults, foreign_entries, foreign_files, head_faults
from vla_datasets.upkeep.suspicions import Thresholds, suspicions

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check has found."""

    store: str
    num_episodes: int
    """Committed when the check began, whole or not."""
    num_steps: int
    """Of the whole ones."""
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then notes."""

    @property
    def errors(self) -> list[Finding]:
        return of_severity(self.findings, Severity.ERROR)

    @property
    def warnings(self) -> list[Finding]:
        return of_severity(self.findings, Severity.WARNING)

    @property
    def damaged(self) -> list[str]:
        """The ids of committed episodes that are not whole."""
        kinds = (Kind.DAMAGED, Kind.UNREADABLE)
        return list(dict.fromkeys(finding.place for finding in self.errors if finding.kind in kinds))

    def to_json(self) -> dict[str, Any]:
        """A tree of JSON values."""
        return {
            "store": self.store,
            "episodes": self.num_episodes,
            "steps": self.num_steps,
            "whole": not self.errors,
            "findings": [finding.to_json() for finding in self.findings],
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """What is kept of one episode."""

    findings: list[Finding]
    row: EpisodeRow | None = None
    """From here on `None` if it is not whole."""
    likeness: Likeness | None = None
    actions: np.ndarray | None = None
    proprioception: np.ndarray | None = None


def check(path: str | Path, thresholds: Thresholds | None = None, *, workers: int = 0, progress: bool = True) -> Report:
    """Check the store at `path`.

    Args:
        thresholds: from where on something is suspicious.
        workers: processes; 0 for as many as there are cores and work for.

    Raises:
        StoreError: if there is no store.
    """
    try:
        store = EpisodeStore.open(path, may_be_empty=True)
    except StoreError as error:
        if not (Path(path) / "episodes").is_dir():
            raise
        return Report(str(path), 0, 0, (Finding(Severity.ERROR, Kind.HEAD, "the store", str(error)),))
    thresholds, keys = thresholds or Thresholds(), committed(store)
    one = functools.partial(check_one, thresholds=thresholds)
    checked = dict(
        zip(keys, map_episodes(store, keys, one, title="checking", workers=workers, progress=progress), strict=True)
    )
    whole = {key: each for key, each in checked.items() if each.row is not None}
    findings = [
        *(finding for each in checked.values() for finding in each.findings),
        *_outliers(store, whole, thresholds),
        *_duplicates([each.likeness for each in whole.values() if each.likeness is not None]),
        *_never_successful([each.row for each in whole.values() if each.row is not None]),
        *_around(store),
    ]
    return Report(
        store=str(path),
        num_episodes=len(keys),
        num_steps=sum(each.row.num_steps for each in whole.values() if each.row is not None),
        findings=tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity))),
    )


def check_one(store: EpisodeStore, key: str, *, thresholds: Thresholds) -> Checked:
    """Check one committed episode."""
    if damage := faults(store, key):
        is_gone = key not in committed(store)  # moved out since the check began
        return Checked([] if is_gone else [Finding(Severity.ERROR, Kind.DAMAGED, key, fault) for fault in damage])
    try:
        episode = store.read(key)
        check_episode(episode)
    except (VlaError, ValueError, KeyError, TypeError) as error:
        return Checked([Finding(Severity.ERROR, Kind.UNREADABLE, key, f"{type(error).__name__}: {error}")])
    foreign = [Finding(Severity.WARNING, Kind.FOREIGN, name, _FOREIGN) for name in foreign_files(store, key)]
    return Checked(
        findings=foreign + suspicions(key, episode, thresholds),
        row=store.row(key),
        likeness=Likeness.of(key, episode),
        actions=episode.actions,
        proprioception=episode.proprioception,
    )


# --------------------------------------------------------------------------- over all episodes

_FOREIGN = "is no part of the store"


def _outliers(store: EpisodeStore, whole: dict[str, Checked], thresholds: Thresholds) -> Iterator[Finding]:
    body, spans = store.embodiment, thresholds.outlier_spans
    actions = {key: each.actions for key, each in whole.items() if each.actions is not None}
    states = {key: each.proprioception for key, each in whole.items() if each.proprioception is not None}
    yield from outliers("action", body.action, actions, spans)
    yield from outliers("proprioception", body.proprioception, states, spans)


def _duplicates(likenesses: Sequence[Likeness]) -> Iterator[Finding]:
    for first, *others in same(likenesses):
        for key in others:
            message = f"has the same pictures, states and actions as {first}"
            yield Finding(Severity.WARNING, Kind.DUPLICATE, key, message)
    for i, j in near_duplicates(likenesses):
        if likenesses[i].content != likenesses[j].content:
            message = f"begins and acts like {likenesses[i].key}"
            yield Finding(Severity.WARNING, Kind.NEAR_DUPLICATE, likenesses[j].key, message)


def _never_successful(rows: Sequence[EpisodeRow]) -> Iterator[Finding]:
    outcomes: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row in rows:
        outcomes[row.task, row.source].append(row.success)
    for (task, source), successes in outcomes.items():
        if not any(successes):
            message = f"none of {len(successes)} episodes of task '{task}' by '{source}' succeeded"
            yield Finding(Severity.WARNING, Kind.NEVER_SUCCESSFUL, "the store", message)


def _around(store: EpisodeStore) -> Iterator[Finding]:
    yield from (Finding(Severity.WARNING, Kind.HEAD, "the store", message) for message in head_faults(store))
    yield from (Finding(Severity.WARNING, Kind.FOREIGN, name, _FOREIGN) for name in foreign_entries(store))
    for episode in store.uncommitted():
        state = "is being written" if episode.is_live else "was never finished, no writer is at work"
        about = ", ".join(f"{name} {value}" for name, value in episode.about.items())
        yield Finding(Severity.NOTE, Kind.UNCOMMITTED, episode.name, f"{state} ({about})" if about else state)

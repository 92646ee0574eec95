"""Where failures got stuck: the stages that episodes came to, kept while they go on, and counted.

    on_reset ─► watch ─► on_step: which stages hold now? ─► finish: those that ever held, in order

An episode has come as far as the stages that all held at some time, from the first on: a block that was pushed to its
place without being grasped has come to `reached`, and got stuck before `grasped`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from vla_policies.rollout import RolloutResult

START = "start"
"""As far as an episode has come that reached nothing."""


@runtime_checkable
class StagedEnvironment(Protocol):
    """An environment that can tell how far an episode has come; policies are never shown it."""

    def stages(self) -> dict[str, bool]:
        """The stages before success, in order: whether each holds now."""
        ...

    def moves_another(self) -> bool:
        """Whether a thing that the task is not about has left its place."""
        ...


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far one episode came."""

    stages: tuple[str, ...]
    """Those before success, in order."""
    held: frozenset[str]
    """Those that held at some time."""
    moved_another: bool

    @property
    def came_to(self) -> str:
        """The last stage of those that held without a gap, or `start`."""
        came = START
        for stage in self.stages:
            if stage not in self.held:
                break
            came = stage
        return came


class Watch:
    """The progress of the episodes that go on, by slot; environments without stages are left alone."""

    def __init__(self, environments: Sequence[object]) -> None:
        self._staged = {
            slot: environment
            for slot, environment in enumerate(environments)
            if isinstance(environment, StagedEnvironment)
        }
        self._progress: dict[int, Progress] = {}

    def begin(self, slot: int) -> None:
        """An episode has begun in a slot."""
        self._progress.pop(slot, None)
        self.look(slot)

    def look(self, slot: int) -> None:
        """A step was taken in a slot."""
        if slot not in self._staged:
            return
        environment = self._staged[slot]
        stages = environment.stages()
        before = self._progress.get(slot, Progress(tuple(stages), frozenset(), False))
        now = {name for name, holds in stages.items() if holds}
        self._progress[slot] = Progress(
            before.stages, before.held | now, before.moved_another or environment.moves_another()
        )

    def finish(self, slot: int) -> Progress | None:
        """How far the slot's episode came; `None` if it never began, or knows no stages."""
        return self._progress.pop(slot, None)


def stages_tree(results: Sequence[RolloutResult], progress: Sequence[Progress | None]) -> dict[str, Any]:
    """By task, of the failures: how many came to each stage and no farther, ended how, and moved another thing.

    `error` are episodes that ended in one: they are no failures, and stand beside them. A task without stages is left
    out.
    """
    tasks = dict.fromkeys(result.spec.task for result in results)
    rows = {task: _failures(task, results, progress) for task in tasks}
    return {task: row for task, row in rows.items() if row is not None}


def _failures(
    task: str, results: Sequence[RolloutResult], progress: Sequence[Progress | None]
) -> dict[str, Any] | None:
    known = [p for r, p in zip(results, progress, strict=True) if r.spec.task == task and p is not None]
    if not known:
        return None
    own = [(r, p) for r, p in zip(results, progress, strict=True) if r.spec.task == task]
    failed = [(r, p) for r, p in own if r.error is None and not r.success]
    came = [p.came_to for _, p in failed if p is not None]
    return {
        "failures": len(failed),
        "came_to": _counted(came, [START, *known[0].stages]),
        "timed_out": len(failed),
        "error": len(own) - len(failed) - sum(r.error is None and r.success for r, _ in own),
        "moved_another": sum(p is not None and p.moved_another for _, p in failed),
    }


def _counted(came: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    found = list(came)
    return {name: found.count(name) for name in names}

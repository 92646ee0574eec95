"""A run on an arm kept as an episode of a store: training data of what really happened.

Needs the store's own package, which is loaded only where a run is kept.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vla.errors import ConfigError
from vla.interfaces import Observation, Robot, Transition
from vla_robot_io.episode_recorder import EpisodeRecorder


@dataclasses.dataclass
class KeepConfig:
    """Whether and how a run becomes an episode of a store."""

    store: str = ""
    """The episode store; it is made, or added to. Nothing is kept if empty."""
    task: str = ""
    """What the episode is filed under; the instruction if empty."""
    licence: str = "not stated"
    """Under which others may use it."""
    success: bool | None = None
    """What to write where no simulator tells; asked at the terminal if null, and false if there is none."""


def episode_recorder(
    config: KeepConfig, robot: Robot, *, instruction: str, seed: int, source: str
) -> EpisodeRecorder | None:
    """What records the run; None if it is not to be kept.

    Args:
        seed: of the scene if the robot is simulated; otherwise the first number that may be free.
        source: who acts.

    Raises:
        ConfigError: if the store's package is not installed.
        StoreError: if the store is of another robot, or has this episode of a simulated one already.
    """
    if not config.store:
        return None
    try:
        from vla_datasets.recording import EpisodeHead, EpisodeWriter
        from vla_datasets.store import EpisodeStore
    except ModuleNotFoundError as error:
        raise ConfigError(f"keep.store needs a package that is not installed: {error.name}") from error
    store = EpisodeStore.open_or_create(config.store, robot.embodiment)
    store.require_own(robot.embodiment)
    task = config.task or instruction
    # A scene of a laboratory has no seed: runs are numbered.
    while not robot.is_simulated and store.contains(task, seed, source):
        seed += 1
    return EpisodeRecorder(EpisodeWriter(store, EpisodeHead(task, seed, source, instruction, config.licence)))


class Keeper:
    """Pairs what was seen with the action that was really applied after it, and hands both to the recorder."""

    def __init__(self, recorder: EpisodeRecorder, config: KeepConfig) -> None:
        self._recorder = recorder
        self._config = config
        self._seen: Observation | None = None

    def begin(self, observation: Observation) -> None:
        """The episode's first observation."""
        self._seen = observation

    def step(self, transition: Transition) -> None:
        """One control step; never waits."""
        if self._seen is not None:
            self._recorder.offer(self._seen, transition.applied)
        self._seen = transition.observation

    def finish(self, known: bool | None) -> dict[str, Any]:
        """Commit the episode, or discard it; what became of it, for the summary.

        Args:
            known: whether it succeeded, as a simulator says; None if there is none.

        Raises:
            StoreError, ObservationError, ActionError: if it could not be written; it is not in the store then.
        """
        success, who = told_success(self._config, known)
        recorded = self._recorder.finish(success=success)
        return {"store": self._config.store, **dataclasses.asdict(recorded), "success": success, "told_by": who}


def told_success(
    config: KeepConfig, known: bool | None, ask: Callable[[str], str] | None = None
) -> tuple[bool | None, str]:
    """Whether the run succeeded, and who says so; None discards the episode.

    Args:
        known: what a simulator says; None if there is none.
        ask: puts a question to the operator; the terminal if there is one, if not given.
    """
    if known is not None:
        return known, "the simulator"
    if config.success is not None:
        return config.success, "keep.success"
    ask = ask or (input if sys.stdin.isatty() else None)
    if ask is None:
        return False, "nobody"
    answer = ""
    while answer not in _ANSWERS:
        answer = ask("Did it succeed? y, n, or d to discard the episode: ").strip().lower()[:1]
    return _ANSWERS[answer], "the operator"


_ANSWERS: Mapping[str, bool | None] = {"y": True, "n": False, "d": None}


def source_of(policy: str) -> str:
    """Who acted, as stores know it: no paths."""
    return f"policy:{Path(policy).name}"

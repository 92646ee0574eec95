"""A run on an arm kept as an episode of a store: training data of what really happened.

Needs the store's own package, which is loaded only where a run is kept.
"""

from __future__ import annotations

import dataclasses
import enum
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vla.errors import ConfigError, VlaError
from vla.interfaces import Observation, Robot, Transition
from vla_robot_io.episode_recorder import EpisodeRecorder

MIN_FREE_BYTES = 256 * 1000 * 1000
"""No episode is begun with less room than this."""
TELEOPERATION = "teleoperation"
"""A human acted, as stores know it."""


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


class Episodes:
    """Makes what records the episodes of one run."""

    def __init__(self, config: KeepConfig, robot: Robot, *, seed: int, source: str) -> None:
        """Nothing is opened yet.

        Args:
            config: of a run that is to be kept.
            robot: whose episodes they are.
            seed: of the scene if the robot is simulated; otherwise the first number that may be free.
            source: who acts.
        """
        self._config, self._robot = config, robot
        self._seed, self._source = seed, source
        self._num_made = 0

    def __call__(self, instruction: str) -> EpisodeRecorder:
        """What records the next episode.

        Raises:
            ConfigError: if the store's package is not installed.
            StoreError: if the store is of another robot, or has the first episode of a simulated one already.
        """
        try:
            from vla_datasets.recording import EpisodeHead, EpisodeWriter
            from vla_datasets.store import EpisodeStore
        except ModuleNotFoundError as error:
            raise ConfigError(f"keep.store needs a package that is not installed: {error.name}") from error
        config, robot, seed = self._config, self._robot, self._seed
        _require_room(Path(config.store))
        store = EpisodeStore.open_or_create(config.store, robot.embodiment)
        store.require_own(robot.embodiment)
        task = config.task or instruction
        # A scene of a laboratory has no seed, nor has one that was acted in before: these runs are numbered.
        while (self._num_made or not robot.is_simulated) and store.contains(task, seed, self._source):
            seed += 1
        self._num_made += 1
        return EpisodeRecorder(EpisodeWriter(store, EpisodeHead(task, seed, self._source, instruction, config.licence)))


def _require_room(store: Path) -> None:
    """Return if there is room for an episode where the store is, or is to be."""
    there = next(folder for folder in (store, *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        raise ConfigError(
            f"keep.store={store} has {free / 1e6:.0f} MB left, an episode wants {MIN_FREE_BYTES / 1e6:.0f}: make room"
        )


class Recording(enum.Enum):
    """What becomes of the steps now."""

    OFF = "off"
    ON = "on"
    ENDED = "ended"
    """The episode is over, and the operator is yet to say whether it is kept."""


class Keeper:
    """Pairs what was seen with the action that was really applied after it, and hands both to a recorder.

        record ──► ON ── end ──► ENDED ── keep, discard ──► OFF ──► record ...

    Nothing here waits for the disk but `finish`, which is called when the arm is held and closed.
    """

    def __init__(self, make: Callable[[str], EpisodeRecorder], config: KeepConfig, instruction: str) -> None:
        """Begin the first episode.

        Args:
            make: makes the recorder of an episode with this instruction.
            config: says what to do with an episode of which nobody says anything.
            instruction: of the first episode.

        Raises:
            ConfigError, StoreError: as `make` does.
        """
        self._make, self._config, self._instruction = make, config, instruction
        self._recorder: EpisodeRecorder | None = make(instruction)
        self._seen: Observation | None = None
        self._closing: list[threading.Thread] = []
        self._became: list[dict[str, Any]] = []
        self.state = Recording.ON

    @property
    def num_episodes(self) -> int:
        """Begun so far."""
        return len(self._became) + (self._recorder is not None)

    def begin(self, observation: Observation) -> None:
        """The observation before the next step."""
        self._seen = observation

    def step(self, transition: Transition, labels: Mapping[str, np.ndarray] | None = None) -> None:
        """One control step; never waits."""
        if self._seen is not None and self._recorder is not None and self.state is Recording.ON:
            self._recorder.offer(self._seen, transition.applied, labels)
        self._seen = transition.observation

    # ------------------------------------------------------------------ as the operator says

    def record(self, instruction: str) -> str:
        """Begin an episode; what is told to the operator."""
        if self.state is not Recording.OFF:
            return "an episode is there already: keep it or discard it first"
        try:
            self._recorder, self._instruction = self._make(instruction), instruction
        except (VlaError, OSError) as error:
            return f"no episode could be begun: {error}"
        self.state = Recording.ON
        return f"recording episode {self.num_episodes}"

    def end(self) -> str:
        """Take no more steps."""
        if self.state is not Recording.ON:
            return "nothing is being recorded"
        self.state = Recording.ENDED
        return "recording ended: keep or discard it"

    def close(self, success: bool | None) -> str:
        """End the episode, and keep it as a success or none, or discard it (None); another thread writes it."""
        if self._recorder is None:
            return "there is no episode to keep or to discard"
        recorder, self._recorder, self.state = self._recorder, None, Recording.OFF
        self._became.append({})
        arguments = (recorder, len(self._became) - 1, success, "the operator")
        thread = threading.Thread(target=self._finish, args=arguments, name="episode's end")
        self._closing.append(thread)
        thread.start()
        return "episode discarded" if success is None else f"episode kept as {'a' if success else 'no'} success"

    def instruct(self, instruction: str) -> str:
        """An episode has one instruction: with another, one ends and the next begins."""
        if self.state is not Recording.ON or instruction == self._instruction:
            return ""
        return f"{self.close(False)}; {self.record(instruction)}"

    def finish(self, known: bool | None) -> dict[str, Any] | None:
        """Wait for the episodes to be written; what became of the last one, with those before it; None without any.

        Args:
            known: whether the last one succeeded, as a simulator says; None if there is none.
        """
        if self._recorder is not None:
            success, who = told_success(self._config, known)
            self._became.append({})
            self._finish(self._recorder, len(self._became) - 1, success, who)
            self._recorder = None
        for thread in self._closing:
            thread.join()
        if not self._became:
            return None
        *earlier, last = self._became
        return {**last, **({"earlier": earlier} if earlier else {})}

    def _finish(self, recorder: EpisodeRecorder, index: int, success: bool | None, who: str) -> None:
        about = {"store": self._config.store, "success": success, "told_by": who}
        try:
            self._became[index] = {**about, **dataclasses.asdict(recorder.finish(success=success))}
        except Exception as error:  # whatever keeps an episode from being written must not keep the run from closing
            told = " ".join(f"{type(error).__name__}: {error}".split())
            self._became[index] = {**about, "episode": None, "error": told}


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

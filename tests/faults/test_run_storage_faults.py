"""A disk that is full, read-only or slow, or a codec that dies, costs the recording and never the arm's control."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vla.clock import VirtualClock
from vla.errors import ConfigError, VlaError
from vla.interfaces import ActionChunk, Observation
from vla_datasets.shards import SHARD_NAME
from vla_datasets.store import EpisodeStore
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_robot_io import live_run
from vla_robot_io.background_writer import BackgroundWriter
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.episode_recorder import EpisodeRecorder
from vla_robot_io.keeping import Episodes, KeepConfig, Keeper
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import LiveRun, Task
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.recording import MOST_FRAMES_WAITING, RunRecorder
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
STEPS = 20


@dataclasses.dataclass
class Forward:
    """Moves ahead, and has something happen in its sixth prediction."""

    happening: Callable[[], None] = lambda: None
    embodiment = TABLETOP_PANDA
    horizon = 2
    calls = 0

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Nothing is remembered."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        self.calls += 1
        if self.calls == 6:
            self.happening()
        actions = np.array([[0.01, 0.0, 0.0, 0.0, 1.0]] * 2, np.float32)
        return [ActionChunk(actions, o.time_s, 1.0) for o in observations]


@dataclasses.dataclass
class Lab:
    """Two seconds of a run, and the times of every command that the arm took."""

    out: Path
    happening: Callable[[], None] = lambda: None
    keeper: Keeper | None = None
    film: bool = False
    commands_s: list[float] = dataclasses.field(default_factory=list)
    calls: list[str] = dataclasses.field(default_factory=list)

    def run(self) -> int:
        clock = VirtualClock()
        robot = loopback_robot(clock, TABLETOP_PANDA)
        write, close = robot.arm.write, robot.arm.close

        def heard(command: Any) -> Any:
            self.commands_s.append(clock.now())
            return write(command)

        def closed() -> None:
            self.calls.append("closed")
            close()

        robot.arm.write, robot.arm.close = heard, closed  # type: ignore[method-assign]
        environment = ArmEnvironment(robot, clock, BOX, duration_s=0.1 * STEPS)
        recorder = RunRecorder(self.out, {}, 10.0 if self.film else None)
        execution = ExecutionConfig(ExecutionMode.SYNCHRONOUS)
        run = LiveRun(
            environment,
            Forward(self.happening),
            recorder,
            Task("go", 0, 2.0),
            execution,
            Console(quiet=True),
            self.keeper,
        )
        return run.run({})

    def require_undisturbed(self) -> None:
        """Every command came, and each at its time; a few more brake the arm at the end."""
        assert 10 * STEPS <= len(self.commands_s) <= 10 * STEPS + 10
        assert np.diff(self.commands_s) == pytest.approx(0.01)

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))


def fill_the_disk_under(path: Path) -> None:
    """Have the kernel answer every further write to an open file with ENOSPC."""
    (file,) = [int(link.name) for link in Path("/proc/self/fd").iterdir() if _target(link) == str(path)]
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file)
    os.close(full)


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


class Disk:
    """What writes an episode, onto a disk that fails or takes its time."""

    def __init__(self, happening: Callable[[int], None]) -> None:
        self._happening = happening
        self.num_steps = 0
        self.is_closed = False

    def add(self, observation: Observation, action: np.ndarray, labels: Mapping[str, np.ndarray] | None = None) -> None:
        self._happening(self.num_steps)
        self.num_steps += 1

    def commit(self, *, success: bool) -> str:
        return "kept"

    def close(self) -> None:
        self.is_closed = True


def _wait(event: threading.Event) -> None:
    event.wait(30)


def failing(error: OSError) -> Callable[[int], None]:
    def fail(step: int) -> None:
        if step == 4:
            raise error

    return fail


def test_f84_a_disk_full_under_the_log_leaves_control_alone_and_is_told_at_the_end(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", lambda: fill_the_disk_under(tmp_path / "run" / "log.jsonl.partial"))
    with pytest.raises(VlaError, match=r"files of the run .* cannot be written: .*No space left on device"):
        lab.run()
    lab.require_undisturbed()
    assert lab.calls == ["closed"]
    assert not (lab.out / "run.json").exists()
    assert (lab.out / "log.jsonl.partial").exists()


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")], ids=["f84", "f85"]
)
def test_f84_f85_a_disk_that_takes_no_more_fails_the_episode_and_not_the_run(tmp_path: Path, error: OSError) -> None:
    disk = Disk(failing(error))
    keeper = Keeper(lambda instruction: EpisodeRecorder(disk), KeepConfig(store="store", success=True), "go")
    lab = Lab(tmp_path / "run", keeper=keeper)
    assert lab.run() == 0
    lab.require_undisturbed()
    assert lab.summary["kept"]["episode"] is None
    assert str(error.strerror) in lab.summary["kept"]["error"]
    assert disk.is_closed


def test_f84_no_episode_is_begun_where_there_is_hardly_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 2_000_000}))
    robot = loopback_robot(VirtualClock(), TABLETOP_PANDA)
    episodes = Episodes(KeepConfig(store=str(tmp_path / "a" / "store")), robot, seed=0, source="teleoperation")
    with pytest.raises(ConfigError, match="has 2 MB left, an episode wants 256: make room"):
        episodes("go")
    assert not (tmp_path / "a").exists()


def test_f84_episodes_before_it_stay_whole(tmp_path: Path) -> None:
    robot = loopback_robot(VirtualClock(), TABLETOP_PANDA)
    config = KeepConfig(store=str(tmp_path / "store"), success=True)
    episodes = Episodes(config, robot, seed=0, source="teleoperation")
    first = Lab(tmp_path / "first", keeper=Keeper(episodes, config, "go"))
    first.run()
    image = tmp_path / "store"

    def fill() -> None:
        for link in Path("/proc/self/fd").iterdir():
            if _target(link).startswith(str(image)) and _target(link).endswith(SHARD_NAME):
                fill_the_disk_under(Path(_target(link)))

    second = Lab(tmp_path / "second", fill, Keeper(episodes, config, "go"))
    second.run()
    second.require_undisturbed()
    store = EpisodeStore.open(tmp_path / "store")
    assert list(store.keys()) == [first.summary["kept"]["episode"]]
    assert store.read(*store.keys()).num_steps == first.summary["kept"]["num_steps"]


def test_f90_a_slow_disk_costs_steps_that_are_counted_and_no_control(tmp_path: Path) -> None:
    is_free = threading.Event()
    disk = Disk(lambda step: _wait(is_free))
    keeper = Keeper(
        lambda instruction: EpisodeRecorder(disk, max_waiting=5), KeepConfig(store="store", success=True), "go"
    )
    finish = keeper.finish

    def freed(known: bool | None) -> dict[str, Any] | None:
        is_free.set()
        return finish(known)

    keeper.finish = freed  # type: ignore[method-assign]
    lab = Lab(tmp_path / "run", keeper=keeper)
    assert lab.run() == 0
    lab.require_undisturbed()
    kept = lab.summary["kept"]
    assert kept["most_waiting"] == 5
    assert kept["num_steps"] + kept["dropped"] == STEPS
    assert kept["dropped"] >= STEPS - 7


def test_f90_a_queue_that_is_full_drops_and_counts_and_never_waits() -> None:
    is_free, done = threading.Event(), list[int]()
    writer = BackgroundWriter("slow", 3)
    writer.do(lambda: _wait(is_free))
    for number in range(10):
        writer.do(lambda number=number: done.append(number))  # type: ignore[misc]
    assert writer.dropped >= 6
    is_free.set()
    writer.finish()
    assert len(done) + writer.dropped == 10
    assert done == sorted(done)


def test_f91_a_video_encoder_that_dies_is_told_and_leaves_no_empty_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[int] = []

    def die(*_: object) -> None:
        frames.append(1)
        if len(frames) > 3:
            raise RuntimeError("the encoder died")

    monkeypatch.setattr("vla_robot_io.recording.side_by_side", die)
    monkeypatch.setattr("vla_robot_io.recording._Film.add", lambda self, frame: None)
    lab = Lab(tmp_path / "run", film=True)
    assert lab.run() == 0
    lab.require_undisturbed()
    assert lab.summary["files"]["film_error"] == "RuntimeError: the encoder died"
    assert not (lab.out / "video.mp4").exists()
    assert (lab.out / "log.jsonl").exists()
    assert len(frames) <= MOST_FRAMES_WAITING


def test_f75_a_second_interruption_gives_up_on_files_that_hang_after_the_arm_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_run, "FILES_MAY_TAKE_S", 0.0)
    lab = Lab(tmp_path / "run", lambda: signal.raise_signal(signal.SIGINT))

    def hang(self: RunRecorder, summary: Mapping[str, Any]) -> None:
        lab.calls.append("hanging")
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(RunRecorder, "finish", hang)
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    assert lab.calls == ["closed", "hanging"]


def test_f75_a_hurried_second_interruption_still_leaves_whole_files(tmp_path: Path) -> None:
    def twice() -> None:
        lab.keeper = None
        signal.raise_signal(signal.SIGINT)

    lab = Lab(tmp_path / "run", twice)
    recorder_finish = RunRecorder.finish

    def hurried(self: RunRecorder, summary: Mapping[str, Any]) -> None:
        signal.raise_signal(signal.SIGINT)
        recorder_finish(self, summary)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunRecorder, "finish", hurried)
        assert lab.run() == 130
    assert lab.summary["ended"] == "interrupted"

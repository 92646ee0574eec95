"""However a run ends, the arm is held before a file is closed, and the files are whole."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vla.clock import VirtualClock
from vla.errors import ArmError
from vla.interfaces import ActionChunk, Observation, Robot
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.fake_arm import ArmFaults, Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import LiveRun, Task
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.recording import RunRecorder
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)


@dataclasses.dataclass
class Forward:
    """Moves ahead, and has something happen to it in its fifth prediction of the run."""

    happening: Callable[[], None] = lambda: None
    value: float = 0.01
    embodiment = TABLETOP_PANDA
    horizon = 2
    calls = 0

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self.calls = 0

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        self.calls += 1
        action = [self.value if self.calls == 5 else 0.01, 0.0, 0.0, 0.0, 1.0]
        if self.calls == 5:
            self.happening()
        return [ActionChunk(np.array([action] * 2, np.float32), o.time_s, 1.0) for o in observations]


@dataclasses.dataclass
class Lab:
    """A run on a loopback robot, with the order in which the arm was held and closed."""

    out: Path
    policy: Forward
    faults: ArmFaults | None = None
    calls: list[str] = dataclasses.field(default_factory=list)
    clock: VirtualClock = dataclasses.field(default_factory=VirtualClock)

    def robot(self, clock: VirtualClock) -> Robot:
        robot = loopback_robot(clock, TABLETOP_PANDA, arm_faults=self.faults)
        for name in ("hold", "close", "arm"):
            self._listen(robot.arm, name)
        return robot

    def _listen(self, arm: Any, name: str) -> None:
        method = getattr(arm, name)

        def heard() -> None:
            self.calls.append(f"{name} while {arm.mode.value}" + ("" if self.is_open else ", files closed"))
            method()

        setattr(arm, name, heard)

    @property
    def is_open(self) -> bool:
        return not (self.out / "log.jsonl").exists()

    def run(self) -> int:
        clock = self.clock
        environment = ArmEnvironment(self.robot(clock), clock, BOX, duration_s=2.0)
        recorder = RunRecorder(self.out, {"warning": "not safety-rated"}, 10.0)
        run = LiveRun(
            environment,
            self.policy,
            recorder,
            Task("go", 0, 2.0),
            ExecutionConfig(ExecutionMode.SYNCHRONOUS),
            Console(quiet=True),
        )
        return run.run({})

    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))

    def last_line(self) -> dict[str, Any]:
        return json.loads((self.out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interruption_holds_the_arm_and_closes_the_files_whole(number: signal.Signals, tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(lambda: signal.raise_signal(number)))
    assert lab.run() == 130
    assert lab.calls[-2:] == ["hold while running", "close while hold"]
    assert lab.summary()["ended"] == "interrupted"
    assert lab.summary()["final_mode"] == "hold"
    assert lab.last_line()["kind"] == "end"
    assert sorted(path.name for path in lab.out.iterdir()) == ["log.jsonl", "run.json", "video.mp4"]


def test_signals_are_minded_by_whoever_minded_them_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    Lab(tmp_path / "run", Forward()).run()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_an_interruption_while_closing_does_not_stop_the_closing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(lambda: signal.raise_signal(signal.SIGINT)))
    listen = lab._listen

    def impatient(arm: Any, name: str) -> None:
        listen(arm, name)
        heard = getattr(arm, name)
        setattr(arm, name, lambda: (signal.raise_signal(signal.SIGINT) if lab.policy.calls == 5 else None, heard())[1])

    lab._listen = impatient  # type: ignore[method-assign]
    assert lab.run() == 130
    assert lab.summary()["ended"] == "interrupted"


def test_a_policy_that_raises_ends_in_hold(tmp_path: Path) -> None:
    def out_of_memory() -> None:
        raise MemoryError("no more")

    lab = Lab(tmp_path / "run", Forward(out_of_memory))
    assert lab.run() == 3
    assert lab.summary()["error"] == "MemoryError: no more"
    assert lab.calls[-2:] == ["hold while running", "close while hold"]


def test_a_chunk_that_is_not_finite_ends_in_hold_before_it_moves_anything(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(value=float("nan")))
    assert lab.run() == 3
    assert lab.summary()["error"].startswith("ActionError: the action chunk is not finite")
    assert lab.summary()["steps"] == 8
    assert lab.calls[-2:] == ["hold while running", "close while hold"]


def test_one_slow_answer_holds_and_the_next_one_moves_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(lambda: lab.clock.advance(1.0)))
    assert lab.run() == 0
    assert lab.summary()["modes"] == {"running": 9, "hold": 1}
    assert lab.summary()["reasons"]["late_command"] == 1


def test_a_policy_that_is_always_late_moves_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward())

    class Slow(Forward):
        def predict(
            self,
            observations: Sequence[Observation],
            slots: Sequence[int] | None = None,
            committed: Sequence[np.ndarray | None] | None = None,
        ) -> list[ActionChunk]:
            lab.clock.advance(1.2)
            return super().predict(observations, slots, committed)

    lab.policy = Slow()
    assert lab.run() == 0
    assert set(lab.summary()["modes"]) <= {"armed", "hold"}
    assert lab.summary()["ended"] == "time"


def test_a_fault_of_the_wire_ends_latched_and_is_told(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(), ArmFaults(write_error=Window(0.45)))
    assert lab.run() == 3
    told = lab.summary()
    assert told["final_mode"] == "fault"
    assert "would not take command" in told["fault"]
    assert told["reasons"]["write_error"] == 1


def test_an_arm_that_cannot_be_enabled_still_leaves_a_summary(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", Forward(), ArmFaults(nan=Window(0.0)))
    assert lab.run() == 3
    assert "not finite" in lab.summary()["error"]


def test_the_policy_warms_up_before_the_arm_has_torque(tmp_path: Path) -> None:
    seen: list[str] = []
    lab = Lab(tmp_path / "run", Forward())

    class First(Forward):
        def predict(
            self,
            observations: Sequence[Observation],
            slots: Sequence[int] | None = None,
            committed: Sequence[np.ndarray | None] | None = None,
        ) -> list[ActionChunk]:
            seen.append("armed" if "arm while configured" in lab.calls else "no torque")
            return super().predict(observations, slots, committed)

    lab.policy = First()
    assert lab.run() == 0
    assert seen[:4] == ["no torque"] * 3 + ["armed"]


def test_a_policy_that_fails_to_warm_up_never_arms(tmp_path: Path) -> None:
    class Broken(Forward):
        def predict(
            self,
            observations: Sequence[Observation],
            slots: Sequence[int] | None = None,
            committed: Sequence[np.ndarray | None] | None = None,
        ) -> list[ActionChunk]:
            raise ArmError("no weights")

    lab = Lab(tmp_path / "run", Broken())
    with pytest.raises(ArmError, match="no weights"):
        lab.run()
    assert "arm while configured" not in lab.calls
    assert lab.summary()["ended"] == "crashed"


def test_a_run_that_was_killed_leaves_partial_files_only(tmp_path: Path) -> None:
    recorder = RunRecorder(tmp_path / "run", {}, 10.0)
    recorder.log("step", index=0)
    recorder.film({"scene": np.zeros((64, 80, 3), np.uint8)})
    recorder.flush()
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    lines = (tmp_path / "run" / "log.jsonl.partial").read_text().splitlines()
    recorder.finish({})
    assert names == ["log.jsonl.partial", "video.mp4.partial"]
    assert len(lines) == 2


def test_numbers_that_are_not_finite_are_words_in_the_log(tmp_path: Path) -> None:
    recorder = RunRecorder(tmp_path / "run", {}, None)
    recorder.log("step", asked=np.array([np.nan, 1.0], np.float32), limit=float("inf"))
    recorder.finish({})
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[1])
    assert (line["asked"], line["limit"]) == (["nan", 1.0], "inf")

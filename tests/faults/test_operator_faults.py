"""The operator always wins, a dead-man switch let go holds the arm in one tick, and a fault is left by its name."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from vla.clock import VirtualClock
from vla.interfaces import ActionChunk, ArmMode, Observation
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.fake_arm import ArmFaults, Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import LiveRun, Task
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.operating.asking import Request, Verb
from vla_robot_io.operating.operated import STOP_PRESSED, Attendance
from vla_robot_io.operating.seat import Actor
from vla_robot_io.recording import RunRecorder
from vla_robot_io.stop_flag import StopFlag
from vla_sim.embodiments import TABLETOP_PANDA

BOX = EnvelopeConfig([0.2, -0.4, 0.01], [0.8, 0.4, 0.6], floor_m=0.01, speed_factor=1.0)
AHEAD, BACK = 0.01, -0.01
TICK_S = 0.01
BRAKING_S = 0.12
"""From full speed to standing still, within what the joints can do."""


@dataclasses.dataclass
class Forward:
    """A policy that moves ahead."""

    value: float = AHEAD
    embodiment = TABLETOP_PANDA
    horizon = 2
    resets = 0

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self.resets += 1

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        action = [self.value, 0.0, 0.0, 0.0, 1.0]
        return [ActionChunk(np.array([action] * 2, np.float32), o.time_s, 1.0) for o in observations]


@dataclasses.dataclass
class Script:
    """What an operator asks at which of the run's looks; then, if they come to it, the end."""

    asked: Mapping[int, Sequence[Request | Callable[[], None]]]
    looks: int = 0
    most: int = 200

    def take(self) -> list[Request]:
        self.looks += 1
        if self.looks > self.most:
            return [Request(Verb.END)]
        asked = self.asked.get(self.looks, ())
        for act in asked:
            if not isinstance(act, Request):
                act()
        return [request for request in asked if isinstance(request, Request)]

    def close(self) -> None:
        """Nothing is held."""


@dataclasses.dataclass
class Hand:
    """A human who pulls back, and holds the dead-man switch while they are told to."""

    held: Callable[[], bool] = lambda: True
    name = "hand"
    is_over = False

    @property
    def is_held(self) -> bool:
        return self.held()

    def connect(self) -> None:
        """It is there."""

    def read(self, observation: Observation) -> np.ndarray:
        return np.array([BACK, 0.0, 0.0, 0.0, 1.0], np.float32)

    def close(self) -> None:
        """Nothing is held."""


class Lab:
    """A run on a loopback robot with an operator beside it."""

    def __init__(self, out: Path, asked: Mapping[int, Sequence[Any]], **how: Any) -> None:
        self.out, self.clock = out, VirtualClock()
        self.script = Script(asked)
        self.policy = Forward()
        self.stop = StopFlag(out.parent / "stop.flag")
        self.hand = Hand()
        self.robot = loopback_robot(self.clock, TABLETOP_PANDA, arm_faults=how.pop("faults", None))
        self.environment = ArmEnvironment(self.robot, self.clock, BOX, duration_s=how.pop("seconds", 2.0))
        self.attendance = Attendance(
            self.script, self.hand, self.stop, how.pop("is_attended", lambda: True), how.pop("is_shadow", False)
        )
        self.commands = list[tuple[float, float]]()
        self._listen()

    def _listen(self) -> None:
        write = self.robot.arm.write

        def heard(command: Any) -> Any:
            self.commands.append((self.clock.now(), float(self.robot.kinematics.forward(command.positions)[0])))
            return write(command)

        self.robot.arm.write = heard  # type: ignore[method-assign]

    def run(self) -> int:
        recorder = RunRecorder(self.out, {}, None)
        run = LiveRun(
            self.environment,
            self.policy,
            recorder,
            Task("go", 0, 2.0),
            ExecutionConfig(ExecutionMode.SYNCHRONOUS),
            Console(quiet=True),
            attendance=self.attendance,
        )
        status = run.run({})
        self.stop.close()
        return status

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))

    def lines(self, kind: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (self.out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line["kind"] == kind]

    @property
    def actors(self) -> list[str]:
        return [line.get("actor", "policy") for line in self.lines("step")]


def asks(verb: Verb, text: str = "", value: float | None = None) -> list[Request]:
    return [Request(verb, text, value)]


def test_f79_a_dead_man_switch_let_go_holds_the_arm_within_one_tick(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {3: asks(Verb.TAKE_OVER)})
    let_go_s = 0.734
    lab.hand.held = lambda: lab.clock.now() < let_go_s
    lab.run()
    ways = np.array([[after[0], before[1] - after[1]] for before, after in itertools.pairwise(lab.commands)])
    after = ways[ways[:, 0] >= let_go_s]
    # Jerk is limited: what was speeding up does so for a tick, then it only becomes slower, and soon stands.
    assert (np.diff(after[1:, 1]) <= 1e-5).all()
    assert after[:, 0].max(initial=0.0) <= let_go_s + BRAKING_S
    assert lab.lines("step")[-1]["mode"] == "hold"
    assert lab.summary["reasons"]["operator"] > 0


def test_f79_the_arm_moves_again_when_the_switch_is_held_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {3: asks(Verb.TAKE_OVER)})
    lab.hand.held = lambda: not 0.6 <= lab.clock.now() < 1.0
    lab.run()
    times = np.array([time_s for time_s, _ in lab.commands])
    assert not ((times >= 0.6 + BRAKING_S) & (times < 1.0)).any()
    assert (times > 1.0).sum() > 10


@pytest.mark.parametrize("is_held", [True, False])
def test_f83_the_policy_moves_nothing_while_the_human_has_the_arm(tmp_path: Path, is_held: bool) -> None:
    lab = Lab(tmp_path / "run", {4: asks(Verb.TAKE_OVER), 14: asks(Verb.END)}, seconds=20.0)
    lab.hand.held = lambda: is_held
    lab.run()
    xs = [x for time_s, x in lab.commands if time_s > 0.3 + BRAKING_S]
    assert bool(xs) == is_held
    assert not xs or (max(xs) <= xs[0] + 1e-3 and xs[-1] < xs[0] - 0.03)


def test_f83_hand_back_begins_the_policy_anew_and_nothing_of_its_old_chunk_is_done(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {4: asks(Verb.TAKE_OVER), 8: asks(Verb.HAND_BACK)})
    lab.run()
    steps = lab.lines("step")
    # Looks 1 to 3 are the policy's, 4 gives the arm away, 5 to 7 are the human's, 8 gives it back.
    assert lab.actors[:9] == ["policy"] * 3 + ["human"] * 3 + ["policy"] * 3
    assert lab.policy.resets == 3
    assert steps[6]["chunk"] > steps[2]["chunk"]
    assert lab.summary["interventions"]["count"] == 1
    assert lab.summary["interventions"]["human_steps"] == 3
    assert lab.summary["interventions"]["rate"] == pytest.approx(3 / len(steps))


def test_holding_keeps_the_arm_where_it_is_and_is_not_counted_as_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {6: asks(Verb.HOLD), 46: asks(Verb.RESUME)})
    lab.run()
    modes = [line["mode"] for line in lab.lines("step")]
    assert modes.count("hold") == 46 - 6 - 1
    assert modes.count("running") == 20
    assert lab.summary["ended"] == "time"


def test_f81_a_stop_button_pressed_and_released_leaves_a_fault_to_acknowledge(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {})
    seen: list[tuple[int, ArmMode]] = []

    def look() -> None:
        seen.append((lab.script.looks, lab.environment.mode))

    lab.script.asked = {
        5: [lab.stop.press],
        8: [look, lab.stop.release],
        12: [look, Request(Verb.RESUME)],
        14: [look, Request(Verb.ACKNOWLEDGE, "something else")],
        16: [look, Request(Verb.ACKNOWLEDGE, STOP_PRESSED)],
        18: [look, Request(Verb.RESUME)],
        20: [look],
    }
    before = lab.policy.resets
    lab.run()
    assert [mode.value for _, mode in seen] == ["fault", "fault", "fault", "fault", "configured", "running"]
    assert lab.policy.resets > before + 1
    refused = [line["text"] for line in lab.lines("event") if line["what"] == "refused"]
    assert "a fault is latched, acknowledge it first" in refused[0]
    assert "cannot acknowledge 'something else'" in refused[1]
    assert lab.summary["ended"] == "time"


def test_f81_the_button_must_be_up_before_its_fault_is_acknowledged(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {})
    lab.script.asked = {5: [lab.stop.press], 8: asks(Verb.ACKNOWLEDGE, STOP_PRESSED), 10: asks(Verb.END)}
    lab.run()
    assert [line["text"] for line in lab.lines("event") if line["what"] == "refused"] == [
        "the stop button is pressed: release it first"
    ]
    assert lab.summary["final_mode"] == "fault"


def test_f81_the_arm_brakes_from_the_tick_after_the_button_was_pressed(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {40: asks(Verb.END)})
    write, pressed = lab.robot.arm.write, list[float]()

    def pressing(command: Any) -> Any:
        if lab.clock.now() >= 0.55 and not pressed:
            lab.stop.press()
            pressed.append(lab.clock.now())
        return write(command)

    lab.robot.arm.write = pressing  # type: ignore[method-assign]
    lab.run()
    assert max(time_s for time_s, _ in lab.commands) <= pressed[0] + BRAKING_S


def test_a_stop_that_nobody_attends_ends_the_run_in_a_fault(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {}, is_attended=lambda: False)
    lab.script.asked = {5: [lab.stop.press]}
    assert lab.run() == 3
    assert lab.summary["final_mode"] == "fault"
    assert STOP_PRESSED in lab.summary["error"]


def test_a_fault_of_the_arm_waits_for_the_operator_who_attends(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {}, faults=ArmFaults(write_error=Window(0.45, 0.5)))
    named: list[str] = []

    def acknowledge() -> None:
        named.append(lab.environment.latched or "")
        lab.script.asked = {13: asks(Verb.ACKNOWLEDGE, named[0]), 14: asks(Verb.RESUME)}

    lab.script.asked = {12: [acknowledge]}
    assert lab.run() == 0
    assert "would not take command" in named[0]
    assert lab.actors.count("policy") > 15
    assert lab.lines("step")[-1]["mode"] == "running"


def test_faults_that_keep_coming_are_not_acknowledged_for_ever(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {}, seconds=20.0)
    cycle: dict[int, list[Any]] = {}
    for begin in range(10, 60, 10):
        cycle[begin] = [lab.stop.press]
        cycle[begin + 2] = [lab.stop.release]
        cycle[begin + 4] = asks(Verb.ACKNOWLEDGE, STOP_PRESSED)
        cycle[begin + 6] = asks(Verb.RESUME)
    lab.script.asked = cycle | {70: asks(Verb.END)}
    lab.run()
    refused = [line["text"] for line in lab.lines("event") if line["what"] == "refused"]
    assert "3 faults were cleared within 10 minutes: look at the arm" in refused
    assert lab.summary["final_mode"] == "fault"


def test_the_speed_is_changed_under_way_and_never_above_what_the_run_began_with(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {6: asks(Verb.SPEED, value=0.5), 9: asks(Verb.SPEED, value=7.0)})
    lab.run()
    began = np.diff([line["began_s"] for line in lab.lines("step")])
    assert began[:5] == pytest.approx(0.1)
    assert began[5:8] == pytest.approx(0.2)
    assert began[8:] == pytest.approx(0.1)


def test_an_instruction_under_way_is_what_the_policy_is_told_next(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {5: asks(Verb.INSTRUCTION, "come back")})
    told: list[str] = []
    predict = lab.policy.predict

    def listening(observations: Sequence[Observation], *more: Any) -> list[ActionChunk]:
        told.append(observations[0].instruction)
        return predict(observations, *more)

    lab.policy.predict = listening  # type: ignore[method-assign]
    lab.run()
    # Three to warm up, two for the first four steps, and one for a step that was not done any more.
    assert told.index("come back") == 3 + 2 + 1
    assert set(told[told.index("come back") :]) == {"come back"}


def test_in_shadow_mode_the_human_drives_and_the_disagreement_is_told(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "run", {}, is_shadow=True)
    lab.run()
    xs = [x for _, x in lab.commands]
    assert xs[-1] < xs[0]
    shadow = lab.summary["shadow"]
    assert shadow["steps"] == len(lab.lines("step")) == 20
    assert shadow["fields"]["dx"]["mean"] == pytest.approx(AHEAD - BACK, abs=0.006)
    assert shadow["fields"]["dy"]["mean"] == pytest.approx(0.0, abs=1e-4)
    assert lab.lines("step")[3]["policy_action"][0] == pytest.approx(AHEAD)
    assert set(lab.actors) == {Actor.HUMAN.value}

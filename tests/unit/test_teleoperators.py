"""Recorded bytes of devices become actions; what is let go, unplugged or nonsense moves nothing."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import pty
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.clock import VirtualClock
from vla.errors import ConfigError, WireError
from vla.interfaces import ArmState, Observation
from vla.kinematics import REST_POSTURE, ArmKinematics
from vla_robot_io.fake_arm import ArmFaults, FakeArm, Window
from vla_robot_io.operating.asking import Verb
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.teleoperation.browser import BrowserTeleoperator, Pads, pads_message, pads_of
from vla_robot_io.teleoperation.device_file import DeviceFile
from vla_robot_io.teleoperation.gamepad import GamepadTeleoperator, PadLayout, PadState
from vla_robot_io.teleoperation.hand_drive import HandDrive, Push, without_rest
from vla_robot_io.teleoperation.keyboard import HELD_FOR_S, KeyboardTeleoperator
from vla_robot_io.teleoperation.leader_arm import LeaderArmTeleoperator
from vla_robot_io.teleoperation.replayed import ReplayedTeleoperator
from vla_robot_io.teleoperation.spacemouse import SpaceMouseState, SpaceMouseTeleoperator, found
from vla_robot_io.teleoperation.teleoperator import Teleoperator
from vla_sim.embodiments import MAX_STEP_M, MAX_TURN_RAD, TABLETOP_PANDA

STATE = [field.name for field in TABLETOP_PANDA.proprioception]


def seen(**values: float) -> Observation:
    state = np.array([values.get(name, 0.0) for name in STATE], np.float32)
    images = {camera.name: np.zeros((camera.height, camera.width, 3), np.uint8) for camera in TABLETOP_PANDA.cameras}
    return Observation(images, state, "go", 0.0, frozenset())


def drive() -> HandDrive:
    return HandDrive(TABLETOP_PANDA)


# --------------------------------------------------------------------------- a push


@given(st.builds(Push, *[st.floats()] * 4, gripper=st.none() | st.floats()))
def test_whatever_is_pushed_the_action_is_within_the_embodiments_limits(push: Push) -> None:
    action = drive().action(push, seen(gripper=0.04))
    assert action.dtype == np.float32
    assert (action >= TABLETOP_PANDA.action_low).all()
    assert (action <= TABLETOP_PANDA.action_high).all()


def test_a_full_push_is_the_largest_step_and_no_push_is_none() -> None:
    assert drive().action(Push(1.0, -1.0, 1.0, -1.0), seen(gripper=0.04)) == pytest.approx(
        [MAX_STEP_M, -MAX_STEP_M, MAX_STEP_M, -MAX_TURN_RAD, 0.5], abs=1e-6
    )
    assert HandDrive(TABLETOP_PANDA, 0.5).action(Push(x=1.0), seen()) == pytest.approx([MAX_STEP_M / 2, 0, 0, 0, 0])


def test_the_gripper_stays_as_it_was_until_another_opening_is_wanted() -> None:
    hand = drive()
    assert hand.action(Push(), seen(gripper=0.08))[4] == 1.0
    assert hand.action(Push(gripper=0.0), seen(gripper=0.08))[4] == 0.0
    assert hand.action(Push(x=1.0), seen(gripper=0.08))[4] == 0.0


def test_a_hand_leads_no_robot_of_other_actions() -> None:
    with pytest.raises(ConfigError, match="a hand is led by dx, dy, dz, dyaw, gripper; "):
        HandDrive(dataclasses.replace(TABLETOP_PANDA, action=TABLETOP_PANDA.action[:4]))
    with pytest.raises(ConfigError, match="above 0 and at most 1, got 2"):
        HandDrive(TABLETOP_PANDA, 2.0)


@given(st.floats(-1, 1))
def test_a_stick_rests_in_its_middle_and_reaches_its_ends(value: float) -> None:
    assert without_rest(value) * value >= 0
    assert abs(without_rest(value)) <= 1
    assert (without_rest(value) == 0) == (abs(value) <= 0.1)
    assert abs(without_rest(math.copysign(1, value))) == 1


# --------------------------------------------------------------------------- gamepad


def event(kind: int, number: int, value: int) -> bytes:
    return struct.pack("<IhBB", 12345, value, kind, number)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A pipe in place of a device: its path, and what to write into."""
    path = tmp_path / "device"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)
    yield path, keep
    os.close(keep)


def test_a_gamepad_leads_the_hand_while_its_shoulder_is_held(device: tuple[Path, int]) -> None:
    path, wire = device
    pad = GamepadTeleoperator(drive(), path)
    pad.connect()
    os.write(wire, event(2, 1, -32767) + event(0x82, 0, 32767))
    assert not pad.is_held
    assert pad.read(seen()) is None
    os.write(wire, event(1, 4, 1) + event(1, 0, 1))
    assert pad.is_held
    assert pad.read(seen(gripper=0.08)) == pytest.approx([MAX_STEP_M, -MAX_STEP_M, 0, 0, 0])
    os.write(wire, event(1, 4, 0))
    assert not pad.is_held
    pad.close()


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_confuse_a_gamepad_however_they_are_cut(raw: bytes, cut: int) -> None:
    whole, pieces = PadState(), PadState()
    whole.feed(raw)
    pieces.feed(raw[:cut])
    pieces.feed(raw[cut:])
    assert (whole.axes, whole.buttons) == (pieces.axes, pieces.buttons)
    push = whole.push(PadLayout())
    assert all(-1 <= value <= 1 for value in (push.x, push.y, push.z, push.yaw))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/dev/input/none cannot be opened \(No such file"):
        GamepadTeleoperator(drive(), Path("/dev/input/none")).connect()


def test_a_device_that_is_unplugged_lets_go(monkeypatch: pytest.MonkeyPatch, device: tuple[Path, int]) -> None:
    path, wire = device
    pad = GamepadTeleoperator(drive(), path)
    pad.connect()
    os.write(wire, event(1, 4, 1))
    assert pad.is_held

    def unplugged(*_: object) -> bytes:
        raise OSError(19, "No such device")

    monkeypatch.setattr(os, "read", unplugged)
    assert not pad.is_held
    assert pad.is_over
    pad.close()


# --------------------------------------------------------------------------- SpaceMouse


def report(kind: int, *values: int) -> bytes:
    return bytes([kind]) + struct.pack(f"<{len(values)}h", *values)


def test_a_spacemouse_of_either_kind_leads_the_hand() -> None:
    late, early = SpaceMouseState(), SpaceMouseState()
    late.feed(report(1, 0, -350, -350, 0, 0, -350))
    early.feed(report(1, 0, -350, -350))
    early.feed(report(2, 0, 0, -350))
    assert late.push() == early.push() == Push(1.0, 0.0, 1.0, 1.0, None)


def test_the_second_button_closes_and_opens_in_turn() -> None:
    mouse = SpaceMouseState()
    openings = []
    for buttons in (2, 2, 0, 2, 0, 3):
        mouse.feed(bytes([3, buttons]))
        openings.append(mouse.opening)
    assert openings == [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    assert mouse.is_held


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_no_report_confuses_a_spacemouse(reports: list[bytes]) -> None:
    mouse = SpaceMouseState()
    for one in reports:
        mouse.feed(one)
    push = mouse.push()
    assert all(-1 <= value <= 1 for value in (push.x, push.y, push.z, push.yaw))


def test_a_spacemouse_moves_the_arm_while_its_button_is_held(device: tuple[Path, int]) -> None:
    path, wire = device
    mouse = SpaceMouseTeleoperator(drive(), path)
    mouse.connect()
    os.write(wire, bytes([3, 1]))
    assert mouse.is_held
    os.write(wire, report(1, -350, 0, 0))
    assert mouse.read(seen()) == pytest.approx([0, MAX_STEP_M, 0, 0, 0])
    os.write(wire, bytes([3, 0]))
    assert mouse.read(seen()) is None
    mouse.close()


def test_a_spacemouse_is_found_by_its_makers_number(tmp_path: Path) -> None:
    for name, about in (("hidraw0", "HID_ID=0003:0000046D:0000C52B"), ("hidraw1", "HID_ID=0003:0000256F:0000C635")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "device" / "uevent").write_text(about + "\n")
    assert found(tmp_path) == Path("/dev/hidraw1")
    with pytest.raises(ConfigError, match="no SpaceMouse is plugged in"):
        found(tmp_path / "none")


# --------------------------------------------------------------------------- keyboard


@dataclasses.dataclass
class Terminal:
    """A terminal with a clock that is moved by hand."""

    keys: int
    keyboard: KeyboardTeleoperator
    now_s: float = 10.0


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    master, slave = pty.openpty()
    made = Terminal(master, KeyboardTeleoperator(drive(), slave, now=lambda: made.now_s))
    made.keyboard.connect()
    yield made
    made.keyboard.close()
    os.close(slave)
    os.close(master)


def test_a_key_leads_the_hand_for_a_moment(terminal: Terminal) -> None:
    assert terminal.keyboard.read(seen()) is None
    os.write(terminal.keys, b"w")
    assert terminal.keyboard.read(seen()) == pytest.approx([MAX_STEP_M, 0, 0, 0, 0])
    terminal.now_s += HELD_FOR_S * 1.1
    assert not terminal.keyboard.is_held


def test_keys_ask_and_arrows_do_not_end_the_run(terminal: Terminal) -> None:
    os.write(terminal.keys, b"t k")
    assert [request.verb for request in terminal.keyboard.take()] == [Verb.TAKE_OVER, Verb.HOLD, Verb.KEEP]
    os.write(terminal.keys, b"\x1b[A")
    assert list(terminal.keyboard.take()) == []
    assert not terminal.keyboard.is_held
    os.write(terminal.keys, b"\x1b")
    assert [request.verb for request in terminal.keyboard.take()] == [Verb.END]


def test_the_terminal_is_left_as_it_was_found() -> None:
    import termios

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    keyboard = KeyboardTeleoperator(drive(), slave)
    keyboard.connect()
    assert termios.tcgetattr(slave) != before
    keyboard.close()
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def test_a_keyboard_needs_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file, pytest.raises(ConfigError, match="needs a terminal"):
        KeyboardTeleoperator(drive(), file.fileno()).connect()


# --------------------------------------------------------------------------- browser


def test_pads_hold_for_a_fifth_of_a_second(tmp_path: Path) -> None:
    now = [5.0]
    box = Mailbox(tmp_path / "pads", 1000)
    pads = BrowserTeleoperator(box, drive(), now=lambda: now[0])
    assert not pads.is_held
    Mailbox(tmp_path / "pads").write(pads_message(Pads(Push(x=1.0), True, 5.0)))
    assert pads.read(seen()) == pytest.approx([MAX_STEP_M, 0, 0, 0, 0])
    now[0] = 5.21
    assert not pads.is_held
    assert pads.is_looked_at
    now[0] = 8.0
    assert not pads.is_looked_at


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from(["x", "y", "z", "yaw", "gripper", "held", "said_s"]), inner),
    )
)
def test_what_is_no_pad_is_a_wire_error(tree: object) -> None:
    try:
        pads = pads_of(tree)
    except WireError:
        return
    assert all(math.isfinite(value) for value in (pads.push.x, pads.push.y, pads.push.z, pads.push.yaw))


# --------------------------------------------------------------------------- leader arm, replay


def leader(clock: VirtualClock, faults: ArmFaults | None = None) -> tuple[LeaderArmTeleoperator, np.ndarray]:
    kinematics = ArmKinematics("panda")
    arm = FakeArm(clock, start=np.array(REST_POSTURE), faults=faults)
    made = LeaderArmTeleoperator(arm, kinematics, TABLETOP_PANDA, now=clock.now)
    made.connect()
    return made, kinematics.forward(np.array(REST_POSTURE))


def test_the_follower_comes_to_the_leaders_pose_a_step_at_a_time() -> None:
    hand, pose = leader(VirtualClock())
    near = seen(x=pose[0] - 0.01, y=pose[1], z=pose[2], yaw=pose[3])
    far = seen(x=pose[0] - 0.30, y=pose[1] + 0.30, z=pose[2], yaw=pose[3])
    assert hand.read(near) == pytest.approx([0.01, 0, 0, 0, 1.0], abs=1e-4)
    assert hand.read(far) == pytest.approx([MAX_STEP_M, -MAX_STEP_M, 0, 0, 1.0], abs=1e-4)


def test_a_leader_that_is_read_no_more_lets_go() -> None:
    clock = VirtualClock()
    hand, _ = leader(clock, ArmFaults(stale=Window(1.0)))
    assert hand.is_held
    clock.advance(0.9)
    assert hand.is_held
    clock.advance(0.15)
    assert hand.is_held
    clock.advance(0.1)
    assert not hand.is_held


def test_a_leader_that_cannot_be_read_any_more_is_over_and_why_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    hand, _ = leader(clock)
    clock.advance(1.0)

    def unplugged(self: FakeArm) -> ArmState:
        raise OSError("the port is gone")

    monkeypatch.setattr(FakeArm, "read", unplugged)
    assert not hand.is_held
    assert hand.is_over
    assert "the leader arm fake_panda cannot be read any more: the port is gone" in caplog.text


def test_a_device_that_is_unplugged_is_gone_and_why_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "js0").touch()
    device = DeviceFile(tmp_path / "js0")
    device.open()

    def unplugged(file: int, size: int) -> bytes:
        raise OSError(errno.ENODEV, "No such device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "read", unplugged)
        assert device.read() == b""
    assert device.is_gone
    assert f"{tmp_path}/js0 cannot be read any more: No such device" in caplog.text
    device.close()


def test_a_replayed_episode_is_over_after_its_last_step() -> None:
    actions = np.arange(10, dtype=np.float32).reshape(2, 5)
    replay = ReplayedTeleoperator(actions)
    taken = [replay.read(seen()) for _ in range(2)]
    assert np.array_equal(np.stack([action for action in taken if action is not None]), actions)
    assert replay.is_over
    assert replay.read(seen()) is None


def test_every_device_speaks_the_one_protocol(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "pads", 1000)
    made = [
        KeyboardTeleoperator(drive()),
        GamepadTeleoperator(drive()),
        SpaceMouseTeleoperator(drive()),
        BrowserTeleoperator(box, drive()),
        leader(VirtualClock())[0],
        ReplayedTeleoperator(np.zeros((1, 5), np.float32)),
    ]
    assert all(isinstance(one, Teleoperator) for one in made)

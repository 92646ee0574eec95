"""Rows F47 to F64, F93 and F102 of the fault catalogue that no other file has: what policies and servers get wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve

from vla.clock import VirtualClock
from vla.errors import ActionError, ArmFault, ObservationError, StatisticsError, VlaError, WireError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.testing import SMALL_EMBODIMENT, LoggedArm, check_applied, make_observation
from vla_policies.checkpoint import MANIFEST, Checkpoint, load_checkpoint, save_checkpoint
from vla_policies.remote import RemotePolicy
from vla_policies.serving.messages import Greeting
from vla_policies.serving.parsing import parse_reply
from vla_policies.serving.wire import decode, encode
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.reasons import Code
from vla_sim.embodiments import TABLETOP_PANDA

SEEN = make_observation(SMALL_EMBODIMENT, 0)
HORIZON = 4
BOX = EnvelopeConfig([0.2, -0.4, 0.1], [0.8, 0.4, 0.6], floor_m=0.1, speed_factor=1.0)


def reply(number: int, value: float) -> bytes:
    actions = np.full((HORIZON, SMALL_EMBODIMENT.action_dim), value, np.float32)
    return encode({"actions": actions, "start_s": 0.0, "valid_s": 1.0, "seq": number})


@contextlib.contextmanager
def answering(answers: Callable[[int], list[bytes]]) -> Iterator[str]:
    """A server whose answers to the n-th question are written down."""

    def talk(connection: ServerConnection) -> None:
        connection.send(encode(Greeting("scripted", None, SMALL_EMBODIMENT, HORIZON).to_message()))
        for data in connection:
            number = decode(bytes(data), max_bytes=1 << 20)["seq"]  # type: ignore[arg-type]
            for answer in answers(number):
                connection.send(answer)

    with serve(talk, "127.0.0.1", 0, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join(5)


def test_f50_answers_that_come_twice_late_or_early_are_thrown_away() -> None:
    def answers(number: int) -> list[bytes]:
        old, early, right, again = (number - 1, 9.0), (number + 3, 7.0), (number, 0.01 * number), (number, 5.0)
        return [reply(*one) for one in (old, old, early, right, again) if one[0] >= 0]

    with answering(answers) as url:
        policy = RemotePolicy(url, connect_s=2.0, reply_s=5.0)
        policy.reset([0])
        values = [float(policy.predict([SEEN])[0].actions[0, 0]) for _ in range(4)]
        policy.close()
    assert values == pytest.approx([0.01 * number for number in (1, 2, 3, 4)])


WRONG_REPLIES: dict[str, tuple[dict[str, Any], type[VlaError]]] = {
    "is missing": ({}, ObservationError),
    "got <f4 (0, 5)": ({"actions": np.zeros((0, 5), np.float32)}, ObservationError),
    "got <f4 (4, 6)": ({"actions": np.zeros((4, 6), np.float32)}, ObservationError),
    "got <f8 (4, 5)": ({"actions": np.zeros((4, 5), np.float64)}, ObservationError),
    "is an array": ({"actions": [[0.0] * 5] * 4}, WireError),
    "tells start_s and valid_s": ({"actions": np.zeros((4, 5), np.float32)}, WireError),
    "'valid_s' is a number": ({"actions": np.zeros((4, 5), np.float32), "start_s": 0.0, "valid_s": -1.0}, WireError),
}


@pytest.mark.parametrize("told", WRONG_REPLIES)
def test_f52_an_answer_of_the_wrong_shape_is_refused_by_what_is_wrong(told: str) -> None:
    message, error = WRONG_REPLIES[told]
    if "actions" in message and "start_s" not in message and "tells" not in told:
        message = message | {"start_s": 0.0, "valid_s": 1.0}
    with pytest.raises(error) as caught:
        parse_reply(message, SMALL_EMBODIMENT, HORIZON)
    assert told in str(caught.value)


# --------------------------------------------------------------------------- what a checkpoint says


@pytest.fixture
def manifest(small_checkpoint: Checkpoint, tmp_path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, to be spoilt; `path` is where it is to be loaded from."""
    save_checkpoint(tmp_path, small_checkpoint)
    tree = json.loads((tmp_path / MANIFEST).read_text())
    tree["path"] = str(tmp_path)
    return tree


def loaded(tree: dict[str, Any]) -> Checkpoint:
    folder = Path(tree.pop("path"))
    (folder / MANIFEST).write_text(json.dumps(tree))
    return load_checkpoint(folder)


def test_f55_a_checkpoint_whose_deviations_are_all_zero_is_refused(manifest: dict[str, Any]) -> None:
    manifest["statistics"]["deviation"] = [0.0] * SMALL_EMBODIMENT.state_dim
    with pytest.raises(StatisticsError, match=r"the state in .*: all deviations are 0"):
        loaded(manifest)


@pytest.mark.parametrize("statistics", [None, {}])
def test_f55_a_checkpoint_without_statistics_is_refused(manifest: dict[str, Any], statistics: object) -> None:
    manifest["statistics"] = statistics
    with pytest.raises(StatisticsError, match="absent"):
        loaded(manifest)


def test_f55_statistics_of_other_fields_are_refused_with_both(manifest: dict[str, Any]) -> None:
    manifest["statistics"]["names"][0] = "elbow"
    with pytest.raises(StatisticsError, match=r"should be of \[.*\], got \['elbow', "):
        loaded(manifest)


def test_f55_statistics_of_another_width_are_refused_with_both(manifest: dict[str, Any]) -> None:
    statistics = manifest["statistics"]
    for name in ("names", "mean", "deviation", "low", "high"):
        statistics[name] = statistics[name][:-1]
    statistics["quantiles"] = [row[:-1] for row in statistics["quantiles"]]
    width = SMALL_EMBODIMENT.state_dim
    with pytest.raises(StatisticsError, match=f"should have {width} fields, got {width - 1}"):
        loaded(manifest)


@pytest.mark.parametrize("place", ["head", "action_tokenizer", "backbone"])
def test_f102_a_checkpoint_that_names_a_function_is_refused(manifest: dict[str, Any], place: str) -> None:
    if place == "head":
        manifest["head"] = "os.system"
    else:
        manifest[place] |= {"name": "os.system", "kind": "os.system", "format": "os.system"}
    with pytest.raises(VlaError, match=r"os\.system"):
        loaded(manifest)


def test_f93_a_pickle_is_no_message_and_is_not_opened(tmp_path: Path) -> None:
    canary = tmp_path / "opened"

    class Payload:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (canary,)

    for protocol in (2, 4, 5):
        with pytest.raises(WireError):
            decode(pickle.dumps(Payload(), protocol), max_bytes=1 << 16)
    assert not canary.exists()


# --------------------------------------------------------------------------- what a chunk asks for


class Lab:
    """An arm in its loop, its applied commands looked at."""

    def __init__(self) -> None:
        self.clock = VirtualClock(100.0)
        robot = loopback_robot(self.clock, TABLETOP_PANDA)
        self.arm = LoggedArm(robot.arm, self.clock)
        self.kinematics = robot.kinematics
        self.reports: list[StepReport] = []
        self.environment = ArmEnvironment(dataclasses.replace(robot, arm=self.arm), self.clock, BOX)
        self.environment.on_step = self.reports.append
        self.environment.reset(EpisodeSpec(task="", seed=0, instruction="push the red block"))

    def heights(self) -> list[float]:
        return [float(self.kinematics.forward(e.applied.positions)[2]) for e in self.arm.written if e.applied]


def test_f54_actions_that_swing_between_their_limits_stay_within_every_limit() -> None:
    lab = Lab()
    high = TABLETOP_PANDA.action_high.astype(np.float32)
    low = TABLETOP_PANDA.action_low.astype(np.float32)
    for index in range(12):
        lab.environment.step(high if index % 2 else low)
    assert lab.arm.mode is not ArmMode.FAULT
    check_applied(lab.arm)


def test_f59_a_chunk_into_the_table_stops_above_it(caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab()
    down = np.array([0.0, 0.0, -0.02, 0.0, 1.0], np.float32)
    for _ in range(15):
        lab.environment.step(down)
    assert min(lab.heights()) >= BOX.floor_m - 1e-9
    assert min(lab.heights()) < BOX.floor_m + 0.02
    assert Code.WORKSPACE in {reason.code for report in lab.reports for reason in report.reasons}
    first = [record for record in caplog.records if "end_effector_z asked for" in record.getMessage()]
    assert 1 <= len(first) <= 4
    check_applied(lab.arm)


def test_f51_one_nan_in_an_action_brakes_the_arm_and_the_third_is_a_fault() -> None:
    lab = Lab()
    forward = np.array([0.01, 0.0, 0.0, 0.0, 1.0], np.float32)
    lab.environment.step(forward)
    moved = at_rest = len(lab.arm.written)
    for number in range(3):
        with pytest.raises((ActionError, ArmFault)):
            lab.environment.step(forward * np.array([1, np.nan, 1, 1, 1], np.float32))
        if number == 0:
            at_rest = len(lab.arm.written)
    assert at_rest <= moved + 5, "braking takes 50 ms at most"
    assert len(lab.arm.written) == at_rest
    assert lab.arm.mode is ArmMode.FAULT
    check_applied(lab.arm)

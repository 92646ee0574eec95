"""A gripper whose sign is wrong, an axis that points the other way, a rate that is not the physics': each is caught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests import gym_arm
from vla import commands
from vla.interfaces import Episode, EpisodeSpec
from vla_datasets.store import EpisodeStore
from vla_sim import check, evaluate
from vla_sim.conventions import Conventions, GripperCheck, Verdict, recorded_conventions, try_conventions
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.gym_suite.mapping_file import parse_mapping
from vla_sim.suites import suite

FIRST = 1_000_000
WRONG_GRIPPER = ("scale: -0.5, offset: 0.5", "scale: 0.5, offset: 0.5")
WRONG_AXIS = ('from: "action[1]", source_unit: raw, scale: 0.05', 'from: "action[1]", source_unit: raw, scale: -0.05')
SWAPPED_AXES = [('from: "action[1]"', "@@"), ('from: "action[0]"', 'from: "action[1]"'), ("@@", 'from: "action[0]"')]


@pytest.fixture(autouse=True)
def arm() -> None:
    gym_arm.register()


def mapping_file(folder: Path, *changes: tuple[str, str]) -> Path:
    text = gym_arm.MAPPING
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "arm.yaml"
    file.write_text(text)
    return file


def evaluated(folder: Path, file: Path) -> int:
    where = ["suite=gym:vla_test/Arm-v0", f"mapping={file}", "tasks=[go]", f"out={folder / 'out'}"]
    return evaluate.main(["policy=random", *where, "episodes=4", "workers=1", "videos=0"])


def test_an_evaluation_of_a_right_mapping_runs_and_reports_its_conventions(tmp_path: Path) -> None:
    assert evaluated(tmp_path, mapping_file(tmp_path)) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["suite"] == "gym:vla_test/Arm-v0"
    assert report["mapping"]["cameras"]["front"]["orientation"] == "flip_vertical"
    assert report["mapping"]["action"]["gripper"] == {"from": "action[2]", "scale": -0.5, "offset": 0.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([WRONG_GRIPPER], r"gripper 'gripper': inverted (commanded open (1) 'gripper' came to 0 m"),
        ([WRONG_AXIS], "axis 'dx': inverted"),
        (SWAPPED_AXES, "axis 'dx': no motion"),
    ],
)
def test_an_evaluation_of_a_wrong_mapping_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[tuple[str, str]], message: str
) -> None:
    assert evaluated(tmp_path, mapping_file(tmp_path, *changes)) == 2
    told = capsys.readouterr().err
    assert "the mapping of suite 'gym:vla_test/Arm-v0', task 'go', does not do what it declares" in told
    assert message in told
    assert not (tmp_path / "out").exists()


def test_the_command_finds_the_same_and_says_so_with_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    for folder, changes, status in ((right, (), 0), (wrong, (WRONG_GRIPPER,), 1)):
        folder.mkdir()
        file = mapping_file(folder, *changes)
        arguments = ["check", "suite=gym:test_arm", f"mapping={file}", f"json={folder / 'found.json'}"]
        assert commands.main(arguments) == status
    found = json.loads((wrong / "found.json").read_text())["found"]["task go"]
    assert [row["verdict"] for row in found] == ["cannot be told", "inverted", "holds", "holds"]
    assert "inverted" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["tabletop", "metaworld"])
def test_our_own_suites_do_what_they_declare(name: str) -> None:
    if name == "metaworld":
        pytest.importorskip("metaworld")
    chosen = suite(name)
    found = check.findings(chosen, EpisodeSpec(chosen.tasks[0], 0))
    assert {finding.verdict for finding in found} == {Verdict.HOLDS}
    assert len(found) >= 5


def test_a_suite_that_declares_the_opposite_is_caught() -> None:
    upside_down = Conventions((GripperCheck("gripper", opened=0.0, closed=1.0, measured="gripper"),))
    found = try_conventions(TabletopEnvironment(), EpisodeSpec("reach", 0), upside_down)
    assert [finding.verdict for finding in found] == [Verdict.HOLDS, Verdict.INVERTED]


class _Slow:
    """The tabletop with a clock that says more has passed."""

    def __init__(self, dt_s: float, pace: float) -> None:
        self._inner, self._dt_s, self._pace = TabletopEnvironment(), dt_s, pace
        self.embodiment = self._inner.embodiment
        self.reset, self.step, self.close = self._inner.reset, self._inner.step, self._inner.close

    def simulated_s(self) -> float:
        return self._pace * self._inner.simulated_s()

    def physics_dt_s(self) -> float:
        return self._dt_s


@pytest.mark.parametrize(
    ("dt_s", "pace", "verdict"),
    [(0.002, 1.0, Verdict.HOLDS), (0.003, 1.0, Verdict.WRONG_RATE), (0.002, 0.5, Verdict.WRONG_RATE)],
)
def test_a_rate_that_physics_does_not_keep_is_caught(dt_s: float, pace: float, verdict: Verdict) -> None:
    found = try_conventions(_Slow(dt_s, pace), EpisodeSpec("reach", 0), Conventions())
    assert [finding.verdict for finding in found] == [verdict]


@pytest.mark.parametrize(("inverted", "status"), [(False, 0), (True, 1)])
def test_recordings_whose_gripper_is_the_wrong_way_round_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], inverted: bool, status: int
) -> None:
    body = TABLETOP_PANDA
    store = EpisodeStore.open_or_create(str(tmp_path / "data"), body, {})
    store.append(_recorded(inverted))
    assert commands.main(["check", "suite=tabletop", f"data=[{tmp_path / 'data'}]"]) == status
    assert "data" in capsys.readouterr().out


def _recorded(inverted: bool) -> Episode:
    body, steps = TABLETOP_PANDA, 120
    actions, states = np.zeros((steps, body.action_dim), np.float32), np.zeros((steps, body.state_dim), np.float32)
    told = np.repeat([1.0, 0.0, 1.0], 40)
    actions[:, -1] = 1.0 - told if inverted else told
    states[:, [field.name for field in body.proprioception].index("gripper")] = 0.08 * told
    return Episode(
        embodiment=body,
        images={c.name: np.zeros((steps, c.height, c.width, 3), np.uint8) for c in body.cameras},
        proprioception=states,
        actions=actions,
        times_s=0.1 * np.arange(steps),
        instruction="grasp",
        task="grasp",
        success=True,
        seed=0,
        source="test",
        licence="CC0-1.0",
    )


def test_recordings_that_never_move_the_gripper_tell_nothing() -> None:
    still = (np.zeros((50, 5), np.float32), np.zeros((50, 12), np.float32))
    found = recorded_conventions([still], TABLETOP_PANDA, suite("tabletop").conventions)
    assert [finding.verdict for finding in found] == [Verdict.UNTOLD]


@pytest.mark.parametrize(("breaks", "told"), [("raise", "the simulator is gone"), ("nan", "is nan at step 3")])
def test_an_environment_that_breaks_costs_one_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: str, told: str
) -> None:
    monkeypatch.setattr(gym_arm.Arm, "breaks", {FIRST + 1: breaks})
    assert evaluated(tmp_path, mapping_file(tmp_path)) == 3
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    errors = [episode["error"] for episode in report["episodes"]]
    assert [error is not None for error in errors] == [False, True, False, False]
    assert told in errors[1]


def test_the_mapping_of_the_test_arm_is_parsed_with_its_conventions() -> None:
    assert parse_mapping(gym_arm.MAPPING).conventions.gripper[0].opened == 1.0

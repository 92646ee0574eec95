"""`vla deploy` from the command line to its files, on the virtual arm and the virtual clock."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vla import commands
from vla.clock import RealClock, VirtualClock
from vla.interfaces import Robot
from vla_policies.baselines import ZeroPolicy
from vla_robot_io.first_runs import state_file
from vla_robot_io.loopback import loopback_robot
from vla_sim.embodiments import TABLETOP_PANDA

REACH = "instruction=reach the red block"


def deploy(out: Path, *arguments: str) -> int:
    return commands.main(["deploy", "robot=virtual", "clock=virtual", f"out={out}", *arguments])


def log(out: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def random_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("deploy") / "random"
    assert deploy(out, "policy=random", REACH, "seconds=2", "seed=1", "execution.mode=synchronous") == 0
    return out


def test_a_run_leaves_a_summary_a_log_and_a_video_and_nothing_else(random_run: Path) -> None:
    assert sorted(path.name for path in random_run.iterdir()) == ["log.jsonl", "run.json", "video.mp4"]


def test_the_summary_says_what_was_run_and_what_came_of_it(random_run: Path) -> None:
    told = summary(random_run)
    assert told["instruction"] == "reach the red block"
    assert (told["policy"], told["robot"], told["seed"], told["dry_run"]) == ("random", "virtual", 1, False)
    assert (told["ended"], told["success"], told["steps"]) == ("time", False, 20)
    assert told["latency_ms"]["n"] == 5
    assert told["control_hz"] == {"asked": 10.0, "achieved": pytest.approx(10.0)}
    assert told["modes"] == {"running": 20}
    assert told["final_mode"] == "hold"
    assert set(told["hashes"]) == {"checkpoint", "config", "embodiment"}
    assert told["versions"]["mujoco"]


def test_log_and_summary_say_that_nothing_is_safety_rated(random_run: Path) -> None:
    for text in (summary(random_run)["warning"], log(random_run, "header")[0]["warning"]):
        assert text.startswith("Nothing here is safety-rated")


def test_the_log_tells_every_step_and_every_chunk(random_run: Path) -> None:
    steps, chunks = log(random_run, "step"), log(random_run, "chunk")
    assert [step["index"] for step in steps] == list(range(20))
    assert [step["chunk"] for step in steps] == [number for number in range(5) for _ in range(4)]
    asked = np.array([step["asked"] for step in steps])
    assert np.array_equal(asked, np.concatenate([chunk["actions"] for chunk in chunks]))
    assert all(len(step["applied"]) == 5 and len(step["command"]["positions"]) == 7 for step in steps)


def test_counts_of_the_summary_are_told_by_their_code(random_run: Path) -> None:
    seen = {reason["code"] for step in log(random_run, "step") for reason in step["reasons"]}
    counted = {code for code, count in summary(random_run)["reasons"].items() if count}
    assert seen == counted
    assert "non_finite" in summary(random_run)["reasons"]


def test_the_video_has_a_frame_for_every_observation(random_run: Path) -> None:
    with av.open(str(random_run / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.height, stream.width) == (240, 600)
        assert sum(1 for _ in container.decode(stream)) == 21


def test_the_same_run_twice_asks_and_applies_the_same(random_run: Path, tmp_path: Path) -> None:
    assert deploy(tmp_path / "again", "policy=random", REACH, "seconds=2", "seed=1", "execution.mode=synchronous") == 0
    one, other = (
        [(step["asked"], step["applied"], step["command"]) for step in log(out, "step")]
        for out in (random_run, tmp_path / "again")
    )
    assert one == other


def test_a_dry_run_sends_nothing(tmp_path: Path) -> None:
    assert deploy(tmp_path / "dry", "policy=random", REACH, "seconds=0.5", "dry_run=true") == 0
    steps = log(tmp_path / "dry", "step")
    assert len({json.dumps(step["command"]) for step in steps}) == 1
    assert {note for step in steps for note in step["notes"]} == {"dry run: nothing was sent"}
    assert not np.any([step["applied"][:4] for step in steps])


def test_no_film_is_made_where_none_is_wanted(tmp_path: Path) -> None:
    assert deploy(tmp_path / "run", "policy=zero", REACH, "seconds=0.3", "film=false") == 0
    assert not (tmp_path / "run" / "video.mp4").exists()


def test_an_error_ends_the_run_with_status_3_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ZeroPolicy.predict

    def sometimes(self: ZeroPolicy, observations: Any, slots: Any = None, committed: Any = None) -> Any:
        if observations[0].time_s > 0.35:
            raise RuntimeError("out of memory")
        return original(self, observations, slots, committed)

    monkeypatch.setattr(ZeroPolicy, "predict", sometimes)
    assert deploy(tmp_path / "run", "policy=zero", REACH) == 3
    told = summary(tmp_path / "run")
    assert (told["ended"], told["error"], told["final_mode"]) == ("error", "RuntimeError: out of memory", "hold")


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["policy=zero"], "'vla deploy' needs instruction=<str>"),
        (["policy=zeros", REACH], "unknown policy 'zeros'; did you mean 'zero'?"),
        (["policy=zero", "instruction=make me a coffee"], "no task's words fit the instruction 'make me a coffee'"),
        (["policy=zero", REACH, "options={task: reech}"], "unknown task 'reech'; did you mean 'reach'?"),
        (["policy=zero", REACH, "options={tusk: reach}"], "unknown option of robot 'virtual' 'tusk'"),
        (["policy=zero", REACH, "driver=vertual"], "unknown driver 'vertual'; did you mean 'virtual'?"),
        (["policy=zero", REACH, "seconds=-1"], "seconds must be finite and above 0, got -1.0"),
        (["policy=zero", REACH, "envelope.floor_m=nan"], "envelope.floor_m must be finite, got nan"),
        (["policy=zero", REACH, "control.guard.stale_hold_s=0"], "control.guard.stale_hold_s must be finite and above"),
        (["policy=zero", REACH, "execution.execute_steps=9"], "execution.execute_steps is from 1 to the policy's"),
        (["policy=zero", "instruction= "], "give instruction=..."),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy(tmp_path / "run", *arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "run").exists()


def test_no_robot_is_moved_that_was_not_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["deploy", "policy=zero", REACH, f"out={tmp_path / 'run'}"]) == 2
    assert "needs robot=... (choices: custom, " in capsys.readouterr().err


def test_an_arm_of_ones_own_needs_its_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["deploy", "robot=custom", "driver=virtual", "policy=zero", REACH, f"out={tmp_path / 'run'}"]
    assert commands.main(arguments) == 2
    assert "needs envelope.box_low_m" in capsys.readouterr().err


def test_hardware_is_not_hurried_by_a_virtual_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hardware(*_: object) -> Robot:
        return dataclasses.replace(loopback_robot(VirtualClock(), TABLETOP_PANDA), is_simulated=False)

    monkeypatch.setattr("vla_robot_io.deploy.make_robot", hardware)
    assert deploy(tmp_path / "run", "policy=zero", REACH) == 2
    assert "robot 'virtual' lives by real time: clock=virtual would hurry it" in capsys.readouterr().err


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An arm that is not simulated, and nobody has seen a policy on it; the folder of its runs."""

    def hardware(*_: object) -> Robot:
        return dataclasses.replace(loopback_robot(RealClock(), TABLETOP_PANDA), is_simulated=False)

    monkeypatch.setattr("vla_robot_io.deploy.make_robot", hardware)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def on_bench(out: Path, *arguments: str) -> dict[str, Any]:
    fixed = ["deploy", "robot=virtual", REACH, "seconds=0.2", "film=false", f"out={out}"]
    fixed += ["envelope.acceleration_factor=1"]  # a factor above it is for simulated arms
    assert commands.main([*fixed, *arguments]) == 0
    return summary(out)


def test_the_first_run_of_a_policy_on_an_arm_is_a_dry_one(bench: Path) -> None:
    runs = [on_bench(bench / str(number), "policy=zero")["dry_run"] for number in range(2)]
    assert runs == [True, False]
    assert on_bench(bench / "other", "policy=random")["dry_run"]


def test_who_says_so_moves_the_arm_at_once_or_never(bench: Path) -> None:
    assert not on_bench(bench / "now", "policy=zero", "dry_run=false")["dry_run"]
    assert on_bench(bench / "dry", "policy=zero", "dry_run=true")["dry_run"]


def test_a_simulated_arm_moves_at_once(random_run: Path) -> None:
    assert summary(random_run)["dry_run"] is False


def test_a_damaged_memory_of_dry_runs_makes_the_next_run_a_dry_one(bench: Path) -> None:
    on_bench(bench / "first", "policy=zero")
    state_file().write_text('{"fake_panda": 3')
    assert on_bench(bench / "second", "policy=zero")["dry_run"]


def test_the_same_way_is_taken_more_slowly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["policy=pretrained", REACH, "seed=1", "film=false"]
    assert deploy(tmp_path / "full", *asked) == 0
    assert deploy(tmp_path / "slow", *asked, "speed=0.25") == 0
    full, slow = summary(tmp_path / "full"), summary(tmp_path / "slow")
    assert slow["success"]
    assert slow["control_hz"]["achieved"] == pytest.approx(2.5)
    assert abs(slow["steps"] - full["steps"]) <= 2
    assert deploy(tmp_path / "none", *asked, "speed=0") == 2
    assert "speed is above 0 and at most 1" in capsys.readouterr().err


def test_a_policy_for_another_embodiment_is_refused_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(TABLETOP_PANDA, control_hz=15.0)
    monkeypatch.setattr("vla_robot_io.deploy.load_policy", lambda *_, **__: ZeroPolicy(other))
    assert deploy(tmp_path / "run", "policy=zero", REACH) == 2
    error = capsys.readouterr().err
    assert "policy 'zero' is for another embodiment than robot 'virtual': control_hz: 10.0 against 15.0" in error
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_not_written_over(random_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (random_run / "log.jsonl").read_bytes()
    assert deploy(random_run, "policy=zero", REACH) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (random_run / "log.jsonl").read_bytes() == before


def test_help_says_that_nothing_is_safety_rated(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["deploy", "--help"]) == 0
    assert "Nothing here is safety-rated" in capsys.readouterr().out

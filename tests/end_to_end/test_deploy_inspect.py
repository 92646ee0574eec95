"""A run is drawn, and done again the same to the last bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla import commands
from vla_robot_io.run_log import RunLog

WORDS = "instruction=<b>reach</b> the red block"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("inspect") / "run"
    asked = ["robot=virtual", "clock=virtual", "policy=random", "options={task: reach}", WORDS, "seconds=2", "seed=1"]
    assert commands.main(["deploy", *asked, f"out={out}"]) == 0
    return out


def altered(run: Path, folder: Path, change: dict[str, object]) -> Path:
    """A copy of the log in which the sixth step says something else."""
    folder.mkdir()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    [line for line in lines if line["kind"] == "step"][5].update(change)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def inspected(run: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = commands.main(["deploy", "inspect", f"run={run}", *arguments])
    told = capsys.readouterr()
    return status, told.out + told.err


def test_a_run_in_simulation_comes_out_the_same_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspected(run, capsys) == (
        0,
        f"20 steps, ended: time; done again, the same to the last bit\npage: {run}/inspect.html\n",
    )


def test_a_step_that_came_out_otherwise_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = inspected(altered(run, tmp_path / "run", {"mode": "hold"}), capsys)
    assert status == 3
    assert "19 of 20 steps" in told
    assert "the first other step is 5" in told


def test_an_action_that_was_altered_changes_what_is_seen_after_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = inspected(altered(run, tmp_path / "run", {"asked": [0.0, 0.0, 0.0, 0.0, 0.0]}), capsys)
    assert status == 3
    assert "done again, 5 of 20 steps" in told


def test_the_page_draws_every_field_and_escapes_words(run: Path) -> None:
    page = (run / "inspect.html").read_text()
    assert all(f"<span>{name}</span>" in page for name in ("dx, m", "gripper, 1", "joint_7, rad"))
    assert "&lt;b&gt;reach&lt;/b&gt;" in page
    assert "<b>reach</b>" not in page
    assert "not safety-rated" in page.replace("Nothing here is safety-rated", "not safety-rated")


def test_a_run_that_was_killed_is_read_as_far_as_it_came(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "log.jsonl.partial").write_text((run / "log.jsonl").read_text()[:-700])
    status, told = inspected(killed, capsys)
    assert status == 0
    assert "was killed; done again, the same to the last bit" in told
    assert 0 < len(RunLog.read(killed).steps) <= 20


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = inspected(tmp_path, capsys)
    assert (status, told) == (2, f"error: there is no run at {tmp_path}: neither log.jsonl nor log.jsonl.partial\n")
    (tmp_path / "log.jsonl").write_text('{"kind": "header"\n{}\n')
    assert inspected(tmp_path, capsys)[0] == 2

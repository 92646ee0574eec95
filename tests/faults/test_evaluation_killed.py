"""Evaluations killed with SIGKILL at a record, or in the middle of one, and started again; and in shards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vla_sim import evaluate
from vla_sim.resuming.shards import JOURNAL

ARGUMENTS = ["policy=random", "tasks=[reach,press_button]", "episodes=4", "videos=1", "failure_videos=0"]
ARGUMENTS += ["controls=[zero]", "control_episodes=2", "film.height=32", "film.width=40", "batch=2", "workers=1"]
TIMING = ("latency_ms", "latency_batched_ms", "seconds")
DYING = """
import os, signal, sys
from vla_sim import evaluate
from vla_sim.resuming import journal
from vla_sim.resuming.records import to_line

at, cut = int(sys.argv[1]), float(sys.argv[2])
written, append = [], journal.append

def append_or_die(descriptor, record):
    if len(written) == at:
        line = to_line(record)
        os.write(descriptor, line[: int(cut * len(line))])
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(record)
    append(descriptor, record)

journal.append = append_or_die
evaluate.main(sys.argv[3:])
"""


def killed(out: Path, at: int, cut: float) -> None:
    """Evaluate in a process of its own that is killed at a record, of which it has written a part."""
    command = [sys.executable, "-c", DYING, str(at), str(cut), *ARGUMENTS, f"out={out}"]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL


def evaluated(out: Path, *more: str) -> dict[str, Any]:
    assert evaluate.main([*ARGUMENTS, *more, f"out={out}"]) == 0
    report = json.loads((out / "report.json").read_text())
    for name in ("out", "merge"):
        del report["config"][name]
    return dict(report)


def without_timing(report: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in report.items() if name not in TIMING}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return evaluated(tmp_path_factory.mktemp("whole"))


def test_a_killed_evaluation_goes_on_and_comes_to_the_same_report(
    tmp_path: Path, uninterrupted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    killed(tmp_path, at=3, cut=0.0)  # the guard and two outcomes are written
    killed(tmp_path, at=3, cut=0.6)  # three more, and most of a fourth
    assert not (tmp_path / "report.json").exists()
    resumed = evaluated(tmp_path)
    captured = capsys.readouterr()
    assert f"the last record of {tmp_path / JOURNAL} is cut off" in captured.err
    assert "5 episodes were done before" in captured.out
    assert without_timing(resumed) == without_timing(uninterrupted)
    assert resumed["seconds"]["episodes_done_before"] == 5
    assert resumed["latency_batched_ms"]["calls"] < uninterrupted["latency_batched_ms"]["calls"]


def test_an_evaluation_in_shards_comes_to_the_same_report(
    tmp_path: Path, uninterrupted: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*ARGUMENTS, "shard=1/3", f"out={tmp_path}/a"]) == 0
    assert evaluate.main([*ARGUMENTS, "shard=2/3", f"out={tmp_path}/b"]) == 0
    assert evaluate.main([*ARGUMENTS, "shard=3/3", f"out={tmp_path}/b"]) == 0
    assert not list(tmp_path.rglob("report.json"))
    merged = evaluated(tmp_path / "b", f"merge=[{tmp_path}/a]")
    assert without_timing(merged) == without_timing(uninterrupted)
    assert merged["seconds"]["episodes_done_before"] == 8 + 4
    assert merged["latency_batched_ms"]["calls"] == 0
    assert "shard 2/3: 4 episodes are in" in capsys.readouterr().out


def test_folders_without_outcomes_and_shards_that_stop_early_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([*ARGUMENTS, f"merge=[{tmp_path}/gone]", f"out={tmp_path}"]) == 2
    assert "there are no outcomes" in capsys.readouterr().err
    assert evaluate.main([*ARGUMENTS, "shard=1/2", "until=0.1", f"out={tmp_path}"]) == 2
    assert "use shard or until, not both" in capsys.readouterr().err

"""Jobs of a queue, here processes of this machine: what they do is what one process does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla import cli
from vla_datasets.store import EpisodeStore
from vla_sim import collect, evaluate
from vla_sim.evaluation_plan import EvalConfig

pytest.importorskip("submitit")

QUEUE = ["launcher=slurm", "slurm.cluster=local", "slurm.jobs=2"]
ASKED = ["policy=scripted", "tasks=[reach,press_button]", "episodes=3", "workers=1", "videos=0"]


@pytest.mark.slow
def test_a_report_made_of_jobs_is_that_of_one_process(tmp_path: Path) -> None:
    assert evaluate.main([*ASKED, f"out={tmp_path}/one"]) == 0
    assert evaluate.main([*ASKED, *QUEUE, f"out={tmp_path}/jobs"]) == 0
    one, jobs = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("one", "jobs"))
    assert one["episodes"] == jobs["episodes"]
    assert one["hashes"] == jobs["hashes"]
    assert jobs["seconds"]["episodes_done_before"] == 6


@pytest.mark.slow
def test_jobs_collect_what_one_process_collects(tmp_path: Path) -> None:
    asked = ["tasks=[reach]", "episodes=3", "workers=1"]
    assert collect.main([*asked, f"out={tmp_path}/one"]) == 0
    assert collect.main([*asked, *QUEUE, f"out={tmp_path}/jobs"]) == 0
    assert EpisodeStore.open(tmp_path / "one").keys() == EpisodeStore.open(tmp_path / "jobs").keys()


def test_jobs_that_fail_are_named_with_where_they_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert evaluate.main([*ASKED, *QUEUE, f"out={tmp_path}/jobs"]) == 2
    assert f"what they printed is in {tmp_path}/jobs/slurm" in capsys.readouterr().err


def test_a_machine_without_a_queue_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([*ASKED, "launcher=slurm", f"out={tmp_path}"]) == 2
    assert "launcher=slurm: " in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["slurm.jobs=0"], ["until=0.1"]])
def test_what_a_queue_cannot_do_is_refused(wrong: list[str], tmp_path: Path) -> None:
    assert evaluate.main([*ASKED, *QUEUE, *wrong, f"out={tmp_path}"]) == 2


def test_a_configuration_survives_the_way_through_a_command_line() -> None:
    config = cli.compose("eval", EvalConfig, [*ASKED, 'out="a b/c,d"', "train_data=['x, y']", "seed=7", "until=null"])
    again = cli.compose("eval", EvalConfig, cli.overrides_of(cli.resolved(config)))
    assert again == config

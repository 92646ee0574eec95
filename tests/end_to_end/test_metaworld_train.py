"""Meta-World from demonstrations to a report: collect, train a few steps, evaluate in closed loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from vla_policies import train
from vla_policies.checkpoint import load_checkpoint
from vla_sim import evaluate
from vla_sim.metaworld_suite import METAWORLD_SAWYER_SMALL

pytest.importorskip("metaworld")

TASKS = "tasks=[reach,coffee_button]"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("metaworld") / "run"
    small = ["backbone.width=32", "backbone.layers=1", "backbone.heads=2", "backbone.channels=8"]
    collect = f"collect=['suite=metaworld_small {TASKS} episodes=2 workers=1']"
    numbers = ["steps=4", "batch_size=8", "threads=1", "device=cpu"]
    assert train.main(["experiment=metaworld-easy10", f"out={out}", collect, *small, *numbers]) == 0
    return out


def test_the_recipe_trains_on_actions_and_on_where_things_are(run: Path) -> None:
    last = json.loads((run / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 4
    assert last["grounding_loss"] > 0.0
    checkpoint = load_checkpoint(run)
    assert checkpoint.embodiment == METAWORLD_SAWYER_SMALL
    assert checkpoint.action_tokenizer.horizon == 8


def test_its_policy_is_evaluated_in_closed_loop(run: Path, tmp_path: Path) -> None:
    arguments = ["suite=metaworld_small", "tasks=[coffee_button]", "episodes=1", "controls=[]", "videos=0", "workers=1"]
    status = evaluate.main([f"policy={run}", *arguments, f"out={tmp_path}"])
    report = json.loads((tmp_path / "report.json").read_text())
    assert (status, report["errors"]) == (0, 0)
    assert report["groups"]["easy"]["n"] == 1
    assert set(report["averages"]) == {"mean_of_groups", "mean_of_tasks"}
    assert report["versions"]["metaworld"] == "3.1.1"
    assert report["latency_ms"]["calls"] > 0


def test_a_policy_for_other_pictures_is_refused_before_any_episode(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([f"policy={run}", "suite=metaworld", "episodes=1", f"out={tmp_path / 'out'}"]) == 2
    assert "is for another embodiment than the environment: name: " in (said := capsys.readouterr().err)
    assert "cameras: 1 entries against 2" in said
    assert not (tmp_path / "out").exists()

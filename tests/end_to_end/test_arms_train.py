"""Another arm from demonstrations to a report, through the same commands; and its policy refused by the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from vla import cli
from vla.clock import VirtualClock
from vla.interfaces import ArmMode, EpisodeSpec
from vla_datasets.store import EpisodeStore
from vla_policies import train
from vla_policies.baselines import ReplayPolicy
from vla_policies.checkpoint import load_checkpoint
from vla_policies.rollout import rollout
from vla_robot_io import deploy
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.motion import WALL_MARGIN_M
from vla_sim import evaluate
from vla_sim.environment import TabletopEnvironment
from vla_sim.virtual_arm import make_robot
from vla_sim.worlds.benches import BENCHES

OTHERS = ("ur5e", "so101")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy for the SO-101 that has hardly learnt anything."""
    out = tmp_path_factory.mktemp("so101") / "run"
    small = ["backbone.width=32", "backbone.layers=1", "backbone.heads=2", "backbone.channels=8"]
    collect = "collect=['suite=tabletop_so101 tasks=[reach] episodes=2 workers=1 horizon=4']"
    numbers = ["steps=4", "batch_size=8", "horizon=4", "threads=1", "device=cpu", "dagger=[]", "dagger_steps=[]"]
    assert train.main(["experiment=tabletop-small", f"out={out}", collect, *small, *numbers]) == 0
    return out


def test_a_recipe_collects_and_trains_for_the_arm_it_names(run: Path) -> None:
    assert load_checkpoint(run).embodiment == BENCHES["so101"].embodiment
    assert EpisodeStore.open(run / "data" / "demonstrations").embodiment == BENCHES["so101"].embodiment


def test_its_policy_is_evaluated_on_its_own_suite(run: Path, tmp_path: Path) -> None:
    arguments = ["suite=tabletop_so101", "tasks=[reach]", "episodes=1", "controls=[]", "videos=0", "workers=1"]
    assert evaluate.main([f"policy={run}", *arguments, f"out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["suite"], report["errors"], report["overall"]["n"]) == ("tabletop_so101", 0, 1)


@pytest.mark.parametrize(("suite", "body"), [("tabletop", "tabletop_panda"), ("tabletop_ur5e", "tabletop_ur5e")])
def test_its_policy_is_refused_elsewhere_with_what_differs(
    run: Path, suite: str, body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"policy={run}", f"suite={suite}", "episodes=1", f"out={tmp_path / 'report'}"]
    assert evaluate.main(arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is for another embodiment than" in said
    assert f"name: '{body}' against 'tabletop_so101'; action[0].high: 0.04 against 0.015" in said
    assert not (tmp_path / "report").exists()


def test_its_policy_is_refused_by_a_robot_with_another_arm(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["robot=virtual_ur5e", "instruction=reach the red block", "clock=virtual", f"out={tmp_path / 'run'}"]
    assert deploy.main([f"policy={run}", *words]) == 2
    assert "is for another embodiment than" in " ".join(capsys.readouterr().err.split())


def test_its_policy_drives_its_own_virtual_arm(run: Path, tmp_path: Path) -> None:
    words = ["robot=virtual_so101", "instruction=reach the red block", "clock=virtual", "seconds=1", "film=false"]
    deploy.main([f"policy={run}", *words, f"out={tmp_path / 'run'}"])
    summary = json.loads((tmp_path / "run" / "run.json").read_text())
    assert summary["arm"] == "virtual_so101"
    assert summary["hashes"]["embodiment"] == BENCHES["so101"].embodiment.fingerprint


@pytest.mark.parametrize("arm", OTHERS)
@pytest.mark.parametrize("task", ["put_on_pad", "open_drawer"])
def test_a_demonstration_replayed_on_the_virtual_arm_does_the_task(arm: str, task: str) -> None:
    body, spec = BENCHES[arm].embodiment, EpisodeSpec(task=task, seed=5)
    environment = TabletopEnvironment(arm=arm)
    instruction = environment.reset(spec).instruction
    actions: list[np.ndarray] = []
    for _ in range(40):
        actions.append(environment.expert_action())
        if environment.step(actions[-1]).terminated:
            break
    clock = VirtualClock()
    robot = make_robot(clock, instruction=instruction, seed=5, task=task, arm=arm)
    words = [f"robot=virtual_{arm}", "policy=zero", "instruction=unused", "out=unused"]
    config = cli.compose("deploy", deploy.DeployConfig, words)
    loop = ArmEnvironment(robot, clock, config.envelope, config.control, duration_s=6.0)
    reports: list[StepReport] = []
    loop.on_step = reports.append
    policy = ReplayPolicy(body, {(5, instruction): lambda: np.stack(actions)})
    told = EpisodeSpec(task=task, seed=5, instruction=instruction)
    (result,) = rollout(policy, [loop], [told], clock=clock)
    assert result.error is None
    assert result.success
    assert {report.mode for report in reports} == {ArmMode.RUNNING}


@pytest.mark.parametrize("arm", OTHERS)
def test_the_configured_box_is_the_workspace_of_the_arms_bench(arm: str) -> None:
    words = [f"robot=virtual_{arm}", "policy=zero", "instruction=reach the red block", "out=unused"]
    config = cli.compose("deploy", deploy.DeployConfig, words)
    bench = BENCHES[arm]
    assert config.options == {"arm": arm}
    assert config.envelope.box_low_m == pytest.approx(bench.workspace_low[:3] - WALL_MARGIN_M)
    assert config.envelope.box_high_m == pytest.approx(bench.workspace_high[:3] + WALL_MARGIN_M)

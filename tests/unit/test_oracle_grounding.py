"""The control in whose scenes nothing can be taken for another thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluation_plan import Control, EvalConfig, planned_runs
from vla_sim.suites import suite

TASKS = suite("tabletop").tasks


@pytest.mark.parametrize("task", TASKS)
def test_nothing_is_there_but_what_the_instruction_names(task: str) -> None:
    environment = TabletopEnvironment()
    for seed in range(3):
        usual = environment.reset(EpisodeSpec(task, seed))
        before = environment.attempt
        alone = environment.reset(EpisodeSpec(f"{task}@alone", seed))
        assert {thing.name for thing in environment.attempt.scene.things} == set(before.names or ["drawer"])
        assert alone.instruction == usual.instruction
        there = {thing.name: thing for thing in before.scene.things}
        assert all(there[thing.name] == thing for thing in environment.attempt.scene.things)


def test_its_expert_can_still_do_the_task() -> None:
    environment = TabletopEnvironment()
    for task in TASKS:
        environment.reset(EpisodeSpec(f"{task}@alone", 4))
        over = success = False
        while not over:
            transition = environment.step(environment.expert_action())
            over, success = transition.terminated or transition.truncated, transition.success
        assert success, task


def test_the_control_has_the_seeds_of_the_others(tmp_path: Path) -> None:
    controls = [Control.BLIND, Control.ORACLE_GROUNDING]
    config = EvalConfig(tasks=["reach"], episodes=4, control_episodes=2, controls=controls, out=tmp_path)
    _, blind, alone = planned_runs(config)
    assert [(f"{spec.task}@alone", spec.seed) for spec in blind.specs] == [(s.task, s.seed) for s in alone.specs]


def test_suites_without_such_scenes_leave_it_out(tmp_path: Path) -> None:
    assert Control.ORACLE_GROUNDING.value in {run.name for run in planned_runs(EvalConfig(out=tmp_path))}
    config = EvalConfig(suite="perturbation_blur", out=tmp_path)
    assert Control.ORACLE_GROUNDING.value not in {run.name for run in planned_runs(config)}
    with pytest.raises(ConfigError, match="leave 'oracle_grounding' out"):
        planned_runs(EvalConfig(suite="perturbation_blur", controls=[Control.ORACLE_GROUNDING], out=tmp_path))

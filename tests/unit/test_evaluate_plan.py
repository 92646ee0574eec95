"""What an evaluation's configuration comes to, and what is refused before anything starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from vla.errors import ConfigError, VlaError
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_policies.ablations import ShuffledPolicy
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.loading import PRETRAINED
from vla_policies.wall_rollout import WallClock
from vla_sim.evaluation_plan import (
    Control,
    EvalConfig,
    check_config,
    chosen_tasks,
    config_hash,
    make_policy,
    planned_runs,
)
from vla_sim.filming import FilmConfig
from vla_sim.suites import suite
from vla_sim.tasks import GROUPS, SUITES, TASKS
from vla_sim.wall_clock import Clock


def config(**values: Any) -> EvalConfig:
    defaults: dict[str, Any] = {"policy": "random", "out": Path("out/test"), "episodes": 3, "seed": 7}
    return EvalConfig(**(defaults | values))


def test_specs_go_by_task_in_the_suites_order_then_by_seed() -> None:
    (run,) = planned_runs(config(tasks=["stack", "reach"], episodes=2))
    assert run.specs == (
        EpisodeSpec("reach", 7),
        EpisodeSpec("reach", 8),
        EpisodeSpec("stack", 7),
        EpisodeSpec("stack", 8),
    )


def test_every_task_of_the_tabletop_is_in_one_group() -> None:
    assert sorted(task for tasks in GROUPS.values() for task in tasks) == sorted(TASKS)


def test_shuffled_words_are_of_the_suite() -> None:
    environments = [suite("tabletop").make_environment()]
    assert isinstance(make_policy("shuffled:zero", environments), ShuffledPolicy)


def test_a_suite_is_eight_tasks() -> None:
    assert len(chosen_tasks("tabletop", [])) == len(SUITES["tabletop"]) == 8


def test_a_task_outside_the_suite_may_be_asked_for_by_name() -> None:
    assert chosen_tasks("tabletop", ["stack_swapped", "stack"]) == ["stack", "stack_swapped"]


def test_the_main_run_may_itself_be_a_control() -> None:
    (run,) = planned_runs(config(instruction=InstructionKind.WRONG, templates=TemplateSet.HELD_OUT))
    assert {(spec.instruction_kind, spec.templates) for spec in run.specs} == {
        (InstructionKind.WRONG, TemplateSet.HELD_OUT)
    }


def test_each_control_differs_from_the_main_run_in_one_thing() -> None:
    execution = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, 2)
    asked = config(policy="runs/a", controls=list(Control), control_episodes=1, tasks=["reach"], execution=execution)
    main, *controls = planned_runs(asked)
    plain = EpisodeSpec("reach", 7)
    assert (main.policy, len(main.specs)) == ("runs/a", 3)
    assert [(run.name, run.policy, run.specs) for run in controls] == [
        ("random", "random", (plain,)),
        ("zero", "zero", (plain,)),
        ("blind", "blind:runs/a", (plain,)),
        ("frozen_image", "frozen:runs/a", (plain,)),
        ("removed_image", "removed:runs/a", (plain,)),
        ("wrong_instruction", "runs/a", (dataclasses.replace(plain, instruction_kind=InstructionKind.WRONG),)),
        ("shuffled_instruction", "shuffled:runs/a", (plain,)),
        ("held_out", "runs/a", (dataclasses.replace(plain, templates=TemplateSet.HELD_OUT),)),
        ("oracle_grounding", "runs/a", (EpisodeSpec("reach@alone", 7),)),
        ("oracle", "scripted", (plain,)),
    ]
    assert all(run.execution == execution for run in controls if run.name not in ("random", "zero", "oracle"))


@pytest.mark.parametrize("policy", ["pretrained", "runs/a"])
def test_a_checkpoint_has_every_control_unless_told_otherwise(policy: str) -> None:
    assert [run.name for run in planned_runs(config(policy=policy))[1:]] == [control.value for control in Control]


@pytest.mark.parametrize(
    "values",
    [
        {"policy": "random"},
        {"policy": "scripted"},
        {"policy": "blind"},
        {"policy": "pretrained", "controls": []},
        {"policy": "pretrained", "instruction": InstructionKind.WRONG},
        {"policy": "pretrained", "templates": TemplateSet.HELD_OUT},
    ],
)
def test_others_have_no_controls_unless_asked_for(values: dict[str, Any]) -> None:
    assert len(planned_runs(config(**values))) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"suite": "tabeltop"}, r"unknown suite 'tabeltop'; did you mean 'tabletop'\?"),
        ({"tasks": ["reech"]}, r"unknown task 'reech'; did you mean 'reach'\?"),
        ({"policy": "scriptd"}, r"unknown policy 'scriptd'; did you mean 'scripted'\?"),
        ({"episodes": 0}, "episodes is 1 or more, got 0"),
        ({"batch": 0}, "batch is 1 or more, got 0"),
        ({"workers": 0}, "workers is 1 or more, got 0"),
        ({"control_episodes": 0}, "control_episodes is 1 or more, got 0"),
        ({"videos": -1}, "videos is 0 or more, got -1"),
        ({"seed": -1}, "seed is 0 or more, got -1"),
        ({"film": FilmConfig(height=241)}, "film.height is even and at most 480 px, got 241"),
        ({"film": FilmConfig(width=1000)}, "film.width is even and at most 640 px, got 1000"),
        ({"film": FilmConfig(speed=0.0)}, "film.speed is from 0.1 to 10, got 0.0"),
        ({"film": FilmConfig(quality=60)}, "film.quality is from 0 to 51, got 60"),
        ({"policy": "scripted", "controls": [Control.BLIND]}, "the scripted policy looks at no images"),
        ({"policy": "scripted", "controls": [Control.SHUFFLED_INSTRUCTION]}, "leave 'shuffled_instruction' out"),
        ({"until": 0.0}, "until is a half-width between 0 and 0.5, got 0.0"),
        ({"until": 2.0}, "until is a half-width between 0 and 0.5, got 2.0"),
        (
            {"execution": ExecutionConfig(ExecutionMode.RECEDING_HORIZON, 9)},
            "execute_steps is from 1 to the policy's horizon, 4; got 9",
        ),
    ],
)
def test_bad_input_is_refused_in_words(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(config(**values))


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    for out in (tmp_path / "out", tmp_path / "out" / "deeper"):
        with pytest.raises(ConfigError, match=f"out={out}: {tmp_path}/out is no folder that can be written to"):
            check_config(config(out=out))


@pytest.mark.parametrize("name", ["gone/checkpoint", "blind:gone/checkpoint", "replay:gone/store"])
def test_an_absent_policy_is_refused_by_its_path(name: str) -> None:
    with pytest.raises(VlaError, match=name.rpartition(":")[2]):
        check_config(config(policy=name))


@pytest.mark.parametrize(
    "change",
    [
        {"out": Path("elsewhere")},
        {"workers": 3},
        {"batch": 2},
        {"videos": 0},
        {"failure_videos": 0},
        {"train_data": ["a"]},
    ],
)
def test_a_hash_leaves_out_what_cannot_change_an_outcome(change: dict[str, Any]) -> None:
    assert config_hash(config(**change)) == config_hash(config())


@pytest.mark.parametrize("change", [{"seed": 8}, {"policy": PRETRAINED}, {"tasks": ["reach"]}, {"episodes": 4}])
def test_a_hash_tells_evaluations_apart(change: dict[str, Any]) -> None:
    assert config_hash(config(**change)) != config_hash(config())


def test_a_wall_clock_is_for_the_policys_own_runs() -> None:
    asked = config(policy="pretrained", clock=Clock.WALL, delay_ms=50.0)
    assert {run.name: run.wall is not None for run in planned_runs(asked)} == {
        "policy": True,
        **{control.value: control not in (Control.RANDOM, Control.ZERO, Control.ORACLE) for control in Control},
    }
    assert planned_runs(asked)[0].wall == WallClock(0.05)


def test_a_simulated_delay_in_milliseconds_is_that_of_the_execution() -> None:
    late = ExecutionConfig(ExecutionMode.ASYNCHRONOUS)
    asked = config(delay_ms=300.0, execution=late)
    assert planned_runs(asked)[0].execution == dataclasses.replace(late, delay_s=0.3)
    assert planned_runs(config())[0].execution == ExecutionConfig()
    with pytest.raises(ConfigError, match="the same delay"):
        check_config(config(delay_ms=300.0, execution=dataclasses.replace(late, delay_s=0.3)))
    with pytest.raises(ConfigError, match=r"use execution\.mode=asynchronous"):
        check_config(config(delay_ms=300.0))
    with pytest.raises(ConfigError, match="delay_ms is zero or more"):
        check_config(config(delay_ms=-1.0))

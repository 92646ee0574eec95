"""Meta-World episodes that break: each is an error, the others go on, and the exit status says so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec, Observation, Transition
from vla_sim import evaluate
from vla_sim.metaworld_suite import library
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment

FIRST = 1_000_000
ARGUMENTS = ["policy=scripted", "suite=metaworld_small", "tasks=[coffee_button]", "episodes=3", "workers=1", "videos=0"]


def _errors(out: Path) -> list[str | None]:
    report = json.loads((out / "report.json").read_text())
    assert [episode["success"] for episode in report["episodes"]] == [True, False, True]
    return [episode["error"] for episode in report["episodes"]]


def test_an_environment_that_raises_costs_one_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("metaworld")
    reset = MetaWorldEnvironment.reset

    def break_once(environment: MetaWorldEnvironment, spec: EpisodeSpec) -> Observation:
        if spec.seed == FIRST + 1:
            raise OSError("a mesh is missing")
        return reset(environment, spec)

    monkeypatch.setattr(MetaWorldEnvironment, "reset", break_once)
    assert evaluate.main([*ARGUMENTS, f"out={tmp_path}"]) == 3
    assert [error is not None and "a mesh is missing" in error for error in _errors(tmp_path)] == [False, True, False]


def test_a_state_that_is_not_finite_costs_one_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("metaworld")
    step = MetaWorldEnvironment.step

    def explode_once(environment: MetaWorldEnvironment, action: np.ndarray) -> Transition:
        if environment._begun.seed == FIRST + 1 and environment._num_steps == 5:
            environment._inner.data.qpos[:] = np.nan
        return step(environment, action)

    monkeypatch.setattr(MetaWorldEnvironment, "step", explode_once)
    assert evaluate.main([*ARGUMENTS, f"out={tmp_path}"]) == 3
    error = _errors(tmp_path)[1]
    assert error is not None
    assert "the physics of 'coffee_button', seed 1000001, diverged at step 6" in error


def test_without_the_package_an_evaluation_names_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    library.metaworld.cache_clear()
    assert evaluate.main([*ARGUMENTS, f"out={tmp_path / 'out'}"]) == 2
    assert "pip install 'vla-stack[metaworld]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

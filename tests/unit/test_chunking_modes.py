"""What each way of executing chunks carries out, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from vla.errors import ActionError, ConfigError
from vla.interfaces import ActionChunk
from vla_policies.chunking import (
    ChunkExecution,
    ExecutionConfig,
    ExecutionMode,
    make_execution,
    temporal_ensemble,
)

DT_S = 0.1
HORIZON = 4


def chunk(step: int, value: float | None = None) -> ActionChunk:
    """Predicted at `step`; its action for step t is 100 * step + t, or `value` throughout."""
    foreseen = 100.0 * step + step + np.arange(HORIZON) if value is None else np.full(HORIZON, value)
    return ActionChunk(foreseen.astype(np.float32)[:, None], start_s=step * DT_S, valid_s=HORIZON * DT_S)


def carry_out(execution: ChunkExecution, steps: int) -> tuple[list[float], list[int]]:
    """The actions of `steps` control steps, and the steps at which a chunk was asked for."""
    actions, asked = [], []
    for step in range(steps):
        if execution.needs_chunk(step * DT_S):
            asked.append(step)
            execution.add(chunk(step), step * DT_S)
        actions.append(float(execution.next_action(step * DT_S)[0]))
    return actions, asked


def test_synchronous_execution_uses_up_each_chunk() -> None:
    actions, asked = carry_out(make_execution(ExecutionConfig(ExecutionMode.SYNCHRONOUS), HORIZON), 6)
    assert actions == [0, 1, 2, 3, 404, 405]
    assert asked == [0, 4]


def test_receding_horizon_drops_the_rest_of_a_chunk() -> None:
    config = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=3)
    actions, asked = carry_out(make_execution(config, HORIZON), 7)
    assert actions == [0, 1, 2, 303, 304, 305, 606]
    assert asked == [0, 3, 6]


def test_receding_horizon_executes_half_a_chunk_unless_told_otherwise() -> None:
    _, asked = carry_out(make_execution(ExecutionConfig(ExecutionMode.RECEDING_HORIZON), HORIZON), 6)
    assert asked == [0, 2, 4]


def test_an_ensemble_averages_every_chunk_that_foresaw_the_step() -> None:
    config = ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=0.0)
    actions, asked = carry_out(make_execution(config, HORIZON), 6)
    assert asked == [0, 1, 2, 3, 4, 5]
    assert actions[:3] == [0, (1 + 101) / 2, (2 + 102 + 202) / 3]
    assert actions[5] == 5 + (200 + 300 + 400 + 500) / 4


def test_an_ensemble_may_predict_less_often_than_it_acts() -> None:
    config = ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, execute_steps=2, ensemble_decay=0.0)
    actions, asked = carry_out(make_execution(config, HORIZON), 5)
    assert asked == [0, 2, 4]
    assert actions == [0, 1, (2 + 202) / 2, (3 + 203) / 2, (204 + 404) / 2]


def test_ensemble_weights_fall_from_the_oldest_chunk_on() -> None:
    foreseen = [np.array([value], np.float32) for value in (1.0, 0.0, 0.0)]
    weight = 1 / (1 + np.exp(-0.5) + np.exp(-1.0))
    assert temporal_ensemble(foreseen, decay=0.5)[0] == pytest.approx(weight)


def test_an_expired_chunk_is_asked_for_anew_before_it_is_used_up() -> None:
    execution = make_execution(ExecutionConfig(), HORIZON)
    execution.add(chunk(0), 0.0)
    execution.next_action(0.0)
    assert not execution.needs_chunk(HORIZON * DT_S)
    assert execution.needs_chunk(HORIZON * DT_S + 0.01)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_an_expired_chunk_is_refused(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON)
    with pytest.raises(ActionError, match=r"valid for 0\.400 s and comes 0\.500 s after its start"):
        execution.add(chunk(0), 0.5)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_no_action_is_made_up_without_a_valid_chunk(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON)
    with pytest.raises(ActionError, match=r"no valid chunk foresaw the control step at 0\.000 s"):
        execution.next_action(0.0)
    execution.add(chunk(0), 0.0)
    with pytest.raises(ActionError, match=r"no valid chunk foresaw the control step at 0\.500 s"):
        execution.next_action(0.5)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_a_chunk_of_another_horizon_is_refused(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON + 1)
    with pytest.raises(ActionError, match="expected a chunk of 5 actions, got 4"):
        execution.add(chunk(0), 0.0)


@pytest.mark.parametrize("steps", [0, 5, -1])
def test_execute_steps_beyond_the_horizon_are_refused(steps: int) -> None:
    config = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=steps)
    with pytest.raises(ConfigError, match=rf"execute_steps is from 1 to the policy's horizon, 4; got {steps}"):
        make_execution(config, HORIZON)


def test_synchronous_execution_of_part_of_a_chunk_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"use execution\.mode=receding_horizon"):
        make_execution(ExecutionConfig(execute_steps=2), HORIZON)


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_a_senseless_decay_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match="ensemble_decay is zero or more"):
        make_execution(ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=decay), HORIZON)

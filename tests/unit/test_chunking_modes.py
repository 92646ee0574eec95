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
    delay_steps,
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
    actions, asked = carry_out(make_execution(ExecutionConfig(ExecutionMode.SYNCHRONOUS), HORIZON, DT_S), 6)
    assert actions == [0, 1, 2, 3, 404, 405]
    assert asked == [0, 4]


def test_receding_horizon_drops_the_rest_of_a_chunk() -> None:
    config = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=3)
    actions, asked = carry_out(make_execution(config, HORIZON, DT_S), 7)
    assert actions == [0, 1, 2, 303, 304, 305, 606]
    assert asked == [0, 3, 6]


def test_receding_horizon_executes_half_a_chunk_unless_told_otherwise() -> None:
    _, asked = carry_out(make_execution(ExecutionConfig(ExecutionMode.RECEDING_HORIZON), HORIZON, DT_S), 6)
    assert asked == [0, 2, 4]


def test_an_ensemble_averages_every_chunk_that_foresaw_the_step() -> None:
    config = ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=0.0)
    actions, asked = carry_out(make_execution(config, HORIZON, DT_S), 6)
    assert asked == [0, 1, 2, 3, 4, 5]
    assert actions[:3] == [0, (1 + 101) / 2, (2 + 102 + 202) / 3]
    assert actions[5] == 5 + (200 + 300 + 400 + 500) / 4


def test_an_ensemble_may_predict_less_often_than_it_acts() -> None:
    config = ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, execute_steps=2, ensemble_decay=0.0)
    actions, asked = carry_out(make_execution(config, HORIZON, DT_S), 5)
    assert asked == [0, 2, 4]
    assert actions == [0, 1, (2 + 202) / 2, (3 + 203) / 2, (204 + 404) / 2]


def test_ensemble_weights_fall_from_the_oldest_chunk_on() -> None:
    foreseen = [np.array([value], np.float32) for value in (1.0, 0.0, 0.0)]
    weight = 1 / (1 + np.exp(-0.5) + np.exp(-1.0))
    assert temporal_ensemble(foreseen, decay=0.5)[0] == pytest.approx(weight)


def test_an_expired_chunk_is_asked_for_anew_before_it_is_used_up() -> None:
    execution = make_execution(ExecutionConfig(ExecutionMode.SYNCHRONOUS), HORIZON, DT_S)
    execution.add(chunk(0), 0.0)
    execution.next_action(0.0)
    assert not execution.needs_chunk(HORIZON * DT_S)
    assert execution.needs_chunk(HORIZON * DT_S + 0.01)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_an_expired_chunk_is_refused(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON, DT_S)
    with pytest.raises(ActionError, match=r"valid for 0\.400 s and comes 0\.500 s after its start"):
        execution.add(chunk(0), 0.5)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_no_action_is_made_up_without_a_valid_chunk(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON, DT_S)
    with pytest.raises(ActionError, match=r"no valid chunk foresaw the control step at 0\.000 s"):
        execution.next_action(0.0)
    execution.add(chunk(0), 0.0)
    with pytest.raises(ActionError, match=r"no valid chunk foresaw the control step at 0\.500 s"):
        execution.next_action(0.5)


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_a_chunk_of_another_horizon_is_refused(mode: ExecutionMode) -> None:
    execution = make_execution(ExecutionConfig(mode), HORIZON + 1, DT_S)
    with pytest.raises(ActionError, match="expected a chunk of 5 actions, got 4"):
        execution.add(chunk(0), 0.0)


@pytest.mark.parametrize("steps", [0, 5, -1])
def test_execute_steps_beyond_the_horizon_are_refused(steps: int) -> None:
    config = ExecutionConfig(ExecutionMode.RECEDING_HORIZON, execute_steps=steps)
    with pytest.raises(ConfigError, match=rf"execute_steps is from 1 to the policy's horizon, 4; got {steps}"):
        make_execution(config, HORIZON, DT_S)


def test_synchronous_execution_of_part_of_a_chunk_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"use execution\.mode=receding_horizon"):
        make_execution(ExecutionConfig(ExecutionMode.SYNCHRONOUS, execute_steps=2), HORIZON, DT_S)


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf")])
def test_a_senseless_decay_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match="ensemble_decay is zero or more"):
        make_execution(ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, ensemble_decay=decay), HORIZON, DT_S)


OVERLAPPING = [ExecutionMode.ASYNCHRONOUS, ExecutionMode.REAL_TIME_CHUNKING]


@pytest.mark.parametrize("mode", OVERLAPPING)
def test_the_old_chunk_goes_on_until_the_new_one_has_come(mode: ExecutionMode) -> None:
    config = ExecutionConfig(mode, execute_steps=2, delay_s=0.2)
    actions, asked = carry_out(make_execution(config, HORIZON, DT_S), 9)
    assert asked == [0, 2, 4, 6, 8]
    assert actions == [0, 1, 2, 3, 204, 205, 406, 407, 608]


@pytest.mark.parametrize("mode", OVERLAPPING)
def test_a_chunk_without_delay_takes_over_at_once(mode: ExecutionMode) -> None:
    config = ExecutionConfig(mode, execute_steps=3)
    actions, asked = carry_out(make_execution(config, HORIZON, DT_S), 7)
    assert asked == [0, 3, 6]
    assert actions == [0, 1, 2, 303, 304, 305, 606]


@pytest.mark.parametrize("mode", OVERLAPPING)
def test_half_a_chunk_lies_between_predictions_unless_told_otherwise(mode: ExecutionMode) -> None:
    _, asked = carry_out(make_execution(ExecutionConfig(mode, delay_s=0.1), HORIZON, DT_S), 8)
    assert asked == [0, 2, 4, 6]


def test_real_time_chunking_commits_to_what_happens_during_the_delay() -> None:
    execution = make_execution(ExecutionConfig(ExecutionMode.REAL_TIME_CHUNKING, 2, delay_s=0.2), HORIZON, DT_S)
    assert execution.committed(0.0) is None
    carry_out(execution, 2)
    committed = execution.committed(2 * DT_S)
    assert committed is not None
    assert committed[:, 0].tolist() == [2, 3]


def test_asynchronous_execution_commits_to_nothing() -> None:
    execution = make_execution(ExecutionConfig(ExecutionMode.ASYNCHRONOUS, 2, delay_s=0.2), HORIZON, DT_S)
    carry_out(execution, 2)
    assert execution.committed(2 * DT_S) is None


@pytest.mark.parametrize(
    ("config", "seams"),
    [
        (ExecutionConfig(ExecutionMode.SYNCHRONOUS), [4]),
        (ExecutionConfig(ExecutionMode.RECEDING_HORIZON), [2, 4, 6]),
        (ExecutionConfig(ExecutionMode.TEMPORAL_ENSEMBLE, 3), [3, 6]),
        (ExecutionConfig(ExecutionMode.REAL_TIME_CHUNKING, 2, delay_s=0.1), [3, 5, 7]),
    ],
)
def test_seams_are_where_another_chunk_takes_over(config: ExecutionConfig, seams: list[int]) -> None:
    execution = make_execution(config, HORIZON, DT_S)
    carry_out(execution, 8)
    assert list(execution.seams) == seams


def test_a_delay_of_part_of_a_step_counts_as_a_whole_one() -> None:
    assert delay_steps(ExecutionConfig(delay_s=0.11), DT_S) == 2
    assert delay_steps(ExecutionConfig(delay_s=0.3), DT_S) == 3


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (
            ExecutionConfig(ExecutionMode.SYNCHRONOUS, delay_s=0.1),
            r"mode=synchronous waits for each chunk, got execution\.delay_s=0\.1",
        ),
        (ExecutionConfig(ExecutionMode.ASYNCHRONOUS, delay_s=0.3), "covers delays of up to 2"),
        (ExecutionConfig(ExecutionMode.ASYNCHRONOUS, delay_s=-1.0), "delay_s is zero or more"),
        (ExecutionConfig(ExecutionMode.REAL_TIME_CHUNKING, 1, delay_s=0.2), "execute_steps is from 2 to 2"),
    ],
)
def test_a_delay_that_does_not_fit_is_refused(config: ExecutionConfig, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_execution(config, HORIZON, DT_S)

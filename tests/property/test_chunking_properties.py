"""What holds for every way of executing chunks, every horizon and every rhythm of late steps."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla.interfaces import ActionChunk
from vla_policies.chunking import ExecutionConfig, ExecutionMode, make_execution, temporal_ensemble

DT_S = 0.1

horizons = st.integers(1, 8)
modes = st.sampled_from(list(ExecutionMode))
delays = st.lists(st.floats(0.0, 0.35), min_size=1, max_size=30)
numbers = st.floats(-1e3, 1e3, width=32)


@st.composite
def configs(draw: st.DrawFn, horizon: int) -> ExecutionConfig:
    mode = draw(modes)
    steps = None if mode is ExecutionMode.SYNCHRONOUS else draw(st.none() | st.integers(1, horizon))
    if mode not in (ExecutionMode.ASYNCHRONOUS, ExecutionMode.REAL_TIME_CHUNKING):
        return ExecutionConfig(mode, steps, ensemble_decay=draw(st.floats(0.0, 3.0)))
    late = draw(st.integers(0, horizon // 2))
    steps = draw(st.none() | st.integers(max(late, 1), horizon - late)) if horizon > late else None
    return ExecutionConfig(mode, steps, delay_s=late * DT_S)


def chunk_at(time_s: float, horizon: int, rng: np.random.Generator) -> ActionChunk:
    actions = rng.standard_normal((horizon, 2)).astype(np.float32)
    return ActionChunk(actions, start_s=time_s, valid_s=horizon * DT_S)


@given(st.data(), horizons, st.sampled_from([ExecutionMode.SYNCHRONOUS, ExecutionMode.RECEDING_HORIZON]), delays)
def test_every_action_is_what_the_newest_chunk_foresaw_for_its_step(
    data: st.DataObject, horizon: int, mode: ExecutionMode, late: list[float]
) -> None:
    steps = None if mode is ExecutionMode.SYNCHRONOUS else data.draw(st.integers(1, horizon))
    execution = make_execution(ExecutionConfig(mode, steps), horizon, DT_S)
    rng, time_s, newest, added = np.random.default_rng(0), 0.0, None, 0
    for step, delay in enumerate(late):
        if execution.needs_chunk(time_s):
            newest, added = chunk_at(time_s, horizon, rng), step
            execution.add(newest, time_s)
        assert newest is not None
        assert time_s <= newest.start_s + newest.valid_s + 1e-6
        np.testing.assert_array_equal(execution.next_action(time_s), newest.actions[step - added])
        time_s += DT_S + delay


@given(st.data(), horizons, delays)
def test_every_action_lies_within_what_the_valid_chunks_foresaw(
    data: st.DataObject, horizon: int, late: list[float]
) -> None:
    execution = make_execution(data.draw(configs(horizon)), horizon, DT_S)
    rng, time_s, chunks = np.random.default_rng(0), 0.0, []
    for step, delay in enumerate(late):
        if execution.needs_chunk(time_s):
            chunks.append((step, chunk_at(time_s, horizon, rng)))
            execution.add(chunks[-1][1], time_s)
        valid = [
            chunk.actions[step - added]
            for added, chunk in chunks
            if step - added < horizon and time_s <= chunk.start_s + chunk.valid_s + 1e-6
        ]
        action = execution.next_action(time_s)
        assert (action >= np.min(valid, axis=0) - 1e-6).all()
        assert (action <= np.max(valid, axis=0) + 1e-6).all()
        time_s += DT_S + delay


@given(st.data(), horizons, st.integers(1, 30))
def test_after_a_chunk_was_added_none_is_needed_for_this_step(data: st.DataObject, horizon: int, steps: int) -> None:
    execution = make_execution(data.draw(configs(horizon)), horizon, DT_S)
    rng = np.random.default_rng(0)
    for step in range(steps):
        if execution.needs_chunk(step * DT_S):
            execution.add(chunk_at(step * DT_S, horizon, rng), step * DT_S)
        assert not execution.needs_chunk(step * DT_S)
        execution.next_action(step * DT_S)


@given(st.lists(numbers, min_size=1, max_size=5), st.integers(1, 8), st.floats(0.0, 10.0))
def test_an_ensemble_of_equal_predictions_is_that_prediction(action: list[float], count: int, decay: float) -> None:
    foreseen = np.array(action, np.float32)
    np.testing.assert_array_equal(temporal_ensemble([foreseen] * count, decay), foreseen)


@given(st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=8))
def test_an_ensemble_without_decay_is_the_plain_mean(foreseen: list[list[float]]) -> None:
    actions = [np.array(action, np.float32) for action in foreseen]
    mean = np.mean(np.array(actions, np.float64), axis=0)
    np.testing.assert_allclose(temporal_ensemble(actions, decay=0.0), mean, rtol=1e-6, atol=1e-4)

"""Worker processes that die, raise or are interrupted."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float32, UInt8

from vla.errors import CheckpointError
from vla.interfaces import EpisodeSpec, Observation, Transition
from vla_policies.baselines import ZeroPolicy
from vla_policies.chunking import ExecutionConfig
from vla_policies.rollout import PredictCall
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.evaluate import evaluate
from vla_sim.evaluation_plan import EvalConfig
from vla_sim.jobs import Job, JobRunner, LatencyJob, Outcome
from vla_sim.workers import Pool, ProcessPool, worker_pool

JOB = Job("zero", ExecutionConfig())


class Stage:
    """An environment of two steps; the task `deadly` takes its process with it."""

    embodiment = TABLETOP_PANDA

    def __init__(self) -> None:
        self.steps = 0

    def reset(self, spec: EpisodeSpec) -> Observation:
        if spec.task == "deadly":
            os._exit(9)
        self.steps = 0
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        self.steps += 1
        return Transition(self.observe(), action, self.steps == 2, False, self.steps == 2)

    def observe(self) -> Observation:
        images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in self.embodiment.cameras}
        state = np.zeros(self.embodiment.state_dim, np.float32)
        return Observation(images, state, "stand still", self.steps / 10, frozenset())

    def render(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return np.zeros((height, width, 3), np.uint8)

    def close(self) -> None:
        pass


def make_runner(slots: int = 1) -> JobRunner:
    return JobRunner([Stage() for _ in range(slots)], lambda name, batch_size: ZeroPolicy(TABLETOP_PANDA))


def make_corrupt_runner() -> JobRunner:
    raise CheckpointError("runs/a/weights.safetensors is altered")


def make_buggy_runner() -> JobRunner:
    raise ZeroDivisionError("a bug")


def specs(*tasks: str) -> list[EpisodeSpec]:
    return [EpisodeSpec(task, seed) for seed, task in enumerate(tasks)]


def outcomes(pool: Pool, *tasks: str) -> list[Outcome]:
    messages = [message for message in pool.run(JOB, specs(*tasks)) if isinstance(message, Outcome)]
    return sorted(messages, key=lambda outcome: outcome.index)


def test_every_spec_comes_back_once_in_whatever_order() -> None:
    with worker_pool(functools.partial(make_runner, 3), workers=2) as pool:
        found = outcomes(pool, *["stand"] * 11)
        again = outcomes(pool, *["stand"] * 5)
    assert [outcome.index for outcome in found] == list(range(11))
    assert [outcome.result.spec.seed for outcome in found] == list(range(11))
    assert all(outcome.result.success for outcome in found + again)
    assert len(again) == 5


def test_a_worker_that_dies_takes_its_own_episode_alone() -> None:
    with worker_pool(make_runner, workers=2) as pool:
        found = outcomes(pool, "stand", "deadly", *["stand"] * 6)
    assert [outcome.result.success for outcome in found] == [True, False, *[True] * 6]
    assert found[1].result.error == "its worker process ended with status 9"


def test_episodes_without_any_worker_left_are_errors() -> None:
    with worker_pool(make_runner, workers=2) as pool:
        found = outcomes(pool, "deadly", "deadly", "stand", "stand")
        later = outcomes(pool, "stand")
    assert [outcome.index for outcome in found] == [0, 1, 2, 3]
    assert found[2].result.error == "no worker was left"
    assert later[0].result.error == "no worker was left"


def test_a_workers_own_error_is_raised_in_the_parent() -> None:
    with (
        worker_pool(make_corrupt_runner, workers=2) as pool,
        pytest.raises(CheckpointError, match=r"runs/a/weights\.safetensors is altered"),
    ):
        list(pool.run(JOB, specs("stand")))


def test_a_bug_in_a_worker_comes_with_its_traceback() -> None:
    with (
        worker_pool(make_buggy_runner, workers=2) as pool,
        pytest.raises(RuntimeError, match=r"(?s)a worker failed:.*make_buggy_runner.*ZeroDivisionError: a bug"),
    ):
        list(pool.run(JOB, specs("stand")))


def test_an_interruption_ends_every_worker() -> None:
    seen: list[Pool] = []

    def interrupt() -> None:
        with worker_pool(make_runner, workers=2) as pool:
            seen.append(pool)
            next(iter(pool.run(JOB, specs(*["stand"] * 50))))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert isinstance(seen[0], ProcessPool)
    assert seen[0].workers == 0


def test_one_worker_is_this_process_itself() -> None:
    with worker_pool(functools.partial(make_runner, 2), workers=1) as pool:
        assert not isinstance(pool, ProcessPool)
        assert [outcome.result.success for outcome in outcomes(pool, *["stand"] * 3)] == [True] * 3


@pytest.mark.parametrize("workers", [1, 2])
def test_latency_is_timed_with_one_observation_a_call(workers: int) -> None:
    with worker_pool(make_runner, workers) as pool:
        calls = list(pool.run(LatencyJob("zero"), specs("stand")))
    assert len(calls) == 100
    assert all(isinstance(call, PredictCall) and call.batch_size == 1 for call in calls)


def test_a_report_says_how_many_processes_computed(tmp_path: Path) -> None:
    config = EvalConfig("scripted", tasks=["press_button"], episodes=2, workers=2, videos=0, out=tmp_path)
    assert evaluate(config).report["workers"] == 2

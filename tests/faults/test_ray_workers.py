"""Workers on Ray: what they do is what this machine's own do, and a lost machine takes no episode with it."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla.errors import CheckpointError, ConfigError
from vla.interfaces import EpisodeSpec, Observation
from vla_datasets.store import EpisodeStore
from vla_policies.baselines import ZeroPolicy
from vla_policies.chunking import ExecutionConfig
from vla_policies.rollout import PredictCall
from vla_sim import collect
from vla_sim.collect import CollectConfig, Unit
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluate import make_runner
from vla_sim.jobs import Job, JobRunner, LatencyJob, Message, Outcome
from vla_sim.launching.cluster import RayConfig, default_workers, ray_cluster
from vla_sim.launching.ray_pool import RayPool, ray_pool
from vla_sim.launching.ray_tasks import ray_map
from vla_sim.workers import worker_pool

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and files of its own open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SPECS = [EpisodeSpec(task, seed) for task in ("reach", "press_button") for seed in (1_000_000, 1_000_001, 1_000_002)]
JOB = Job("scripted", ExecutionConfig())


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with ray_cluster(RayConfig(), 3) as connected:
        yield connected


class Mined(TabletopEnvironment):
    """An environment whose process dies in episodes of one seed, as often as files say."""

    def __init__(self, folder: Path, deaths: int) -> None:
        super().__init__()
        self._folder = folder
        self._deaths = deaths

    def reset(self, spec: EpisodeSpec) -> Observation:
        died = len(list(self._folder.iterdir()))
        if spec.seed == SPECS[1].seed and died < self._deaths:
            (self._folder / str(died)).touch()
            os._exit(9)
        return super().reset(spec)


def mined_runner(folder: Path, deaths: int) -> JobRunner:
    environments = [Mined(folder, deaths)]
    return JobRunner(environments, lambda name, batch_size: ZeroPolicy(environments[0].embodiment))


def broken_runner() -> JobRunner:
    raise CheckpointError("runs/a/weights.safetensors is altered")


def collect_and_die_once(attempts: Path, config: CollectConfig, units: list[Unit]) -> list[str]:
    found = collect.collect_missing(config, units)
    if not list(attempts.iterdir()):
        (attempts / "first").touch()
        os._exit(9)
    return [collected.task for collected in found]


def visible(messages: Iterator[Message]) -> list[tuple[object, ...]]:
    outcomes = sorted((m for m in messages if isinstance(m, Outcome)), key=lambda outcome: outcome.index)
    results = [outcome.result for outcome in outcomes]
    return [(r.spec, r.success, r.steps, r.error, r.actions.tobytes()) for r in results]


def test_outcomes_on_ray_are_those_of_this_process_to_the_last_bit(ray: Any) -> None:
    maker = functools.partial(make_runner, 2)
    with worker_pool(maker, 1) as local, ray_pool(maker, 2, RayConfig()) as remote:
        assert visible(local.run(JOB, SPECS)) == visible(remote.run(JOB, SPECS))


def test_latency_is_measured_on_one_worker_alone(ray: Any) -> None:
    with ray_pool(functools.partial(make_runner, 1), 2, RayConfig()) as pool:
        calls = list(pool.run(LatencyJob("zero"), SPECS[:1]))
    assert len(calls) == 100
    assert all(isinstance(call, PredictCall) and call.batch_size == 1 for call in calls)


def test_the_episodes_of_a_worker_that_is_lost_are_begun_anew_elsewhere(
    ray: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker = functools.partial(mined_runner, tmp_path, 1)
    with ray_pool(maker, 2, RayConfig()) as pool:
        found = visible(pool.run(Job("zero", ExecutionConfig()), SPECS[:3]))
        assert pool.workers == 1
    assert [(spec, error) for spec, _, _, error, _ in found] == [(spec, None) for spec in SPECS[:3]]
    assert caplog.text.count("a worker is lost: ") == 1


def test_a_spec_that_kills_again_is_an_error_and_no_failure(ray: Any, tmp_path: Path) -> None:
    maker = functools.partial(mined_runner, tmp_path, 9)
    with ray_pool(maker, 3, RayConfig()) as pool:
        found = visible(pool.run(Job("zero", ExecutionConfig()), SPECS[:3]))
    assert [error for _, _, _, error, _ in found] == [None, "its worker was lost 2 times", None]


def test_what_a_worker_raises_when_it_is_made_is_raised_here(ray: Any) -> None:
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is altered"):
        RayPool(ray, broken_runner, 1, RayConfig())


def test_a_share_of_a_gpu_that_no_machine_has_is_said(ray: Any) -> None:
    with pytest.raises(ConfigError, match="room for one worker"):
        default_workers(ray, RayConfig(gpus_per_worker=100.0))


def test_a_collection_on_ray_writes_what_this_machine_writes(ray: Any, tmp_path: Path) -> None:
    for launcher in ("local", "ray"):
        asked = ["tasks=[reach]", "episodes=5", "workers=2", f"launcher={launcher}", f"out={tmp_path / launcher}"]
        assert collect.main(asked) == 0
    local, remote = (EpisodeStore.open(tmp_path / launcher) for launcher in ("local", "ray"))
    assert local.keys() == remote.keys()
    assert all(np.array_equal(local.read(key).actions, remote.read(key).actions) for key in local)


def test_a_collection_whose_machine_is_lost_goes_on_with_what_is_missing(ray: Any, tmp_path: Path) -> None:
    config = CollectConfig(out=str(tmp_path / "store"), tasks=["reach"], episodes=4)
    collect.collect(dataclasses.replace(config, episodes=2, workers=1))
    attempts = tmp_path / "attempts"
    attempts.mkdir()
    units = [Unit("reach", seed) for seed in range(4)]
    function = functools.partial(collect_and_die_once, attempts, config)
    assert list(ray_map(function, [units], 1, RayConfig())) == [["reach"] * 4]
    assert len(EpisodeStore.open(config.out)) == 4

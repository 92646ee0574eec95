"""A connection to Ray: one that is begun on this machine, or a cluster's by its address."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import vla
from vla.errors import ConfigError, VlaError
from vla.libraries import require_library

_PASSED_ON = ("MUJOCO_GL", "PYOPENGL_PLATFORM")
"""What workers on other machines draw with, as this process does."""


@dataclasses.dataclass
class RayConfig:
    """Which Ray, and what of it a worker takes."""

    address: str | None = None
    """Of a cluster, `host:port` or `auto`; one is begun on this machine, and ended after use, if null."""
    gpus_per_worker: float = 0.0
    """A share of a GPU that a worker takes, for policies that run on one."""


@contextlib.contextmanager
def ray_cluster(config: RayConfig, workers: int | None = None) -> Iterator[Any]:
    """The package `ray`, connected; the connection ends with the context, unless it was there before.

    Args:
        workers: that a Ray of our own is to have room for; one for each core if not given.

    Raises:
        ConfigError: if Ray is not installed, or nobody answers at the address.
    """
    ray = require_library("ray", what="launcher=ray", extra="ray")
    if ray.is_initialized():
        yield ray
        return
    _connect(ray, config, workers)
    try:
        yield ray
    finally:
        ray.shutdown()


def worker_options(config: RayConfig) -> dict[str, Any]:
    """What Ray is told of every worker: one core, its share of a GPU, and the environment it needs."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if config.address is None:
        # As spawned processes have it.
        environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    return {
        "num_cpus": 1,
        "num_gpus": config.gpus_per_worker,
        "runtime_env": {"env_vars": environment | {"OMP_NUM_THREADS": "1"}},
    }


def default_workers(ray: Any, config: RayConfig) -> int:
    """As many workers as the cluster has room for.

    Raises:
        ConfigError: if it has no room for one.
    """
    resources = ray.cluster_resources()
    room = int(resources.get("CPU", 0))
    if config.gpus_per_worker > 0:
        room = min(room, int(resources.get("GPU", 0) / config.gpus_per_worker))
    if room < 1:
        raise ConfigError(
            f"expected room for one worker (1 CPU, {config.gpus_per_worker:g} GPU) on Ray, it has "
            f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
        )
    return room


def check_version(theirs: str) -> None:
    """Return if a worker has this version of the project.

    Raises:
        ConfigError: if it has another.
    """
    if theirs != vla.__version__:
        raise ConfigError(
            f"expected version {vla.__version__} of vla-stack on every machine of the cluster, got {theirs}"
        )


def ray_result(ray: Any, reference: Any) -> Any:
    """What a reference, or a list of them, stands for; what was raised over there is raised here.

    Raises:
        VlaError: as it was raised.
        RuntimeError: for anything else, with its traceback.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, VlaError):
            raise error.cause from None
        raise RuntimeError(f"a worker failed:\n{error}") from error
    except ray.exceptions.WorkerCrashedError as error:
        raise RuntimeError(f"a worker ended in every attempt: {error}") from error


def _connect(ray: Any, config: RayConfig, workers: int | None) -> None:
    # Numbers of use go to nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A worker without a GPU does not see one: as Ray will do by itself in its next version.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    mine = {} if config.address else {"include_dashboard": False, "num_cpus": workers}
    try:
        ray.init(address=config.address or "local", logging_level=logging.WARNING, log_to_driver=True, **mine)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"ray.address={config.address}: {' '.join(str(error).split())}") from error

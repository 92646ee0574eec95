"""What `launcher=` can be, and the workers it stands for."""

from __future__ import annotations

import contextlib
import enum
import os

from vla_sim.launching.cluster import RayConfig
from vla_sim.launching.ray_pool import ray_pool
from vla_sim.workers import Pool, RunnerMaker, worker_pool


class Launcher(enum.Enum):
    """Where episodes are computed; outcomes do not depend on it."""

    LOCAL = "local"
    """Processes of this machine."""
    RAY = "ray"
    """A Ray cluster, or a Ray of this machine's own."""
    SLURM = "slurm"
    """Jobs on a SLURM queue, each a share of the episodes."""


def launched_pool(
    launcher: Launcher, make_runner: RunnerMaker, workers: int | None, most: int, ray: RayConfig
) -> contextlib.AbstractContextManager[Pool]:
    """Workers that do jobs, until the context is left; on a SLURM queue, those of one job.

    Args:
        make_runner: called once in each worker; importable by name, or a partial of what is.
        workers: how many; one for each core, of the machine or of the cluster, if None.
        most: more than this many would have nothing to do.

    Raises:
        ConfigError: if Ray is wanted and is not there, or has no room.
    """
    if launcher is Launcher.RAY:
        return ray_pool(make_runner, None if workers is None else min(workers, most), ray)
    return worker_pool(make_runner, min(workers or os.cpu_count() or 1, most))

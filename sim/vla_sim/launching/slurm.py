"""A command's work on a SLURM queue: one job a share, all at once, outcomes in one place that all machines reach.

    vla eval ... launcher=slurm ─► array of jobs: vla eval ... shard=1/8, shard=2/8, ... ─► wait ─► the report, here
    vla collect ...             ─►                vla collect ... seed=0 episodes=13, ...  ─► wait

Jobs are the same command lines that a person would type; submitit writes the batch script and asks the queue.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla.errors import ConfigError
from vla.libraries import require_library
from vla.progress import told

_POLL_S = 1.0
_DONE = (0, 3)
"""Exit statuses: all went well, or some episodes ended in errors."""


@dataclasses.dataclass
class SlurmConfig:
    """What of the queue each job asks for."""

    jobs: int = 8
    """Shares of the work."""
    minutes: int = 240
    """After which the queue ends a job; the same command again goes on."""
    cores: int = 4
    """For each job."""
    memory_gb: int = 8
    """For each job."""
    gpus: int = 0
    """For each job."""
    partition: str | None = None
    """The queue's own default if null."""
    account: str | None = None
    """Whom it is charged to."""
    setup: list[str] = dataclasses.field(default_factory=list)
    """Shell lines before the command, such as `module load cuda`."""
    cluster: str = "slurm"
    """`local` runs the jobs as processes of this machine, to try things out."""


def run_jobs(command: str, shares: Sequence[Sequence[str]], folder: Path, config: SlurmConfig) -> None:
    """Run a command once for each share on the queue, and wait for all of them.

    Args:
        command: `eval`.
        shares: the overrides of each job.
        folder: for batch scripts and what jobs print; every machine of the queue reaches it.

    Raises:
        ConfigError: if submitit is not installed, there is no SLURM, or a job failed; the others' outcomes are kept.
    """
    submitit = require_library("submitit", what="launcher=slurm", extra="slurm")
    executor = _executor(submitit, folder, config)
    own = [sys.executable, "-m", "vla", command]
    with executor.batch():
        jobs = [executor.submit(carry_out, [*own, *overrides]) for overrides in shares]
    _wait(jobs)
    failed = [job.job_id for job in jobs if _has_failed(job)]
    if failed:
        raise ConfigError(
            f"of {len(jobs)} jobs {len(failed)} failed: {', '.join(failed)}; what they printed is in {folder}; "
            f"the same command again does only what is missing"
        )


def check_slurm(config: SlurmConfig) -> None:
    """Return if the numbers can be.

    Raises:
        ConfigError: naming the one that cannot.
    """
    for name, least in (("jobs", 1), ("minutes", 1), ("cores", 1), ("memory_gb", 1), ("gpus", 0)):
        if getattr(config, name) < least:
            raise ConfigError(f"slurm.{name} is at least {least}, got {getattr(config, name)}")


def _executor(submitit: Any, folder: Path, config: SlurmConfig) -> Any:
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=config.cluster)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"launcher=slurm: {error}") from error
    asked = {"slurm_partition": config.partition, "slurm_account": config.account, "slurm_setup": config.setup or None}
    executor.update_parameters(
        name="vla",
        timeout_min=config.minutes,
        cpus_per_task=config.cores,
        mem_gb=config.memory_gb,
        gpus_per_node=config.gpus,
        **{name: value for name, value in asked.items() if value is not None},
    )
    return executor


def _wait(jobs: Sequence[Any]) -> None:
    columns = (TextColumn("jobs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with told(Progress(*columns, console=Console(stderr=True))) as progress:
        bar = progress.add_task("", total=len(jobs))
        while True:
            done = sum(job.done() for job in jobs)
            progress.update(bar, completed=done)
            if done == len(jobs):
                return
            time.sleep(_POLL_S)


def carry_out(command: Sequence[str]) -> int:
    """What a job does: the exit status of a command line."""
    return subprocess.run(command, check=False).returncode


def _has_failed(job: Any) -> bool:
    """Whether a job ended otherwise than a command does whose outcomes are there, be there errors among them."""
    return job.exception() is not None or job.result() not in _DONE

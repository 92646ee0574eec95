"""The processes of one training run: each has a share of every step, and the first speaks and writes for all.

    torchrun --nproc-per-node=4 -m vla train parallel=shard ...

    process 0   samples  0..15 ─┐                            ┌─► log, checkpoints
    process 1   samples 16..31 ─┼─ gradients, counts, figures ┤
    process 2   samples 32..47 ─┤        are summed           └─► the same next step in every process
    process 3   samples 48..63 ─┘

Who starts them says in the environment which is which (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), as
torchrun does. A process that is started alone is a run of one, whatever `parallel` says.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from vla.errors import ConfigError, ProcessLost
from vla_policies.step_parts import share_of
from vla_policies.training_limits import require_device

ANSWER_WITHIN = datetime.timedelta(minutes=30)
"""A process that is silent for longer, in the middle of a step, is lost."""
WAIT_WITHIN = datetime.timedelta(days=30)
"""For what the first alone does, such as collecting demonstrations."""
TOLD = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What whoever starts several processes says to each, beside WORLD_SIZE."""
SIGNS_OF_LOSS = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""In what PyTorch says where a process cannot be reached."""


class Parallel(enum.Enum):
    """What the processes of a run have of the model."""

    NONE = "none"
    """There is one process."""
    REPLICATE = "replicate"
    """Each has all of it; gradients are summed."""
    SHARD = "shard"
    """Each has a part of weights, gradients and moments, and gathers block after block (FSDP)."""
    HYBRID = "hybrid"
    """The processes of a host share one copy, and gradients are summed over hosts."""


@dataclasses.dataclass(frozen=True)
class Processes:
    """Which process this is, and what it has in common with the others."""

    number: int = 0
    among: int = 1
    parallel: Parallel = Parallel.NONE
    a_host: int = 1
    """Processes on this host."""
    patient: dist.ProcessGroup | None = None
    """For waiting longer than a step takes."""

    @property
    def is_first(self) -> bool:
        """Whether this one speaks and writes for all."""
        return self.number == 0

    def share(self, total: int) -> slice:
        """Which of so many samples are this process's."""
        return share_of(self.number, self.among, total)

    def share_if_enough(self, total: int) -> slice:
        """This process's share; all of them if there is not one for each, so that each has some."""
        return self.share(total) if total >= self.among else slice(None)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all processes; in a run of one, the tensor."""
        if self.among == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.patient is not None:
            dist.barrier(self.patient)

    def require_same(self, what: str, number: int) -> None:
        """Return if all processes have the same number.

        Raises:
            ConfigError: if not: they do not read the same files.
        """
        if self.patient is None:
            return
        least, most = torch.tensor([number]), torch.tensor([number])
        dist.all_reduce(least, dist.ReduceOp.MIN, group=self.patient)
        dist.all_reduce(most, dist.ReduceOp.MAX, group=self.patient)
        if least != most:
            raise ConfigError(
                f"{what} is {least.item()} in one process and {most.item()} in another: data and out= must lie on "
                f"storage that all hosts share"
            )

    def mesh(self, device: torch.device) -> DeviceMesh:
        """Where shards lie: over all processes, or over those of a host, copied from host to host."""
        if self.parallel is Parallel.HYBRID:
            sizes = (self.among // self.a_host, self.a_host)
            return init_device_mesh(device.type, sizes, mesh_dim_names=("copies", "shards"))
        return init_device_mesh(device.type, (self.among,), mesh_dim_names=("shards",))


@contextlib.contextmanager
def joined(parallel: Parallel, device: str | None) -> Iterator[tuple[Processes, torch.device]]:
    """This process among those that were started together, and the device that is its own.

    Only the first is heard: what others say on standard output and error is dropped, errors apart.

    Args:
        device: as the run's configuration says; a GPU if there is one.

    Raises:
        ConfigError: if there is no such device, or several processes, and `parallel` does not say what each does.
        ProcessLost: if another process has ended, or cannot be reached.
    """
    among = int(os.environ.get("WORLD_SIZE", "1"))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if among == 1:
        require_device(kind)
        yield Processes(), torch.device(kind)
        return
    processes, own = _meet(parallel, kind, among)
    with _loss_told(), contextlib.ExitStack() as quiet:
        if not processes.is_first:
            nowhere = quiet.enter_context(open(os.devnull, "w"))
            quiet.enter_context(contextlib.redirect_stdout(nowhere))
            quiet.enter_context(contextlib.redirect_stderr(nowhere))
        yield processes, own
        processes.wait()
    # Not after an error: it would wait for those that are gone.
    dist.destroy_process_group()


def _meet(parallel: Parallel, kind: str, among: int) -> tuple[Processes, torch.device]:
    if parallel is Parallel.NONE:
        raise ConfigError(
            f"{among} processes were started and parallel=none: say parallel=replicate, parallel=shard or "
            f"parallel=hybrid"
        )
    if ":" in kind:
        raise ConfigError(f"device={kind} is one device for {among} processes: say device=cuda, and each has its own")
    absent = [name for name in TOLD if name not in os.environ]
    if absent:
        raise ConfigError(f"WORLD_SIZE={among}, but {', '.join(absent)} are not said: start the processes by torchrun")
    a_host = int(os.environ.get("LOCAL_WORLD_SIZE", among))
    if parallel is Parallel.HYBRID and among % a_host:
        raise ConfigError(
            f"parallel=hybrid needs as many processes on every host, got {among} in all and {a_host} here"
        )
    require_device(kind)
    own = torch.device(kind)
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
    with _loss_told():
        dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo", timeout=ANSWER_WITHIN)
        patient = dist.new_group(backend="gloo", timeout=WAIT_WITHIN)
    assert isinstance(patient, dist.ProcessGroup)
    return Processes(dist.get_rank(), among, parallel, a_host, patient), own


@contextlib.contextmanager
def _loss_told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(sign in str(error) for sign in SIGNS_OF_LOSS):
            raise
        reason = str(error).strip().splitlines()[0]
        raise ProcessLost(
            f"another process of this run has ended or cannot be reached, see what it said; the same command goes on "
            f"from the last checkpoint ({reason})"
        ) from error

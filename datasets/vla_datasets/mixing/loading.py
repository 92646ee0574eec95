"""Batches of a mixture, read ahead by worker processes, and a state that is exact all the same.

    positions ─► workers, each a whole batch at a time ─► in the order of the positions ─► batch n
                                                                                           state: behind batch n

Batches come in the positions' order for any number of workers, so the state is the position behind the last batch that
was handed out; what has been read ahead is read again after a resume.

R ranks share the stream R samples at a time: of every R neighbours each rank takes one. Together they take each sample
once, and a run that stops goes on with any other number of ranks. Which neighbour is whose changes from group to group,
or else a source that comes every R-th time would fall to one rank alone.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import multiprocessing
import multiprocessing.context
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch.utils.data

from vla.errors import ConfigError, DataError
from vla_datasets.mixing.dataset import MixedSample, MixtureDataset
from vla_datasets.mixing.permutation import scrambled

_IMPORTED_ONCE = ("vla_datasets.mixing.loading", "vla_datasets.mixing.sources")
"""By the process that workers are copies of."""


class StartMethod(enum.Enum):
    """How worker processes begin."""

    SPAWN = "spawn"
    """Each from nothing: works everywhere, and each imports everything anew."""
    FORKSERVER = "forkserver"
    """From one process that imported everything once."""


@dataclasses.dataclass
class LoadingConfig:
    """How a mixture is read."""

    batch_size: int = 32
    """Samples in a batch, of each rank."""
    workers: int = 0
    """Processes that read ahead; 0 reads in this one."""
    prefetch: int = 2
    """Batches that each worker reads ahead."""
    start_method: StartMethod = StartMethod.FORKSERVER
    """How workers begin; it does not change what they read."""


class PositionSampler:
    """One rank's positions in the stream, a batch at a time, without an end; a `DataLoader` takes it as its sampler."""

    def __init__(self, batch_size: int, rank: int = 0, num_ranks: int = 1, start: int = 0) -> None:
        """From `start` on, which the ranks have reached together."""
        if batch_size < 1 or not 0 <= rank < num_ranks or start < 0:
            raise ConfigError(
                "positions need batch_size ≥ 1, rank from 0 below num_ranks and start ≥ 0, "
                f"got {batch_size}, {rank}, {num_ranks} and {start}"
            )
        self.batch_size, self.rank, self.num_ranks, self.start = batch_size, rank, num_ranks, start

    @property
    def stride(self) -> int:
        """Positions that all ranks take together for a batch each."""
        return self.batch_size * self.num_ranks

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for begin in itertools.count(self.start, self.stride):
            yield tuple(self._of_group(group) for group in range(begin, begin + self.stride, self.num_ranks))

    def _of_group(self, group: int) -> int:
        return group + (self.rank + scrambled(group)) % self.num_ranks


class MixtureLoader[T]:
    """An endless sequence of batches, each a list of samples in the order of their positions."""

    def __init__(self, dataset: MixtureDataset[T], config: LoadingConfig, *, rank: int = 0, num_ranks: int = 1) -> None:
        """One rank's share of the samples of `dataset`."""
        if config.workers < 0 or config.prefetch < 1:
            raise ConfigError(f"loading needs workers ≥ 0 and prefetch ≥ 1, got {config.workers}, {config.prefetch}")
        self.dataset, self.config, self.rank, self.num_ranks = dataset, config, rank, num_ranks
        self._stride = self._positions(0).stride
        self._position = 0
        self._run = 0  # which iterator is the present one

    @property
    def position(self) -> int:
        """Samples that all ranks together have handed out, if all are at the same batch."""
        return self._position

    def __iter__(self) -> Iterator[list[MixedSample[T]]]:
        """The batches from here on; an iterator that began before this one ends.

        Raises:
            DataError: naming source and item of a sample that cannot be read, in whichever process.
        """
        self._run += 1
        return self._batches(self._run)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from, as JSON values: with the batch after the last one handed out."""
        return {"position": self._position, "mixture": self.dataset.mixture.identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; workers, ranks and the size of a batch may be others. Iterators that have begun end.

        Raises:
            ConfigError: naming the differences, if the state is of another mixture.
        """
        self.dataset.mixture.require_same(state["mixture"])
        self._run += 1
        self._position = int(state["position"])

    def _batches(self, run: int) -> Iterator[list[MixedSample[T]]]:
        batches = iter(self._data_loader())
        while run == self._run:
            batch = next(batches)
            if isinstance(batch, _Unreadable):
                raise batch.error()
            # Before it is handed out: a state taken while the batch is in use is the one behind it.
            self._position += self._stride
            yield batch

    def _positions(self, start: int) -> PositionSampler:
        return PositionSampler(self.config.batch_size, self.rank, self.num_ranks, start)

    def _data_loader(self) -> torch.utils.data.DataLoader[Any]:
        workers = self.config.workers
        return torch.utils.data.DataLoader(
            _Batches(self.dataset),
            sampler=self._positions(self._position),
            batch_size=None,  # the sampler gives whole batches
            collate_fn=_as_it_is,
            num_workers=workers,
            prefetch_factor=self.config.prefetch if workers else None,
            multiprocessing_context=_context(self.config.start_method) if workers else None,
            generator=torch.Generator(),  # else each iterator would draw from the training's own
        )


class _Batches[T](torch.utils.data.Dataset[Any]):
    """Whole batches by their positions. An error comes back as a value: torch would rewrite its message."""

    def __init__(self, dataset: MixtureDataset[T]) -> None:
        self._dataset = dataset

    def __getitem__(self, positions: Sequence[int]) -> list[MixedSample[T]] | _Unreadable:
        try:
            return [self._dataset[position] for position in positions]
        except DataError as error:
            return _Unreadable(str(error), tuple(getattr(error, "__notes__", ())))


@dataclasses.dataclass(frozen=True)
class _Unreadable:
    """Why a batch could not be read, and where the program was."""

    message: str
    notes: tuple[str, ...]

    def error(self) -> DataError:
        error = DataError(self.message)
        for note in self.notes:
            error.add_note(note)
        return error


def _context(start: StartMethod) -> multiprocessing.context.BaseContext:
    context = multiprocessing.get_context(start.value)
    if start is StartMethod.FORKSERVER:
        context.set_forkserver_preload(["__main__", *_IMPORTED_ONCE])
    return context


def _as_it_is(batch: Any) -> Any:
    return batch

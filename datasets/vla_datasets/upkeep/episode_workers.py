"""One function over many episodes of a store, in this process or in several, with a bar; results in the keys' order.

Processes, not threads: most of Zarr's time is Python's. Each is started afresh (`spawn`), which takes a second or two,
so a small store is done here.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import track

from vla.errors import ConfigError
from vla_datasets.store import EpisodeStore

EPISODES_A_WORKER = 200
"""A worker more for each so many: reading them takes about as long as starting one."""
_PART = 16


def map_episodes[T](
    store: EpisodeStore,
    keys: Sequence[str],
    function: Callable[[EpisodeStore, str], T],
    *,
    title: str,
    workers: int = 0,
    progress: bool = True,
) -> Iterator[T]:
    """What `function` gives for each key.

    Args:
        function: of the top of a module, so that another process finds it; or a `functools.partial` of one.
        title: for the bar.
        workers: processes; 0 for as many as there are cores and work for, 1 for this one.
        progress: whether to show a bar on standard error, if that is a terminal.

    Raises:
        ConfigError: if `workers` is negative.
    """
    parts = [list(keys[start : start + _PART]) for start in range(0, len(keys), _PART)]
    results = (result for part in _done(store, parts, function, _how_many(workers, len(keys))) for result in part)
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    yield from track(results, title, total=len(keys), console=console, transient=True, disable=hidden)


def _how_many(workers: int, episodes: int) -> int:
    if workers < 0:
        raise ConfigError(f"workers is 0 (as many as there are cores) or more, got {workers}")
    return workers or max(1, min(len(os.sched_getaffinity(0)), episodes // EPISODES_A_WORKER))


def _done[T](
    store: EpisodeStore, parts: list[list[str]], function: Callable[[EpisodeStore, str], T], workers: int
) -> Iterator[list[T]]:
    if workers == 1:
        yield from ([function(store, key) for key in part] for part in parts)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_in_worker, *zip(*[(store.name, part, function) for part in parts], strict=True))


def _in_worker[T](path: str, keys: list[str], function: Callable[[EpisodeStore, str], T]) -> list[T]:
    store = EpisodeStore.open(path, may_be_empty=True)
    return [function(store, key) for key in keys]

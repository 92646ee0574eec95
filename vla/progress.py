"""How far something long has come: a bar on a terminal, and a line now and then in a file that keeps what was said."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.progress import BarColumn, Progress, Task

TOLD_EVERY_S = 60.0
"""Between lines where there is no terminal."""


@contextlib.contextmanager
def told(progress: Progress, wait: Callable[[float], bool] | None = None) -> Iterator[Progress]:
    """Show progress while the block runs, also where no bar can move: in a pipe, or the log of a job in a queue.

    Args:
        progress: its console decides which of the two it is; its columns are what is told.
        wait: returns whether the block has ended, after so many seconds at most; by the clock if not given.
    """
    ended = threading.Event()
    with progress:
        if progress.console.is_terminal:
            yield progress
            return
        teller = threading.Thread(target=_tell, args=(progress, wait or ended.wait), name="progress", daemon=True)
        teller.start()
        try:
            yield progress
        finally:
            ended.set()
            teller.join()


def _tell(progress: Progress, has_ended_after: Callable[[float], bool]) -> None:
    while not has_ended_after(TOLD_EVERY_S):
        for task in progress.tasks:
            if task.total is None or task.completed < task.total:
                progress.console.print(_line(progress, task), soft_wrap=True, highlight=False, markup=False)


def _line(progress: Progress, task: Task) -> str:
    columns = (column for column in progress.columns if not isinstance(column, str | BarColumn))
    return " ".join(text for column in columns if (text := str(column(task)).strip()))

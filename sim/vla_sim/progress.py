"""A line for each run of an evaluation while it goes on, on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from vla_sim.jobs import Message, Outcome


def evaluation_progress() -> Progress:
    """Bars with a count of episodes and the share of successes so far."""
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[success]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def count_outcomes(messages: Iterable[Message], name: str, total: int, progress: Progress) -> Iterator[Message]:
    """The same messages, counted on a line of their own."""
    line = progress.add_task(name, total=total, success="")
    known, errors = [], 0
    for message in messages:
        if isinstance(message, Outcome):
            if message.result.error is None:
                known.append(message.result.success)
            else:
                errors += 1
            progress.update(line, advance=1, success=_so_far(known, errors))
        yield message


def _so_far(known: list[bool], errors: int) -> str:
    success = f"{sum(known) / len(known):4.0%} success" if known else ""
    return f"{success} {errors} errors".strip() if errors else success

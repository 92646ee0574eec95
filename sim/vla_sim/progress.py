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
    outcomes = successes = 0
    for message in messages:
        if isinstance(message, Outcome):
            outcomes, successes = outcomes + 1, successes + message.result.success
            progress.update(line, advance=1, success=f"{successes / outcomes:4.0%} success")
        yield message

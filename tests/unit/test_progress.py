"""`vla.progress`: what is told of something long where no bar can move."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from vla.progress import told


def _told(answers: Iterator[bool], *, is_terminal: bool, completed: int = 3) -> list[str]:
    """What stands in the file when the block has ended."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=60)
    progress = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console)
    progress.add_task("reading", total=8, completed=completed)
    with told(progress, lambda _: next(answers)):
        pass
    return file.getvalue().splitlines()


def test_without_a_terminal_a_line_is_written_now_and_then() -> None:
    lines = _told(iter([False, False, True]), is_terminal=False)
    assert lines[:2] == ["reading 3/8", "reading 3/8"]


def test_what_is_finished_is_not_told_again() -> None:
    assert "reading 8/8" not in _told(iter([False, True]), is_terminal=False, completed=8)


def test_on_a_terminal_the_bar_alone_tells() -> None:
    assert not any(line == "reading 3/8" for line in _told(iter([False, True]), is_terminal=True))

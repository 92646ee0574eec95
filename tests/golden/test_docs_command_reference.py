"""The reference of the commands is what `--help` prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vla import commands

HEAD = "# Commands\n\nWritten by `make freeze` from the docstrings of each command's configuration.\n"


def test_the_reference_is_what_help_prints(
    root: Path, capsys: pytest.CaptureFixture[str], agrees: Callable[[str, Path], None]
) -> None:
    page = HEAD
    for command in commands.COMMANDS:
        assert commands.main([*command.split(), "--help"]) == 0
        page += f"\n## vla {command}\n\n```\n{capsys.readouterr().out.strip()}\n```\n"
    agrees(page, root / "docs" / "reference" / "commands.md")

"""The command line is an interface: its option names and types change on purpose only."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vla import commands

KEY = re.compile(r"^  (?P<name>[a-z_.]+): (?P<kind>.+?)  \((?:needed|default .*)\)$", re.MULTILINE)


def test_the_option_names_are_those_that_were_frozen(
    root: Path, capsys: pytest.CaptureFixture[str], agrees: Callable[[str, Path], None]
) -> None:
    names: dict[str, dict[str, str]] = {}
    for command in commands.COMMANDS:
        assert commands.main([*command.split(), "--help"]) == 0
        names[command] = {match["name"]: match["kind"] for match in KEY.finditer(capsys.readouterr().out)}
    assert all(names.values())
    agrees(json.dumps(names, indent=2) + "\n", root / "tests" / "golden" / "option_names.json")

"""What a run left behind, read back: `log.jsonl`, or what of it a killed run had written."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class RunLog:
    """The lines of a run's log, by kind."""

    folder: Path
    header: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    chunks: tuple[Mapping[str, Any], ...]
    end: Mapping[str, Any] | None
    """None if the run was killed."""
    events: tuple[Mapping[str, Any], ...] = ()
    """What an operator asked for, and what was told to them."""

    @classmethod
    def read(cls, folder: Path) -> RunLog:
        """Read a run's folder; a last line that was cut short by a kill is left out.

        Raises:
            ConfigError: if there is no log, or it is none of a run.
        """
        found = [path for path in (folder / "log.jsonl", folder / "log.jsonl.partial") if path.is_file()]
        if not found:
            raise ConfigError(f"there is no run at {folder}: neither log.jsonl nor log.jsonl.partial")
        lines = _parsed(found[0])
        if not lines or lines[0].get("kind") != "header":
            raise ConfigError(f"{found[0]} is no log of a run: it does not begin with a header")
        of = {
            kind: tuple(line for line in lines if line.get("kind") == kind)
            for kind in ("step", "chunk", "end", "event")
        }
        return cls(folder, lines[0], of["step"], of["chunk"], of["end"][-1] if of["end"] else None, of["event"])


def _parsed(path: Path) -> list[Mapping[str, Any]]:
    raw = path.read_text(encoding="utf-8").split("\n")
    parsed: list[Mapping[str, Any]] = []
    for number, line in enumerate(raw, 1):
        try:
            tree = json.loads(line) if line else None
        except ValueError as error:
            if number == len(raw):
                break  # the line that a kill cut short
            raise ConfigError(f"{path}, line {number}, is not JSON: {error}") from error
        if isinstance(tree, dict):
            parsed.append(tree)
    return parsed

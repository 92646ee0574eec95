"""A share of an evaluation's episodes, for one of several machines: `shard=2/8` is the second of eight."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from vla.errors import ConfigError

JOURNAL = "outcomes.jsonl"


@dataclasses.dataclass(frozen=True)
class Shard:
    """Every `of`-th of a run's episodes, from number `number` on; together the shards are all of them, once."""

    number: int
    """From 1 to `of`."""
    of: int

    @staticmethod
    def parse(text: str) -> Shard:
        """From `i/n`.

        Raises:
            ConfigError: unless 1 <= i <= n.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"shard is i/n with i from 1 to n, as 2/8; got '{text}'")
        return Shard(int(match[1]), int(match[2]))

    def of_all[T](self, items: tuple[T, ...]) -> tuple[T, ...]:
        """This shard's share."""
        return items[self.number - 1 :: self.of]

    @property
    def file_name(self) -> str:
        """Of its outcomes."""
        return f"outcomes-{self.number}-of-{self.of}.jsonl"


def journals_in(folder: Path) -> list[Path]:
    """The files of outcomes in a folder, by name: of a whole evaluation, and of shards."""
    return sorted(path for path in (folder / JOURNAL, *folder.glob("outcomes-*-of-*.jsonl")) if path.is_file())

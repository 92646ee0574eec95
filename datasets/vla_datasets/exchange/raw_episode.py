"""What every reader of a foreign format gives: arrays under their own names, not yet anyone's embodiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8


@dataclasses.dataclass(frozen=True, slots=True)
class SourceField:
    """One array that every episode of a source has."""

    dtype: str
    shape: tuple[int, ...]
    """Of one step."""
    names: tuple[str, ...] = ()
    """Of its numbers, if the source names them."""


@dataclasses.dataclass(frozen=True)
class RawEpisode:
    """One episode as it lies in its source. Row `t` of every array belongs to the same step."""

    index: int
    """Its number in the source."""
    arrays: Mapping[str, np.ndarray]
    """All that are not pictures, by the source's own names (`observation.state`, `obs/joint_states`, ...)."""
    images: Mapping[str, UInt8[np.ndarray, "steps height width 3"]]
    """RGB as stored in the source: neither turned nor scaled."""
    instruction: str
    """Empty if the source has none."""
    task: str
    """Empty if the source names none."""
    success: bool | None
    """None if the source does not say."""
    times_s: Float64[np.ndarray, " steps"] | None
    """None if the source has no times; then the embodiment's control rate decides."""


@runtime_checkable
class SourceReader(Protocol):
    """A foreign dataset that has been opened and whose structure has been checked."""

    @property
    def path(self) -> Path: ...

    @property
    def fields(self) -> Mapping[str, SourceField]:
        """Every array and picture stream, by name: what a mapping can refer to."""
        ...

    @property
    def control_hz(self) -> float | None:
        """If the source says."""
        ...

    def __len__(self) -> int:
        """Episodes."""
        ...

    def __iter__(self) -> Iterator[RawEpisode]:
        """The episodes in the source's order, one in memory at a time.

        Raises:
            DataError: naming the file and what is wrong with it.
        """
        ...

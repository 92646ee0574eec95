"""The samples of a mixture by position: a map-style dataset that opens its sources where it is read.

It travels to worker processes without open files or loaded data; each opens what it is asked for, once.
"""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from vla.errors import ConfigError, DataError, VlaError
from vla_datasets.mixing.mixture import Draw, Mixture, Source
from vla_datasets.mixing.sources import OpenMixture


@dataclasses.dataclass(frozen=True)
class MixedSample[T]:
    """A sample, and where in the stream it stands."""

    draw: Draw
    value: T


class MixtureDataset[T]:
    """What stands at each position of a mixture's stream; it has no end.

    A class of this shape is what `torch.utils.data.DataLoader` calls map-style: give it positions by a sampler.
    """

    def __init__(
        self,
        mixture: Mixture,
        openers: Sequence[Callable[[], Source[Any]]],
        prepare: Callable[[MixedSample[Any]], T] | None = None,
    ) -> None:
        """Of a mixture and what opens each of its sources.

        Args:
            openers: in the order of the mixture's sources; they travel to workers.
            prepare: what to make of a sample, in the worker; it travels there too, and has to give the same for the
                same sample. The sample itself if not given.
        """
        if len(openers) != len(mixture.sources):
            raise ConfigError(f"a mixture of {len(mixture.sources)} sources needs as many openers, got {len(openers)}")
        self.mixture, self._openers, self._prepare = mixture, tuple(openers), prepare
        self._opened: dict[int, Source[Any]] = {}

    @staticmethod
    def of(opened: OpenMixture, prepare: Callable[[MixedSample[Any]], Any] | None = None) -> MixtureDataset[Any]:
        """The samples of a mixture that a configuration described."""
        return MixtureDataset(opened.mixture, opened.openers, prepare)

    def __getitem__(self, position: int) -> MixedSample[T]:
        """The sample at a position.

        Raises:
            DataError: naming source and item, whatever went wrong with it.
        """
        draw = self.mixture.draw(position)
        try:
            sample = MixedSample(draw, self._source(draw)[draw.item])
            return sample if self._prepare is None else MixedSample(draw, self._prepare(sample))
        except VlaError as error:
            raise DataError(f"{draw}: {error}") from error
        except Exception as error:  # of any library below: the sample's name must not be lost
            named = DataError(f"{draw}: {type(error).__name__}: {error}")
            named.add_note(traceback.format_exc())
            raise named from error

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}}

    def _source(self, draw: Draw) -> Source[Any]:
        if draw.source not in self._opened:
            source = self._openers[draw.source]()
            if len(source) != self.mixture.sources[draw.source].length:
                known = self.mixture.sources[draw.source].length
                raise DataError(f"it has {len(source)} samples now, and had {known} when the mixture was made")
            self._opened[draw.source] = source
        return self._opened[draw.source]

"""A mixture from a configuration: which sources, where they lie, and how much of each.

MixtureConfig ─► each source opened once for its length ─► Mixture
              └► what opens a source again, in any process ─► MixtureDataset
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from vla.errors import ConfigError
from vla.files import sha256
from vla_datasets.mixing.mixture import Mixture, Source, SourceShare
from vla_datasets.mixing.text_lines import TextLines
from vla_datasets.store_frames import StoreFrames
from vla_datasets.web.corpora import CorpusConfig, open_corpus
from vla_datasets.web.shards import ShardCorpus


class SourceKind(enum.Enum):
    """What a source holds."""

    STORE = "store"
    """Episodes of a robot: its samples are frames with their action chunks."""
    WEB = "web"
    """Pictures, questions and answers."""
    TEXT = "text"
    """Questions and answers without pictures: a file of JSON lines."""


@dataclasses.dataclass
class SourceConfig:
    """One source of a mixture."""

    name: str = MISSING
    """What reports, losses and errors call it."""
    kind: SourceKind = MISSING
    path: str = MISSING
    """Episode store, folder or file."""
    weight: float = 1.0
    """Of its samples among all; only ratios count."""
    licence: str = ""
    """text, web: what to state for samples that give no licence."""
    corpus: CorpusConfig = dataclasses.field(default_factory=CorpusConfig)
    """web: the format, and what is what in it; name, path and licence stand above."""


@dataclasses.dataclass
class MixtureConfig:
    """Web, robot and language-only data as one stream."""

    sources: list[SourceConfig] = dataclasses.field(default_factory=list)
    """One or more."""
    horizon: int = 8
    """Actions in a chunk of robot samples."""
    seed: int = 0
    """Of each source's order."""


@dataclasses.dataclass(frozen=True)
class OpenMixture:
    """The stream, and what opens each of its sources where a sample is read."""

    mixture: Mixture
    openers: Sequence[Callable[[], Source[Any]]]


def open_mixture(config: MixtureConfig) -> OpenMixture:
    """The mixture that a configuration describes; every source is opened once, for its length and content.

    Raises:
        ConfigError: if a field is missing, or is given that its kind does not use.
        DataError, StoreError: naming what cannot be read.
    """
    openers = [functools.partial(open_source, source, config.horizon) for source in config.sources]
    opened = [opener() for opener in openers]
    shares = [
        SourceShare(source.name, len(held), float(source.weight), content_hash(held))
        for source, held in zip(config.sources, opened, strict=True)
    ]
    return OpenMixture(Mixture(shares, config.seed), openers)


def open_source(config: SourceConfig, horizon: int) -> Source[Any]:
    """One source: `RobotSample`s of a store, else `WebSample`s.

    Args:
        horizon: actions in a chunk of robot samples.

    Raises:
        ConfigError: if a field is given that this kind does not use.
        DataError, StoreError: naming what cannot be read.
    """
    _check_fields(config)
    match config.kind:
        case SourceKind.STORE:
            return StoreFrames([config.path], horizon, name=config.name)
        case SourceKind.WEB:
            return open_corpus(
                dataclasses.replace(config.corpus, name=config.name, path=config.path, licence=config.licence)
            )
        case SourceKind.TEXT:
            return TextLines(Path(config.path), config.licence, name=config.name)


def content_hash(source: Source[Any]) -> str:
    """What stands for a source's content: equal hashes, equal samples; empty where nothing short says so."""
    if isinstance(source, StoreFrames | TextLines):
        return source.sha256
    if isinstance(source, ShardCorpus) and all(shard.sha256 for shard in source.shards):
        return sha256("".join(shard.sha256 for shard in source.shards).encode())
    return ""


def _check_fields(config: SourceConfig) -> None:
    """A field that would do nothing is a mistake."""
    if config.kind is SourceKind.STORE and config.licence:
        raise ConfigError(f"source '{config.name}': episodes state their own licence, leave out licence=")
    if config.kind is not SourceKind.WEB and config.corpus != CorpusConfig():
        raise ConfigError(f"source '{config.name}' is of kind {config.kind.value}: corpus= is for web sources")
    corpus = config.corpus
    if (corpus.name, corpus.licence) != ("", "") or corpus.path != CorpusConfig().path:
        raise ConfigError(f"source '{config.name}': name, path and licence stand beside corpus, not in it")

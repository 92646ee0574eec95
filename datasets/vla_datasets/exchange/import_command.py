"""`vla data import`: episodes of a foreign dataset into a store, through a mapping that the user has reviewed.

    source ── draft=true ──► embodiment=FILE ── the user reviews it ──► out=STORE

An episode that is in the store already is skipped, so an import that was interrupted goes on where it stopped. An
export of ours says itself what it is, and needs no mapping.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from omegaconf import MISSING
from rich.console import Console
from rich.progress import track

from vla import cli
from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.files import sha256, write_atomically
from vla.interfaces import Episode
from vla_datasets.exchange.mapping import apply
from vla_datasets.exchange.mapping_draft import draft
from vla_datasets.exchange.mapping_file import PLACEHOLDER, load_mapping
from vla_datasets.exchange.raw_episode import RawEpisode, SourceReader
from vla_datasets.exchange.source_formats import SourceFormat, open_source
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore


@dataclasses.dataclass
class ImportConfig:
    """Bring a dataset of others into an episode store, or draft the mapping that this needs.

    Example: vla data import format=lerobot source=so101_pick embodiment=so101.yaml out=data/so101_pick
    """

    format: SourceFormat = MISSING
    """What the source is written as."""
    source: Path = MISSING
    """Its folder or file."""
    embodiment: Path | None = None
    """The mapping's file. An export of ours needs none."""
    out: str = ""
    """The episode store to append to; made if it is absent."""
    image_codec: ImageCodec | None = None
    """How the store keeps pictures: `lossless`, `jpeg` or `video`; a store that is there keeps its own, a new one is
    lossless if none is given. Films of others are best kept as `video`."""
    draft: bool = False
    """Whether to write a first draft of the mapping to embodiment=, and import nothing."""
    name: str = ""
    """What the source is called in the store; the name of its folder or file if empty."""


@runtime_checkable
class RandomAccess(Protocol):
    """A reader that can begin anywhere."""

    def read(self, position: int) -> RawEpisode: ...

    def index_of(self, position: int) -> int:
        """The episode's number in the source."""
        ...


@dataclasses.dataclass(frozen=True)
class Plan:
    """How episodes of one source become those of one store."""

    embodiment: Embodiment
    metadata: dict[str, Any]
    key: Callable[[int], tuple[int, str]]
    """Seed and source of the episode of this number."""
    convert: Callable[[RawEpisode], Episode]


def main(arguments: Sequence[str]) -> int:
    """Run `vla data import`; the exit status."""
    return cli.run("data import", ImportConfig, import_data, arguments)


def import_data(config: ImportConfig) -> int:
    """Import what is not in the store yet, or write a draft; 0.

    Raises:
        VlaError: naming what cannot be read or is not as the mapping says; episodes before it are in the store.
    """
    reader = open_source(config.format, config.source)
    if config.draft:
        return _write_draft(config, reader)
    if not config.out:
        raise ConfigError("'vla data import' needs out=<store>: the episode store to append to")
    plan = _plan(config)
    store = EpisodeStore.open_or_create(config.out, plan.embodiment, plan.metadata, config.image_codec)
    present = {(row.seed, row.source) for row in store.index()}
    added = 0
    episodes = _remaining(reader, plan, present)
    for raw in track(episodes, "episodes", total=len(reader), console=Console(stderr=True)):
        if raw is not None:
            store.append(plan.convert(raw))
            added += 1
    print(f"{config.out}: {added} episodes imported, {len(reader) - added} were there already")
    return 0


def _write_draft(config: ImportConfig, reader: SourceReader) -> int:
    if config.embodiment is None:
        raise ConfigError("draft=true needs embodiment=<path>: the file to write the draft to")
    if config.embodiment.exists():
        raise ConfigError(f"embodiment={config.embodiment} is there already: a draft does not replace it")
    text = draft(reader)
    config.embodiment.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(config.embodiment, text)
    count = sum(PLACEHOLDER in line.partition("#")[0] for line in text.splitlines())
    print(f"{config.embodiment}: replace {count} times {PLACEHOLDER}, then import without draft=true")
    return 0


def _plan(config: ImportConfig) -> Plan:
    if config.embodiment is not None:
        return _mapped(config, config.embodiment)
    plan = _own_export(config.source) if config.format is SourceFormat.LEROBOT else None
    if plan is None:
        raise ConfigError(
            f"{config.source} does not say what robot it is of: give embodiment=<path>; draft=true writes a first draft"
        )
    return plan


def _mapped(config: ImportConfig, path: Path) -> Plan:
    mapping = load_mapping(path)
    name = config.name or config.source.resolve().name
    source = f"{config.format.value}:{name}"
    metadata = {"imported": {"source": source, "mapping_sha256": sha256(path.read_bytes())}}
    return Plan(
        embodiment=mapping.embodiment,
        metadata=metadata,
        key=lambda index: (index, source),
        convert=lambda raw: apply(raw, mapping, source=source, seed=raw.index),
    )


def _own_export(folder: Path) -> Plan | None:
    from vla_datasets.exchange.lerobot_sidecar import open_sidecar

    sidecar = open_sidecar(folder)
    if sidecar is None:
        return None
    return Plan(sidecar.embodiment, dict(sidecar.metadata), key=sidecar.key, convert=sidecar.episode)


def _remaining(reader: SourceReader, plan: Plan, present: Collection[tuple[int, str]]) -> Iterator[RawEpisode | None]:
    """The episodes of the source; None for each that is in the store, unread where the reader can skip."""
    if isinstance(reader, RandomAccess):
        for position in range(len(reader)):
            yield None if plan.key(reader.index_of(position)) in present else reader.read(position)
        return
    for raw in reader:
        yield None if plan.key(raw.index) in present else raw

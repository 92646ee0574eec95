"""The episode store: Zarr v3 on a local disk, one group an episode, each committed whole.

    <store>/
      zarr.json                  format, embodiment, metadata
      episodes/<id>/             one episode, see `vla_datasets.episode_files`
      .staging-*/                being written, or left by a killed writer; never read

An episode is there or it is not: it appears by one rename after every file of it was written and synced.
Every read is compared with the checksums of the episode's manifest, so a missing, short or altered chunk is an
error and never a frame of zeros. Many processes may append at once. See `docs/reference/store-format.md`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import MemoryStore

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import StoreError
from vla.interfaces import Episode
from vla_datasets.commits import clean_staging, commit_folder, read_checked
from vla_datasets.episode_files import MANIFEST_FILE, decode_episode, encode_episode, open_manifest, seal
from vla_datasets.upkeep import faults_of_files, foreign_entries, foreign_files, has_writer, move_out, staging_folders

FORMAT = "vla-episode-store"
VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class EpisodeRow:
    """What the index knows of an episode without reading its arrays."""

    id: str
    task: str
    seed: int
    source: str
    success: bool
    num_steps: int
    instruction: str
    licence: str


class EpisodeStore:
    """Episodes of one embodiment in one folder; at most one for each (task, seed, source)."""

    def __init__(self, path: Path, embodiment: Embodiment, metadata: Mapping[str, Any]):
        """Use `create`, `open` or `open_or_create`."""
        self.path = path
        self.embodiment = embodiment
        self.metadata = metadata
        self._manifests: dict[str, dict[str, Any]] = {}  # committed manifests never change

    @staticmethod
    def create(path: str | Path, embodiment: Embodiment, metadata: Mapping[str, Any] | None = None) -> EpisodeStore:
        """A new store without episodes.

        Args:
            metadata: JSON values that say how the episodes came to be: render settings, horizon of labels, ...

        Raises:
            StoreError: if `path` is already there and not an empty folder.
        """
        path, metadata = Path(path), _as_json(metadata or {})
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            commit_folder(path, _root_files(embodiment, metadata), staging_in=path.parent)
        except FileExistsError:
            raise StoreError(f"{path} is already there: open it, or choose another folder") from None
        return EpisodeStore(path, embodiment, metadata)

    @staticmethod
    def open(path: str | Path, embodiment: Embodiment | None = None, *, may_be_empty: bool = False) -> EpisodeStore:
        """The store at `path`, to read from.

        Args:
            embodiment: what the reader needs; any will do if not given.
            may_be_empty: whether a store without episodes will do.

        Raises:
            StoreError: if there is no store, or there are no episodes in it.
            EmbodimentMismatch: if the store is for another embodiment.
        """
        store = _open_root(Path(path))
        if embodiment is not None:
            require_same_embodiment(embodiment, store.embodiment, expected_name="the reader", got_name=f"store {path}")
        if not len(store) and not may_be_empty:
            raise StoreError(f"the episode store {path} is empty: `vla collect out={path}` fills it")
        return store

    @staticmethod
    def open_or_create(
        path: str | Path, embodiment: Embodiment, metadata: Mapping[str, Any] | None = None
    ) -> EpisodeStore:
        """The store at `path`, to append to; made if it is absent, and it may be without episodes.

        Raises:
            StoreError: if the folder holds something else, or a store with other metadata.
            EmbodimentMismatch: if the store is for another embodiment.
        """
        try:
            return EpisodeStore.create(path, embodiment, metadata)
        except StoreError:
            store = _open_root(Path(path))
        require_same_embodiment(store.embodiment, embodiment, expected_name=f"store {path}", got_name="the writer")
        if metadata is not None:
            _require_same_metadata(store, _as_json(metadata))
        return store

    def append(self, episode: Episode) -> str:
        """Commit one episode; its id. Safe with many processes at once, and when killed at any moment.

        Raises:
            EmbodimentMismatch: if the episode is of another embodiment.
            ObservationError, ActionError: if an array has a wrong shape or is not finite.
            StoreError: if the store has an episode of this task, seed and source already.
        """
        require_same_embodiment(
            self.embodiment, episode.embodiment, expected_name=f"store {self.path}", got_name="the episode"
        )
        key = episode_id(episode.task, episode.seed, episode.source)
        try:
            commit_folder(self._folder(key), encode_episode(episode), staging_in=self.path)
        except FileExistsError:
            raise StoreError(
                f"store {self.path} has an episode of '{episode.task}', seed {episode.seed}, "
                f"source '{episode.source}' already"
            ) from None
        return key

    def read(self, key: str) -> Episode:
        """The episode, every file of it compared with its checksum.

        Raises:
            StoreError: naming the file that is missing, short or altered, or the id that does not exist.
        """
        manifest = self._manifest(key)
        return decode_episode(read_checked(self._folder(key), manifest["files"]), manifest, self.embodiment)

    def contains(self, task: str, seed: int, source: str) -> bool:
        """Whether this episode is committed."""
        return self._folder(episode_id(task, seed, source)).is_dir()

    def index(self) -> list[EpisodeRow]:
        """A row for each committed episode, by task, seed and source, whatever order they were written in."""
        rows = [_row(key, self._manifest(key)) for key in self._committed()]
        return sorted(rows, key=lambda row: (row.task, row.seed, row.source))

    def keys(self) -> list[str]:
        """The ids of all committed episodes, in the order of `index`."""
        return [row.id for row in self.index()]

    def committed(self) -> list[str]:
        """The ids of all committed episodes, damaged ones too, in the order of their names: no manifest is read."""
        return sorted(self._committed())

    def row(self, key: str) -> EpisodeRow:
        """What the index says of one episode.

        Raises:
            StoreError: if the episode does not exist, or its manifest is altered.
        """
        return _row(key, self._manifest(key))

    def digest(self, key: str) -> str:
        """64 hexadecimal digits that stand for every byte of an episode: the SHA-256 of its manifest."""
        return seal(self._manifest(key))["manifest_sha256"]

    def file_sizes(self, key: str) -> dict[str, int]:
        """The length in bytes of each file of an episode, by path inside its folder; the manifest's own is not in it."""
        return {name: promised["bytes"] for name, promised in self._manifest(key)["files"].items()}

    def verify(self, key: str) -> list[str]:
        """A line for each file of an episode that is missing, short or altered; none if it is whole.

        Every byte is read, and nothing decoded.
        """
        try:
            return faults_of_files(self._folder(key), self._read_manifest(key))
        except StoreError as error:
            return [str(error)]

    def foreign(self, key: str | None = None) -> list[str]:
        """What lies in the store, or in the folder of one whole episode, and is no part of it; paths inside the store."""
        if key is None:
            return foreign_entries(self.path)
        return [f"episodes/{key}/{name}" for name in foreign_files(self._folder(key), self._manifest(key))]

    def uncommitted(self) -> list[str]:
        """The names of episodes that are being written, or that killed writers left."""
        return staging_folders(self.path)

    def is_being_written(self) -> bool:
        """Whether a process is writing an episode at this moment."""
        return has_writer(self.path)

    def move_out(self, names: Sequence[str], folder: Path) -> list[Path]:
        """Move entries of the store (`episodes/ID`, or as `foreign` and `uncommitted` name them) into a folder.

        Nothing is deleted, nor anything in `folder` written over. Waits until no writer is at work.

        Args:
            folder: on the store's file system; made if it is absent.

        Returns:
            Where they are now.
        """
        return move_out(self.path, names, folder)

    def clean_staging(self) -> int:
        """Delete what killed writers left; how many folders that was. Live writers are left alone."""
        return clean_staging(self.path)

    def __len__(self) -> int:
        return len(self._committed())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def _committed(self) -> list[str]:
        with os.scandir(self.path / "episodes") as entries:
            return [entry.name for entry in entries if entry.is_dir()]

    def _folder(self, key: str) -> Path:
        return self.path / "episodes" / key

    def _manifest(self, key: str) -> dict[str, Any]:
        if key not in self._manifests:
            self._manifests[key] = self._read_manifest(key)
        return self._manifests[key]

    def _read_manifest(self, key: str) -> dict[str, Any]:
        if key in ("", ".", "..") or "/" in key or not self._folder(key).is_dir():
            raise StoreError(f"store {self.path} has no episode '{key}'")
        file = self._folder(key) / MANIFEST_FILE
        try:
            manifest = open_manifest(file.read_bytes(), str(file))
        except FileNotFoundError:
            raise StoreError(f"{file} is missing: the episode is not whole") from None
        if manifest["embodiment"] != self.embodiment.fingerprint:
            raise StoreError(f"{file} is of embodiment {manifest['embodiment'][:12]}, not of its store's")
        if episode_id(manifest["task"], manifest["seed"], manifest["source"]) != key:
            raise StoreError(f"{file} belongs to another episode: {manifest['task']}, seed {manifest['seed']}")
        return manifest


def episode_id(task: str, seed: int, source: str) -> str:
    """The name of an episode's folder: `push_to_pad-0000000007-scripted`."""
    return f"{_file_name(task)}-{seed:010d}-{_file_name(source)}"


def _file_name(text: str) -> str:
    """`text` if it is plain; otherwise its plain letters and a hash that keeps it apart from all others."""
    plain = re.sub(r"[^a-z0-9_]+", "_", text.lower())[:40]
    return plain if plain == text else f"{plain}.{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _row(key: str, manifest: Mapping[str, Any]) -> EpisodeRow:
    names = [field.name for field in dataclasses.fields(EpisodeRow) if field.name != "id"]
    return EpisodeRow(id=key, **{name: manifest[name] for name in names})


def _as_json(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(metadata), allow_nan=False))


def _require_same_metadata(store: EpisodeStore, wanted: Mapping[str, Any]) -> None:
    own = store.metadata
    lines = [
        f"{k}: {own.get(k)!r} against {wanted.get(k)!r}"
        for k in sorted(own.keys() | wanted.keys())
        if own.get(k) != wanted.get(k)
    ]
    if lines:
        raise StoreError(f"store {store.path} was made otherwise, choose another folder: {'; '.join(lines)}")


def _root_files(embodiment: Embodiment, metadata: Mapping[str, Any]) -> dict[str, bytes]:
    buffers: dict[str, Any] = {}
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "embodiment": embodiment.to_json(),
        "fingerprint": embodiment.fingerprint,
        "metadata": metadata,
    }
    zarr.create_group(MemoryStore(buffers), attributes=attributes).create_group("episodes")
    return {name: buffer.to_bytes() for name, buffer in buffers.items()}


def _open_root(path: Path) -> EpisodeStore:
    file = path / "zarr.json"
    if not file.is_file():
        what = "the folder holds something else" if path.exists() else f"`vla collect out={path}` makes one"
        raise StoreError(f"there is no episode store at {path}: {what}")
    try:
        root = json.loads(file.read_bytes())["attributes"]
        if (root["format"], root["version"]) != (FORMAT, VERSION):
            raise StoreError(f"{file} is written as {root['format']} {root['version']}, not {FORMAT} {VERSION}")
        embodiment = Embodiment.from_json(root["embodiment"])
        metadata, fingerprint = dict(root["metadata"]), root["fingerprint"]
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is altered: it is not the head of an episode store") from None
    if embodiment.fingerprint != fingerprint:
        raise StoreError(f"{file} is altered: its embodiment does not have the fingerprint beside it")
    return EpisodeStore(path, embodiment, metadata)

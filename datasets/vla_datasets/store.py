"""The episode store: Zarr v3 in a folder or a bucket, one group an episode, each committed whole.

    <store>/
      zarr.json                  format, embodiment, image codec, metadata
      episodes/<id>/             one episode, see `vla_datasets.episode_files`
      .staging-*/                being written, or left by a killed writer; never read

An episode is there or it is not: it appears by one rename after every file of it was written and synced.
Every read is compared with a checksum: a whole episode with the SHA-256s of its manifest, a single frame with the
CRC-32C of its chunk. So a missing, short or altered chunk is an error and never a frame of zeros. Many processes may
append and read at once. See `docs/reference/store-format.md`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import StoreError
from vla.interfaces import Episode
from vla_datasets.commits import check_content
from vla_datasets.episode_files import (
    MANIFEST_FILE,
    decode_episode,
    decode_numbers,
    encode_episode,
    image_reader,
    open_manifest,
)
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.shards import SHARD_NAME, ShardReader
from vla_datasets.storage import EPISODES, LocalStorage, Storage, Uncommitted, storage_at

FORMAT = "vla-episode-store"
VERSION = 2


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
    """Episodes of one embodiment in one place; at most one for each (task, seed, source)."""

    def __init__(self, storage: Storage, embodiment: Embodiment, metadata: Mapping[str, Any], codec: ImageCodec):
        """Use `create`, `open` or `open_or_create`."""
        self.storage = storage
        self.embodiment = embodiment
        self.metadata = metadata
        self.image_codec = codec
        self._manifests: dict[str, dict[str, Any]] = {}  # committed manifests never change

    @property
    def name(self) -> str:
        """Path or address, for messages."""
        return self.storage.name

    @property
    def path(self) -> Path:
        """The store's folder.

        Raises:
            StoreError: if it is in a bucket.
        """
        if not isinstance(self.storage, LocalStorage):
            raise StoreError(f"{self.name} is not a folder of this machine: copy it, or read it through EpisodeStore")
        return self.storage.path

    @staticmethod
    def create(
        address: str | Path | Storage,
        embodiment: Embodiment,
        metadata: Mapping[str, Any] | None = None,
        image_codec: ImageCodec = ImageCodec.LOSSLESS,
    ) -> EpisodeStore:
        """A new store without episodes.

        Args:
            address: a folder, or a bucket such as `s3://bucket/store`.
            metadata: JSON values that say how the episodes came to be: render settings, horizon of labels, ...
            image_codec: how pictures are kept.

        Raises:
            StoreError: if `address` is already there and not an empty folder.
        """
        storage, metadata = _storage(address), _as_json(metadata or {})
        try:
            storage.create(_root_files(embodiment, metadata, image_codec))
        except FileExistsError:
            raise StoreError(f"{storage.name} is already there: open it, or choose another folder") from None
        return EpisodeStore(storage, embodiment, metadata, image_codec)

    @staticmethod
    def open(
        address: str | Path | Storage, embodiment: Embodiment | None = None, *, may_be_empty: bool = False
    ) -> EpisodeStore:
        """The store at `address`, to read from.

        Args:
            embodiment: what the reader needs; any will do if not given.
            may_be_empty: whether a store without episodes will do.

        Raises:
            StoreError: if there is no store, or there are no episodes in it.
            EmbodimentMismatch: if the store is for another embodiment.
        """
        store = _open_root(_storage(address))
        if embodiment is not None:
            require_same_embodiment(
                embodiment, store.embodiment, expected_name="the reader", got_name=f"store {store.name}"
            )
        if not may_be_empty and not len(store):
            raise StoreError(f"the episode store {store.name} is empty: `vla collect out={store.name}` fills it")
        return store

    @staticmethod
    def open_or_create(
        address: str | Path | Storage,
        embodiment: Embodiment,
        metadata: Mapping[str, Any] | None = None,
        image_codec: ImageCodec | None = None,
    ) -> EpisodeStore:
        """The store at `address`, to append to; made if it is absent, and it may be without episodes.

        Args:
            metadata: any will do if not given.
            image_codec: any will do if not given; a new store is lossless then.

        Raises:
            StoreError: if the folder holds something else, or a store with other metadata or another codec.
            EmbodimentMismatch: if the store is for another embodiment.
        """
        storage = _storage(address)
        try:
            return EpisodeStore.create(storage, embodiment, metadata, image_codec or ImageCodec.LOSSLESS)
        except StoreError:
            store = _open_root(storage)
        require_same_embodiment(
            store.embodiment, embodiment, expected_name=f"store {store.name}", got_name="the writer"
        )
        if metadata is not None:
            _require_same_metadata(store, _as_json(metadata))
        if image_codec not in (None, store.image_codec):
            raise StoreError(f"store {store.name} keeps pictures as '{store.image_codec.value}': choose another folder")
        return store

    def append(self, episode: Episode) -> str:
        """Commit one episode; its id. Safe with many processes at once, and when killed at any moment.

        Raises:
            EmbodimentMismatch: if the episode is of another embodiment.
            ObservationError, ActionError: if an array has a wrong shape or is not finite.
            StoreError: if the store has an episode of this task, seed and source already.
        """
        self.require_own(episode.embodiment)
        key = episode_id(episode.task, episode.seed, episode.source)
        try:
            self.storage.commit(key, encode_episode(episode, self.image_codec))
        except FileExistsError:
            raise self.already_there(episode.task, episode.seed, episode.source) from None
        return key

    def read(self, key: str) -> Episode:
        """The episode, every file of it compared with its checksum.

        Raises:
            StoreError: naming the file that is missing, short or altered, or the id that does not exist.
        """
        manifest = self._manifest(key)
        files = {name: self._read_checked(key, name, manifest) for name in manifest["files"]}
        return decode_episode(files, manifest, self.embodiment)

    def numbers(self, key: str) -> dict[str, np.ndarray]:
        """All arrays of an episode but its pictures, compared with their checksums; labels begin with `labels.`.

        Raises:
            StoreError: as `read` does.
        """
        manifest = self._manifest(key)
        own = [name for name in manifest["files"] if name.startswith("numbers/")]
        return decode_numbers({name: self._read_checked(key, name, manifest) for name in own})

    def frames(self, key: str, camera: str) -> ShardReader:
        """Any frame of one camera of an episode, without reading the others.

        Raises:
            StoreError: if the file is missing or its index altered.
        """
        manifest, name = self._manifest(key), f"{EPISODES}/{key}/image_{camera}/{SHARD_NAME}"
        try:
            size, read = self.storage.size(name), _range_reader(self.storage, name)
        except FileNotFoundError:
            raise StoreError(f"{self.name}/{name} is missing") from None
        return image_reader(camera, manifest, self.embodiment, size, read, f"{self.name}/{name}")

    def frame(self, key: str, camera: str, step: int) -> UInt8[np.ndarray, "height width 3"]:
        """One picture; `frames` is quicker for several of one episode."""
        return self.frames(key, camera).frame(step)

    def row(self, key: str) -> EpisodeRow:
        """What the index says of one episode."""
        return _row(key, self._manifest(key))

    def contains(self, task: str, seed: int, source: str) -> bool:
        """Whether this episode is committed."""
        return self.storage.contains(episode_id(task, seed, source))

    def index(self) -> list[EpisodeRow]:
        """A row for each committed episode, by task, seed and source, whatever order they were written in."""
        rows = [_row(key, self._manifest(key)) for key in self.storage.episodes()]
        return sorted(rows, key=lambda row: (row.task, row.seed, row.source))

    def keys(self) -> list[str]:
        """The ids of all committed episodes, in the order of `index`."""
        return [row.id for row in self.index()]

    def uncommitted(self) -> list[Uncommitted]:
        """Episodes that were begun and are not in the store."""
        return self.storage.uncommitted()

    def clean_staging(self) -> int:
        """Delete what killed writers left; how many episodes that was. Live writers are left alone."""
        return self.storage.clean()

    def require_own(self, embodiment: Embodiment) -> None:
        """Return if an episode of this embodiment may be appended.

        Raises:
            EmbodimentMismatch: naming the differences.
        """
        require_same_embodiment(self.embodiment, embodiment, expected_name=f"store {self.name}", got_name="the episode")

    def already_there(self, task: str, seed: int, source: str) -> StoreError:
        """The error that says so."""
        return StoreError(f"store {self.name} has an episode of '{task}', seed {seed}, source '{source}' already")

    def __len__(self) -> int:
        return len(self.storage.episodes())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def _read_checked(self, key: str, name: str, manifest: Mapping[str, Any]) -> bytes:
        where = f"{self.name}/{EPISODES}/{key}"
        return check_content(
            where, name, manifest["files"][name], lambda: self.storage.read(f"{EPISODES}/{key}/{name}")
        )

    def _manifest(self, key: str) -> dict[str, Any]:
        if key not in self._manifests:
            self._manifests[key] = self._read_manifest(key)
        return self._manifests[key]

    def _read_manifest(self, key: str) -> dict[str, Any]:
        if key in ("", ".", "..") or "/" in key or not self.storage.contains(key):
            raise StoreError(f"store {self.name} has no episode '{key}'")
        name = f"{EPISODES}/{key}/{MANIFEST_FILE}"
        file = f"{self.name}/{name}"
        try:
            manifest = open_manifest(self.storage.read(name), file)
        except FileNotFoundError:
            raise StoreError(f"{file} is missing: the episode is not whole") from None
        if manifest["embodiment"] != self.embodiment.fingerprint:
            raise StoreError(f"{file} is of embodiment {manifest['embodiment'][:12]}, not of its store's")
        if episode_id(manifest["task"], manifest["seed"], manifest["source"]) != key:
            raise StoreError(f"{file} belongs to another episode: {manifest['task']}, seed {manifest['seed']}")
        return manifest


def _storage(address: str | Path | Storage) -> Storage:
    return storage_at(address) if isinstance(address, str | Path) else address


def _range_reader(storage: Storage, name: str) -> Callable[[int, int], bytes]:
    return lambda start, length: storage.read_range(name, start, length)


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
        raise StoreError(f"store {store.name} was made otherwise, choose another folder: {'; '.join(lines)}")


def _root_files(embodiment: Embodiment, metadata: Mapping[str, Any], codec: ImageCodec) -> dict[str, bytes]:
    attributes = {
        "format": FORMAT,
        "version": VERSION,
        "embodiment": embodiment.to_json(),
        "fingerprint": embodiment.fingerprint,
        "image_codec": codec.value,
        "metadata": metadata,
    }
    sealed = {**attributes, "sha256": head_digest(attributes)}
    return {"zarr.json": _group(sealed), f"{EPISODES}/zarr.json": _group({})}


def head_digest(attributes: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of the head's attributes, `sha256` itself left out."""
    own = {name: value for name, value in attributes.items() if name != "sha256"}
    canonical = json.dumps(own, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _group(attributes: Mapping[str, Any]) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=2).encode()


def _open_root(storage: Storage) -> EpisodeStore:
    file = f"{storage.name}/zarr.json"
    try:
        content = storage.read("zarr.json")
    except (FileNotFoundError, NotADirectoryError):
        what = "the folder holds something else" if storage.exists() else f"`vla collect out={storage.name}` makes one"
        raise StoreError(f"there is no episode store at {storage.name}: {what}") from None
    try:
        root = json.loads(content)["attributes"]
        if (root["format"], root["version"]) != (FORMAT, VERSION):
            raise StoreError(f"{file} is written as {root['format']} {root['version']}, not {FORMAT} {VERSION}")
        embodiment, codec = Embodiment.from_json(root["embodiment"]), ImageCodec(root["image_codec"])
        metadata, fingerprint, digest = dict(root["metadata"]), root["fingerprint"], head_digest(root)
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is altered: it is not the head of an episode store") from None
    if embodiment.fingerprint != fingerprint:
        raise StoreError(f"{file} is altered: its embodiment does not have the fingerprint beside it")
    if root.get("sha256", digest) != digest:
        raise StoreError(f"{file} is altered: its SHA-256 is not the one beside it")
    return EpisodeStore(storage, embodiment, metadata, codec)

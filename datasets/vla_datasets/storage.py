"""Where a store lies: a folder of this machine, or a bucket.

    local     one rename commits an episode; the lock of a staging folder tells a living writer from a killed one
    object    a claim keeps others away, the arrays follow, and the manifest, put last, commits

Both hold the same files under the same names, so that a store can be copied from one to the other by any tool.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vla.errors import StoreError
from vla.libraries import require_library
from vla_datasets.commits import StagingFolder, clean_staging, commit_folder, staging_folders

EPISODES = "episodes"
MANIFEST = "zarr.json"
RECORDING = "recording.json"
"""In a staging folder: what is being recorded."""
_CLAIMS = "claims"


@dataclasses.dataclass(frozen=True, slots=True)
class Uncommitted:
    """An episode that was begun and is not in the store."""

    name: str
    is_live: bool
    """Whether its writer is at work; where that cannot be told, False."""
    about: Mapping[str, Any]
    """Task, seed, source and when it began, as far as known."""


@runtime_checkable
class Staging(Protocol):
    """A folder of this machine in which an episode comes to be."""

    @property
    def path(self) -> Path: ...

    def commit(self, episode: str) -> None:
        """Make the episode appear with all that was written.

        Raises:
            FileExistsError: if it is committed already, or another writer is at it.
        """
        ...

    def close(self) -> None:
        """Delete what was written, unless it was committed."""
        ...


@runtime_checkable
class Storage(Protocol):
    """The files of one store, by name with forward slashes."""

    @property
    def name(self) -> str:
        """Path or address, for messages."""
        ...

    def exists(self) -> bool:
        """Whether anything is there."""
        ...

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            FileNotFoundError: if there is none.
        """
        ...

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Some bytes of a file; fewer at its end."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            FileNotFoundError: if there is none.
        """
        ...

    def create(self, files: Mapping[str, bytes]) -> None:
        """Make the store itself appear.

        Raises:
            FileExistsError: if something is there.
        """
        ...

    def episodes(self) -> list[str]:
        """The names of all committed episodes."""
        ...

    def contains(self, episode: str) -> bool: ...

    def commit(self, episode: str, files: Mapping[str, bytes]) -> None:
        """Make an episode appear with all of `files`.

        Raises:
            FileExistsError: if it is committed, or another writer is at it.
        """
        ...

    def stage(self) -> Staging:
        """Where to write an episode that is not whole yet."""
        ...

    def uncommitted(self) -> list[Uncommitted]:
        """What was begun and not committed."""
        ...

    def clean(self) -> int:
        """Delete what killed writers left; how many episodes that was."""
        ...


def storage_at(address: str | Path) -> Storage:
    """The storage at a path, or at an address such as `s3://bucket/store`.

    Raises:
        ConfigError: if an address needs a library that is not installed, or is of an unknown kind.
    """
    text = str(address)
    return ObjectStorage(text) if "://" in text else LocalStorage(Path(text))


# --------------------------------------------------------------------------- this machine


class LocalStorage:
    """A folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self.path.exists()

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def read_range(self, name: str, start: int, length: int) -> bytes:
        descriptor = os.open(self.path / name, os.O_RDONLY)
        try:
            return os.pread(descriptor, length, start)
        finally:
            os.close(descriptor)

    def size(self, name: str) -> int:
        return (self.path / name).stat().st_size

    def create(self, files: Mapping[str, bytes]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        commit_folder(self.path, files, staging_in=self.path.parent)

    def episodes(self) -> list[str]:
        with os.scandir(self.path / EPISODES) as entries:
            return [entry.name for entry in entries if entry.is_dir()]

    def contains(self, episode: str) -> bool:
        return (self.path / EPISODES / episode).is_dir()

    def commit(self, episode: str, files: Mapping[str, bytes]) -> None:
        commit_folder(self.path / EPISODES / episode, files, staging_in=self.path)

    def stage(self) -> Staging:
        return _LocalStaging(self.path)

    def uncommitted(self) -> list[Uncommitted]:
        return [Uncommitted(staging.name, is_live, _about(staging)) for staging, is_live in staging_folders(self.path)]

    def clean(self) -> int:
        return clean_staging(self.path)


class _LocalStaging:
    def __init__(self, store: Path) -> None:
        self._store, self._folder = store, StagingFolder(store)

    @property
    def path(self) -> Path:
        return self._folder.path

    def commit(self, episode: str) -> None:
        self._folder.commit(self._store / EPISODES / episode)

    def close(self) -> None:
        self._folder.close()


def _about(staging: Path) -> dict[str, Any]:
    """Which episode it was to be: as its recorder noted, or, once that is done with, as its manifest says."""
    noted = _json(staging / RECORDING)
    if noted:
        return noted
    sealed = _json(staging / MANIFEST).get("attributes", {}).get("manifest", {})
    return {name: sealed[name] for name in ("task", "seed", "source") if name in sealed}


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; empty if there is none, or it was not written to its end."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


# --------------------------------------------------------------------------- a bucket


class ObjectStorage:
    """A prefix in a bucket, through `obstore`: S3, Google Cloud, Azure, or the memory of this process."""

    def __init__(self, address: str, store: Any = None) -> None:
        """Connect; credentials come from the environment, as the provider's own tools take them.

        Args:
            store: an `obstore` store to use instead of the one that the address names.
        """
        self._address = address
        self._store = store if store is not None else _connect(address)

    @property
    def name(self) -> str:
        return self._address

    def exists(self) -> bool:
        return self._has(MANIFEST)

    def read(self, name: str) -> bytes:
        return bytes(self._store.get(name).bytes())

    def read_range(self, name: str, start: int, length: int) -> bytes:
        return bytes(self._store.get_range(name, start=start, length=length))

    def size(self, name: str) -> int:
        return int(self._store.head(name)["size"])

    def create(self, files: Mapping[str, bytes]) -> None:
        if self.exists():
            raise FileExistsError(self._address)
        for name in sorted(files, key=lambda name: name == MANIFEST):
            self._put_new(name, files[name]) if name == MANIFEST else self._store.put(name, files[name])

    def episodes(self) -> list[str]:
        names = (item["path"] for batch in self._store.list(EPISODES) for item in batch)
        parts = (name.split("/") for name in names)
        return [part[1] for part in parts if len(part) == 3 and part[2] == MANIFEST]

    def contains(self, episode: str) -> bool:
        return self._has(f"{EPISODES}/{episode}/{MANIFEST}")

    def commit(self, episode: str, files: Mapping[str, bytes]) -> None:
        if self.contains(episode):
            raise FileExistsError(episode)
        claim = f"{_CLAIMS}/{episode}"
        self._put_new(claim, json.dumps({"began_s": time.time()}).encode())
        try:
            for name in sorted(files, key=lambda name: name == MANIFEST):
                self._store.put(f"{EPISODES}/{episode}/{name}", files[name])
        finally:
            self._store.delete(claim)

    def stage(self) -> Staging:
        return _UploadedStaging(self)

    def uncommitted(self) -> list[Uncommitted]:
        """Claims without a manifest. A bucket cannot tell whether the writer still lives."""
        claims = [item["path"].split("/")[1] for batch in self._store.list(_CLAIMS) for item in batch]
        return [Uncommitted(name, False, {}) for name in sorted(claims) if not self.contains(name)]

    def clean(self) -> int:
        """Delete claims and the arrays behind them: while nobody writes."""
        abandoned = self.uncommitted()
        for episode in abandoned:
            found = [i["path"] for batch in self._store.list(f"{EPISODES}/{episode.name}") for i in batch]
            self._store.delete([*found, f"{_CLAIMS}/{episode.name}"])
        return len(abandoned)

    def _has(self, name: str) -> bool:
        try:
            self._store.head(name)
        except FileNotFoundError:
            return False
        return True

    def _put_new(self, name: str, content: bytes) -> None:
        from obstore.exceptions import AlreadyExistsError

        try:
            self._store.put(name, content, mode="create")
        except AlreadyExistsError:
            raise FileExistsError(name) from None


class _UploadedStaging:
    """A temporary folder; it is uploaded whole."""

    def __init__(self, storage: ObjectStorage) -> None:
        self._storage, self.path = storage, Path(tempfile.mkdtemp(prefix="episode-"))

    def commit(self, episode: str) -> None:
        files = [path for path in self.path.rglob("*") if path.is_file()]
        self._storage.commit(episode, {path.relative_to(self.path).as_posix(): path.read_bytes() for path in files})

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _connect(address: str) -> Any:
    require_library("obstore.store", what=address, extra="cloud")
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    try:
        return from_url(address)
    except (BaseError, ValueError) as error:
        raise StoreError(f"{address} cannot be opened: {error}") from None

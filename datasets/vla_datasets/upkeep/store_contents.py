"""What lies in a store: whole, damaged, foreign; and moving it out of a local one, by one rename.

Nothing here decodes an array, and nothing deletes.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vla.errors import StoreError
from vla_datasets.commits import STAGING_PREFIX, check_content
from vla_datasets.episode_files import MANIFEST_FILE, open_manifest, seal
from vla_datasets.storage import EPISODES, LocalStorage
from vla_datasets.store import EpisodeStore

_OWN = {Path(MANIFEST_FILE), Path(EPISODES), Path(EPISODES) / MANIFEST_FILE}
_GROUP = {"zarr_format": 3, "node_type": "group"}


def committed(store: EpisodeStore) -> list[str]:
    """The ids of all committed episodes, damaged ones too, in the order of their names: no manifest is read."""
    return sorted(store.storage.episodes())


def faults(store: EpisodeStore, key: str) -> list[str]:
    """A line for each file of a committed episode that is missing, short or altered; none if it is whole.

    Every byte is read, and nothing decoded.
    """
    try:
        store.row(key)  # it is of this store, and under its own name
        return list(_faults_of_files(store, key))
    except StoreError as error:
        return [str(error)]
    except OSError as error:
        return [f"{_where(store, key)} cannot be read: {error.strerror or error}"]


def head_faults(store: EpisodeStore) -> list[str]:
    """A line for each file around the episodes that is missing, or is not as this package writes it."""
    return [told for name in (MANIFEST_FILE, f"{EPISODES}/{MANIFEST_FILE}") for told in _head_faults(store, name)]


def digest(store: EpisodeStore, key: str) -> str:
    """64 hexadecimal digits that stand for every byte of an episode: the SHA-256 of its manifest."""
    return seal(_manifest(store, key))["manifest_sha256"]


def file_sizes(store: EpisodeStore, key: str) -> dict[str, int]:
    """The length in bytes of each file that an episode's manifest lists, by path inside its folder."""
    return {name: promised["bytes"] for name, promised in _manifest(store, key)["files"].items()}


def foreign_files(store: EpisodeStore, key: str) -> list[str]:
    """Files in the folder of a whole episode that its manifest does not list; paths inside the store."""
    if not isinstance(store.storage, LocalStorage):
        return []
    own, folder = {MANIFEST_FILE, *file_sizes(store, key)}, store.path / EPISODES / key
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(f"{EPISODES}/{key}/{name}" for name in found if name not in own)


def foreign_entries(store: EpisodeStore) -> list[str]:
    """What is in a store's folder beside its head, its episodes and what is being written; paths inside the store."""
    if not isinstance(store.storage, LocalStorage):
        return []
    entries = [*store.path.iterdir(), *(path for path in (store.path / EPISODES).iterdir() if not path.is_dir())]
    names = (entry.relative_to(store.path) for entry in entries if not entry.name.startswith(STAGING_PREFIX))
    return sorted(name.as_posix() for name in names if name not in _OWN)


def move_out(store: EpisodeStore, names: Sequence[str], folder: Path) -> list[Path]:
    """Move entries of a local store into a folder on the same file system, each by one rename; where they are now.

    Nothing in the folder is written over: a name that is there already gets a number behind it.

    Args:
        names: paths inside the store, such as `episodes/ID`; what is not there any more is passed over.

    Raises:
        StoreError: if a name leads out of the store, or the store is in a bucket.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return list(_moved(store.path, names, folder))


def _moved(path: Path, names: Sequence[str], folder: Path) -> Iterator[Path]:
    for name in names:
        source = path / name
        if source == path or ".." in Path(name).parts or not source.is_relative_to(path):
            raise StoreError(f"'{name}' is not inside store {path}")
        if os.path.lexists(source):
            target = _free(folder / source.name)
            os.rename(source, target)
            yield target


def _free(path: Path) -> Path:
    """The path, or the first of `path.1`, `path.2`, ... that is not there."""
    number, free = 0, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.name}.{number}")
    return free


# --------------------------------------------------------------------------- files against their manifest


def _faults_of_files(store: EpisodeStore, key: str) -> Iterator[str]:
    where = _where(store, key)
    content = _manifest_file(store, key)
    for name, promised in open_manifest(content, f"{where}/{MANIFEST_FILE}")["files"].items():
        read = functools.partial(store.storage.read, f"{EPISODES}/{key}/{name}")
        try:
            check_content(where, name, promised, read)
        except StoreError as error:
            yield str(error)
        except OSError as error:
            yield f"{where}/{name} cannot be read: {error.strerror or error}"
    if not _is_as_written(content):
        yield f"{where}/{MANIFEST_FILE} is altered: beside its manifest it is not what was written"


def _is_as_written(content: bytes) -> bool:
    """Whether the file around a manifest whose seal holds is as this package writes it, byte for byte.

    The seal is over the manifest's values. What changes none of them, an é written in another way, shows here.
    """
    return _is_group(content) and len(json.loads(content)["attributes"]) == 2


def _head_faults(store: EpisodeStore, name: str) -> Iterator[str]:
    try:
        content = store.storage.read(name)
        if not _is_group(content):
            yield f"{store.name}/{name} is altered: it is not the group that was written"
        elif name == MANIFEST_FILE and "sha256" not in json.loads(content)["attributes"]:
            yield f"{store.name}/{name} has no SHA-256 of itself, so that damage to it may not show"
    except FileNotFoundError:
        yield f"{store.name}/{name} is missing: other Zarr readers will not find the episodes"


def _is_group(content: bytes) -> bool:
    """Whether this is a Zarr group with attributes, spelled as this package does."""
    try:
        tree = json.loads(content)
        around = {name: value for name, value in tree.items() if name != "attributes"}
        return around == _GROUP and "attributes" in tree and json.dumps(tree, indent=2).encode() == content
    except (ValueError, AttributeError):
        return False


def _manifest(store: EpisodeStore, key: str) -> Mapping[str, Any]:
    return open_manifest(_manifest_file(store, key), f"{_where(store, key)}/{MANIFEST_FILE}")


def _manifest_file(store: EpisodeStore, key: str) -> bytes:
    try:
        return store.storage.read(f"{EPISODES}/{key}/{MANIFEST_FILE}")
    except FileNotFoundError:
        raise StoreError(f"{_where(store, key)}/{MANIFEST_FILE} is missing: the episode is not whole") from None


def _where(store: EpisodeStore, key: str) -> str:
    return f"{store.name}/{EPISODES}/{key}"

"""What lies in a store's folder: committed, half written, foreign, damaged; and moving it out, whole, by one rename.

Nothing here decodes an array, and nothing deletes. Local disks.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vla.errors import StoreError
from vla_datasets.commits import STAGING_PREFIX, read_checked
from vla_datasets.episode_files import MANIFEST_FILE

_EPISODES = "episodes"
_OWN = {Path(MANIFEST_FILE), Path(_EPISODES), Path(_EPISODES) / MANIFEST_FILE}
_GROUP = {"zarr_format": 3, "node_type": "group"}


def faults_of_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """A line for each file of an episode that is missing, short or altered; none if it is whole.

    Args:
        folder: the episode's.
        manifest: the episode's, whose seal holds.
    """
    faults = _faults_of_group(folder / MANIFEST_FILE)
    for name, promised in manifest["files"].items():
        try:
            read_checked(folder, {name: promised})
        except StoreError as error:
            faults.append(str(error))
        except OSError as error:
            faults.append(f"{folder / name} cannot be read: {error.strerror}")
    return faults


def foreign_files(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Files in an episode's folder that its manifest does not promise, by path inside the folder."""
    own = {MANIFEST_FILE, *manifest["files"]}
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in found if name not in own)


def foreign_entries(store: Path) -> list[str]:
    """What is in a store's folder beside its head, its episodes and what is being written; paths inside the store."""
    entries = [*store.iterdir(), *(entry for entry in _entries(store / _EPISODES) if not entry.is_dir())]
    names = (entry.relative_to(store) for entry in entries if not entry.name.startswith(STAGING_PREFIX))
    return sorted(name.as_posix() for name in names if name not in _OWN)


def staging_folders(store: Path) -> list[str]:
    """The names of episodes that are being written, or that killed writers left."""
    return sorted(path.name for path in store.glob(f"{STAGING_PREFIX}*"))


def has_writer(store: Path) -> bool:
    """Whether a process is writing an episode at this moment."""
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def move_out(store: Path, names: Sequence[str], folder: Path) -> list[Path]:
    """Move entries of a store into a folder on the same file system, each by one rename; where they are now.

    A name that the folder has already gets a number behind it. No writer is at work meanwhile: it waits for them.

    Args:
        names: paths inside the store.

    Raises:
        StoreError: if a name leads out of the store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return list(_moved(store, names, folder))
    finally:
        os.close(descriptor)


def _moved(store: Path, names: Sequence[str], folder: Path) -> Iterator[Path]:
    for name in names:
        source = store / name
        if source == store or ".." in Path(name).parts or not source.is_relative_to(store):
            raise StoreError(f"'{name}' is not inside store {store}")
        if os.path.lexists(source):  # else its writer has finished or failed meanwhile
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


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _faults_of_group(file: Path) -> list[str]:
    """What is wrong with the group file around a manifest whose seal holds."""
    content = file.read_bytes()
    tree = json.loads(content)
    around = {name: value for name, value in tree.items() if name != "attributes"}
    # The seal is over the manifest's values: a byte that changes none of them, an é written otherwise, shows here.
    if around != _GROUP or len(tree["attributes"]) != 2 or json.dumps(tree, indent=2).encode() != content:
        return [f"{file} is altered: beside its manifest it is not what was written"]
    return []

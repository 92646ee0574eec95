"""A split as a file, which is refused for a store that is not the one that was split.

    {"format": "vla-split", ..., "fingerprint": SHA-256 of the parts, "parts": {"train": {ID: digest, ...}, ...}}

An episode's digest stands for every byte of it, so that a split is of these episodes and of no others by their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.errors import StoreError
from vla.files import write_atomically
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.splitting import Split
from vla_datasets.upkeep.store_contents import digest

FORMAT = "vla-split"
VERSION = 1


def save_split(path: Path, split: Split, store: EpisodeStore) -> None:
    """Write the split as JSON, with a digest of every episode."""
    parts = {part: {key: digest(store, key) for key in keys} for part, keys in split.parts.items()}
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "store": store.name,
        "embodiment": store.embodiment.fingerprint,
        "fingerprint": _fingerprint(parts),
        "by": split.by.value,
        "seed": split.seed,
        "shares": dict(split.shares),
        "units": split.num_units,
        "parts": parts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree, indent=1) + "\n")


def load_split(path: str | Path, store: EpisodeStore) -> dict[str, list[str]]:
    """The ids of the episodes in each part, if the store is the one that was split.

    Raises:
        StoreError: if the file is absent, altered or no split; or if the store has gained, lost or changed an episode.
    """
    tree = _read(Path(path))
    promised = {key: value for part in tree["parts"].values() for key, value in part.items()}
    found = {key: digest(store, key) for key in store}
    differing = {
        "gained": sorted(found.keys() - promised.keys()),
        "lost": sorted(promised.keys() - found.keys()),
        "changed": sorted(key for key in found.keys() & promised.keys() if found[key] != promised[key]),
    }
    told = [f"has {what} {len(keys)} episodes ({keys[0]}, ...)" for what, keys in differing.items() if keys]
    if told:
        raise StoreError(f"store {store.name} is not as split {path} found it: it {'; it '.join(told)}. Split it anew")
    return {part: sorted(keys) for part, keys in tree["parts"].items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
        kind = (tree["format"], tree["version"])
        is_sealed = kind != (FORMAT, VERSION) or tree["fingerprint"] == _fingerprint(tree["parts"])
    except FileNotFoundError:
        raise StoreError(f"there is no split at {path}: `vla data split` makes one") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{path} is no split of a store") from None
    if kind != (FORMAT, VERSION):
        raise StoreError(f"{path} is written as {kind[0]} {kind[1]}, this release reads {FORMAT} {VERSION}")
    if not is_sealed:
        raise StoreError(f"{path} is altered: its parts do not have the fingerprint beside them")
    return tree


def _fingerprint(parts: Mapping[str, Mapping[str, str]]) -> str:
    """SHA-256 of the parts: of which episodes, in which state, is in which."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

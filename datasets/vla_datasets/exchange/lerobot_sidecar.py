"""What our export keeps beside a LeRobot dataset, so that its import gives back equal episodes.

    meta/vla.json               embodiment, its fingerprint, the store's metadata
    meta/vla/episodes.parquet   a row an episode: task, seed, source, success, licence, exact times, labels

LeRobot looks at neither. Each row holds the SHA-256 of the episode's numbers: a dataset that was edited since is
refused, not mixed up.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla.embodiment import Embodiment
from vla.errors import DataError
from vla.interfaces import Episode
from vla_datasets.exchange.containment import file_inside
from vla_datasets.exchange.json_files import read_json
from vla_datasets.exchange.lerobot_format import ACTION, IMAGES_PREFIX, STATE
from vla_datasets.exchange.parquet_tables import naming
from vla_datasets.exchange.raw_episode import RawEpisode

HEAD_FILE = "meta/vla.json"
EPISODES_FILE = "meta/vla/episodes.parquet"
FORMAT = "vla-lerobot-sidecar"
VERSION = 1

_LABEL = pa.struct({"name": pa.string(), "dtype": pa.string(), "shape": pa.list_(pa.int64()), "data": pa.binary()})
_SCHEMA = pa.schema(
    {
        "task": pa.string(),
        "instruction": pa.string(),
        "seed": pa.int64(),
        "source": pa.string(),
        "success": pa.bool_(),
        "licence": pa.string(),
        "sha256": pa.string(),
        "times_s": pa.binary(),
        "labels": pa.list_(_LABEL),
    }
)


class SidecarWriter:
    """The sidecar of a dataset in the making."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / EPISODES_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rows = pq.ParquetWriter(path, _SCHEMA, compression="zstd")

    def append(self, episode: Episode) -> None:
        row = {
            "task": episode.task,
            "instruction": episode.instruction,
            "seed": episode.seed,
            "source": episode.source,
            "success": episode.success,
            "licence": episode.licence,
            "sha256": _digest(episode.actions, episode.proprioception),
            "times_s": _bytes(episode.times_s),
            "labels": [_label(name, values) for name, values in episode.labels.items()],
        }
        self._rows.write_table(pa.Table.from_pylist([row], schema=_SCHEMA))

    def close(self, embodiment: Embodiment, metadata: Mapping[str, Any], export: Mapping[str, Any]) -> None:
        """Write the head.

        Args:
            metadata: of the store.
            export: how the pictures were compressed.
        """
        self._rows.close()
        head = {
            "format": FORMAT,
            "version": VERSION,
            "embodiment": embodiment.to_json(),
            "fingerprint": embodiment.fingerprint,
            "metadata": dict(metadata),
            "export": dict(export),
        }
        (self._folder / HEAD_FILE).write_text(json.dumps(head, indent=1, allow_nan=False) + "\n", encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Sidecar:
    """What an export of ours says of itself."""

    folder: Path
    embodiment: Embodiment
    metadata: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    """Without arrays."""

    def key(self, index: int) -> tuple[int, str]:
        """Seed and source of an episode."""
        self._require(index)
        return self.rows[index]["seed"], self.rows[index]["source"]

    def episode(self, raw: RawEpisode) -> Episode:
        """The episode as it was before its export; pictures as they came out of their compression.

        Raises:
            DataError: if the dataset was changed since.
        """
        row = self._row(raw.index)
        try:
            actions, state = raw.arrays[ACTION], raw.arrays[STATE]
        except KeyError as error:
            raise DataError(f"{self.folder} has no column {error} any more: {_CHANGED}") from None
        actions = actions.reshape(len(actions), -1)
        state = state.reshape(len(state), -1)
        if _digest(actions, state) != row["sha256"]:
            raise DataError(f"{self.folder}: episode {raw.index} is not the one that was exported: {_CHANGED}")
        try:
            return self._joined(raw, actions, state, row)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.folder / EPISODES_FILE}, episode {raw.index} is not whole: {error}") from None

    def _joined(self, raw: RawEpisode, actions: np.ndarray, state: np.ndarray, row: Mapping[str, Any]) -> Episode:
        return Episode(
            embodiment=self.embodiment,
            images={camera.name: raw.images[IMAGES_PREFIX + camera.name] for camera in self.embodiment.cameras},
            proprioception=state,
            actions=actions,
            times_s=np.frombuffer(row["times_s"], "<f8").astype(np.float64),
            instruction=row["instruction"],
            task=row["task"],
            success=row["success"],
            seed=row["seed"],
            source=row["source"],
            licence=row["licence"],
            labels={label["name"]: _array(label) for label in row["labels"]},
        )

    def _row(self, index: int) -> Mapping[str, Any]:
        self._require(index)
        path = self.folder / EPISODES_FILE
        with naming(path):
            return pq.ParquetFile(path).read_row_group(index).to_pylist()[0]

    def _require(self, index: int) -> None:
        if not 0 <= index < len(self.rows):
            path = self.folder / EPISODES_FILE
            raise DataError(f"{path} has {len(self.rows)} episodes, none of number {index}: {_CHANGED}")


_CHANGED = f"it was edited since; delete {HEAD_FILE} and import it with a mapping"


def open_sidecar(folder: Path) -> Sidecar | None:
    """The sidecar of the LeRobot dataset in `folder`; None if it is no export of ours.

    Raises:
        DataError: if it is damaged or of another version.
    """
    if not (folder / HEAD_FILE).exists():
        return None
    head = read_json(file_inside(folder, HEAD_FILE, str(folder)))
    where = folder / HEAD_FILE
    if (head.get("format"), head.get("version")) != (FORMAT, VERSION):
        raise DataError(f"{where} is {head.get('format')} {head.get('version')}, this release reads {FORMAT} {VERSION}")
    try:
        embodiment = Embodiment.from_json(head["embodiment"])
        metadata, fingerprint = dict(head["metadata"]), head["fingerprint"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} is not whole: {type(error).__name__} {error}") from None
    if embodiment.fingerprint != fingerprint:
        raise DataError(f"{where} is altered: its embodiment does not have the fingerprint beside it")
    path = file_inside(folder, EPISODES_FILE, str(where))
    with naming(path):
        file = pq.ParquetFile(path)
        if file.num_row_groups != file.metadata.num_rows or not file.schema_arrow.equals(_SCHEMA):
            raise DataError(f"{path} is altered: it should have a row group for each episode")
        rows = file.read(columns=["task", "seed", "source"]).to_pylist()
    return Sidecar(folder, embodiment, metadata, tuple(rows))


def _digest(actions: np.ndarray, state: np.ndarray) -> str:
    return hashlib.sha256(_bytes(actions) + _bytes(state)).hexdigest()


def _bytes(values: np.ndarray) -> bytes:
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def _label(name: str, values: np.ndarray) -> dict[str, Any]:
    return {"name": name, "dtype": values.dtype.name, "shape": list(values.shape), "data": _bytes(values)}


def _array(label: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(label["dtype"])
    if dtype.kind not in "fiub":
        raise ValueError(f"label '{label['name']}' is of type {dtype}, not numbers")
    return np.frombuffer(label["data"], dtype.newbyteorder("<")).astype(dtype).reshape(label["shape"])

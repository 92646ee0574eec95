"""An episode written while it happens: pictures go to the disk as they come, the rest at the commit.

    begin ─► add, add, add, ... ─► commit ─► in the store
                                └► discard, or the process is killed ─► not in the store; reported as uncommitted

What is in memory does not grow with the pictures: at most a chunk of each camera waits.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from vla.errors import StoreError
from vla.interfaces import Episode, Observation, check_observation
from vla_datasets.commits import checksums
from vla_datasets.episode_files import MANIFEST_FILE, check_numbers, encode_numbers, manifest_file
from vla_datasets.image_codecs import ImageCodec, chunk_codec
from vla_datasets.shards import SHARD_NAME, ShardWriter, array_metadata
from vla_datasets.storage import RECORDING
from vla_datasets.store import EpisodeStore, episode_id


@dataclasses.dataclass(frozen=True, slots=True)
class EpisodeHead:
    """What is known of an episode when it begins."""

    task: str
    seed: int
    source: str
    instruction: str
    licence: str


class EpisodeWriter:
    """One episode of a store, as it happens. Not for several threads."""

    def __init__(self, store: EpisodeStore, head: EpisodeHead) -> None:
        """Begin.

        Raises:
            StoreError: if the store has this episode already.
        """
        if store.contains(head.task, head.seed, head.source):
            raise store.already_there(head.task, head.seed, head.source)
        self._store, self._head = store, head
        self._staging = store.storage.stage()
        about = {**dataclasses.asdict(head), "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        (self._staging.path / RECORDING).write_text(json.dumps(about))
        cameras = [camera.name for camera in store.embodiment.cameras]
        self._shards = {name: _ShardFile(self._staging.path, name, store.image_codec) for name in cameras}
        self._rows: list[tuple[np.ndarray, np.ndarray, float]] = []
        self._labels: dict[str, list[np.ndarray]] = {}

    @property
    def num_steps(self) -> int:
        return len(self._rows)

    def add(
        self,
        observation: Observation,
        action: Float32[np.ndarray, " action_dim"],
        labels: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """One control step: what was seen, and the action that was really applied after it.

        Args:
            labels: the same names in every step.

        Raises:
            ObservationError, ActionError: if the step cannot be stored; the steps before it stand.
            StoreError: if the labels have other names than those of the first step.
        """
        check_observation(observation, self._store.embodiment)
        labels = dict(labels or {})
        if self._rows and labels.keys() != self._labels.keys():
            raise StoreError(f"step {self.num_steps} has labels {sorted(labels)}, the first has {sorted(self._labels)}")
        for name, shard in self._shards.items():
            shard.add(observation.images[name])
        self._rows.append((observation.proprioception.copy(), np.array(action, np.float32), observation.time_s))
        for name, value in labels.items():
            self._labels.setdefault(name, []).append(np.array(value))

    def commit(self, *, success: bool) -> str:
        """Put the episode into the store; its id.

        Raises:
            StoreError: if it has no step, or another writer was first.
            ActionError: if an action is not finite.
        """
        if not self._rows:
            raise StoreError(f"an episode has at least one step; that of '{self._head.task}' has none")
        episode = self._numbers_alone(success)
        check_numbers(episode)
        files = checksums(self._write(encode_numbers(episode)))
        for camera in self._store.embodiment.cameras:
            files |= self._shards[camera.name].finish((camera.height, camera.width, 3))
        self._write({MANIFEST_FILE: manifest_file(episode, self._store.image_codec, files)})
        (self._staging.path / RECORDING).unlink()
        return self._hand_over()

    def close(self) -> None:
        """Discard the episode, unless it was committed."""
        for shard in self._shards.values():
            shard.close()
        self._staging.close()

    def _numbers_alone(self, success: bool) -> Episode:
        proprioception, actions, times_s = zip(*self._rows, strict=True)
        return Episode(
            embodiment=self._store.embodiment,
            images={},
            proprioception=np.stack(proprioception),
            actions=np.stack(actions),
            times_s=np.array(times_s, np.float64),
            success=success,
            labels={name: np.stack(values) for name, values in self._labels.items()},
            **dataclasses.asdict(self._head),
        )

    def _write(self, files: dict[str, bytes]) -> dict[str, bytes]:
        for name, content in files.items():
            path = self._staging.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return files

    def _hand_over(self) -> str:
        key = episode_id(self._head.task, self._head.seed, self._head.source)
        try:
            self._staging.commit(key)
        except FileExistsError:
            raise self._store.already_there(self._head.task, self._head.seed, self._head.source) from None
        finally:
            self._staging.close()
        return key


class _ShardFile:
    """One camera's shard, growing in a file."""

    def __init__(self, folder: Path, camera: str, codec: ImageCodec) -> None:
        (folder / f"image_{camera}").mkdir()
        self._folder, self._camera, self._codec = folder, camera, codec
        self._file = (folder / f"image_{camera}" / SHARD_NAME).open("wb", buffering=0)
        self._writer, self._digest = ShardWriter(chunk_codec(codec)), hashlib.sha256()
        self._num_frames = self._num_bytes = 0

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        self._append(self._writer.add(frame))
        self._num_frames += 1

    def finish(self, shape: tuple[int, int, int]) -> dict[str, dict[str, Any]]:
        """Write what is left; the checksums of the array's files."""
        self._append(self._writer.finish())
        self.close()
        metadata = array_metadata(chunk_codec(self._codec), self._num_frames, shape)
        (self._folder / f"image_{self._camera}" / "zarr.json").write_bytes(metadata)
        shard = {"bytes": self._num_bytes, "sha256": self._digest.hexdigest()}
        return {f"image_{self._camera}/{SHARD_NAME}": shard} | checksums({f"image_{self._camera}/zarr.json": metadata})

    def close(self) -> None:
        self._file.close()

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self._num_bytes += len(content)

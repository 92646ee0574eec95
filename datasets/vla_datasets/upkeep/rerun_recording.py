"""Episodes as a recording for Rerun's viewer: an entity an episode, with pictures, actions and states over its time.

/ID/instruction   /ID/camera/NAME   /ID/action/FIELD   /ID/proprioception/FIELD
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla.embodiment import Field
from vla.interfaces import Episode
from vla.libraries import require_library
from vla_datasets.store import EpisodeStore

APPLICATION = "vla"
TIMELINE = "episode_time"
"""From each episode's beginning, s."""


def write_recording(path: Path, store: EpisodeStore, keys: Sequence[str]) -> None:
    """Write episodes into one .rrd file.

    Raises:
        ConfigError: if rerun-sdk is not installed.
        StoreError: if an episode is damaged.
    """
    rerun = _rerun(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = rerun.RecordingStream(APPLICATION)
    recording.save(str(path))
    for key in keys:
        _log(rerun, recording, key, store.read(key))
    recording.flush()
    recording.disconnect()


def _log(rerun: Any, recording: Any, key: str, episode: Episode) -> None:
    outcome = "success" if episode.success else "failure"
    text = f"{episode.instruction}\n\n{episode.task}, seed {episode.seed}, {episode.source}: {outcome}"
    recording.log(f"{key}/instruction", rerun.TextDocument(text), static=True)
    for step, time_s in enumerate(episode.times_s - episode.times_s[0]):
        recording.set_time(TIMELINE, duration=float(time_s))
        for camera, images in episode.images.items():
            recording.log(f"{key}/camera/{camera}", rerun.Image(images[step]).compress(jpeg_quality=95))
        _log_fields(rerun, recording, f"{key}/action", episode.embodiment.action, episode.actions[step])
        own = episode.embodiment.proprioception
        _log_fields(rerun, recording, f"{key}/proprioception", own, episode.proprioception[step])


def _log_fields(rerun: Any, recording: Any, path: str, fields: Sequence[Field], values: Any) -> None:
    for field, value in zip(fields, values, strict=True):
        recording.log(f"{path}/{field.name}", rerun.Scalars(float(value)))


def _rerun(path: Path) -> Any:
    return require_library("rerun", what=f"rerun={path}", extra="rerun")

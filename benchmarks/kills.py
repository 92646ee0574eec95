"""Recorders killed at random moments: what is committed is whole and equal, at most the open episode is lost, and told.

fork ─► record episode after episode, say which are committed ─► SIGKILL at a random moment
parent ─► read every committed episode and compare it with what was recorded; look for what was lost
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.progress import track

from vla.interfaces import Episode, Observation
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.recording import EpisodeHead, EpisodeWriter
from vla_datasets.store import EpisodeStore

KILLS, MAX_STEPS, LONGEST_S = 300, 24, 0.25


def measurements(_: str | None) -> dict[str, object]:
    """Kill, check, print and return."""
    with tempfile.TemporaryDirectory() as folder:
        result = kill_recorders(Path(folder) / "store", KILLS, seed=0)
    print("kills: " + ", ".join(f"{name} {value}" for name, value in result.items()))
    return result


def kill_recorders(path: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill a recorder `kills` times, each going on in the same store where the last was killed.

    Returns:
        kills; committed, how many episodes were; lost, how many were announced as committed and are not whole or not
        equal; unreported, how many killed recorders left something that is not told; most_open, the most episodes that
        one kill left open.
    """
    generator = np.random.default_rng(seed)
    store = EpisodeStore.create(path, SMALL_EMBODIMENT, image_codec=ImageCodec.LOSSLESS)
    announced = 0
    most_open, unreported = 0, 0
    for _ in track(range(kills), "killing", transient=True):
        said = _killed_after(store, announced, float(generator.uniform(0.0, LONGEST_S)))
        left = store.uncommitted()
        most_open = max(most_open, len(left))
        # What was begun and is neither committed nor announced must be told, with its name.
        unreported += sum(not half.is_live and half.about.get("seed") not in (None, len(store)) for half in left)
        store.clean_staging()
        announced = max(said, len(store))
    lost = sum(not _is_equal(store, index) for index in range(announced))
    return {
        "kills": kills,
        "committed": len(store),
        "lost": lost + max(0, announced - len(store)),
        "most_open": most_open,
        "unreported": unreported,
    }


def _killed_after(store: EpisodeStore, first: int, seconds: float) -> int:
    """Record from episode `first` on in a process that is killed; the number after the last that it announced."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _record_for_ever(store, first, writing)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert said.readline() == "ready\n"
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = said.read().split()
    return int(lines[-1]) + 1 if lines else first


def _record_for_ever(store: EpisodeStore, first: int, writing: int) -> None:
    os.write(writing, b"ready\n")
    index = first
    while True:
        writer = EpisodeWriter(store, EpisodeHead("reach", index, "teleoperation", "reach", "CC0-1.0"))
        episode = _episode(index)
        for step in range(episode.num_steps):
            images = {name: frames[step] for name, frames in episode.images.items()}
            state, time_s = episode.proprioception[step], float(episode.times_s[step])
            writer.add(Observation(images, state, "", time_s, frozenset()), episode.actions[step])
        writer.commit(success=True)
        os.write(writing, f"{index}\n".encode())
        index += 1


def _episode(index: int) -> Episode:
    return make_episode(SMALL_EMBODIMENT, 1 + index % MAX_STEPS, index)


def _is_equal(store: EpisodeStore, index: int) -> bool:
    try:
        read = store.read(f"reach-{index:010d}-teleoperation")
    except Exception as error:
        print(f"kills: episode {index}: {error}")
        return False
    made = _episode(index)
    pictures = all(np.array_equal(read.images[name], made.images[name]) for name in made.images)
    return pictures and np.array_equal(read.actions, made.actions) and np.array_equal(read.times_s, made.times_s)

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
        kills; committed, how many episodes were; lost, how many are not whole or not equal; open, how many kills came
        while an episode was open; unreported, how many of these are neither committed nor told with their seed;
        most_open, the most episodes that one kill left.
    """
    generator = np.random.default_rng(seed)
    store = EpisodeStore.create(path, SMALL_EMBODIMENT, image_codec=ImageCodec.LOSSLESS)
    announced = num_open = unreported = most_open = 0
    for _ in track(range(kills), "killing", transient=True):
        said, opened = _killed_after(store, announced, float(generator.uniform(0.0, LONGEST_S)))
        left = store.uncommitted()
        most_open = max(most_open, len(left))
        if opened is not None:
            num_open += 1
            told = any(half.about.get("seed") == opened and not half.is_live for half in left)
            unreported += not (told or store.contains("reach", opened, "teleoperation"))
        store.clean_staging()
        announced = max(said, len(store))
    lost = sum(not _is_equal(store, index) for index in range(announced))
    return {
        "kills": kills,
        "committed": len(store),
        "lost": lost,
        "open": num_open,
        "unreported": unreported,
        "most_open": most_open,
    }


def _killed_after(store: EpisodeStore, first: int, seconds: float) -> tuple[int, int | None]:
    """Record from episode `first` on in a process that is killed.

    Returns:
        The number after the last episode that it announced as committed, and the one that it had announced as begun and
        not as committed.
    """
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
        lines = said.read().splitlines()
    committed = [int(line.split()[1]) for line in lines if line.startswith("committed")]
    begun = [int(line.split()[1]) for line in lines if line.startswith("begun")]
    after = committed[-1] + 1 if committed else first
    return after, begun[-1] if begun and begun[-1] >= after else None


def _record_for_ever(store: EpisodeStore, first: int, writing: int) -> None:
    os.write(writing, b"ready\n")
    index = first
    while True:
        writer = EpisodeWriter(store, EpisodeHead("reach", index, "teleoperation", "reach", "CC0-1.0"))
        os.write(writing, f"begun {index}\n".encode())
        episode = _episode(index)
        for step in range(episode.num_steps):
            images = {name: frames[step] for name, frames in episode.images.items()}
            state, time_s = episode.proprioception[step], float(episode.times_s[step])
            writer.add(Observation(images, state, "", time_s, frozenset()), episode.actions[step])
        writer.commit(success=True)
        os.write(writing, f"committed {index}\n".encode())
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

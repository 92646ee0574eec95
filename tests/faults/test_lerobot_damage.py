"""A LeRobot dataset whose bytes were altered is read or refused by name; nothing else ever happens."""

from __future__ import annotations

import os
import random
from pathlib import Path

import av.logging
import pytest

from vla.errors import DataError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.exchange.lerobot_sidecar import open_sidecar
from vla_datasets.exchange.lerobot_writer import LeRobotWriter
from vla_datasets.exchange.video_writer import VideoCodec, VideoSettings

DAMAGES = int(os.environ.get("DAMAGES", "40"))
"""For each kind of dataset; more of them by the environment."""


def _write(folder: Path, videos: VideoSettings | None) -> list[Path]:
    folder.mkdir()
    writer = LeRobotWriter(folder, SMALL_EMBODIMENT, videos)
    for seed in range(3):
        writer.append(make_episode(SMALL_EMBODIMENT, steps=4, seed=seed, lookahead=2))
    writer.close({})
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _damaged(content: bytes, generator: random.Random) -> bytes:
    if generator.random() < 0.3:
        return content[: generator.randrange(len(content))]
    altered = bytearray(content)
    for _ in range(generator.choice([1, 1, 5])):
        altered[generator.randrange(len(altered))] ^= 1 << generator.randrange(8)
    return bytes(altered)


def _is_read(folder: Path) -> bool:
    try:
        sidecar = open_sidecar(folder)
        for raw in open_source(folder):
            if sidecar is not None:
                sidecar.episode(raw)
    except DataError:
        return False
    return True


@pytest.mark.parametrize("videos", [None, VideoSettings(VideoCodec.H264, 20)], ids=["png", "video"])
def test_damage_is_refused_by_name_or_harmless(tmp_path: Path, videos: VideoSettings | None) -> None:
    av.logging.set_level(av.logging.PANIC)
    generator = random.Random(5)
    files = _write(tmp_path / "dataset", videos)
    num_refused = 0
    for _ in range(DAMAGES):
        path = generator.choice(files)
        content = path.read_bytes()
        path.write_bytes(_damaged(content, generator))
        num_refused += not _is_read(tmp_path / "dataset")
        path.write_bytes(content)
    assert num_refused > DAMAGES // 4
    assert _is_read(tmp_path / "dataset")

"""The same demonstrations for both sides: our store, and what `vla data export` makes of it for LeRobot.

experts of the tabletop, filmed by two cameras ─► OUT/store ─► OUT/lerobot (video)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.loading import film
from benchmarks.trainers.sizes import PIXELS
from vla import commands
from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_sim.embodiments import TABLETOP_PANDA

TASKS = ("reach", "pick_up", "put_on_pad")
EPISODES_PER_TASK = 8
BODY = dataclasses.replace(
    TABLETOP_PANDA, cameras=tuple(CameraSpec(camera.name, PIXELS, PIXELS) for camera in TABLETOP_PANDA.cameras)
)


def write_demonstrations(folder: Path) -> list[str]:
    """Write both; the instructions.

    Raises:
        ConfigError: if the export fails.
    """
    store = EpisodeStore.create(folder / "store", BODY, image_codec=ImageCodec.JPEG)
    for task in TASKS:
        for seed in range(EPISODES_PER_TASK):
            store.append(film(task, seed, BODY))
    options = ["format=lerobot", f"data={folder / 'store'}", "pictures=video", f"out={folder / 'lerobot'}"]
    if commands.main(["data", "export", *options]):
        raise ConfigError("the demonstrations could not be exported")
    return [row.instruction for row in store.index()]

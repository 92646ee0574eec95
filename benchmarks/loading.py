"""Windows at random access, ours against LeRobot's: the same episodes, the same windows, one run.

    expert episodes, two cameras of 224 x 224 px, sensor noise ─┬─► our store, video   ─► StoreFrames
                                                                ├─► our store, JPEG    ─► StoreFrames
                                                                ├─► LeRobot, video     ─► LeRobotDataset
                                                                └─► LeRobot, PNG files ─► LeRobotDataset

A window is both cameras' pictures, the proprioception, and the next eight actions. Both sides give pictures as uint8,
which spares LeRobot its conversion to float. Without noise a rendered picture is so plain that every codec looks good.

It needs LeRobot beside this project: `uv pip install 'vla-stack[lerobot]'` in an environment of its own, and FFmpeg for
LeRobot's default decoder.
"""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import Comparison, measure
from vla.embodiment import CameraSpec, Embodiment
from vla.errors import ConfigError
from vla.interfaces import Episode, EpisodeSpec
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_datasets.store_frames import StoreFrames
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import SUITES

SIZE_PX, NOISE, HORIZON, WINDOWS, EPISODES_PER_TASK = 224, 2.0, 8, 128, 5
WIDE = dataclasses.replace(
    TABLETOP_PANDA, cameras=tuple(CameraSpec(c.name, SIZE_PX, SIZE_PX) for c in TABLETOP_PANDA.cameras)
)


def measurements(_: str | None) -> dict[str, object]:
    """Make the datasets, measure, print and return."""
    with tempfile.TemporaryDirectory() as folder:
        episodes = [film(task, seed) for task in SUITES["tabletop"] for seed in range(EPISODES_PER_TASK)]
        sides = _write(episodes, Path(folder))
        result: dict[str, object] = {
            "settings": {"px": SIZE_PX, "noise": NOISE, "horizon": HORIZON, "episodes": len(episodes)},
            "frames": sum(episode.num_steps for episode in episodes),
            "bytes_per_frame": {name: round(_bytes(path) / _num_pictures(episodes)) for name, path in sides.items()},
            "mean_error": _errors(episodes, sides),
            "rates": _rates(sides),
            "first_batch_s": {name: _first_batch(name, path) for name, path in sides.items()},
            "eight_workers_mib": {name: _eight_workers(name, path) for name, path in sides.items()},
        }
    _print(result)
    return result


def open_side(name: str, path: Path) -> Any:
    """The dataset of one side, by number of window."""
    if name.startswith("ours"):
        return StoreFrames([path], HORIZON)
    dataset_class = _lerobot()
    fps = round(WIDE.control_hz)
    return dataset_class(
        "local/bench", root=path, delta_timestamps={"action": [i / fps for i in range(HORIZON)]}, return_uint8=True
    )


def _lerobot() -> Any:
    try:
        return importlib.import_module("lerobot.datasets.lerobot_dataset").LeRobotDataset
    except ImportError as error:
        raise ConfigError(
            "the benchmark 'loading' compares with LeRobot, which is not installed: uv pip install 'vla-stack[lerobot]'"
        ) from error


# --------------------------------------------------------------------------- the same episodes, four times


def film(task: str, seed: int, body: Embodiment = WIDE) -> Episode:
    """An expert's episode in pictures of a size of our own choice, with sensor noise."""
    environment, noise = TabletopEnvironment(), np.random.default_rng([seed, len(task)])
    observation = environment.reset(EpisodeSpec(task, seed))
    instruction, rows, is_over = observation.instruction, [], False
    while not is_over:
        pictures = {c.name: environment.world.render(c.name, c.height, c.width) for c in body.cameras}
        action = environment.expert_action()
        rows.append((pictures, observation.proprioception, action, observation.time_s))
        transition = environment.step(action)
        observation, is_over = transition.observation, transition.terminated or transition.truncated
    images = {c.name: _noisy(np.stack([row[0][c.name] for row in rows]), noise) for c in body.cameras}
    return Episode(
        embodiment=body,
        images=images,
        proprioception=np.stack([row[1] for row in rows]),
        actions=np.stack([row[2] for row in rows]).astype(np.float32),
        times_s=np.array([row[3] for row in rows], np.float64),
        instruction=instruction,
        task=task,
        success=True,
        seed=seed,
        source="scripted",
        licence="Apache-2.0",
    )


def _noisy(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(images + generator.normal(0.0, NOISE, images.shape)), 0, 255).astype(np.uint8)


def _write(episodes: Sequence[Episode], folder: Path) -> dict[str, Path]:
    sides = {name: folder / name for name in ("ours-video", "ours-jpeg", "lerobot-video", "lerobot-images")}
    for codec in (ImageCodec.VIDEO, ImageCodec.JPEG):
        store = EpisodeStore.create(sides[f"ours-{codec.value}"], WIDE, image_codec=codec)
        for episode in episodes:
            store.append(episode)
    for name, use_videos in (("lerobot-video", True), ("lerobot-images", False)):
        _write_lerobot(episodes, sides[name], use_videos)
    return sides


def _write_lerobot(episodes: Sequence[Episode], path: Path, use_videos: bool) -> None:
    kind, shape = ("video" if use_videos else "image"), (SIZE_PX, SIZE_PX, 3)
    features = {
        f"observation.images.{c.name}": {"dtype": kind, "shape": shape, "names": ["height", "width", "channels"]}
        for c in WIDE.cameras
    }
    features["observation.state"] = {"dtype": "float32", "shape": (WIDE.state_dim,), "names": None}
    features["action"] = {"dtype": "float32", "shape": (WIDE.action_dim,), "names": None}
    dataset = _lerobot().create(
        "local/bench", fps=round(WIDE.control_hz), features=features, root=path, use_videos=use_videos
    )
    for episode in episodes:
        for step in range(episode.num_steps):
            frame: dict[str, Any] = {
                f"observation.images.{name}": images[step] for name, images in episode.images.items()
            }
            frame |= {"observation.state": episode.proprioception[step], "action": episode.actions[step]}
            dataset.add_frame(frame | {"task": episode.instruction})
        dataset.save_episode()
    dataset.finalize()


# --------------------------------------------------------------------------- what is measured


def _rates(sides: dict[str, Path]) -> dict[str, object]:
    datasets = {name: open_side(name, path) for name, path in sides.items()}
    count = len(datasets["ours-video"])
    indices = np.random.default_rng(0).integers(0, count, WINDOWS).tolist()

    def walk(name: str) -> Callable[[], object]:
        return lambda: [datasets[name][index] for index in indices]

    rates: dict[str, object] = {}
    for ours, theirs in (("ours-video", "lerobot-video"), ("ours-jpeg", "lerobot-images")):
        comparison = Comparison(f"{ours} / {theirs}", walk(theirs), walk(ours), WINDOWS, "windows", repeats=3)
        measured = measure(comparison)
        rates[comparison.claim] = {
            "ours_per_s": measured.contender_per_s,
            "lerobot_per_s": measured.baseline_per_s,
            "ratio": measured.ratio,
        }
    return rates


def _errors(episodes: Sequence[Episode], sides: dict[str, Path]) -> dict[str, float]:
    """Mean absolute error of the pictures, of 255, against what was written."""
    in_order = [(episode, step) for episode in episodes for step in range(episode.num_steps)]
    by_task = sorted(in_order, key=lambda frame: (frame[0].task, frame[0].seed, frame[1]))  # as our index has them
    ours = open_side("ours-video", sides["ours-video"]), open_side("ours-jpeg", sides["ours-jpeg"])
    chosen = np.random.default_rng(1).integers(0, len(in_order), 60).tolist()
    errors = {
        name: float(np.mean([_difference(by_task[i], dict(dataset[i].images)) for i in chosen]))
        for name, dataset in zip(("ours-video", "ours-jpeg"), ours, strict=True)
    }
    theirs = open_side("lerobot-video", sides["lerobot-video"])
    keys = {c.name: f"observation.images.{c.name}" for c in WIDE.cameras}
    pictures = [{name: theirs[i][key].numpy().transpose(1, 2, 0) for name, key in keys.items()} for i in chosen]
    both = zip(chosen, pictures, strict=True)
    return errors | {"lerobot-video": float(np.mean([_difference(in_order[i], seen) for i, seen in both]))}


def _difference(frame: tuple[Episode, int], seen: dict[str, np.ndarray]) -> float:
    episode, step = frame
    return float(np.mean([np.abs(seen[name].astype(float) - images[step]) for name, images in episode.images.items()]))


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _num_pictures(episodes: Sequence[Episode]) -> int:
    return sum(episode.num_steps for episode in episodes) * len(WIDE.cameras)


_FIRST_BATCH = """
import sys, time
from pathlib import Path
import torch
from benchmarks.loading import open_side
open_side(sys.argv[1], Path(sys.argv[2]))[0]  # everything is imported
start = time.perf_counter()
dataset = open_side(sys.argv[1], Path(sys.argv[2]))
batch = [dataset[i] for i in range(0, len(dataset), max(1, len(dataset) // 64))][:64]
print(time.perf_counter() - start)
"""

_EIGHT_WORKERS = """
import sys
from pathlib import Path
import psutil, torch
from benchmarks.loading import open_side
dataset = open_side(sys.argv[1], Path(sys.argv[2]))
options = dict(batch_size=16, shuffle=True, num_workers=8, multiprocessing_context="fork")
loader = torch.utils.data.DataLoader(dataset, collate_fn=lambda rows: len(rows), **options)
batches = iter(loader)
for _ in range(24):
    next(batches, None)
print(sum(child.memory_full_info().pss for child in psutil.Process().children()) / 2**20)
"""


def _first_batch(name: str, path: Path) -> float:
    """Seconds from opening to 64 windows, in a fresh process that has imported everything."""
    return round(_alone(_FIRST_BATCH, name, path), 3)


def _eight_workers(name: str, path: Path) -> float:
    """Proportional memory of eight loader processes after 24 batches, MiB."""
    return round(_alone(_EIGHT_WORKERS, name, path), 1)


def _alone(script: str, name: str, path: Path) -> float:
    done = subprocess.run([sys.executable, "-c", script, name, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring {name} failed:\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def _print(result: dict[str, Any]) -> None:
    for claim, rate in result["rates"].items():
        figures = f"{rate['ours_per_s']:.0f} against {rate['lerobot_per_s']:.0f} windows/s"
        print(f"loading: {claim}: {figures}, a factor of {rate['ratio']:.1f}")
    for what in ("bytes_per_frame", "mean_error", "first_batch_s", "eight_workers_mib"):
        print(f"loading: {what}: {', '.join(f'{name} {value:.4g}' for name, value in result[what].items())}")

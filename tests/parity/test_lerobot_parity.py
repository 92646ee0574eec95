"""The real LeRobot opens what we write, and we open what it writes.

Runs where `lerobot` is installed (`uv pip install 'vla-stack[lerobot,exchange]'`), and is skipped elsewhere.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla import commands
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.store import EpisodeStore

DATASETS: Any = pytest.importorskip("lerobot.datasets.lerobot_dataset", reason="LeRobot is not installed")
pytestmark = pytest.mark.filterwarnings("default")

SCENE = "observation.images.scene"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def _export(folder: Path, pictures: str) -> EpisodeStore:
    store = EpisodeStore.create(folder / "store", SMALL_EMBODIMENT)
    for seed in range(4):
        store.append(make_episode(SMALL_EMBODIMENT, steps=5 + seed, seed=seed, instruction=f"do {seed % 2}"))
    arguments = [f"data={folder / 'store'}", f"out={folder / 'out'}", f"pictures={pictures}"]
    assert commands.main(["data", "export", "format=lerobot", *arguments]) == 0
    return store


def _opened(folder: Path, **options: Any) -> Any:
    return DATASETS.LeRobotDataset("local/test", root=folder, **options)


def _levels(picture: Any) -> np.ndarray:
    """LeRobot's float32 channels-first picture, or several, as uint8 channels-last."""
    return np.moveaxis((picture.numpy() * 255).round().astype(np.uint8), -3, -1)


def test_lerobot_reads_the_same_numbers_words_and_pixels(tmp_path: Path) -> None:
    store = _export(tmp_path, "png")
    dataset = _opened(tmp_path / "out")
    index = 0
    for key in store:
        episode = store.read(key)
        for step in range(episode.num_steps):
            item = dataset[index]
            assert np.array_equal(item["action"].numpy(), episode.actions[step])
            assert np.array_equal(item["observation.state"].numpy(), episode.proprioception[step])
            assert np.array_equal(_levels(item[SCENE]), episode.images["scene"][step])
            assert item["task"] == episode.instruction
            index += 1
    assert len(dataset) == index


@pytest.mark.parametrize("pictures", ["png", "video"])
def test_windows_of_lerobot_stay_inside_of_their_episode(tmp_path: Path, pictures: str) -> None:
    store = _export(tmp_path, pictures)
    deltas = {"action": [0.0, 0.1, 0.2], SCENE: [-0.1, 0.0]}
    dataset = _opened(tmp_path / "out", delta_timestamps=deltas)
    ours = [(raw.arrays["action"], raw.images[SCENE]) for raw in open_source(tmp_path / "out")]
    index = 0
    for episode, (actions, images) in enumerate(ours):
        for step in range(len(actions)):
            item = dataset[index]
            last = len(actions) - 1
            assert np.array_equal(item["action"].numpy(), actions[np.minimum([step, step + 1, step + 2], last)])
            assert item["action_is_pad"].tolist() == [False, step + 1 > last, step + 2 > last]
            difference = np.abs(_levels(item[SCENE]).astype(int) - images[np.maximum([step - 1, step], 0)])
            # Two decoders may round a colour differently; another frame of noise is 60 levels away.
            assert difference.mean() < 1.5, f"episode {episode}, step {step}"
            index += 1
    assert len(store) == len(ours)


def test_lerobot_reads_some_episodes_alone(tmp_path: Path) -> None:
    store = _export(tmp_path, "video")
    dataset = _opened(tmp_path / "out", episodes=[2])
    episode = store.read(store.keys()[2])
    assert len(dataset) == episode.num_steps
    assert np.array_equal(dataset[0]["action"].numpy(), episode.actions[0])


def test_lerobot_has_the_statistics_that_it_would_compute(tmp_path: Path) -> None:
    store = _export(tmp_path, "png")
    dataset = _opened(tmp_path / "out")
    actions = np.concatenate([store.read(key).actions for key in store])
    theirs = pytest.importorskip("lerobot.datasets.compute_stats").get_feature_stats(actions, axis=0, keepdims=False)
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(dataset.meta.stats["action"][name], theirs[name], atol=1e-5)
    assert dataset.meta.stats[SCENE]["mean"].shape == (3, 1, 1)


@pytest.mark.parametrize("use_videos", [False, True])
def test_what_lerobot_writes_is_read(tmp_path: Path, use_videos: bool) -> None:
    camera = {
        "dtype": "video" if use_videos else "image",
        "shape": (64, 96, 3),
        "names": ["height", "width", "channels"],
    }
    features = {
        "action": {"dtype": "float32", "shape": (2,), "names": ["pan", "grip"]},
        "observation.state": {"dtype": "float32", "shape": (1,), "names": ["pan"]},
        "observation.pose": {"dtype": "float64", "shape": (2, 3), "names": None},
        "observation.images.top": camera,
    }
    create = DATASETS.LeRobotDataset.create
    written = create("local/test", 10, features, root=tmp_path / "theirs", use_videos=use_videos)
    random = np.random.default_rng(0)
    episodes = []
    for episode in range(3):
        frames = []
        for step in range(4 + episode):
            shade = np.full((64, 96, 3), 30 * step + 20 * episode, np.uint8)
            shade[:32] = random.integers(0, 256)
            frame = {
                "action": random.normal(size=2).astype(np.float32),
                "observation.state": random.normal(size=1).astype(np.float32),
                "observation.pose": random.normal(size=(2, 3)),
                "observation.images.top": shade,
            }
            written.add_frame({**frame, "task": f"task {episode % 2}"})
            frames.append(frame)
        written.save_episode()
        episodes.append(frames)
    written.finalize()

    reader = open_source(tmp_path / "theirs")
    assert len(reader) == 3
    for number, (raw, frames) in enumerate(zip(reader, episodes, strict=True)):
        assert raw.instruction == f"task {number % 2}"
        assert np.array_equal(raw.arrays["action"], np.stack([frame["action"] for frame in frames]))
        assert np.array_equal(raw.arrays["observation.state"], np.stack([f["observation.state"] for f in frames])[:, 0])
        np.testing.assert_allclose(raw.arrays["observation.pose"], np.stack([f["observation.pose"] for f in frames]))
        images = np.stack([frame["observation.images.top"] for frame in frames])
        difference = np.abs(raw.images["observation.images.top"].astype(int) - images)
        assert difference.mean() < 3 if use_videos else difference.max() == 0
        assert raw.times_s is not None
        assert np.array_equal(raw.times_s, np.arange(len(frames)) / 10)


@pytest.mark.slow
def test_lerobot_trains_on_our_export(tmp_path: Path) -> None:
    _export(tmp_path, "png")
    options = {
        "dataset.repo_id": "local/test",
        "dataset.root": tmp_path / "out",
        "dataset.use_imagenet_stats": "false",
        "policy.type": "act",
        "policy.device": "cpu",
        "policy.push_to_hub": "false",
        "policy.pretrained_backbone_weights": "null",
        "policy.chunk_size": 4,
        "policy.n_action_steps": 4,
        "policy.dim_model": 32,
        "policy.n_heads": 2,
        "policy.dim_feedforward": 64,
        "policy.n_encoder_layers": 1,
        "policy.n_vae_encoder_layers": 1,
        "batch_size": 2,
        "num_workers": 0,
        "steps": 50,
        "log_freq": 50,
        "save_checkpoint": "false",
        "wandb.enable": "false",
        "output_dir": tmp_path / "run",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    program = [sys.executable, "-m", "lerobot.scripts.lerobot_train"]
    done = subprocess.run([*program, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "step:50 " in done.stderr + done.stdout
    assert "End of training" in done.stderr + done.stdout

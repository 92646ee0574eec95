"""Each example mapping of the documentation imports a source of its layout, number by number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign_sources import (
    TEXT,
    dictionary,
    example,
    image,
    png,
    tensor,
    write_hdf5,
    write_json_lines,
    write_replay,
    write_rlds,
    write_video,
)
from vla.commands import main
from vla.interfaces import Episode
from vla_datasets.exchange.mapping_file import load_mapping
from vla_datasets.store import EpisodeStore

MAPPINGS = Path("docs/how-to/mappings")
STEPS = 5


def _imported(root: Path, kind: str, source: Path, mapping: str, out: Path) -> Episode:
    """The one episode that is in the store after `vla data import`."""
    file = root / MAPPINGS / mapping
    assert main(["data", "import", f"format={kind}", f"source={source}", f"embodiment={file}", f"out={out}"]) == 0
    store = EpisodeStore.open(out, load_mapping(file).embodiment)
    (key,) = store.keys()
    return store.read(key)


def _pictures(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (STEPS, height, width, 3)).astype(np.uint8)


def _osc_actions() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (STEPS, 7))


def _joints() -> np.ndarray:
    return np.tile([0.0, 0.2, 0.0, -2.2, 0.0, 2.5, 0.8], (STEPS, 1))


def _fingers() -> np.ndarray:
    return np.tile([0.02, -0.02], (STEPS, 1))


def _check_osc(episode: Episode) -> None:
    actions = _osc_actions()
    np.testing.assert_allclose(episode.actions[:, :3], 0.05 * actions[:, :3], rtol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 3:6], 0.5 * actions[:, 3:6], rtol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 6], actions[:, 6], rtol=1e-6)
    np.testing.assert_allclose(episode.proprioception, np.hstack([_joints(), _fingers()]), rtol=1e-6)
    np.testing.assert_allclose(episode.times_s, np.arange(STEPS) / 20)
    assert episode.success


def test_libero_is_imported_upright(root: Path, tmp_path: Path) -> None:
    demo = {
        "actions": _osc_actions(),
        "obs/joint_states": _joints(),
        "obs/gripper_states": _fingers(),
        "obs/agentview_rgb": _pictures(128, 128),
        "obs/eye_in_hand_rgb": _pictures(128, 128),
    }
    attributes = {
        "env_args": {"env_kwargs": {"control_freq": 20}},
        "problem_info": {"language_instruction": "open the top drawer"},
        "bddl_file_name": "libero_goal/open_the_top_drawer.bddl",
    }
    write_hdf5(tmp_path / "drawer_demo.hdf5", [demo], attributes)
    episode = _imported(root, "hdf5", tmp_path / "drawer_demo.hdf5", "libero.yaml", tmp_path / "store")
    _check_osc(episode)
    np.testing.assert_array_equal(episode.images["front"], _pictures(128, 128)[:, ::-1])
    assert (episode.instruction, episode.task) == ("open the top drawer", "open_the_top_drawer")
    assert (episode.source, episode.seed, episode.licence) == ("hdf5:drawer_demo.hdf5", 0, "CC-BY-4.0")


def test_robomimic_is_imported_as_it_lies(root: Path, tmp_path: Path) -> None:
    demo = {
        "actions": _osc_actions(),
        "obs/robot0_joint_pos": _joints(),
        "obs/robot0_gripper_qpos": _fingers(),
        "obs/agentview_image": _pictures(84, 84),
        "obs/robot0_eye_in_hand_image": _pictures(84, 84),
    }
    write_hdf5(tmp_path / "image.hdf5", [demo], {"env_args": {"env_name": "Lift", "env_kwargs": {"control_freq": 20}}})
    episode = _imported(root, "hdf5", tmp_path / "image.hdf5", "robomimic_lift.yaml", tmp_path / "store")
    _check_osc(episode)
    np.testing.assert_array_equal(episode.images["wrist"], _pictures(84, 84))
    assert (episode.instruction, episode.task) == ("lift the cube", "Lift")


def test_bridge_is_imported_with_its_euler_angles_as_a_rotation_vector(root: Path, tmp_path: Path) -> None:
    observation = dictionary(image_0=image(256, 256, 3), state=tensor("float32", 7))
    tree = dictionary(observation=observation, action=tensor("float32", 7), language_instruction=TEXT)
    actions = np.zeros((STEPS, 7), np.float32)
    actions[:, 5], actions[:, 0], actions[:, 6] = 0.25, 0.01, 1.0
    state = np.random.default_rng(0).uniform(0, 0.5, (STEPS, 7)).astype(np.float32)
    features: dict[str, Any] = {
        "steps/action": actions.ravel(),
        "steps/observation/state": state.ravel(),
        "steps/observation/image_0": [png(np.full((256, 256, 3), 30 * step, np.uint8)) for step in range(STEPS)],
        "steps/language_instruction": ["put the carrot on the plate"] * STEPS,
    }
    source = write_rlds(tmp_path / "bridge_dataset" / "1.0.0", tree, [[example(features)]])
    episode = _imported(root, "rlds", source, "bridge.yaml", tmp_path / "store")
    np.testing.assert_allclose(episode.actions[0], [0.01, 0, 0, 0, 0, 0.25, 1.0], atol=1e-6)
    np.testing.assert_array_equal(episode.proprioception, state)
    assert [int(picture[0, 0, 0]) for picture in episode.images["front"]] == [0, 30, 60, 90, 120]
    assert episode.instruction == "put the carrot on the plate"


def test_pusht_is_imported_in_shares_of_its_plane(root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    action, state = rng.uniform(0, 512, (STEPS, 2)), rng.uniform(0, 512, (STEPS, 5))
    data = {"action": action, "state": state, "img": _pictures(96, 96).astype(np.float32)}
    source = write_replay(tmp_path / "pusht.zarr", data, [STEPS])
    episode = _imported(root, "zarr", source, "pusht.yaml", tmp_path / "store")
    np.testing.assert_allclose(episode.actions, action / 512, rtol=1e-6)
    np.testing.assert_allclose(episode.proprioception, state[:, :2] / 512, rtol=1e-6)
    np.testing.assert_array_equal(episode.images["top"], _pictures(96, 96))


def test_a_folder_of_videos_is_imported_with_its_own_times(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    steps = [
        {"state": [10 * t, -5, 50], "action": [10 * t + 1, -5, 100], "time_s": 100 + 0.1 * t + 0.001 * (t % 2)}
        for t in range(STEPS)
    ]
    line = {"index": 7, "instruction": "wave", "task": "wave", "success": False, "control_hz": 10}
    write_json_lines(folder / "episodes.jsonl", [line | {"videos": {"front": "0.mp4"}, "data": "0.jsonl"}])
    write_json_lines(folder / "0.jsonl", steps)
    write_video(folder / "0.mp4", np.full((STEPS, 32, 48, 3), 128, np.uint8))
    episode = _imported(root, "videos", folder, "videos.yaml", tmp_path / "store")
    np.testing.assert_allclose(episode.actions[:, 0], np.deg2rad([1, 11, 21, 31, 41]), rtol=1e-6)
    np.testing.assert_allclose(episode.proprioception[:, 2], 0.5)
    assert episode.times_s[1] - episode.times_s[0] == pytest.approx(0.101)
    assert (episode.seed, episode.instruction, episode.success) == (7, "wave", False)


def test_every_example_mapping_is_tested_here(root: Path) -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{file.name}"' in text for file in (root / MAPPINGS).glob("*.yaml"))

"""What is exported to LeRobot comes back equal: every number and word, and every pixel unless films are asked for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from vla import commands
from vla.embodiment import CameraSpec, Embodiment
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.export_command import equal_but_pictures
from vla_datasets.exchange.lerobot_reader import LeRobotReader, open_source
from vla_datasets.exchange.raw_episode import SourceReader
from vla_datasets.store import EpisodeStore

SMOOTH = dataclasses.replace(SMALL_EMBODIMENT, name="smooth", cameras=(CameraSpec("scene", 48, 64),))


def _episodes(embodiment: Embodiment = SMALL_EMBODIMENT) -> list[Episode]:
    """Of two instructions, unequal lengths, with labels that have NaN, with times that no rate has."""
    made = []
    for seed in range(4):
        episode = make_episode(
            embodiment, steps=5 + seed, seed=seed, lookahead=2, instruction=f"do {seed % 2}", success=seed != 1
        )
        labels = {**episode.labels, "target": np.full((5 + seed, 2), np.nan, np.float32)}
        times = episode.times_s + np.pi * seed
        made.append(dataclasses.replace(episode, labels=labels, times_s=times))
    return made


def _store(path: Path, episodes: list[Episode]) -> EpisodeStore:
    store = EpisodeStore.create(path, episodes[0].embodiment, {"made": "for this"})
    for episode in episodes:
        store.append(episode)
    return store


def _export(store: Path, out: Path, *more: str) -> int:
    return commands.main(["data", "export", "format=lerobot", f"data={store}", f"out={out}", *more])


def _import(source: Path, out: Path) -> int:
    return commands.main(["data", "import", "format=lerobot", f"source={source}", f"out={out}"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot")
    _store(folder / "store", _episodes())
    assert _export(folder / "store", folder / "out") == 0
    return folder


# --------------------------------------------------------------------------- round trip


def test_everything_comes_back_bit_for_bit(exported: Path, tmp_path: Path) -> None:
    assert _import(exported / "out", tmp_path / "back") == 0
    before, after = EpisodeStore.open(exported / "store"), EpisodeStore.open(tmp_path / "back")
    assert before.embodiment.fingerprint == after.embodiment.fingerprint
    assert before.metadata == after.metadata
    assert before.keys() == after.keys()
    for key in before:
        one, other = before.read(key), after.read(key)
        assert equal_but_pictures(one, other)
        assert all(np.array_equal(one.images[name], other.images[name]) for name in one.images)


def test_an_import_that_is_repeated_adds_nothing(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _import(exported / "out", tmp_path / "back")
    capsys.readouterr()
    assert _import(exported / "out", tmp_path / "back") == 0
    assert "0 episodes imported, 4 were there already" in capsys.readouterr().out


def test_an_import_that_was_interrupted_goes_on(exported: Path, tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "back", SMALL_EMBODIMENT, {"made": "for this"})
    store.append(_episodes()[2])
    assert _import(exported / "out", tmp_path / "back") == 0
    assert len(EpisodeStore.open(tmp_path / "back")) == 4


def test_films_come_back_within_the_error_that_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    episodes = []
    for episode in _episodes(SMOOTH):
        shades = np.stack([rows * 4, columns * 3, (rows + columns) * 2], axis=-1)
        frames = np.stack([np.roll(shades, 2 * step, axis=1) for step in range(episode.num_steps)]).astype(np.uint8)
        episodes.append(dataclasses.replace(episode, images={"scene": frames}))
    before = _store(tmp_path / "store", episodes)
    assert _export(tmp_path / "store", tmp_path / "out", "pictures=video", "quality=10") == 0
    assert "pictures of 'scene' differ by" in capsys.readouterr().out
    stated = json.loads((tmp_path / "out/meta/vla/picture_errors.json").read_bytes())["scene"]
    assert _import(tmp_path / "out", tmp_path / "back") == 0
    after = EpisodeStore.open(tmp_path / "back")
    errors = []
    for key in before:
        one, other = before.read(key), after.read(key)
        assert equal_but_pictures(one, other)
        errors.append(np.abs(one.images["scene"].astype(int) - other.images["scene"]))
    assert max(error.max() for error in errors) == stated["largest"]
    assert np.concatenate(errors).mean() == pytest.approx(stated["mean"])
    assert stated["mean"] < 3


# --------------------------------------------------------------------------- layout


def test_the_head_says_what_is_there(exported: Path) -> None:
    info = json.loads((exported / "out/meta/info.json").read_bytes())
    assert (info["codebase_version"], info["fps"], info["total_episodes"]) == ("v3.0", 10, 4)
    assert (info["total_frames"], info["total_tasks"], info["video_path"]) == (5 + 6 + 7 + 8, 2, None)
    assert all("names" in feature for feature in info["features"].values())


def test_data_files_have_exactly_the_declared_columns(exported: Path) -> None:
    info = json.loads((exported / "out/meta/info.json").read_bytes())
    file = pq.ParquetFile(exported / "out/data/chunk-000/file-000.parquet")
    assert set(file.schema_arrow.names) == set(info["features"])
    assert file.num_row_groups == 4


def test_episodes_follow_each_other_without_gaps(exported: Path) -> None:
    rows = pq.read_table(exported / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_from_index"] for row in rows] == [0, 5, 11, 18]
    assert [row["dataset_to_index"] for row in rows] == [5, 11, 18, 26]
    assert [row["tasks"] for row in rows] == [["do 0"], ["do 1"], ["do 0"], ["do 1"]]


def test_statistics_are_exact(exported: Path) -> None:
    found = json.loads((exported / "out/meta/stats.json").read_bytes())
    actions = np.concatenate([episode.actions for episode in _episodes()]).astype(np.float64)
    np.testing.assert_allclose(found["action"]["q01"], np.quantile(actions, 0.01, axis=0))
    np.testing.assert_allclose(found["action"]["std"], actions.std(axis=0))
    pixels = np.concatenate([episode.images["scene"].reshape(-1, 3) for episode in _episodes()]) / 255
    mean = np.array(found["observation.images.scene"]["mean"])
    assert mean.shape == (3, 1, 1)
    np.testing.assert_allclose(mean.ravel(), pixels.mean(axis=0))
    np.testing.assert_allclose(np.ravel(found["observation.images.scene"]["std"]), pixels.std(axis=0))


def test_times_in_films_come_from_integers(tmp_path: Path) -> None:
    embodiment = dataclasses.replace(SMOOTH, control_hz=30.0)
    _store(tmp_path / "store", [make_episode(embodiment, steps=7, seed=seed) for seed in range(4)])
    assert _export(tmp_path / "store", tmp_path / "out", "pictures=video") == 0
    rows = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    begins = [row["videos/observation.images.scene/from_timestamp"] for row in rows]
    assert begins == [0.0, 7 / 30, 14 / 30, 21 / 30]


# --------------------------------------------------------------------------- reading without our sidecar


def test_the_reader_gives_what_lies_there(exported: Path) -> None:
    reader = open_source(exported / "out")
    assert isinstance(reader, SourceReader)
    assert isinstance(reader, LeRobotReader)
    assert (len(reader), reader.control_hz) == (4, 10.0)
    assert reader.fields["action"].names == ("dx", "dy", "dz", "dyaw", "gripper")
    for raw, episode in zip(reader, _episodes(), strict=True):
        assert np.array_equal(raw.arrays["observation.state"], episode.proprioception)
        assert np.array_equal(raw.images["observation.images.wrist"], episode.images["wrist"])
        assert raw.instruction == episode.instruction
        assert raw.times_s is not None
        assert np.array_equal(raw.times_s, np.arange(episode.num_steps) / 10)


def test_any_episode_can_be_read_first(exported: Path) -> None:
    reader = open_source(exported / "out")
    for position in (3, 0, 2, 2):
        assert np.array_equal(reader.read(position).arrays["action"], _episodes()[position].actions)


def test_a_draft_and_its_review_import_without_our_sidecar(exported: Path, tmp_path: Path) -> None:
    arguments = ["data", "import", "format=lerobot", f"source={exported / 'out'}", f"embodiment={tmp_path / 'm.yaml'}"]
    assert commands.main([*arguments, "draft=true"]) == 0
    text = (tmp_path / "m.yaml").read_text(encoding="utf-8")
    assert commands.main([*arguments, f"out={tmp_path / 'back'}"]) == 2
    for old, new in (
        ("embodiment: REVIEW", "embodiment: mine"),
        ("action_kind: REVIEW", "action_kind: absolute_joint"),
        ("frame: REVIEW", "frame: base"),
        ("rotation: REVIEW", "rotation: none"),
        ("gripper: REVIEW", "gripper: 1 is open"),
        ("source_unit: REVIEW", "source_unit: '1'"),
        ("unit: REVIEW", "unit: '1'"),
        ("low: REVIEW", "low: -9"),
        ("high: REVIEW", "high: 9"),
        ("orientation: REVIEW", "orientation: upright"),
        ("task: REVIEW", "task: instruction"),
        ("success: REVIEW", "success: true"),
        ("limits: REVIEW", "limits: refuse"),
        ("licence: REVIEW", "licence: MIT"),
    ):
        text = text.replace(old, new)
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    assert commands.main([*arguments, f"out={tmp_path / 'back'}", "name=theirs"]) == 0
    store = EpisodeStore.open(tmp_path / "back")
    assert [row.source for row in store.index()] == ["lerobot:theirs"] * 4
    assert {row.task for row in store.index()} == {"do 0", "do 1"}
    assert commands.main([*arguments, f"out={tmp_path / 'back'}", "name=theirs"]) == 0
    assert len(EpisodeStore.open(tmp_path / "back")) == 4


def test_films_of_av1_come_back(tmp_path: Path) -> None:
    embodiment = dataclasses.replace(SMOOTH, cameras=(CameraSpec("scene", 64, 96),))
    _store(tmp_path / "store", [make_episode(embodiment, steps=5, seed=seed) for seed in range(2)])
    assert _export(tmp_path / "store", tmp_path / "out", "pictures=video", "codec=av1") == 0
    assert [raw.images["observation.images.scene"].shape for raw in open_source(tmp_path / "out")] == [
        (5, 64, 96, 3)
    ] * 2

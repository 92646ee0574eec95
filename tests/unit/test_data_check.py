from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from vla.commands import main
from vla.embodiment import Embodiment
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check
from vla_datasets.upkeep.findings import Kind
from vla_datasets.upkeep.near_duplicates import Likeness, near_duplicates
from vla_datasets.upkeep.outliers import outliers
from vla_datasets.upkeep.suspicions import Thresholds, stretches, suspicions

BODY = SMALL_EMBODIMENT


def plain_episode(seed: int = 0, steps: int = 60, *, body: Embodiment = BODY, **told: object) -> Episode:
    """An episode that nothing is wrong with: every field goes to and fro inside its limits."""
    episode = make_episode(body, steps, seed)
    generator = np.random.default_rng(seed)
    phase = np.linspace(0, 6, steps)[:, None] + generator.random((1, body.state_dim))
    low = np.array([field.low for field in body.proprioception])
    high = np.array([field.high for field in body.proprioception])
    states = (low + (high - low) * (0.5 + 0.4 * np.sin(phase))).astype(np.float32)
    return dataclasses.replace(episode, proprioception=states, **told)


def changed(episode: Episode, name: str, at: object, value: object) -> Episode:
    values = getattr(episode, name).copy()
    values[at] = value
    return dataclasses.replace(episode, **{name: values})


def told(episode: Episode) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.message) for finding in suspicions("an-id", episode, Thresholds())]


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", BODY)
    for seed in range(3):
        store.append(plain_episode(seed))
    return store


@pytest.fixture
def run(store: EpisodeStore, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Run `vla data check` on the store: the exit status, and the lines on stdout."""

    def check_store(*options: str) -> tuple[int, list[str]]:
        status = main(["data", "check", f"data={store.path}", *options])
        return status, capsys.readouterr().out.splitlines()

    return check_store


# --------------------------------------------------------------------------- whole or not


def test_a_whole_store_passes(store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]) -> None:
    assert run() == (0, [f"{store.path}: 3 episodes, 180 steps: all whole"])


def test_every_file_that_is_not_whole_is_a_line(store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]) -> None:
    first, second, _ = (store.path / "episodes" / key for key in store)
    for shard in (*first.glob("image_*/c*"), *first.glob("numbers/c*")):
        shard.write_bytes(shard.read_bytes()[:-1])
    (second / "numbers" / "zarr.json").unlink()
    status, lines = run()
    assert status == 1
    assert [line.split(":")[:3] for line in lines[:-1]] == [
        *[["error", " damaged", f" {first.name}"]] * 3,
        ["error", " damaged", f" {second.name}"],
    ]
    assert "2 not whole" in lines[-1]


def test_an_uncommitted_episode_is_reported_and_no_fault(
    store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]
) -> None:
    (store.path / ".staging-1-a").mkdir()
    status, lines = run("strict=true")
    assert status == 0
    assert lines[0] == "note: uncommitted: .staging-1-a: was never finished, no writer is at work"


def test_an_episode_that_is_being_written_is_told_from_an_abandoned_one(
    store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]
) -> None:
    staging = store.path / ".staging-1-a"
    staging.mkdir()
    descriptor = os.open(staging, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert run()[1][0] == "note: uncommitted: .staging-1-a: is being written"
    finally:
        os.close(descriptor)


def test_an_empty_store_is_whole(tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "store", BODY)
    assert check(tmp_path / "store").findings == ()


def test_an_altered_head_is_an_error(store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]) -> None:
    (store.path / "zarr.json").write_text("{}")
    status, lines = run()
    assert status == 1
    assert lines[0].startswith("error: head: the store: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [("episodes/zarr.json", None), ("episodes/zarr.json", b"{"), ("episodes/zarr.json", b"[]"), ("zarr.json", b" ")],
)
def test_a_file_around_the_episodes_that_is_not_as_written_is_a_warning(
    store: EpisodeStore, name: str, content: bytes | None, run: Callable[..., tuple[int, list[str]]]
) -> None:
    file = store.path / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes((file.read_bytes() if name == "zarr.json" else b"") + content)
    status, lines = run()
    assert status == 0
    assert lines[0].startswith(f"warning: head: the store: {file} is ")


@pytest.mark.parametrize("name", ["zarr.json", "episodes/zarr.json"])
def test_any_bit_around_the_episodes_counts(tmp_path: Path, name: str) -> None:
    store = EpisodeStore.create(tmp_path / "store", BODY, {"horizon": 4, "place": "café"})
    file = store.path / name
    content = file.read_bytes()
    for bit in range(0, 8 * len(content), 17 if name == "zarr.json" else 1):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(damaged)
        assert check(store.path).findings, f"bit {bit}"


def test_no_store_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", f"data={tmp_path / 'nowhere'}"]) == 2
    assert "there is no episode store at" in capsys.readouterr().err


def test_an_escape_written_otherwise_in_a_manifest_is_found(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "store", BODY)
    key = store.append(plain_episode(0, instruction="prends le carré"))
    manifest = store.path / "episodes" / key / "zarr.json"
    assert b"\\u00e9" in manifest.read_bytes()
    manifest.write_bytes(manifest.read_bytes().replace(b"\\u00e9", b"\\u00E9"))
    assert EpisodeStore.open(store.path).read(key).instruction == "prends le carré"
    (finding,) = check(store.path).errors
    assert "beside its manifest it is not what was written" in finding.message


def test_another_kind_of_group_around_a_manifest_is_found(store: EpisodeStore) -> None:
    manifest = store.path / "episodes" / store.keys()[0] / "zarr.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"zarr_format": 3', b'"zarr_format": 2'))
    assert len(check(store.path).errors) == 1


def test_files_that_are_as_written_and_no_episode_are_an_error(store: EpisodeStore) -> None:
    from vla_datasets.episode_files import checksums, seal

    folder = store.path / "episodes" / store.keys()[0]
    tree = json.loads((folder / "zarr.json").read_text())
    (folder / "numbers" / "zarr.json").write_text("{}")
    files = tree["attributes"]["manifest"]["files"] | checksums({"numbers/zarr.json": b"{}"})
    tree["attributes"] = seal(tree["attributes"]["manifest"] | {"files": files})
    (folder / "zarr.json").write_text(json.dumps(tree, indent=2))
    (finding,) = check(store.path).errors
    assert finding.kind is Kind.UNREADABLE


def test_foreign_files_are_warnings(store: EpisodeStore, run: Callable[..., tuple[int, list[str]]]) -> None:
    key = store.keys()[1]
    (store.path / "notes.txt").touch()
    (store.path / "episodes" / ".DS_Store").touch()
    (store.path / "episodes" / key / "image_scene" / "c.9").touch()
    status, lines = run()
    assert status == 0
    assert [line.split(": ")[2] for line in lines[:-1]] == [
        f"episodes/{key}/image_scene/c.9",
        "episodes/.DS_Store",
        "notes.txt",
    ]
    assert run("strict=true")[0] == 1


def test_what_was_found_is_written_as_json(
    store: EpisodeStore, run: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    store.append(plain_episode(9, instruction=" "))
    run(f"json={tmp_path / 'out' / 'found.json'}")
    tree = json.loads((tmp_path / "out" / "found.json").read_text())
    assert (tree["episodes"], tree["whole"]) == (4, True)
    assert tree["findings"] == [
        {
            "severity": "warning",
            "kind": "instruction",
            "place": "reach-0000000009-scripted",
            "message": "the instruction is empty",
        }
    ]


@pytest.mark.slow
def test_processes_find_what_one_does(store: EpisodeStore) -> None:
    (store.path / "episodes" / store.keys()[1] / "numbers" / "zarr.json").unlink()
    store.append(plain_episode(9, instruction=""))
    assert check(store.path, workers=2) == check(store.path, workers=1)


def test_an_episode_moved_out_meanwhile_is_no_fault(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from vla_datasets.upkeep import checking

    keys = [*checking.committed(store), "reach-0000000077-scripted"]
    answers = iter([keys, keys[:-1]])
    monkeypatch.setattr(checking, "committed", lambda store: next(answers))
    assert check(store.path).errors == []


# --------------------------------------------------------------------------- suspicions of one episode


def test_nothing_is_wrong_with_a_plain_episode() -> None:
    assert told(plain_episode()) == []


def test_times_that_go_back_are_told() -> None:
    episode = plain_episode()
    back = changed(episode, "times_s", 5, episode.times_s[3])
    assert told(back) == [(Kind.TIMES, "times do not increase at 1 step: first 0.300 s after 0.400 s")]


def test_a_gap_is_told_with_its_step() -> None:
    episode = plain_episode()
    gap = dataclasses.replace(episode, times_s=episode.times_s + (np.arange(60) > 7) * 0.5)
    assert told(gap) == [(Kind.TIMES, "1 gap, the longest 0.600 s at step 7, a step is 0.100 s")]


def test_another_rate_than_the_control_rate_is_told() -> None:
    episode = plain_episode()
    slow = dataclasses.replace(episode, times_s=episode.times_s * 1.25)
    assert told(slow) == [(Kind.TIMES, "recorded at 8.00 Hz, the embodiment's control rate is 10 Hz")]


def test_a_negative_time_is_told() -> None:
    episode = plain_episode()
    assert told(dataclasses.replace(episode, times_s=episode.times_s - 1))[0][0] is Kind.TIMES


def test_a_frozen_camera_is_told_while_the_robot_moves() -> None:
    episode = plain_episode()
    images = {**episode.images, "wrist": episode.images["wrist"].copy()}
    images["wrist"][20:35] = images["wrist"][20]
    frozen = dataclasses.replace(episode, images=images)
    assert told(frozen) == [
        (Kind.FROZEN_CAMERA, "camera 'wrist' gives one picture at steps 20-34 while the robot moves")
    ]


def test_a_camera_that_sees_a_resting_robot_is_not_frozen() -> None:
    episode = plain_episode()
    images = {name: np.repeat(frames[:1], 60, axis=0) for name, frames in episode.images.items()}
    resting = dataclasses.replace(episode, images=images, proprioception=episode.proprioception[[0] * 60])
    assert [kind for kind, _ in told(resting)] == [Kind.IDLE]


def test_an_idle_stretch_is_told() -> None:
    episode = plain_episode()
    idle = changed(episode, "proprioception", slice(10, 45), episode.proprioception[10])
    assert told(idle) == [(Kind.IDLE, "nothing moves at steps 10-44, 3.4 s")]


@pytest.mark.parametrize(("level", "what"), [(0, "black"), (200, "of one colour")])
def test_blank_pictures_are_told(level: int, what: str) -> None:
    episode = plain_episode()
    images = {**episode.images, "scene": episode.images["scene"].copy()}
    images["scene"][3:5] = level
    blank = dataclasses.replace(episode, images=images)
    assert told(blank) == [(Kind.BLANK_IMAGES, f"camera 'scene' is {what} in 2 of 60 pictures, first at step 3")]


def test_an_action_beyond_its_limits_is_told() -> None:
    field = BODY.action[1]
    beyond = changed(plain_episode(), "actions", (4, 1), 2 * field.high)
    ((kind, message),) = told(beyond)
    assert kind is Kind.LIMITS
    assert f"action '{field.name}' is beyond" in message
    assert "at 1 step: " in message


def test_rounding_at_a_limit_is_let_through() -> None:
    field = BODY.action[1]
    assert told(changed(plain_episode(), "actions", (4, 1), np.nextafter(np.float32(field.high), 9))) == []


def test_infinite_labels_and_half_points_are_told() -> None:
    target = np.full((60, 2), np.nan, np.float32)
    target[4] = (0.5, np.nan)
    labels = {"target": target, "force": np.full(60, np.inf)}
    assert told(plain_episode(0, labels=labels)) == [
        (Kind.LABELS, "label 'target' is half a point, first at step 4"),
        (Kind.LABELS, "label 'force' is infinite, first at step 0"),
    ]


def test_stretches_hold_their_ends() -> None:
    mask = np.array([1, 1, 0, 1, 0, 1, 1, 1], bool)
    assert stretches(mask, 2) == [(0, 2), (5, 8)]


# --------------------------------------------------------------------------- suspicions over a store


def test_an_outlier_is_told_against_the_store() -> None:
    field = BODY.action[0]
    values = {key: np.linspace(-0.01, 0.01, 300, dtype=np.float32)[:, None] for key in "abc"}
    values["b"][7] = field.high
    wide = dataclasses.replace(field, low=-0.1, high=0.1)
    (finding,) = outliers("action", [wide], values, spans=1.0)
    assert (finding.place, finding.kind) == ("b", Kind.OUTLIER)
    assert "at step 7" in finding.message


def test_the_same_episode_under_another_id_is_told(store: EpisodeStore) -> None:
    store.append(dataclasses.replace(plain_episode(1), seed=40))
    (finding,) = check(store.path).warnings
    assert str(finding) == (
        "warning: duplicate: reach-0000000040-scripted: has the same pictures, states and actions as "
        "reach-0000000001-scripted"
    )


def test_a_slightly_changed_copy_is_told(store: EpisodeStore) -> None:
    copy = plain_episode(1)
    images = {name: np.clip(frames.astype(int) + 1, 0, 255).astype(np.uint8) for name, frames in copy.images.items()}
    store.append(dataclasses.replace(copy, seed=40, images=images))
    (finding,) = check(store.path).warnings
    assert (finding.kind, finding.place) == (Kind.NEAR_DUPLICATE, "reach-0000000040-scripted")


def test_a_task_that_never_succeeds_is_told(store: EpisodeStore) -> None:
    store.append(plain_episode(5, task="push", success=False))
    store.append(plain_episode(6, task="reach", success=False))
    (finding,) = check(store.path).warnings
    assert finding.message == "none of 1 episodes of task 'push' by 'scripted' succeeded"


def test_episodes_without_cameras_are_compared_by_what_they_do() -> None:
    blind = dataclasses.replace(BODY, cameras=())
    likenesses = [Likeness.of(str(seed), plain_episode(seed % 2, body=blind)) for seed in range(3)]
    assert list(near_duplicates(likenesses)) == [(0, 2)]


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "stranger"
    shutil.rmtree(tmp_path / "stranger", ignore_errors=True)


def test_an_episode_of_another_store_is_not_whole(store: EpisodeStore, stranger: Path) -> None:
    other = EpisodeStore.create(stranger, dataclasses.replace(BODY, control_hz=20.0))
    key = other.append(make_episode(other.embodiment, 3, 50))
    shutil.copytree(stranger / "episodes" / key, store.path / "episodes" / key)
    (finding,) = check(store.path).errors
    assert "not of its store's" in finding.message

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from vla.commands import main
from vla.errors import ConfigError, StoreError
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.split_files import load_split, save_split
from vla_datasets.upkeep.splitting import By, Split, split

HALVES = {"train": 0.5, "validation": 0.5}


def filled(path: Path, episodes: list[Episode]) -> EpisodeStore:
    store = EpisodeStore.create(path, SMALL_EMBODIMENT)
    for episode in episodes:
        store.append(episode)
    return store


def episodes(tasks: str = "abc", seeds: range = range(8)) -> list[Episode]:
    """One for each task and seed, of different noise, with an instruction for each half of the seeds."""
    return [
        make_episode(SMALL_EMBODIMENT, 4, 100 * index + seed, task=task, instruction=f"{task} {seed % 2}")
        for index, task in enumerate(tasks)
        for seed in seeds
    ]


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return filled(tmp_path / "store", episodes())


def part_of(made: Split) -> dict[str, str]:
    return {key: part for part, keys in made.parts.items() for key in keys}


def test_every_episode_is_in_one_part_and_every_task_in_all(store: EpisodeStore) -> None:
    made = split(store, {"train": 0.75, "validation": 0.25})
    assert sorted(key for keys in made.parts.values() for key in keys) == store.keys()
    assert {part: len(keys) for part, keys in made.parts.items()} == {"train": 18, "validation": 6}
    assert all({key[0] for key in keys} == set("abc") for keys in made.parts.values())


def test_the_seed_decides(store: EpisodeStore) -> None:
    assert split(store, HALVES, seed=3) == split(store, HALVES, seed=3)
    assert split(store, HALVES, seed=3).parts != split(store, HALVES, seed=4).parts


def test_by_task_no_task_is_in_two_parts(store: EpisodeStore) -> None:
    made = split(store, {"train": 0.7, "validation": 0.3}, By.TASK)
    tasks = [{key[0] for key in keys} for keys in made.parts.values()]
    assert sorted(map(len, tasks)) == [1, 2]
    assert not tasks[0] & tasks[1]


def test_by_instruction_no_wording_is_in_two_parts(store: EpisodeStore) -> None:
    made = split(store, HALVES, By.INSTRUCTION)
    words = {part: {store.row(key).instruction for key in keys} for part, keys in made.parts.items()}
    assert not words["train"] & words["validation"]
    assert made.num_units == 6


def test_case_and_spaces_make_no_other_instruction(tmp_path: Path) -> None:
    told = ["Push  it", "push it", "pull"]
    made = [make_episode(SMALL_EMBODIMENT, 4, seed, instruction=text) for seed, text in enumerate(told)]
    store = filled(tmp_path / "store", made)
    assert split(store, HALVES, By.INSTRUCTION).num_units == 2


def test_one_scene_by_two_sources_stays_together(tmp_path: Path) -> None:
    own = [make_episode(SMALL_EMBODIMENT, 4, seed) for seed in range(6)]
    visited = [
        dataclasses.replace(make_episode(SMALL_EMBODIMENT, 5, 50 + seed), seed=seed, source="policy:x")
        for seed in range(6)
    ]
    made = split(filled(tmp_path / "store", own + visited), HALVES)
    parts = part_of(made)
    for seed in range(6):
        assert parts[f"reach-{seed:010d}-scripted"] == next(
            part for key, part in parts.items() if key.startswith(f"reach-{seed:010d}-policy")
        )
    assert (made.num_units, made.num_together) == (6, 12)


def test_one_scene_of_two_tasks_stays_together(tmp_path: Path) -> None:
    pairs = []
    for seed in range(4):
        first, other = (make_episode(SMALL_EMBODIMENT, 4, seed + 10 * place, task="ab"[place]) for place in (0, 1))
        pairs += [first, dataclasses.replace(other, seed=seed, images=first.images)]
    made = split(filled(tmp_path / "store", pairs), HALVES)
    parts = part_of(made)
    assert all(parts[f"a-{seed:010d}-scripted"] == parts[f"b-{seed:010d}-scripted"] for seed in range(4))


def test_a_copy_under_another_seed_stays_with_its_original(tmp_path: Path) -> None:
    own = [make_episode(SMALL_EMBODIMENT, 4, seed) for seed in range(6)]
    copies = [dataclasses.replace(episode, seed=episode.seed + 60, instruction="in other words") for episode in own]
    parts = part_of(split(filled(tmp_path / "store", own + copies), HALVES))
    assert all(parts[f"reach-{s:010d}-scripted"] == parts[f"reach-{s + 60:010d}-scripted"] for s in range(6))


@pytest.mark.parametrize(
    "shares", [{"train": 1.0}, {"train": 0.5, "validation": 0.4}, {"train": 1.5, "validation": -0.5}]
)
def test_shares_that_are_none_are_refused(store: EpisodeStore, shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="shares are positive, together 1, of two parts or more; got train"):
        split(store, shares)


def test_a_part_that_would_be_empty_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", episodes("a"))
    with pytest.raises(ConfigError, match="part 'validation' would be empty: 1 units by task"):
        split(store, HALVES, By.TASK)


# --------------------------------------------------------------------------- as a file


@pytest.fixture
def file(store: EpisodeStore, tmp_path: Path) -> Path:
    save_split(tmp_path / "out" / "split.json", split(store, HALVES), store)
    return tmp_path / "out" / "split.json"


def test_a_split_is_read_back(store: EpisodeStore, file: Path) -> None:
    made = split(store, HALVES)
    assert load_split(file, EpisodeStore.open(store.path)) == {part: list(keys) for part, keys in made.parts.items()}


def test_a_store_with_an_episode_more_is_refused(store: EpisodeStore, file: Path) -> None:
    store.append(make_episode(SMALL_EMBODIMENT, 4, 999))
    with pytest.raises(StoreError, match=r"is not as split .* found it: it has gained 1 episodes \(reach-0000000999"):
        load_split(file, store)


def test_a_store_that_lost_an_episode_or_changed_one_is_refused(store: EpisodeStore, file: Path) -> None:
    import shutil

    first, second = store.keys()[:2]
    old = store.read(second)
    for key in (first, second):
        shutil.rmtree(store.path / "episodes" / key)
    changed = EpisodeStore.open(store.path)
    changed.append(dataclasses.replace(old, instruction="another"))
    with pytest.raises(StoreError, match=rf"it has lost 1 episodes \({first}, ...\); it has changed 1 .*{second}"):
        load_split(file, changed)


def test_an_altered_split_is_refused(store: EpisodeStore, file: Path) -> None:
    tree = json.loads(file.read_text())
    key, value = tree["parts"]["train"].popitem()
    tree["parts"]["validation"][key] = value
    file.write_text(json.dumps(tree))
    with pytest.raises(StoreError, match="is altered: its parts do not have the fingerprint beside them"):
        load_split(file, store)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "vla-split", "version": 1}'])
def test_what_is_no_split_is_refused(store: EpisodeStore, text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(StoreError, match=r"a\.json is no split of a store"):
        load_split(tmp_path / "a.json", store)


def test_a_split_of_another_version_is_refused(store: EpisodeStore, file: Path) -> None:
    file.write_text(file.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(StoreError, match="is written as vla-split 9, this release reads vla-split 1"):
        load_split(file, store)


def test_an_absent_split_is_named(store: EpisodeStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no split at .*nothing: `vla data split` makes one"):
        load_split(tmp_path / "nothing", store)


def test_the_command_tells_and_writes(store: EpisodeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "split.json"
    options = ["parts=[train,validation,test]", "shares=[0.5,0.25,0.25]", "seed=2"]
    assert main(["data", "split", f"data={store.path}", f"out={out}", *options]) == 0
    assert "train: 12 of 24 episodes, 50.0 % (50 % asked)" in capsys.readouterr().out
    assert {part: len(keys) for part, keys in load_split(out, store).items()} == {
        "train": 12,
        "validation": 6,
        "test": 6,
    }


@pytest.mark.parametrize("options", [["shares=[1]"], ["parts=[a,a]"], ["by=taks"], ["out=."]])
def test_bad_options_are_refused_and_nothing_is_written(
    store: EpisodeStore, options: list[str], tmp_path: Path
) -> None:
    assert main(["data", "split", f"data={store.path}", f"out={tmp_path / 'split.json'}", *options]) == 2
    assert not (tmp_path / "split.json").exists()

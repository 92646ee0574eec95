from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla.commands import main
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.info_command import duration_text, size_text
from vla_datasets.upkeep.store_info import info_of


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT, {"horizon": 4})
    for seed, (task, success) in enumerate([("reach", True), ("reach", False), ("push", True)]):
        episode = make_episode(SMALL_EMBODIMENT, 36 + 36 * seed, seed, task=task, success=success, instruction=task)
        store.append(episode)
    return store


def test_episodes_steps_and_outcomes_are_counted(store: EpisodeStore) -> None:
    info = info_of(store)
    assert (info.episodes, info.steps, info.hours) == (3, 216, 216 / 10 / 3600)
    assert [(part.task, part.episodes, part.successes, part.steps) for part in info.parts] == [
        ("push", 1, 1, 108),
        ("reach", 2, 1, 108),
    ]
    assert (info.steps_shortest, info.steps_median, info.steps_longest) == (36, 72.0, 108)
    assert info.instructions == (("reach", 2), ("push", 1))


def test_bytes_are_those_on_disk(store: EpisodeStore) -> None:
    info = info_of(store)
    assert sorted(name for name, _ in info.array_bytes) == ["image_scene", "image_wrist", "numbers"]
    for name, size in info.array_bytes:
        found = [path for path in (store.path / "episodes").glob(f"*/{name}/**/*") if path.is_file()]
        assert size == sum(path.stat().st_size for path in found)


def test_the_command_prints_and_writes_it(
    store: EpisodeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.path / ".staging-1-a").mkdir()
    assert main(["data", "info", f"data={store.path}", f"json={tmp_path / 'info.json'}"]) == 0
    out = capsys.readouterr().out
    for text in ("1 not committed", "CC0-1.0 (3)", SMALL_EMBODIMENT.fingerprint, "horizon: 4", "2 instructions"):
        assert text in out
    (tree,) = json.loads((tmp_path / "info.json").read_text())
    assert (tree["fingerprint"], tree["metadata"]) == (SMALL_EMBODIMENT.fingerprint, {"horizon": 4})


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (25 * 10**12, "25 TB")])
def test_sizes_are_in_powers_of_a_thousand(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(19.04, "19 s"), (750.0, "12.5 min"), (11_520.0, "3.2 h"), (0.0, "0 s")])
def test_durations_have_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text

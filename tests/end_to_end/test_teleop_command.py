"""A human's run, here an episode of the past, becomes an episode of a store like any other."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla import commands
from vla_datasets.store import EpisodeStore

PRESS = "instruction=press the red button"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight steps of a policy."""
    folder = tmp_path_factory.mktemp("past")
    fixed = ["robot=virtual", "clock=virtual", "film=false", f"keep.store={folder}/store", f"out={folder}/run"]
    assert commands.main(["deploy", *fixed, "policy=random", PRESS, "seconds=0.8", "seed=3"]) == 0
    return folder / "store"


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


def test_a_policys_episode_says_that_no_human_acted(store: Path) -> None:
    episodes = EpisodeStore.open(store)
    (key,) = episodes.keys()
    assert episodes.read(key).labels["human"].tolist() == [0] * episodes.read(key).num_steps


def test_what_a_human_does_is_recorded_as_teleoperation(store: Path, tmp_path: Path) -> None:
    fixed = ["robot=virtual", "film=false", f"keep.store={tmp_path}/store", f"out={tmp_path}/run", "seed=3"]
    assert commands.main(["teleop", *fixed, PRESS, "by=replay", f"device={store}"]) == 0
    told = summary(tmp_path / "run")
    past, now = EpisodeStore.open(store), EpisodeStore.open(tmp_path / "store")
    before, after = past.read(*past.keys()), now.read(*now.keys())
    assert (after.source, after.instruction) == ("teleoperation", "press the red button")
    assert after.labels["human"].tolist() == [1] * after.num_steps
    assert told["human_steps"] == before.num_steps
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    asked = np.array([line["asked"] for line in lines if line["kind"] == "step"], np.float32)
    assert np.array_equal(asked, before.actions)


def test_in_shadow_mode_the_policy_is_asked_and_the_human_obeyed(store: Path, tmp_path: Path) -> None:
    fixed = ["robot=virtual", "film=false", f"keep.store={tmp_path}/store", f"out={tmp_path}/run", "seed=3"]
    drive = ["shadow=true", "teleop.by=replay", f"teleop.device={store}"]
    assert commands.main(["deploy", *fixed, *drive, PRESS, "policy=zero"]) == 0
    told = summary(tmp_path / "run")
    kept = EpisodeStore.open(tmp_path / "store")
    episode = kept.read(*kept.keys())
    assert told["shadow"]["steps"] == episode.num_steps
    moved = np.abs(episode.actions[:, 0]).mean()
    assert told["shadow"]["fields"]["dx"]["mean"] == pytest.approx(moved, rel=1e-3)
    assert episode.labels["policy_action"].shape == (episode.num_steps, 5)
    assert not episode.labels["policy_action"][:, :4].any()
    assert commands.main(["deploy", "inspect", f"run={tmp_path}/run"]) in (0, 3)
    page = (tmp_path / "run" / "inspect.html").read_text(encoding="utf-8")
    assert "the policy alone" in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["by=browser"], "by=browser drives from the console's page: give console=true"),
        (["by=keyboard"], "by=keyboard needs a terminal"),
        (["by=gamepad", "device=/dev/input/none"], "/dev/input/none cannot be opened"),
        (["by=replay"], "by=replay needs teleop.device=STORE"),
        (["by=leader"], "by=leader needs teleop.device=PORT"),
    ],
)
def test_a_device_that_is_not_there_is_told_before_anything_moves(
    arguments: list[str], says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    with open(os.devnull) as no_terminal:
        monkeypatch.setattr("sys.stdin", no_terminal)
        assert commands.main(["teleop", "robot=virtual", PRESS, f"out={out}", "film=false", *arguments]) == 2
    assert says in capfd.readouterr().err
    assert not (out / "run.json").exists()


def test_an_operator_lives_by_real_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fixed = ["robot=virtual", "clock=virtual", "policy=zero", PRESS, f"out={tmp_path}/run"]
    assert commands.main(["deploy", *fixed, "console=true"]) == 2
    assert "console=true and shadow=true need clock=real" in capfd.readouterr().err

"""A run on an arm becomes an episode of a store, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla import commands
from vla.interfaces import ActionChunk
from vla_datasets.store import EpisodeStore
from vla_policies.baselines import ZeroPolicy
from vla_robot_io.keeping import KeepConfig, told_success

PRESS = "instruction=press the red button"


def deploy(out: Path, store: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    fixed = ["robot=virtual", "clock=virtual", "film=false", f"keep.store={store}", "keep.licence=CC0-1.0"]
    status = commands.main(["deploy", *fixed, f"out={out}", *arguments])
    return status, json.loads((out / "run.json").read_text(encoding="utf-8"))


def test_a_run_is_an_episode_of_what_was_seen_and_really_done(tmp_path: Path) -> None:
    status, told = deploy(tmp_path / "run", tmp_path / "store", "policy=random", PRESS, "seconds=1", "seed=3")
    store = EpisodeStore.open(tmp_path / "store")
    (key,) = store.keys()
    episode = store.read(key)
    assert status == 0
    assert told["kept"]["episode"] == key
    assert (told["kept"]["success"], told["kept"]["told_by"]) == (False, "the simulator")
    assert (episode.task, episode.seed, episode.source) == ("press the red button", 3, "policy:random")
    assert (episode.licence, episode.num_steps) == ("CC0-1.0", told["steps"] - told["kept"]["dropped"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    applied = np.array([line["applied"] for line in lines if line["kind"] == "step"], np.float32)
    assert told["kept"]["dropped"] or np.array_equal(episode.actions, applied)


def test_the_same_scene_again_is_refused_before_anything_moves(tmp_path: Path) -> None:
    asked = ["policy=zero", PRESS, "seconds=0.5", "seed=3"]
    deploy(tmp_path / "one", tmp_path / "store", *asked)
    fixed = ["robot=virtual", "clock=virtual", "film=false", f"keep.store={tmp_path}/store"]
    assert commands.main(["deploy", *fixed, f"out={tmp_path}/two", *asked]) == 2
    assert not (tmp_path / "two").exists()


def test_a_run_that_ends_in_a_fault_is_kept_as_far_as_it_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = ZeroPolicy.predict
    calls: list[int] = []

    def break_down(self: ZeroPolicy, *arguments: Any) -> list[ActionChunk]:
        calls.append(1)
        if len(calls) > 6:
            raise RuntimeError("the policy broke down")
        return predict(self, *arguments)

    monkeypatch.setattr(ZeroPolicy, "predict", break_down)
    status, told = deploy(tmp_path / "run", tmp_path / "store", "policy=zero", PRESS, "seconds=5")
    assert status == 3
    assert told["kept"]["num_steps"] > 0
    assert not EpisodeStore.open(tmp_path / "store").index()[0].success


def test_nothing_is_kept_that_was_not_asked_for(tmp_path: Path) -> None:
    fixed = ["robot=virtual", "clock=virtual", "film=false", f"out={tmp_path}/run"]
    assert commands.main(["deploy", *fixed, "policy=zero", PRESS, "seconds=0.3"]) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["kept"] is None


@pytest.mark.parametrize(
    ("known", "config", "answers", "expected"),
    [
        (True, KeepConfig(success=False), [], (True, "the simulator")),
        (None, KeepConfig(success=True), [], (True, "keep.success")),
        (None, KeepConfig(), ["?", "", "Yes"], (True, "the operator")),
        (None, KeepConfig(), ["n"], (False, "the operator")),
        (None, KeepConfig(), ["d"], (None, "the operator")),
    ],
)
def test_who_says_whether_it_succeeded(
    known: bool | None, config: KeepConfig, answers: list[str], expected: tuple[bool | None, str]
) -> None:
    left = iter(answers)
    assert told_success(config, known, lambda question: next(left)) == expected

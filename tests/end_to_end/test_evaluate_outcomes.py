"""Evaluation in closed loop: what it writes, and that outcomes depend on seeds alone."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla.clock import VirtualClock
from vla.interfaces import EpisodeSpec
from vla.model.compact import CompactConfig
from vla.model.vla_model import Head
from vla.normalization import Statistics
from vla.testing import make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_policies.checkpoint import Checkpoint, make_model, save_checkpoint
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.rollout import RolloutResult
from vla_sim import demo, evaluate, jobs
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluation_plan import Control
from vla_sim.jobs import Job, Message, Outcome
from vla_sim.workers import worker_pool

SPECS = [EpisodeSpec(task, seed) for task in ("reach", "pick_up", "open_drawer") for seed in (1_000_000, 1_000_001)]
FULL_LOOP = ["policy=scripted", "tasks=[reach,press_button]", "episodes=2", "workers=1"]


def outcomes(policies: Sequence[str], workers: int, batch: int) -> dict[str, list[tuple[object, ...]]]:
    """All of each episode that can be seen from outside, to the last bit of its actions, by policy."""
    with worker_pool(functools.partial(evaluate.make_runner, batch), workers) as pool:
        return {policy: _visible_in_order(pool.run(Job(policy, ExecutionConfig()), SPECS)) for policy in policies}


def _visible_in_order(messages: Iterator[Message]) -> list[tuple[object, ...]]:
    found = [message for message in messages if isinstance(message, Outcome)]
    return [_visible(outcome.result) for outcome in sorted(found, key=lambda outcome: outcome.index)]


def _visible(result: RolloutResult) -> tuple[object, ...]:
    return result.spec, result.instruction, result.success, result.steps, result.error, result.actions.tobytes()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small model of the tabletop, untrained: its actions hang on every bit of what it computes."""
    import torch

    folder = tmp_path_factory.mktemp("untrained")
    episode = make_episode(TABLETOP_PANDA, steps=40, seed=0, lookahead=4)
    action_tokenizer = BinTokenizer.fit(episode.labels["lookahead"], TABLETOP_PANDA, vocabulary_size=41)
    backbone = CompactConfig(width=32, layers=1, heads=2, channels=8)
    torch.manual_seed(0)
    model = make_model(TABLETOP_PANDA, action_tokenizer, TextTokenizer.shipped(), backbone, Head.SLOTS)
    names = [field.name for field in TABLETOP_PANDA.proprioception]
    save_checkpoint(
        folder,
        Checkpoint(
            embodiment=TABLETOP_PANDA,
            statistics=Statistics.of(episode.proprioception.astype(np.float64), names).without_values(),
            action_tokenizer=action_tokenizer,
            text_tokenizer=TextTokenizer.shipped(),
            backbone=backbone,
            head=Head.SLOTS,
            config={},
            step=0,
            weights=model.state_dict(),
        ),
    )
    return str(folder)


@pytest.fixture(scope="module")
def alone(checkpoint: str) -> dict[str, list[tuple[object, ...]]]:
    """Outcomes one at a time in one process."""
    return outcomes(["scripted", "random", checkpoint], workers=1, batch=1)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "batch"), [(1, 7), (1, 32), (2, 1), (2, 7)])
def test_an_outcome_depends_on_neither_workers_nor_batch(
    alone: dict[str, list[tuple[object, ...]]], workers: int, batch: int
) -> None:
    assert outcomes(list(alone), workers, batch) == alone


def test_the_outcomes_that_are_compared_are_of_whole_episodes(alone: dict[str, list[tuple[object, ...]]]) -> None:
    assert all(error is None for episodes in alone.values() for _, _, _, _, error, _ in episodes)
    assert all(success for _, _, success, _, _, _ in alone["scripted"])


def test_a_checkpoint_is_evaluated_with_every_control(tmp_path: Path, checkpoint: str) -> None:
    arguments = [f"policy={checkpoint}", "tasks=[reach]", "episodes=1", "workers=1", "videos=0", f"out={tmp_path}"]
    assert evaluate.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["controls"]) == [control.value for control in Control]
    assert len(report["hashes"]["checkpoint"]) == 64
    assert report["latency_ms"]["mean_batch_size"] == 1


def test_a_corrupt_checkpoint_is_named_and_nothing_is_written(
    tmp_path: Path, checkpoint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(checkpoint, tmp_path / "broken")
    (weights,) = (tmp_path / "broken").glob("weights-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert evaluate.main([f"policy={tmp_path}/broken", f"out={tmp_path}/out"]) == 2
    assert f"{weights} is altered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_evaluation_writes_the_report_that_was_promised(tmp_path: Path) -> None:
    status = evaluate.main([*FULL_LOOP, "seed=1000000", "controls=[random]", "control_episodes=1", f"out={tmp_path}"])
    report = json.loads((tmp_path / "report.json").read_text())
    assert status == 0
    assert (report["policy"], report["suite"], report["seed"]) == ("scripted", "tabletop", 1_000_000)
    assert set(report["overall"]) == {"n", "success", "low", "high", "errors"}
    assert {name: share["n"] for name, share in report["tasks"].items()} == {"reach": 2, "press_button": 2}
    assert [(e["task"], e["seed"]) for e in report["episodes"]] == [
        ("reach", 1_000_000),
        ("reach", 1_000_001),
        ("press_button", 1_000_000),
        ("press_button", 1_000_001),
    ]
    assert all({"task", "seed", "instruction", "success", "steps", "error"} <= set(e) for e in report["episodes"])
    assert {"p50", "p95", "p99"} <= set(report["latency_ms"])
    assert {"vla", "python", "torch", "mujoco"} <= set(report["versions"])
    assert set(report["hashes"]) == {"checkpoint", "config"}
    assert report["controls"]["random"]["overall"]["n"] == 2
    assert [video["file"] for video in report["videos"]] == [
        "videos/reach-1000000.mp4",
        "videos/press_button-1000000.mp4",
    ]
    assert all((tmp_path / video["file"]).stat().st_size > 1000 for video in report["videos"])


def test_episodes_run_again_for_their_videos_go_as_before(tmp_path: Path) -> None:
    assert evaluate.main([*FULL_LOOP, "videos=2", f"out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["repeated"] == {"n": 4, "same": 4}


@pytest.mark.parametrize("mode", list(ExecutionMode))
def test_every_way_of_executing_chunks_runs(tmp_path: Path, mode: ExecutionMode) -> None:
    arguments = ["policy=random", "tasks=[reach]", "episodes=1", "workers=1", "videos=0", f"out={tmp_path}"]
    assert evaluate.main([*arguments, f"execution.mode={mode.value}"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["execution"]["mode"] == mode.value


@pytest.mark.parametrize("selection", ["templates=held_out", "instruction=wrong"])
def test_a_control_may_be_the_whole_evaluation(tmp_path: Path, selection: str) -> None:
    def instructions(*more: str) -> list[str]:
        arguments = ["policy=zero", "tasks=[reach]", "episodes=3", "workers=1", "videos=0", f"out={tmp_path}"]
        assert evaluate.main([*arguments, *more]) == 0
        return [episode["instruction"] for episode in json.loads((tmp_path / "report.json").read_text())["episodes"]]

    assert all(one != other for one, other in zip(instructions(selection), instructions(), strict=True))


def test_both_orders_of_the_words_are_counted_as_pairs(tmp_path: Path) -> None:
    arguments = ["policy=scripted", "tasks=[stack,stack_swapped]", "episodes=2", "workers=1", "videos=0"]
    assert evaluate.main([*arguments, f"out={tmp_path}"]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["pairs"]["stack+stack_swapped"]["n"] == 2


def test_episodes_that_end_in_errors_give_status_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, action: object) -> None:
        raise RuntimeError("the wheel came off")

    monkeypatch.setattr(TabletopEnvironment, "step", broken)
    arguments = ["policy=zero", "tasks=[reach]", "episodes=2", "workers=1", f"out={tmp_path}"]
    assert evaluate.main(arguments) == 3
    report = json.loads((tmp_path / "report.json").read_text())
    assert [episode["error"] for episode in report["episodes"]] == ["RuntimeError: the wheel came off"] * 2
    assert "RuntimeError: the wheel came off" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "bad", ["tasks=[reech]", "policy=nobody", "policy=gone/checkpoint", "batch=0", "episods=3", "instruction=none"]
)
def test_bad_input_gives_status_two_one_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    assert evaluate.main(["policy=zero", "episodes=1", f"out={tmp_path}/out", bad]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_interruption_leaves_nothing_but_outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(messages: Iterator[Message], *rest: Any) -> Iterator[Message]:
        yield next(messages)
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "count_outcomes", interrupted)
    assert evaluate.main([*FULL_LOOP, f"out={tmp_path}/out"]) == 130
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["outcomes.jsonl"]


@pytest.mark.parametrize(("workers", "batch"), [(1, 3), (2, 8)])
def test_it_stops_at_a_stated_precision_whatever_the_workers(tmp_path: Path, workers: int, batch: int) -> None:
    arguments = ["policy=zero", "tasks=[reach,press_button]", "episodes=40", "until=0.05", "videos=1", f"batch={batch}"]
    assert evaluate.main([*arguments, f"workers={workers}", f"out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["stopped"]["looks"], report["stopped"]["episodes"], report["overall"]["n"]) == (2, 20, 40)
    assert report["stopped"]["half_width"] <= 0.05
    assert [e["seed"] - 1_000_000 for e in report["episodes"]] == [*range(20), *range(20)]
    assert report["repeated"]["same"] == report["repeated"]["n"] > 0


def test_a_report_says_where_failures_got_stuck_and_how_groups_fared(tmp_path: Path) -> None:
    assert evaluate.main(["policy=zero", "tasks=[reach,stack]", "episodes=2", "workers=1", f"out={tmp_path}"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["stages"]["stack"]["came_to"] == {"start": 2, "reached": 0, "grasped": 0, "moved": 0, "placed": 0}
    assert {name: group["n"] for name, group in report["groups"].items()} == {"free_motion": 2, "placing": 2}
    assert report["calibration"] is None
    assert "Where failures got stuck" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("policy", "expected"), [("scripted", True), ("random", False)])
def test_a_policy_that_looks_into_the_simulator_is_marked(tmp_path: Path, policy: str, expected: bool) -> None:
    arguments = [f"policy={policy}", "tasks=[reach]", "episodes=3", "workers=1", "videos=0", f"out={tmp_path}"]
    assert evaluate.main(arguments) == 0
    assert json.loads((tmp_path / "report.json").read_text())["peeks"] is expected
    assert ("looks into the simulator" in (tmp_path / "report.html").read_text()) is expected


def test_a_token_policy_is_asked_how_sure_it_was(tmp_path: Path, checkpoint: str) -> None:
    arguments = [f"policy={checkpoint}", "tasks=[reach]", "episodes=2", "controls=[]", "workers=1", "videos=0"]
    assert evaluate.main([*arguments, f"out={tmp_path}"]) == 0
    calibration = json.loads((tmp_path / "report.json").read_text())["calibration"]
    assert calibration["failures"] + calibration["successes"] == 2
    assert set(calibration) == {"failures", "successes", "mean_entropy", "highest_entropy"}


def test_by_the_clock_a_report_says_how_time_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    monkeypatch.setattr(jobs, "RealClock", lambda: clock)
    arguments = ["policy=random", "tasks=[reach]", "episodes=2", "clock=wall", "delay_ms=250", f"out={tmp_path}"]
    assert evaluate.main(arguments) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    kept = report["wall_clock"]
    assert (kept["delay_ms"], kept["latency_ms"]["p50"], kept["void"], report["videos"]) == (250.0, 250.0, False, [])
    assert kept["realised_hz"] == pytest.approx(10.0, abs=0.01)
    assert 0.4 < kept["missing"] < 0.6  # two steps are waited for, two carried out
    assert "the world did not wait" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_the_demo_shows_every_task_in_a_table_a_report_and_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["policy=scripted", "episodes=1", f"out={tmp_path}"]) == 0
    assert len(list((tmp_path / "videos").iterdir())) == 8
    assert f"report: {tmp_path}/report.html" in capsys.readouterr().out

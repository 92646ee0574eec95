"""`vla compare`: pairs, refusals by name, and what is printed and written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from vla.errors import ConfigError, DataError
from vla_sim import compare as command
from vla_sim.comparison import compare, read_report


def report(policy: str, successes: dict[str, str], **config: Any) -> dict[str, Any]:
    """A report of tasks whose seeds from 7 on succeeded (1) or failed (0)."""
    episodes = [
        {"task": task, "seed": 7 + index, "instruction": f"do {task}", "success": mark == "1", "error": None}
        for task, marks in successes.items()
        for index, mark in enumerate(marks)
    ]
    plain = {"suite": "tabletop", "templates": "training", "instruction": "own", "policy": policy, "out": policy}
    return {"episodes": episodes, "config": plain | config, "hashes": {}, "versions": {}}


A = report("runs/a", {"reach": "1110", "stack": "1010"})
B = report("runs/b", {"reach": "1000", "stack": "1011"})


def written(folder: Path, tree: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(tree))
    return folder


def test_pairs_are_counted_by_task_and_overall() -> None:
    tree = compare(A, B)
    assert {name: (line["n"], line["only_a"], line["only_b"]) for name, line in tree["tasks"].items()} == {
        "reach": (4, 2, 0),
        "stack": (4, 0, 1),
    }
    overall = tree["overall"]
    assert (overall["n"], overall["difference"], overall["p"]) == (8, 0.125, 1.0)
    assert overall["low"] <= overall["difference"] <= overall["high"]
    assert (overall["a"]["success"], overall["b"]["success"]) == (0.625, 0.5)


def test_the_order_of_the_episodes_does_not_matter() -> None:
    shuffled = {**B, "episodes": B["episodes"][::-1]}
    assert compare(A, shuffled)["overall"] == compare(A, B)["overall"]


def test_what_else_differs_is_told_but_not_where_or_how_fast() -> None:
    other = report("runs/b", {"reach": "1"}, execution={"mode": "asynchronous", "delay_s": 0.1}, workers=4)
    one = report("runs/a", {"reach": "1"}, execution={"mode": "synchronous", "delay_s": 0.1}, workers=2)
    assert compare(one, other)["differs_in"] == {
        "policy": ["runs/a", "runs/b"],
        "execution.mode": ["synchronous", "asynchronous"],
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"suite": "metaworld"}, "suite is 'tabletop' in a and 'metaworld' in b"),
        ({"templates": "held_out"}, "templates is 'training' in a and 'held_out' in b"),
        ({"instruction": "wrong"}, "instruction is 'own' in a and 'wrong' in b"),
    ],
)
def test_other_evaluations_are_refused_by_what_differs(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(A, report("runs/b", {"reach": "1000", "stack": "1011"}, **config))


def test_a_planted_seed_clash_is_caught_and_named() -> None:
    planted = copy.deepcopy(B)
    planted["episodes"][2]["seed"] = 900
    with pytest.raises(ConfigError, match="seed clash: reach, seed 9 is in a and not in b"):
        compare(A, planted)


def test_more_episodes_in_one_report_are_a_clash_unless_told_otherwise() -> None:
    longer = report("runs/b", {"reach": "10001", "stack": "1011"})
    with pytest.raises(ConfigError, match=r"reach, seed 11 is in b and not in a.*only_shared=true"):
        compare(A, longer)
    tree = compare(A, longer, only_shared=True)
    assert tree["overall"] == compare(A, B)["overall"]
    assert tree["left_out"] == {"a": 0, "b": 1}


def test_the_same_seed_with_other_words_is_a_clash() -> None:
    planted = copy.deepcopy(B)
    planted["episodes"][0]["instruction"] = "do something else"
    with pytest.raises(ConfigError, match="reach, seed 7 was 'do reach' in a and 'do something else' in b"):
        compare(A, planted)


def test_reports_without_a_common_episode_are_refused() -> None:
    with pytest.raises(ConfigError, match="no episode in common"):
        compare(A, report("runs/b", {"pick_up": "1"}), only_shared=True)


def test_an_episode_that_is_told_twice_is_refused(tmp_path: Path) -> None:
    doubled = {**A, "episodes": A["episodes"] + A["episodes"][:1]}
    with pytest.raises(DataError, match="tells of reach, seed 7 twice"):
        read_report(written(tmp_path / "a", doubled))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{half", "is not JSON"),
        ("[]", "is a JSON list, expected an object"),
        ("{}", "is no report of `vla eval`"),
    ],
)
def test_a_damaged_report_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_report(tmp_path)


def test_a_report_that_cannot_be_read_is_not_said_to_be_absent(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(DataError, match=r"report\.json cannot be read: Is a directory"):
        read_report(tmp_path)


def test_the_command_prints_a_table_and_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, out = written(tmp_path / "a", A), written(tmp_path / "b", B), tmp_path / "out"
    assert command.main([f"a={a}", f"b={b}/report.json", f"out={out}"]) == 0
    printed = capsys.readouterr().out
    assert "No difference is shown: +12.5 points, p = 1." in printed
    assert "policy: runs/a in a, runs/b in b" in printed
    assert json.loads((out / "compare.json").read_text())["overall"]["only_a"] == 2
    page = (out / "compare.html").read_text()
    assert "<td>2</td>" in page
    assert "http" not in page


def test_the_better_one_is_named() -> None:
    tree = compare(report("x", {"reach": "1" * 20}), report("y", {"reach": "0" * 20}))
    assert command.verdict(tree) == "a is better than b by 100.0 points, p = 1.9e-06."


def test_an_absent_report_gives_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"a={tmp_path}", f"b={tmp_path}"]) == 2
    assert f"there is no report {tmp_path}/report.json" in capsys.readouterr().err


def with_errors(tree: dict[str, Any], *indices: int) -> dict[str, Any]:
    episodes = [
        {**episode, "success": False, "error": "OSError: no"} if index in indices else episode
        for index, episode in enumerate(tree["episodes"])
    ]
    return {**tree, "episodes": episodes}


def test_pairs_are_of_episodes_carried_out_in_both() -> None:
    tree = compare(with_errors(A, 0, 1), with_errors(B, 1, 7))
    assert (tree["overall"]["n"], tree["tasks"]["reach"]["n"], tree["tasks"]["stack"]["n"]) == (5, 2, 3)
    assert (tree["errors"]["pairs"], tree["a"]["errors"], tree["b"]["errors"]) == (3, 2, 2)


def test_errors_that_could_change_the_verdict_are_told() -> None:
    good, bad = report("x", {"reach": "1" * 20}), report("y", {"reach": "0" * 20})
    one, many = compare(with_errors(good, 0), bad), compare(with_errors(good, *range(12)), with_errors(bad, *range(12)))
    assert "They could not change the verdict" in str(command.told_errors(one))
    assert "12 pairs are left out, for an error (12 of a, 12 of b). They could change" in str(command.told_errors(many))
    assert command.verdict(many).startswith("a is better than b")


def test_a_task_without_a_pair_is_named_and_none_at_all_is_refused() -> None:
    tree = compare(with_errors(A, *range(4)), B)
    assert (list(tree["tasks"]), tree["errors"]["tasks"]) == (["stack"], ["reach"])
    with pytest.raises(ConfigError, match="no episode was carried out in both"):
        compare(with_errors(A, *range(8)), B)

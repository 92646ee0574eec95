"""The determinism benchmark tells episodes that differ from those that do not."""

from __future__ import annotations

from benchmarks.determinism import compared

EXPECTED = {"a": (True, 7, "go", "abc"), "b": (False, 9, "stop", "def")}


def test_the_same_outcomes_are_the_same() -> None:
    assert compared(EXPECTED, dict(reversed(EXPECTED.items()))) == {"same": 2, "of": 2, "differ": []}


def test_another_bit_of_the_actions_is_found() -> None:
    assert compared(EXPECTED, {**EXPECTED, "b": (False, 9, "stop", "deF")})["differ"] == ["b"]


def test_missing_and_additional_episodes_are_found() -> None:
    assert compared(EXPECTED, {"a": EXPECTED["a"], "c": EXPECTED["b"]}) == {"same": 1, "of": 2, "differ": ["b", "c"]}

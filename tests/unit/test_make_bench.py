"""`make bench`: the two sides of a comparison take turns, and every benchmark is in the table."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from benchmarks import comparison
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.comparison import Comparison, measure


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed: time stands still but for what a test adds."""
    now = [0.0]
    monkeypatch.setattr(comparison.time, "perf_counter", lambda: now[0])
    return now


def compared(clock: list[float], baseline_s: float, contender_s: float, order: list[str]) -> Comparison:
    def act(name: str, duration_s: float) -> None:
        order.append(name)
        clock[0] += duration_s

    return Comparison(
        claim="a claim",
        baseline=lambda: act("baseline", baseline_s),
        contender=lambda: act("contender", contender_s),
        work=12,
        unit="cups",
        repeats=3,
    )


def test_the_ratio_is_how_many_times_faster_the_contender_is(clock: list[float]) -> None:
    measured = measure(compared(clock, baseline_s=6.0, contender_s=2.0, order=[]))
    assert measured.ratio == 3.0
    assert (measured.baseline_per_s, measured.contender_per_s) == (2.0, 6.0)


def test_both_sides_take_turns_after_an_untimed_round(clock: list[float]) -> None:
    order: list[str] = []
    measured = measure(compared(clock, 1.0, 1.0, order))
    assert order == ["baseline", "contender"] * 4
    assert (len(measured.baseline_s), len(measured.contender_s)) == (3, 3)


def test_every_benchmark_is_in_the_table_and_in_the_readme(root: Path) -> None:
    readme = (root / "benchmarks" / "README.md").read_text(encoding="utf-8")
    frame = {"__main__", "comparison", "experts", "reaching", "machine", "held_arms", "relay"}
    modules = {path.stem for path in (root / "benchmarks").glob("*.py")} - frame
    assert modules == set(BENCHMARKS)
    assert [name for name in BENCHMARKS if f"| `{name}` |" not in readme] == []
    assert all(importlib.util.find_spec(module) for module in BENCHMARKS.values())


def test_an_unknown_benchmark_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rendring"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown benchmark 'rendring'; did you mean 'rendering'?")

"""Every row of the fault catalogue names tests that exist, or says why there is none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

NUMBERS = """
01 02 03 04 05 06 08 09 10 11 12 13 15 16 17 18 19 20 20a 21 22 23 24 25 26 27 28 29 30 31 32 33 34 36 37 38
40 41 42 43 44 45 46 47 48 50 51 52 54 55 56 57 59 60 61 62 63 64 65 67 68 69 70 71 72 73 74 75 77 78 79 81
83 84 85 86 87 88 89 90 91 93 94 96 97 98 99 100 102 103 105
"""
ROWS = [f"F{number}" for number in NUMBERS.split()]
TEST = re.compile(r"`(test_\w+)::(test_\w+)`")
ROW = re.compile(r"^\| (F\d+a?) \|")


@pytest.fixture(scope="module")
def lines() -> list[str]:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "fault-catalogue.md"
    return [line for line in page.read_text(encoding="utf-8").splitlines() if ROW.match(line)]


def functions(root: Path, file: str) -> set[str]:
    """The tests of a file, wherever below `tests/` it lies."""
    (path,) = (root / "tests").rglob(f"{file}.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_is_there_once_and_in_order(lines: list[str]) -> None:
    found = [match[1] for line in lines if (match := ROW.match(line))]
    assert found == ROWS


def test_every_row_names_a_test_or_says_why_there_is_none(lines: list[str]) -> None:
    without = [line for line in lines if not TEST.search(line) and "| \N{EN DASH} " not in line]
    assert without == []


def test_every_test_that_is_named_exists(root: Path, lines: list[str]) -> None:
    named = {match for line in lines for match in TEST.findall(line)}
    missing = [f"{file}::{name}" for file, name in sorted(named) if name not in functions(root, file)]
    assert missing == []


def test_every_test_that_carries_a_row_belongs_to_one(root: Path) -> None:
    carried = {
        row.upper().replace("A", "a")
        for file in (root / "tests").rglob("test_*.py")
        for row in re.findall(r"^def test_(f\d+a?)_", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert carried <= set(ROWS)

"""The Makefile: targets, and the choice of a uv that works. Nothing is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

WORKING_UV = "#!/bin/sh\necho '  --group <GROUP>'\n"
BROKEN_UV = "#!/bin/sh\necho 'uv: command not found' >&2\nexit 127\n"


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """A folder with the Makefile alone, as in a fresh clone: neither uv nor environment."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def plan(clone: Path, target: str, uv: str) -> str:
    """The commands that `make target` would run where the `uv` on the path is this script."""
    shims = clone / "shims"
    shims.mkdir()
    (shims / "uv").write_text(uv)
    (shims / "uv").chmod(0o755)
    # The tests themselves may run under make, whose flags its children inherit.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment = inherited | {"PATH": f"{shims}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", "-n", target], cwd=clone, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_uv_that_does_not_answer_is_replaced_by_our_own(clone: Path) -> None:
    steps = plan(clone, "demo", BROKEN_UV)
    assert "-m venv .uv" in steps
    assert ".uv/bin/uv pip install --editable . --group dev" in steps


def test_a_uv_that_answers_is_used(clone: Path) -> None:
    steps = plan(clone, "demo", WORKING_UV)
    assert f"{clone}/shims/uv pip install --editable . --group dev" in steps
    assert ".uv" not in steps


def test_a_made_environment_is_not_made_again(clone: Path) -> None:
    (clone / ".venv").mkdir()
    (clone / ".venv" / ".ready").touch()
    assert plan(clone, "demo", WORKING_UV).splitlines() == [".venv/bin/vla demo"]


@pytest.mark.parametrize(
    ("target", "command"),
    [("demo", "vla demo"), ("test", "pytest"), ("lint", "lint-imports"), ("bench", "python -m benchmarks")],
)
def test_each_target_makes_the_environment_first(clone: Path, target: str, command: str) -> None:
    steps = plan(clone, target, WORKING_UV)
    assert 0 < steps.index("venv --python 3.12 .venv") < steps.index(f".venv/bin/{command}")


def test_lint_runs_every_checker(clone: Path) -> None:
    steps = plan(clone, "lint", WORKING_UV)
    checkers = ["ruff check", "ruff format --check", "lint-imports", "pyright", "mypy"]
    assert [checker for checker in checkers if f".venv/bin/{checker}" not in steps] == []


def test_the_gate_is_lint_and_test(root: Path) -> None:
    gate = root / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    assert gate.read_text().splitlines()[-1] == "exec make lint test"


@pytest.mark.parametrize("name", ["Makefile", "pyproject.toml", ".ci/run", ".pre-commit-config.yaml"])
def test_no_package_index_is_named(root: Path, name: str) -> None:
    text = (root / name).read_text()
    assert "index-url" not in text
    assert "http" not in text

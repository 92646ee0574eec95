"""What every test stands on: one thread, software rendering, and the same Hypothesis examples each time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "egl")

settings.register_profile("same_every_time", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("same_every_time")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def agrees() -> Callable[[str, Path], None]:
    """Compare a text with the file that froze it; `make freeze` writes the file instead."""

    def compare(text: str, path: Path) -> None:
        if os.environ.get("FREEZE"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date; if this is meant: make freeze"

    return compare

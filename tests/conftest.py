"""What every test stands on: one thread, software rendering, and the same Hypothesis examples each time."""

from __future__ import annotations

import os
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

"""Success is a plain bool in every state, those at the edge of success too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vla_sim.tasks import push_to_pad


@pytest.mark.parametrize(
    ("height_m", "speed_m_s", "expected"), [(0.02, 0.0, True), (0.02, 1.0, False), (0.05, 0.0, False)]
)
def test_a_push_counts_on_the_table_and_at_rest(
    height_m: float, speed_m_s: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = {"red block": np.array([0.5, 0.0, height_m]), "blue pad": np.array([0.5, 0.0, 0.0])}
    world: Any = SimpleNamespace(position=positions.__getitem__, speed=lambda name: speed_m_s)
    # Unwrapped: the checks of types while testing would ask for a whole World.
    for name in ("is_there", "success"):
        function = getattr(push_to_pad, name)
        monkeypatch.setattr(push_to_pad, name, getattr(function, "__wrapped__", function))
    assert push_to_pad.success(world, ("red block", "blue pad")) is expected

from __future__ import annotations

import pytest

from vla.interfaces import EpisodeSpec
from vla.testing import check_environment
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment

pytest.importorskip("metaworld")


def test_the_environment_keeps_its_contract() -> None:
    specs = [EpisodeSpec("reach", 0), EpisodeSpec("box_close", 1), EpisodeSpec("reach", 2)]
    check_environment(MetaWorldEnvironment(), specs)

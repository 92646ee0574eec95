from __future__ import annotations

import pytest

from vla.embodiment import Embodiment
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla.testing import check_environment
from vla_sim.metaworld_suite import METAWORLD_SAWYER, METAWORLD_SAWYER_BLIND, METAWORLD_SAWYER_SMALL
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment

pytest.importorskip("metaworld")


@pytest.mark.parametrize("body", [METAWORLD_SAWYER, METAWORLD_SAWYER_BLIND, METAWORLD_SAWYER_SMALL])
def test_the_environment_keeps_its_contract(body: Embodiment) -> None:
    specs = [
        EpisodeSpec("reach", 0),
        EpisodeSpec("box_close", 1, TemplateSet.HELD_OUT),
        EpisodeSpec("reach", 2, instruction_kind=InstructionKind.WRONG),
    ]
    check_environment(MetaWorldEnvironment(body), specs, steps=4)

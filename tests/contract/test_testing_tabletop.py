from __future__ import annotations

from collections.abc import Iterator

import pytest

from vla.interfaces import EpisodeSpec, TemplateSet
from vla.testing import check_environment
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import TASKS


@pytest.fixture(scope="module")
def environment() -> Iterator[TabletopEnvironment]:
    environment = TabletopEnvironment()
    yield environment
    environment.close()


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_tabletop_keeps_the_contract_in_every_task(environment: TabletopEnvironment, task: str) -> None:
    check_environment(environment, [EpisodeSpec(task, 3), EpisodeSpec(task, 4, templates=TemplateSet.HELD_OUT)])

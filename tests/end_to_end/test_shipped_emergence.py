"""The two checkpoints that come with the package for tiles: what web data adds, on tables they have never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.interfaces import EpisodeSpec
from vla_policies.loading import checkpoint_folder, load_policy, seen_scenes
from vla_policies.rollout import rollout
from vla_policies.token_policy import TokenPolicy
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks.emergence import GROUPS, SEEN_TASKS
from vla_sim.worlds.scene import TILES_CAST

COTRAINED, ROBOT_ONLY = "emergence-cotrained", "emergence-robot-only"
FIRST_SEED = 2_000_000
MAX_BYTES = 15_000_000


def success(policy: str, group: str, number: int) -> float:
    """Over the first scenes of each task of a group."""
    environments = [TabletopEnvironment(cast=TILES_CAST) for _ in range(8)]
    specs = [EpisodeSpec(task, FIRST_SEED + seed) for task in GROUPS[group] for seed in range(number)]
    results = list(rollout(load_policy(policy, TABLETOP_PANDA), environments, specs))
    assert [result.error for result in results if result.error] == []
    return sum(result.success for result in results) / len(results)


@pytest.mark.parametrize("name", [COTRAINED, ROBOT_ONLY])
def test_they_are_small_and_were_shown_no_task_that_web_data_alone_speaks_of(name: str) -> None:
    folder = Path(checkpoint_folder(name))
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    assert TokenPolicy.from_checkpoint(folder, device="cpu").embodiment == TABLETOP_PANDA
    assert {task for task, _ in seen_scenes(name)} == set(SEEN_TASKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [COTRAINED, ROBOT_ONLY])
def test_both_do_what_demonstrations_spoke_of(name: str) -> None:
    assert success(name, "seen", 10) >= 0.9


@pytest.mark.slow
def test_web_data_reaches_the_arm_of_the_one_that_had_it() -> None:
    assert success(COTRAINED, "web_only", 4) - success(ROBOT_ONLY, "web_only", 4) >= 0.3

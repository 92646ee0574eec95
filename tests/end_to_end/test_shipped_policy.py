"""The checkpoint that comes with the package, in closed loop on scenes it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.interfaces import EpisodeSpec, TemplateSet
from vla_policies.loading import checkpoint_folder, load_policy
from vla_policies.rollout import RolloutResult, rollout
from vla_policies.token_policy import TokenPolicy
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import SUITES

FIRST_SEED = 2_000_000
MAX_BYTES = 15_000_000


@pytest.fixture(scope="module")
def environments() -> list[TabletopEnvironment]:
    return [TabletopEnvironment() for _ in range(8)]


def _successes(results: list[RolloutResult]) -> dict[tuple[str, int], bool]:
    assert [result.error for result in results if result.error] == []
    return {(result.spec.task, result.spec.seed): result.success for result in results}


def test_it_is_small_and_for_the_tabletop() -> None:
    folder = Path(checkpoint_folder("pretrained"))
    assert sum(path.stat().st_size for path in folder.iterdir()) < MAX_BYTES
    assert TokenPolicy.from_checkpoint(folder, device="cpu").embodiment == TABLETOP_PANDA


@pytest.mark.slow
@pytest.mark.parametrize("templates", TemplateSet)
def test_it_does_its_tasks_in_either_set_of_words(
    environments: list[TabletopEnvironment], templates: TemplateSet
) -> None:
    specs = [EpisodeSpec(task, FIRST_SEED + i, templates) for task in SUITES["tabletop"] for i in range(5)]
    done = _successes(list(rollout(load_policy("pretrained", TABLETOP_PANDA), environments, specs)))
    assert sum(done.values()) >= 36, [key for key, success in done.items() if not success]


@pytest.mark.slow
def test_it_hears_which_block_goes_on_which(environments: list[TabletopEnvironment]) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + 12)
    specs = [EpisodeSpec(task, seed) for task in ("stack", "stack_swapped") for seed in seeds]
    done = _successes(list(rollout(load_policy("pretrained", TABLETOP_PANDA), environments, specs)))
    assert sum(done["stack", seed] and done["stack_swapped", seed] for seed in seeds) >= 10


@pytest.mark.slow
def test_it_is_lost_without_pictures(environments: list[TabletopEnvironment]) -> None:
    specs = [EpisodeSpec(task, FIRST_SEED) for task in SUITES["tabletop"]]
    done = _successes(list(rollout(load_policy("blind", TABLETOP_PANDA), environments, specs)))
    assert sum(done.values()) <= 1

"""What `suite=` can be."""

from __future__ import annotations

import pytest

from vla.errors import ConfigError
from vla_sim.evaluation_plan import chosen_tasks
from vla_sim.suites import SUITES, Suite, suite
from vla_sim.worlds.benches import BENCHES


@pytest.mark.parametrize("chosen", SUITES.values(), ids=SUITES.keys())
def test_a_suite_knows_its_own_tasks(chosen: Suite) -> None:
    assert set(chosen.tasks) <= set(chosen.known_tasks)
    assert chosen.make_environment().embodiment == chosen.embodiment


def test_meta_world_has_fifty_tasks_in_both_sizes() -> None:
    assert len(chosen_tasks("metaworld", [])) == 50
    assert suite("metaworld").tasks == suite("metaworld_small").tasks


def test_tasks_come_in_the_order_of_the_suite() -> None:
    assert chosen_tasks("metaworld", ["reach", "assembly"]) == ["assembly", "reach"]


@pytest.mark.parametrize(
    ("name", "tasks", "message"),
    [
        ("metawrld", [], r"unknown suite 'metawrld'; did you mean 'metaworld'\?"),
        ("metaworld", ["push_to_pad"], "unknown task 'push_to_pad'"),
        ("tabletop", ["window_open"], "unknown task 'window_open'"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(name: str, tasks: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        chosen_tasks(name, tasks)


@pytest.mark.parametrize("arm", ["ur5e", "so101"])
@pytest.mark.parametrize("name", ["tabletop", "spatial", "perturbation_light"])
def test_every_suite_at_the_table_can_be_given_to_another_arm(name: str, arm: str) -> None:
    given = suite(f"{name}_{arm}")
    assert given.name == f"{name}_{arm}"
    assert given.tasks == suite(name).tasks
    assert given.embodiment == given.make_environment().embodiment == BENCHES[arm].embodiment


@pytest.mark.parametrize("name", ["metaworld_ur5e", "tabletop_panda", "tabletop_ur10"])
def test_what_is_not_at_the_table_or_no_other_arm_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown suite '{name}'"):
        suite(name)

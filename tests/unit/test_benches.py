"""A bench and the table that tasks speak of: the same things, in other lengths."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from vla.errors import ConfigError, EmbodimentMismatch
from vla.interfaces import EpisodeSpec
from vla_policies.loading import load_policy
from vla_sim.demonstrations import demonstrate
from vla_sim.environment import TabletopEnvironment
from vla_sim.worlds.benches import BENCHES, PANDA, bench_of
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.scene import BLOCK_SIZE_M, WORKSPACE_HIGH
from vla_sim.worlds.tabletop import tabletop_model
from vla_sim.worlds.world import World

SO101 = BENCHES["so101"]
SPEC = EpisodeSpec("put_on_pad", 2)


@functools.cache
def so101() -> TabletopEnvironment:
    return TabletopEnvironment(arm="so101")


def test_the_pandas_world_is_the_tasks_own() -> None:
    environment = TabletopEnvironment()
    assert environment.table is environment.world
    assert PANDA.is_the_tasks


def test_benches_have_names_and_fingerprints_of_their_own() -> None:
    bodies = [bench.embodiment for bench in BENCHES.values()]
    assert len({body.name for body in bodies}) == len({body.fingerprint for body in bodies}) == len(bodies)


def test_points_and_poses_go_there_and_back() -> None:
    pose = np.array([0.5, -0.1, 0.08, 0.4])
    assert SO101.table_pose(SO101.pose(pose)) == pytest.approx(pose)
    assert SO101.pose(pose)[3] == pose[3]


def test_a_whole_step_of_the_table_is_a_whole_step_of_the_arm() -> None:
    step = SO101.action(PANDA.embodiment.action_high)
    assert np.array_equal(step, SO101.embodiment.action_high)
    assert SO101.table_action(step) == pytest.approx(PANDA.embodiment.action_high)


def test_a_small_bench_has_small_things() -> None:
    block = tabletop_model(arm="so101").geom("block_0").size[0]
    assert block == pytest.approx(SO101.scale * BLOCK_SIZE_M / 2)
    assert tabletop_model().geom("block_0").size[0] == BLOCK_SIZE_M / 2


def test_the_arm_itself_is_not_shrunk() -> None:
    model = tabletop_model(arm="so101")
    assert model.body("lower_arm").pos == pytest.approx([0.028, 0, 0.11257])


def test_tasks_see_the_table_and_the_world_has_the_bench() -> None:
    environment = so101()
    environment.reset(SPEC)
    scene, world, table = environment.attempt.scene, environment.world, environment.table
    assert isinstance(table, World)
    for thing in scene.things:
        assert table.position(thing.name)[:2] == pytest.approx([thing.x, thing.y], abs=2e-3)
        assert world.position(thing.name) == pytest.approx(SO101.point(table.position(thing.name)))
    assert table.end_effector() == pytest.approx(scene.pose, abs=2e-3)
    assert table.opening_m() == pytest.approx(0.08, abs=2e-3)
    assert world.proprioception()[5] == pytest.approx(0.03, abs=1e-3)
    camera = world.embodiment.cameras[0].name
    name = scene.things[0].name
    assert np.array_equal(table.project(camera, table.position(name)), world.project(camera, world.position(name)))


def test_a_step_at_the_table_is_a_shorter_one_of_the_arm() -> None:
    environment = so101()
    environment.reset(SPEC)
    before = environment.world.commanded()
    asked = np.array([0.02, 0, 0.01, 0.1, 1], np.float32)
    assert environment.table.step(asked) == pytest.approx(asked, abs=1e-6)
    assert environment.world.commanded() - before == pytest.approx(asked[:4] * [0.375, 1, 0.375, 1], abs=1e-6)


def test_the_workspace_shrinks_with_the_bench() -> None:
    world = MujocoWorld(arm="so101")
    environment = so101()
    environment.reset(SPEC)
    for _ in range(12):
        environment.step(np.array([0, 0, 1, 0, 1], np.float32))
    assert environment.world.commanded()[2] == pytest.approx(SO101.scale * WORKSPACE_HIGH[2])
    assert world.bench is SO101


def test_what_was_saved_is_restored_with_fewer_joints() -> None:
    environment = so101()
    environment.reset(SPEC)
    saved = environment.save()
    first = [environment.step(environment.expert_action()).observation.proprioception for _ in range(5)]
    environment.restore(saved)
    again = [environment.step(environment.expert_action()).observation.proprioception for _ in range(5)]
    assert np.array_equal(first, again)


def test_demonstrations_are_disturbed_in_the_lengths_of_the_bench() -> None:
    episode = demonstrate("put_on_pad", 4, environment=so101())
    labels = episode.labels["lookahead"][:, 0]
    assert episode.success
    assert (np.abs(episode.actions) <= SO101.embodiment.action_high + 1e-7).all()
    assert 0 < np.abs(episode.actions - labels)[:, :3].std() < 0.01
    assert ((episode.labels["target"] > 0) & (episode.labels["target"] < 1)).all()


def test_a_policy_of_another_arm_is_refused_field_by_field() -> None:
    message = "name: 'tabletop_so101' against 'tabletop_panda'; .*: 0.015 against 0.04"
    with pytest.raises(EmbodimentMismatch, match=message):
        load_policy("pretrained", SO101.embodiment)


def test_an_arm_without_a_bench_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"unknown arm 'so100'; did you mean 'so101'\?"):
        bench_of("so100")

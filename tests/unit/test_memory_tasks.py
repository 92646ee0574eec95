"""Tasks of memory: shown, then covered; the same pictures whatever is hidden; wrong answers end the attempt."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.suites import suite
from vla_sim.tasks import open_drawer
from vla_sim.tasks.memory import CHANCE, MEMORY_TASKS
from vla_sim.tasks.memory.containers import CUPS, hiding_cup, lift
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.scene import COVERS_CAST, SEEN_STEPS, SHOWN_STEPS, TABLETOP_CAST, Kind, Scene
from vla_sim.worlds.tabletop import tabletop_model

NAMES = list(MEMORY_TASKS)
STILL = np.array([0, 0, 0, 0, 1], np.float32)
FORTH = np.array([0.04, 0.04, -0.04, 0.2, 0], np.float32)


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment(cast=COVERS_CAST)


@pytest.fixture(scope="module")
def other_world() -> MujocoWorld:
    return MujocoWorld(cast=COVERS_CAST)


def recoloured(scene: Scene) -> Scene:
    """The same scene, its hidden blocks exchanged."""
    hidden = scene.of_kind(Kind.BLOCK)
    colours = dict(zip([t.name for t in hidden], [t.colour for t in hidden[1:] + hidden[:1]], strict=True))
    things = tuple(dataclasses.replace(t, colour=colours.get(t.name, t.colour)) for t in scene.things)
    return dataclasses.replace(scene, things=things)


def pictures(world: MujocoWorld) -> list[np.ndarray]:
    return [world.render("scene", 64, 80), world.render("wrist", 32, 40)]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_hidden_shows_before_and_not_a_bit_of_it_after(
    environment: TabletopEnvironment, other_world: MujocoWorld, name: str
) -> None:
    for seed in (1, 2):
        scene = begin(EpisodeSpec(name, seed)).scene
        worlds = (environment.world, other_world)
        assert isinstance(worlds[0], MujocoWorld)
        worlds[0].reset(scene)
        worlds[1].reset(recoloured(scene))
        for step in range(SHOWN_STEPS):
            one, other = (world.render("scene", 64, 80) for world in worlds)
            if step < SEEN_STEPS:
                assert not np.array_equal(one, other)
            for world in worlds:
                world.step(FORTH)
        for one, other in zip(pictures(worlds[0]), pictures(worlds[1]), strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(worlds[0].save(), worlds[1].save())
        assert np.array_equal(worlds[0].proprioception(), worlds[1].proprioception())


@pytest.mark.parametrize("name", NAMES)
def test_the_arm_rests_until_all_is_covered(environment: TabletopEnvironment, name: str) -> None:
    environment.begin(EpisodeSpec(name, 3))
    before = environment.world.end_effector()
    for _ in range(SHOWN_STEPS):
        assert np.array_equal(environment.act(FORTH), STILL)
        assert environment.judge() == (False, False, False)
    assert np.abs(environment.world.end_effector() - before).max() < 2e-3
    assert np.array_equal(environment.act(FORTH), FORTH)


@pytest.mark.parametrize("name", NAMES)
def test_an_expert_opens_the_right_one(environment: TabletopEnvironment, name: str) -> None:
    for seed in (1, 2, 3):
        environment.begin(EpisodeSpec(name, seed))
        verdict = (False, False, False)
        while not any(verdict):
            environment.act(environment.expert_action())
            verdict = environment.judge()
        assert verdict == (False, False, True)


def test_the_wrong_cup_ends_the_attempt_without_success(environment: TabletopEnvironment) -> None:
    environment.begin(EpisodeSpec("uncover", 4))
    right = hiding_cup(environment.table, environment.attempt.names[0], CUPS)
    wrong = next(cup for cup in CUPS if cup != right)
    for _ in range(SHOWN_STEPS):
        environment.act(STILL)
    lost, late, success = False, False, False
    while not (lost or late):
        environment.act(lift(environment.table, wrong))
        lost, late, success = environment.judge()
    assert (lost, late, success) == (True, False, False)


def test_opening_the_drawer_in_vain_ends_the_attempt(environment: TabletopEnvironment) -> None:
    spec = next(s for s in (EpisodeSpec("open_if", seed) for seed in range(20)) if not _is_in_drawer(s))
    environment.begin(spec)
    for _ in range(SHOWN_STEPS):
        environment.act(STILL)
    verdict = (False, False, False)
    while not any(verdict):
        environment.act(open_drawer.expert(environment.table, ()))
        verdict = environment.judge()
    assert verdict == (True, False, False)


def test_a_transition_of_a_lost_attempt_is_its_end(environment: TabletopEnvironment) -> None:
    environment.begin(EpisodeSpec("uncover", 4))
    right = hiding_cup(environment.table, environment.attempt.names[0], CUPS)
    wrong = next(cup for cup in CUPS if cup != right)
    for _ in range(SHOWN_STEPS):
        environment.act(STILL)
    transition = environment.step(lift(environment.table, wrong))
    while not (transition.terminated or transition.truncated):
        transition = environment.step(lift(environment.table, wrong))
    assert (transition.terminated, transition.truncated, transition.success) == (True, False, False)


def _is_in_drawer(spec: EpisodeSpec) -> bool:
    attempt = begin(spec)
    return next(t for t in attempt.scene.things if t.name == attempt.names[0]).is_inside


def test_the_right_answer_is_as_often_each_one_as_chance_says() -> None:
    number = 300
    cups = [0, 0, 0]
    for seed in range(number):
        attempt = begin(EpisodeSpec("uncover", seed))
        named = next(t for t in attempt.scene.things if t.name == attempt.names[0])
        places = [(t.x, t.y) for t in attempt.scene.of_kind(Kind.CUP)]
        cups[places.index((named.x, named.y))] += 1
    assert all(abs(count / number - CHANCE["uncover"]) < 0.09 for count in cups)
    for name in ("find_block", "open_if"):
        share = sum(_is_in_drawer(EpisodeSpec(name, seed)) for seed in range(number)) / number
        assert abs(share - CHANCE[name]) < 0.09


@pytest.mark.parametrize("name", NAMES)
def test_a_state_restored_in_sight_is_covered_again(environment: TabletopEnvironment, name: str) -> None:
    environment.begin(EpisodeSpec(name, 5))
    for _ in range(SEEN_STEPS + 2):
        environment.act(STILL)
    state, ends = environment.save(), []
    for _ in range(2):
        environment.restore(state)
        for _ in range(SHOWN_STEPS):
            environment.act(environment.expert_action())
        ends.append(environment.save())
    assert np.array_equal(*ends)


def test_the_suite_names_its_chance() -> None:
    assert set(suite("memory").tasks) == set(CHANCE)


def test_cups_are_no_part_of_everybodys_table() -> None:
    assert tabletop_model().nq == tabletop_model(cast=TABLETOP_CAST).nq < tabletop_model(cast=COVERS_CAST).nq

"""Tasks of several steps: in order, step by step, and read from the state alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec, TemplateSet
from vla_policies.rollout import RolloutResult
from vla_sim.attribution import Progress, Watch
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.steps_completed import steps_tree
from vla_sim.suites import suite
from vla_sim.tasks.long_horizon import LONG_HORIZON_TASKS
from vla_sim.tasks.long_horizon.tasks import BOWL_DRAWER_BUTTON
from vla_sim.tasks.order import Order
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene, Thing

NAMES = list(LONG_HORIZON_TASKS)


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


def played(environment: TabletopEnvironment, steps: int) -> tuple[bool, Progress]:
    """The expert, without pictures, from here."""
    watch, success = Watch([environment]), False
    watch.begin(0)
    for _ in range(steps):
        environment.act(environment.expert_action())
        watch.look(0)
        _, is_late, success = environment.judge()
        if success or is_late:
            break
    progress = watch.finish(0)
    assert progress is not None
    return success, progress


@pytest.mark.parametrize("name", NAMES)
def test_an_expert_completes_every_step_in_order(environment: TabletopEnvironment, name: str) -> None:
    for seed in (1, 2):
        environment.begin(EpisodeSpec(name, seed))
        assert not any(environment.stages().values())
        success, progress = played(environment, 1000)
        assert success
        assert progress.came_to == progress.stages[-1] == f"step_{len(LONG_HORIZON_TASKS[name].steps)}"


@pytest.mark.parametrize("name", NAMES)
def test_an_expert_goes_on_from_a_state_it_did_not_make(name: str) -> None:
    begun, other = TabletopEnvironment(), TabletopEnvironment()
    begun.begin(EpisodeSpec(name, 3))
    played(begun, 50)
    other.begin(EpisodeSpec(name, 3))
    other.restore(begun.save())
    assert np.array_equal(other.expert_action(), begun.expert_action())
    assert played(other, 1000)[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_is_read_back_and_held_out_words_are_known(name: str) -> None:
    task = LONG_HORIZON_TASKS[name]
    words = {word for other in LONG_HORIZON_TASKS.values() for t in other.training for word in t.split()}
    for templates in TemplateSet:
        attempt = begin(EpisodeSpec(name, 5, templates))
        colours = task.match(attempt.instruction)
        assert colours is not None
        assert task.names(colours)[0] == attempt.names[0]
    for template in task.held_out:
        assert not {word.strip(",;:") for word in template.split()} - {word.strip(",;:") for word in words}


@pytest.mark.parametrize("name", NAMES)
def test_things_stand_apart(name: str) -> None:
    for seed in range(10):
        things = [t for t in begin(EpisodeSpec(name, seed)).scene.things if t.kind is not Kind.DRAWER and t.z == 0.0]
        for index, one in enumerate(things):
            assert all(math.hypot(one.x - o.x, one.y - o.y) > 0.09 for o in things[:index])


def test_a_step_before_its_turn_breaks_the_order(environment: TabletopEnvironment) -> None:
    environment.begin(EpisodeSpec("bowl_drawer_button", 4))
    drawer_first = BOWL_DRAWER_BUTTON.steps[1]
    from vla_sim.tasks import open_drawer

    for _ in range(40):
        environment.act(open_drawer.expert(environment.table, ()))
    assert drawer_first.holds(environment.table, environment.attempt.names)
    success, progress = played(environment, 1000)
    assert BOWL_DRAWER_BUTTON.success(environment.table, environment.attempt.names)
    assert not success
    assert progress.came_to == "start"


def test_the_book_of_the_order_counts_and_breaks() -> None:
    book = Order()
    for holds in ([False, False, False], [True, False, False], [True, True, False]):
        book = book.after(holds)
    assert book == Order(2)
    assert book.after([False, True, True]) == Order(3)
    assert Order(0).after([True, True, False]) == Order(0, is_broken=True)
    assert Order(1, is_broken=True).after([True, True, True]) == Order(1, is_broken=True)
    assert Order.from_numbers(np.array(Order(2, is_broken=True).to_numbers())) == Order(2, is_broken=True)
    assert Order(1).stages(2) == {"step_1": True, "step_2": False}


def test_the_book_is_saved_with_the_state(environment: TabletopEnvironment) -> None:
    environment.begin(EpisodeSpec("sort_onto_pads", 1))
    played(environment, 40)
    state, stages = environment.save(), environment.stages()
    assert stages["step_1"]
    environment.begin(EpisodeSpec("sort_onto_pads", 1))
    assert not environment.stages()["step_1"]
    environment.restore(state)
    assert environment.stages() == stages


@pytest.mark.parametrize(("is_latching", "stays"), [(True, True), (False, False)])
def test_a_button_stays_down_where_the_scene_says_so(is_latching: bool, stays: bool) -> None:
    world = MujocoWorld()
    button = (Thing(Kind.BUTTON, "red", 0.5, 0.0), Thing(Kind.BUTTON, "blue", 0.5, 0.15))
    world.reset(Scene(button, np.array([0.5, 0.0, 0.06, 0.0]), gripper=0.0, latching=is_latching))
    for height in (-0.02, -0.02, 0.04, 0.04, 0.04):
        world.step(np.array([0, 0, height, 0, 0], np.float32))
    assert (world.displacement("red button") > 0.01) == stays
    assert world.displacement("blue button") < 0.001
    state = world.save()
    world.reset(Scene(button, np.array([0.5, 0.0, 0.06, 0.0]), gripper=0.0, latching=is_latching))
    assert world.displacement("red button") < 0.001
    world.restore(state)
    world.step(np.array([0, 0, 0, 0, 0], np.float32))
    assert (world.displacement("red button") > 0.01) == stays


def test_a_block_may_stand_on_another() -> None:
    world = MujocoWorld()
    things = (Thing(Kind.BLOCK, "red", 0.5, 0.0), Thing(Kind.BLOCK, "blue", 0.5, 0.0, z=BLOCK_SIZE_M))
    world.reset(Scene(things, np.array([0.5, 0.1, 0.2, 0.0]), gripper=1.0))
    for _ in range(5):
        world.step(np.zeros(5, np.float32))
    assert world.position("blue block")[2] == pytest.approx(1.5 * BLOCK_SIZE_M, abs=2e-3)


def test_steps_are_counted_as_calvin_does() -> None:
    results = [
        RolloutResult(0, 0, EpisodeSpec("t", seed), "", seed == 3, 1, np.zeros((1, 5), np.float32), error)
        for seed, error in ((1, None), (2, None), (3, None), (4, "E"))
    ]
    stages = ("step_1", "step_2", "step_3")
    progress = [Progress(stages, frozenset(stages[:count]), False) for count in (0, 2, 3, 1)]
    row = steps_tree(results, progress)["t"]
    assert row["mean_completed"] == pytest.approx(5 / 3)
    assert [row["at_least"][k]["success"] for k in "123"] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert steps_tree(results[:1], [Progress(("reached",), frozenset(), False)]) == {}


def test_the_suite_can_shuffle_its_sentences() -> None:
    chosen = suite("long_horizon")
    sentences = chosen.sentences()
    assert len(sentences) > 300
    meanings = [chosen.meaning(sentence) for sentence in sentences[:50]]
    assert all(isinstance(meaning, tuple) for meaning in meanings)


class OtherPhysics:
    """Some other engine; it is not asked to do anything."""

    def __init__(self, model: object, data: object, control_hz: float) -> None:
        """Keep nothing."""

    def begin(self) -> None: ...

    def drive(self, begin: np.ndarray, end: np.ndarray, opening_m: float) -> None: ...

    def touching(self) -> list[tuple[int, int]]:
        return []


def test_physics_without_latches_refuses_them() -> None:
    world = MujocoWorld(make_physics=OtherPhysics)
    with pytest.raises(ConfigError, match="buttons that stay down are known to the physics of"):
        world.reset(Scene((), np.array([0.5, 0.0, 0.2, 0.0]), gripper=1.0, latching=True))

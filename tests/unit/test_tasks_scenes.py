"""Scenes: seeds, distractors, twins, and the control that tells something else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_sim.environment import begin
from vla_sim.tasks import SUITES, TASKS, Task, layout, match
from vla_sim.worlds.scene import COLOURS, Kind

NAMES = SUITES["tabletop"]


@pytest.mark.parametrize("name", NAMES)
def test_a_scene_holds_what_the_instruction_names_and_more(name: str) -> None:
    for seed in range(20):
        attempt = begin(EpisodeSpec(name, seed))
        names = [thing.name for thing in attempt.scene.things]
        assert len(set(names)) == len(names)
        assert set(attempt.names) <= set(names)
        assert isinstance(attempt.task, Task)
        for kind in attempt.task.roles:
            assert len(attempt.scene.of_kind(kind)) >= 2
        assert len(attempt.scene.of_kind(Kind.BLOCK)) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_things_stand_apart(name: str) -> None:
    for seed in range(20):
        things = [t for t in begin(EpisodeSpec(name, seed)).scene.things if t.kind is not Kind.DRAWER]
        for index, a in enumerate(things):
            for b in things[:index]:
                assert math.hypot(a.x - b.x, a.y - b.y) > layout.RADIUS_M[a.kind] + layout.RADIUS_M[b.kind]


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_stands_for_one_attempt(name: str) -> None:
    first, again, other = (begin(EpisodeSpec(name, seed)) for seed in (7, 7, 8))
    assert first.scene.things == again.scene.things
    assert np.array_equal(first.scene.pose, again.scene.pose)
    assert first.instruction == again.instruction
    assert first.scene.things != other.scene.things


@pytest.mark.parametrize("name", NAMES)
def test_the_wording_does_not_change_the_scene(name: str) -> None:
    training = begin(EpisodeSpec(name, 3))
    held_out = begin(EpisodeSpec(name, 3, TemplateSet.HELD_OUT))
    wrong = begin(EpisodeSpec(name, 3, instruction_kind=InstructionKind.WRONG))
    assert training.scene.things == held_out.scene.things == wrong.scene.things
    assert training.names == held_out.names == wrong.names
    assert len({training.instruction, held_out.instruction, wrong.instruction}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_colour_is_named_by_some_seed(name: str) -> None:
    named = {n for seed in range(60) for n in begin(EpisodeSpec(name, seed)).names}
    for kind in TASKS[name].roles:
        assert {f"{colour} {kind.value}" for colour in COLOURS} <= named


@pytest.mark.parametrize("seed", range(10))
def test_swapped_stacking_is_the_same_scene_with_the_roles_exchanged(seed: int) -> None:
    stack, swapped = begin(EpisodeSpec("stack", seed)), begin(EpisodeSpec("stack_swapped", seed))
    assert swapped.scene.things == stack.scene.things
    assert np.array_equal(swapped.scene.pose, stack.scene.pose)
    assert swapped.names == stack.names[::-1]
    swap = {stack.names[0]: stack.names[1], stack.names[1]: stack.names[0]}
    colours = {name.split()[0]: other.split()[0] for name, other in swap.items()}
    exchanged = " ".join(colours.get(word, word) for word in stack.instruction.split())
    assert swapped.instruction == exchanged


@pytest.mark.parametrize("templates", list(TemplateSet))
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_instruction_is_another_task_of_the_same_scene(name: str, templates: TemplateSet) -> None:
    for seed in range(30):
        attempt = begin(EpisodeSpec(name, seed, templates, InstructionKind.WRONG))
        read = match(attempt.instruction)
        assert read is not None
        task, colours = TASKS[read[0]], read[1]
        told = task.names(colours)
        assert {*told} <= {thing.name for thing in attempt.scene.things}
        assert (told or (task.name,))[0] != (attempt.names or (attempt.task.name,))[0]


def test_words_that_name_colours_set_up_their_scene() -> None:
    attempt = begin(EpisodeSpec("put_on_pad", 0, instruction="put the yellow block on the purple pad"))
    assert attempt.names == ("yellow block", "purple pad")
    assert {"yellow block", "purple pad"} <= {thing.name for thing in attempt.scene.things}


def test_other_words_leave_the_scene_as_it_is() -> None:
    own, other = begin(EpisodeSpec("reach", 0)), begin(EpisodeSpec("reach", 0, instruction="do as you please"))
    assert other.instruction == "do as you please"
    assert (other.scene.things, other.names) == (own.scene.things, own.names)


def test_an_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'stak'; did you mean 'stack'\?"):
        begin(EpisodeSpec("stak", 0))


def test_a_crowded_table_is_an_error() -> None:
    wishes = [layout.Wish(Kind.BOWL, "red")] * 20
    with pytest.raises(RuntimeError, match="found no room for 20 things"):
        layout.scatter(np.random.default_rng(0), wishes)

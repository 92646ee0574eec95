"""The memory tasks: what is asked for was shown, and is covered when the arm may act.

All that tells the right answer from the wrong ones is which block went where, in the first `SEEN_STEPS`; after that the
pictures are the same, bit for bit, whatever is hidden. Whoever remembers nothing is right by `CHANCE`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vla_sim.tasks import layout, open_drawer, press_button
from vla_sim.tasks.layout import Wish
from vla_sim.tasks.memory.containers import (
    CUPS,
    WRONG_LIFT_M,
    WRONG_PULL_M,
    Action,
    hiding_cup,
    is_in_drawer,
    is_lifted,
    is_open,
    is_showing,
    lift,
    lift_m,
    rest,
)
from vla_sim.tasks.open_drawer import DRAWER
from vla_sim.tasks.stages import REACHED_M, Stage, is_near
from vla_sim.tasks.task import NOWHERE, Colours, Grounding, Names, Task
from vla_sim.worlds.scene import SHOWN_STEPS, Kind, Scene, Thing
from vla_sim.worlds.world import World

CHANCE = {"uncover": 1 / 3, "find_block": 1 / 2, "open_if": 1 / 2}
"""The success of whoever does the task well and remembers nothing, by task."""
DRAWER_FLOOR_M = 0.010
INSIDE_M = 0.01
"""From the cabinet's middle to the block that lies in the shut drawer."""


def _after_the_showing(act: Callable[[World, Names], Action]) -> Callable[[World, Names], Action]:
    return lambda world, names: rest(world) if is_showing(world) else act(world, names)


def _once_covered(judge: Callable[[World, Names], bool]) -> Callable[[World, Names], bool]:
    return lambda world, names: not is_showing(world) and judge(world, names)


def _answers(find: Callable[[World, Names], str]) -> tuple[Stage, ...]:
    """The one stage: the hand is at what is to be opened or pressed."""
    return (
        Stage("reached", lambda world, names, scene: is_near(world, world.position(find(world, names)), REACHED_M)),
    )


# --------------------------------------------------------------------------- uncover


def _uncover_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Three blocks, each with a cup to come over it; which of them is asked for has no place of its own."""
    blocks = [*colours, *layout.other_colours(generator, colours, 2)]
    places = layout.scatter(generator, [Wish(Kind.CUP, "") for _ in CUPS])
    shuffled = [blocks[int(index)] for index in generator.permutation(len(blocks))]
    hidden = [Thing(Kind.BLOCK, colour, p.x, p.y, p.yaw) for colour, p in zip(shuffled, places, strict=True)]
    cups = [_cup(index, place) for index, place in enumerate(places)]
    return Scene((*hidden, *cups), layout.start_pose(generator), gripper=1.0, is_shown=True)


def _cup(index: int, place: Thing) -> Thing:
    return Thing(Kind.CUP, CUPS[index].split()[0], place.x, place.y, place.yaw)


def _right_cup(world: World, names: Names) -> str:
    return hiding_cup(world, names[0], CUPS)


def _uncovers_another(world: World, names: Names) -> bool:
    right = _right_cup(world, names)
    return any(lift_m(world, cup) > WRONG_LIFT_M for cup in CUPS if cup != right)


UNCOVER = Task(
    name="uncover",
    roles=(Kind.BLOCK,),
    needs=frozenset({Kind.BLOCK, Kind.CUP}),
    training=(
        "pick up the cup that hides the {0} block",
        "lift the cup that is over the {0} block",
        "lift the cup that covers the {0} cube",
        "show the {0} block",
    ),
    held_out=("pick up the cup that is over the {0} cube", "lift the cup that hides the {0} block"),
    max_steps=SHOWN_STEPS + 40,
    scene=_uncover_scene,
    success=_once_covered(lambda world, names: is_lifted(world, _right_cup(world, names))),
    expert=_after_the_showing(lambda world, names: lift(world, _right_cup(world, names))),
    grounding=lambda world, names: Grounding(world.position(_right_cup(world, names)), NOWHERE),
    stages=_answers(_right_cup),
    is_lost=_once_covered(_uncovers_another),
)


# --------------------------------------------------------------------------- drawer or cup


def _drawer_and_cup_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """One block in the drawer and one below the cup: the one that is named is in either; and two buttons."""
    named, *button = colours
    side = float(generator.choice([-1.0, 1.0]))
    drawer = Thing(Kind.DRAWER, "", float(generator.uniform(0.30, 0.33)), side * float(generator.uniform(0.04, 0.11)))
    pair = [named, *layout.other_colours(generator, (named,), 1)]
    in_drawer, below_cup = pair if generator.random() < 0.5 else pair[::-1]
    buttons = [*button, *layout.other_colours(generator, button, 2 - len(button))]
    wishes = [Wish(Kind.CUP, ""), *(Wish(Kind.BUTTON, colour) for colour in buttons)]
    place, *rest_of_them = layout.scatter(
        generator,
        wishes,
        accept=lambda things: all(t.x > drawer.x + 0.28 or abs(t.y - drawer.y) > 0.16 for t in things),
    )
    hidden = (
        Thing(Kind.BLOCK, in_drawer, drawer.x + INSIDE_M, drawer.y, 0.0, DRAWER_FLOOR_M, is_inside=True),
        Thing(Kind.BLOCK, below_cup, place.x, place.y, place.yaw),
    )
    things = (*hidden, _cup(0, place), *rest_of_them, drawer)
    return Scene(things, layout.start_pose(generator), gripper=1.0, is_shown=True)


def _container(world: World, names: Names) -> str:
    return DRAWER if is_in_drawer(world, names[0]) else CUPS[0]


def _opens_another(world: World, names: Names) -> bool:
    if is_in_drawer(world, names[0]):
        return lift_m(world, CUPS[0]) > WRONG_LIFT_M
    return world.displacement(DRAWER) > WRONG_PULL_M


def _opens_it(world: World, names: Names) -> bool:
    return is_open(world) if is_in_drawer(world, names[0]) else is_lifted(world, CUPS[0])


def _open_it(world: World, names: Names) -> Action:
    return open_drawer.expert(world, ()) if is_in_drawer(world, names[0]) else lift(world, CUPS[0])


FIND_BLOCK = Task(
    name="find_block",
    roles=(Kind.BLOCK,),
    needs=frozenset({Kind.BLOCK, Kind.CUP, Kind.DRAWER}),
    training=(
        "find the {0} block: open the drawer or lift the cup",
        "the {0} block is in the drawer or under the cup: open the one that hides it",
        "open the drawer or lift the cup, whichever hides the {0} cube",
        "show where the {0} block is: lift the cup or open the drawer",
    ),
    held_out=("lift the cup or open the drawer, whichever hides the {0} block",),
    max_steps=SHOWN_STEPS + 45,
    scene=_drawer_and_cup_scene,
    success=_once_covered(_opens_it),
    expert=_after_the_showing(_open_it),
    grounding=lambda world, names: Grounding(world.position(_container(world, names)), NOWHERE),
    stages=_answers(_container),
    is_lost=_once_covered(_opens_another),
)


# --------------------------------------------------------------------------- open if, else press


def _asked(world: World, names: Names) -> str:
    return DRAWER if is_in_drawer(world, names[0]) else names[1]


def _is_pressed(world: World, names: Names) -> bool:
    return press_button.success(world, names[1:])


def _does_otherwise(world: World, names: Names) -> bool:
    if lift_m(world, CUPS[0]) > WRONG_LIFT_M:
        return True
    return _is_pressed(world, names) if is_in_drawer(world, names[0]) else world.displacement(DRAWER) > WRONG_PULL_M


def _does_as_asked(world: World, names: Names) -> bool:
    return is_open(world) if is_in_drawer(world, names[0]) else _is_pressed(world, names)


def _open_or_press(world: World, names: Names) -> Action:
    return open_drawer.expert(world, ()) if is_in_drawer(world, names[0]) else press_button.expert(world, names[1:])


OPEN_IF = Task(
    name="open_if",
    roles=(Kind.BLOCK, Kind.BUTTON),
    needs=frozenset({Kind.BLOCK, Kind.CUP, Kind.DRAWER, Kind.BUTTON}),
    training=(
        "open the drawer if the {0} block is in it, otherwise press the {1} button",
        "if the {0} block is in the drawer, open it; if not, press the {1} button",
        "press the {1} button, but if the {0} cube is in the drawer, open the drawer",
    ),
    held_out=("if the {0} cube is in the drawer, open the drawer, otherwise press the {1} button",),
    max_steps=SHOWN_STEPS + 45,
    scene=_drawer_and_cup_scene,
    success=_once_covered(_does_as_asked),
    expert=_after_the_showing(_open_or_press),
    grounding=lambda world, names: Grounding(world.position(_asked(world, names)), NOWHERE),
    stages=_answers(_asked),
    is_lost=_once_covered(_does_otherwise),
)

MEMORY_TASKS: dict[str, Task] = {task.name: task for task in (UNCOVER, FIND_BLOCK, OPEN_IF)}
"""By name, in the order of reports."""

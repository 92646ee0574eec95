"""The long tasks: three to five steps, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vla_sim.tasks import layout
from vla_sim.tasks.layout import Region, Wish
from vla_sim.tasks.long_horizon.stints import (
    Action,
    Stint,
    current,
    open_drawer_stint,
    press_stint,
    put_in_bowl_stint,
    put_on_pad_stint,
    stack_stint,
)
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene, Thing
from vla_sim.worlds.world import World

TABLE: Region = (0.36, 0.65, -0.23, 0.23)
"""Where things stand: there are more of them than in a short task."""
STEPS_A_STINT = 45
"""Control steps: nearly twice what the expert takes."""


def make_task(
    name: str,
    roles: tuple[Kind, ...],
    stints: Sequence[Stint],
    scene: Callable[[np.random.Generator, Colours], Scene],
    training: tuple[str, ...],
    held_out: tuple[str, ...],
) -> Task:
    """A task that is its stints, one after the other; a success when all that lasts of them holds."""

    def success(world: World, names: Names) -> bool:
        return all(stint.step.holds(world, names) for stint in stints if not stint.is_passing)

    def expert(world: World, names: Names) -> Action:
        return current(stints, world, names).act(world, names)

    def grounding(world: World, names: Names) -> Grounding:
        return current(stints, world, names).grounding(world, names)

    return Task(
        name=name,
        roles=roles,
        needs=frozenset(roles),
        training=training,
        held_out=held_out,
        max_steps=STEPS_A_STINT * len(stints),
        scene=scene,
        success=success,
        expert=expert,
        grounding=grounding,
        steps=tuple(stint.step for stint in stints),
    )


def _scene(generator: np.random.Generator, wishes: Sequence[Wish], fixed: Sequence[Thing] = ()) -> Scene:
    def is_clear(things: Sequence[Thing]) -> bool:
        drawers = [thing for thing in fixed if thing.kind is Kind.DRAWER]
        return all(t.x > d.x + 0.28 or abs(t.y - d.y) > 0.15 for t in things for d in drawers)

    things = layout.scatter(generator, wishes, fixed=fixed, accept=is_clear)
    return Scene(things, layout.start_pose(generator), gripper=1.0, latching=True)


# --------------------------------------------------------------------------- bowl, drawer, button


def _bowl_drawer_button_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """A drawer at one side of the table's end; block, bowl, button and another block beside its way."""
    block, bowl, button = colours
    side = float(generator.choice([-1.0, 1.0]))
    drawer = Thing(Kind.DRAWER, "", float(generator.uniform(0.30, 0.33)), side * float(generator.uniform(0.10, 0.13)))
    other = layout.other_colours(generator, (block,), 1)
    wishes = [Wish(Kind.BOWL, bowl, TABLE), Wish(Kind.BLOCK, block, TABLE), Wish(Kind.BUTTON, button, TABLE)]
    return _scene(generator, [*wishes, *(Wish(Kind.BLOCK, colour, TABLE) for colour in other)], (drawer,))


BOWL_DRAWER_BUTTON = make_task(
    "bowl_drawer_button",
    (Kind.BLOCK, Kind.BOWL, Kind.BUTTON),
    (put_in_bowl_stint(0, 1), open_drawer_stint(), press_stint(2, lambda names: ("drawer", names[0]))),
    _bowl_drawer_button_scene,
    (
        "put the {0} block in the {1} bowl, then open the drawer, then press the {2} button",
        "place the {0} cube in the {1} bowl, open the drawer, and press the {2} button at the end",
        "first put the {0} block into the {1} bowl, next pull the drawer open, then push the {2} button",
        "drop the {0} block in the {1} bowl, pull the drawer open and then press the {2} button",
    ),
    (
        "first drop the {0} cube into the {1} bowl, then open the drawer, and push the {2} button at the end",
        "place the {0} block in the {1} bowl, next open the drawer, then press the {2} button",
    ),
)


# --------------------------------------------------------------------------- clear and stack


def _clear_and_stack_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """The first block stands on the second; the third, another, and pads beside them."""
    upper, base, pad, middle = colours
    others = layout.other_colours(generator, (upper, base, middle), 1)
    wishes = [Wish(Kind.BLOCK, base, TABLE), Wish(Kind.BLOCK, middle, TABLE), Wish(Kind.PAD, pad, TABLE)]
    wishes += [Wish(Kind.BLOCK, colour, TABLE) for colour in others]
    wishes += [Wish(Kind.PAD, colour, TABLE) for colour in layout.other_colours(generator, (pad,), 1)]
    scene = _scene(generator, wishes)
    below = scene.things[0]
    on_top = Thing(Kind.BLOCK, upper, below.x, below.y, below.yaw, BLOCK_SIZE_M)
    return Scene((on_top, *scene.things), scene.pose, gripper=1.0, latching=True)


CLEAR_AND_STACK = make_task(
    "clear_and_stack",
    (Kind.BLOCK, Kind.BLOCK, Kind.PAD, Kind.BLOCK),
    (put_on_pad_stint(0, lambda names: names[2], is_passing=True), stack_stint(3, 1), stack_stint(0, 3)),
    _clear_and_stack_scene,
    (
        "put the {0} block on the {2} pad, then stack the {3} block on the {1} block, then the {0} block on top",
        "move the {0} block to the {2} pad, then put the {3} block on the {1} block and the {0} block on top of that",
        "first set the {0} cube on the {2} pad, next stack the {3} cube on the {1} cube, then the {0} cube on top",
    ),
    ("first put the {0} block on the {2} pad, next stack the {3} cube on the {1} block, then the {0} block on top",),
)


# --------------------------------------------------------------------------- sort onto pads


def _sort_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Three blocks, the pads of their colours, and another block."""
    wishes = [Wish(kind, colour, TABLE) for kind in (Kind.PAD, Kind.BLOCK) for colour in colours]
    others = layout.other_colours(generator, colours, 1)
    return _scene(generator, [*wishes, *(Wish(Kind.BLOCK, colour, TABLE) for colour in others)])


def _own_pad(role: int) -> Callable[[Names], str]:
    return lambda names: names[role].replace(Kind.BLOCK.value, Kind.PAD.value)


SORT_ONTO_PADS = make_task(
    "sort_onto_pads",
    (Kind.BLOCK, Kind.BLOCK, Kind.BLOCK),
    tuple(put_on_pad_stint(role, _own_pad(role)) for role in range(3)),
    _sort_scene,
    (
        "sort the blocks onto the pads of their colours: first the {0} one, then the {1} one, then the {2} one",
        "put the {0} block on its pad, then the {1} block on its pad, then the {2} block on its pad",
        "put each block on the pad of its colour, {0} first, then {1}, then {2}",
    ),
    ("sort each block onto its pad: {0} first, then {1}, then {2}",),
)


# --------------------------------------------------------------------------- tower, then button


def _tower_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Four blocks, two buttons and a pad."""
    *blocks, button = colours
    blocks += layout.other_colours(generator, blocks, 1)
    buttons = [button, *layout.other_colours(generator, (button,), 1)]
    wishes = [Wish(Kind.BUTTON, colour, TABLE) for colour in buttons]
    wishes += [Wish(Kind.BLOCK, colour, TABLE) for colour in blocks]
    wishes += [Wish(Kind.PAD, colour, TABLE) for colour in layout.other_colours(generator, (), 1)]
    return _scene(generator, wishes)


TOWER_THEN_BUTTON = make_task(
    "tower_then_button",
    (Kind.BLOCK, Kind.BLOCK, Kind.BLOCK, Kind.BUTTON),
    (stack_stint(1, 0), stack_stint(2, 1), press_stint(3, lambda names: names[:3])),
    _tower_scene,
    (
        "stack the {1} block on the {0} block, then the {2} block on the {1} block, then press the {3} button",
        "put the {1} block on the {0} block and the {2} block on top, then press the {3} button",
        "build a tower: {0} below, {1} on it, {2} on top; then push the {3} button",
    ),
    ("build a tower: {0} below, {1} on it, {2} on top; then press the {3} button",),
)


# --------------------------------------------------------------------------- four and five steps


def _errands_scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """What the task names, and no more: it fills the table."""
    kinds = (Kind.BUTTON, Kind.BLOCK, Kind.BOWL, Kind.BLOCK, Kind.PAD)
    wishes = [Wish(kind, colour, TABLE) for kind, colour in zip(kinds, colours, strict=False)]
    rest = colours[5:]
    wishes += [Wish(Kind.BLOCK, colour, TABLE) for colour in rest[:-1]]
    wishes.append(Wish(Kind.BUTTON, rest[-1], TABLE))
    large_first = sorted(wishes, key=lambda wish: -layout.RADIUS_M[wish.kind])
    return _scene(generator, large_first)


FOUR_ERRANDS = make_task(
    "four_errands",
    (Kind.BUTTON, Kind.BLOCK, Kind.BOWL, Kind.BLOCK, Kind.PAD, Kind.BUTTON),
    (
        press_stint(0),
        put_in_bowl_stint(1, 2),
        put_on_pad_stint(3, lambda names: names[4]),
        press_stint(5, lambda names: (names[1], names[3])),
    ),
    _errands_scene,
    (
        "press the {0} button, put the {1} block in the {2} bowl, put the {3} block on the {4} pad, "
        "then press the {5} button",
        "push the {0} button, then drop the {1} block in the {2} bowl, then set the {3} block on the {4} pad, "
        "and push the {5} button at the end",
    ),
    (
        "press the {0} button, then drop the {1} block in the {2} bowl, put the {3} block on the {4} pad, "
        "and press the {5} button at the end",
    ),
)
FIVE_ERRANDS = make_task(
    "five_errands",
    (Kind.BUTTON, Kind.BLOCK, Kind.BOWL, Kind.BLOCK, Kind.PAD, Kind.BLOCK, Kind.BUTTON),
    (
        press_stint(0),
        put_in_bowl_stint(1, 2),
        put_on_pad_stint(3, lambda names: names[4]),
        stack_stint(5, 3),
        press_stint(6, lambda names: (names[1], names[3], names[5])),
    ),
    _errands_scene,
    (
        "press the {0} button, put the {1} block in the {2} bowl, put the {3} block on the {4} pad, "
        "stack the {5} block on the {3} block, then press the {6} button",
        "push the {0} button, then drop the {1} block in the {2} bowl, then set the {3} block on the {4} pad, "
        "then stack the {5} block on it, and push the {6} button at the end",
    ),
    (
        "press the {0} button, then drop the {1} block in the {2} bowl, put the {3} block on the {4} pad, "
        "stack the {5} block on it, and press the {6} button at the end",
    ),
)

LONG_HORIZON_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        BOWL_DRAWER_BUTTON,
        CLEAR_AND_STACK,
        SORT_ONTO_PADS,
        TOWER_THEN_BUTTON,
        FOUR_ERRANDS,
        FIVE_ERRANDS,
    )
}
"""By name, in the order of reports."""

"""The referee: whether an aim is reached, read from the world's state alone.

| act         | reached when                                                                                       |
|-------------|----------------------------------------------------------------------------------------------------|
| `PICK_UP`   | the thing's middle is 8 cm high, between the fingers                                               |
| `PUT_ON`    | its middle is over the pad or plate, on the table (or half a block, on the block); at rest, let go |
| `PUT_IN`    | within the bowl's rim; at rest, let go                                                             |
| `PUT_AT`    | the relation holds plainly, the thing on the table, at rest, let go                                |
| `PUSH_TO`   | its middle is over the pad, on the table, at rest                                                  |
| `OPEN`      | the drawer is open by three quarters                                                               |
| `PRESS`     | the button is down by most of its travel                                                           |
| `COUNT_ON`  | as many things as asked are on the pad, the others are not; all at rest, let go                    |
| `REFUSE`    | when the time is over: every thing within 1 cm of its place, nothing opened, pressed or held       |
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from vla_sim.tasks import motions, open_drawer, pick_up, press_button, push_to_pad, put_in_bowl, put_on_pad, stack
from vla_sim.tasks.grammar.goals import Act, Aim
from vla_sim.tasks.grammar.relations import FOOTPRINT_M, Level, holds
from vla_sim.worlds.scene import BLOCK_SIZE_M, CARRIED, PLATE_RADIUS_M, Kind, Scene
from vla_sim.worlds.world import World

MAX_SPEED_M_S = 0.02
ON_TABLE_M = 0.03
"""Lower than this is the middle of a thing that lies on the table."""
LEFT_ALONE_M = 0.01
"""A thing that moved less was left alone: seen from above, and in height."""
SHUT_M = 0.003
"""A drawer or button that is out of its place by less was left alone."""

type Position = Float64[np.ndarray, " xyz"]


def is_reached(world: World, aim: Aim, scene: Scene) -> bool:
    """Whether the aim is reached in this state; a refusal counts only at the end of an episode.

    Args:
        scene: as the episode began.
    """
    match aim.act:
        case Act.REFUSE:
            return is_untouched(world, scene)
        case Act.PICK_UP:
            return pick_up.success(world, aim.names)
        case Act.OPEN:
            return open_drawer.success(world, aim.names)
        case Act.PRESS:
            return press_button.success(world, aim.names)
        case Act.PUSH_TO:
            return push_to_pad.success(world, aim.names)
        case Act.PUT_IN:
            return put_in_bowl.success(world, aim.names)
        case Act.COUNT_ON:
            return is_placed(world, aim) and all(is_let_go(world, name) for name in aim.subjects)
        case Act.PUT_ON | Act.PUT_AT:
            return is_placed(world, aim) and is_let_go(world, aim.subjects[0])


def is_placed(world: World, aim: Aim) -> bool:
    """Whether things are where they are to be, held or not."""
    match aim.act:
        case Act.PUT_ON | Act.PUSH_TO:
            return is_on(world, aim.subjects[0], aim.objects[0])
        case Act.PUT_IN:
            return put_in_bowl.is_there(world, aim.names)
        case Act.PUT_AT:
            return is_at(world, aim)
        case Act.COUNT_ON:
            return sum(is_on(world, name, aim.objects[0]) for name in aim.subjects) == aim.count
        case Act.PICK_UP | Act.OPEN | Act.PRESS | Act.REFUSE:
            return False


def is_on(world: World, name: str, floor: str) -> bool:
    """Whether a thing is on a pad, plate or block, held or not."""
    if kind_of(floor) is Kind.PLATE:
        x, y, z = world.position(name) - world.position(floor)
        return math.hypot(x, y) < PLATE_RADIUS_M - 0.003 and bool(z < ON_TABLE_M)
    check = stack.is_there if kind_of(floor) is Kind.BLOCK else put_on_pad.is_there
    return check(world, (name, floor))


def is_at(world: World, aim: Aim) -> bool:
    """Whether the aim's relation plainly holds, on the table."""
    assert aim.relation is not None
    place = world.position(aim.subjects[0])
    landmarks = [(world.position(name)[:2], kind_of(name)) for name in aim.objects]
    footprint_m = FOOTPRINT_M[kind_of(aim.subjects[0])]
    return bool(place[2] < ON_TABLE_M) and holds(aim.relation, place[:2], landmarks, aim.view, Level.PLAIN, footprint_m)


def is_let_go(world: World, name: str) -> bool:
    """At rest, and not touched."""
    return world.speed(name) < MAX_SPEED_M_S and not world.is_touched(name)


def is_untouched(world: World, scene: Scene) -> bool:
    """Whether everything is where it was when the scene began, and nothing is held."""
    return not any(_is_disturbed(world, scene, index) for index in range(len(scene.things)))


def kind_of(name: str) -> Kind:
    """The kind of a thing, from its name."""
    return Kind(name.split()[-1])


def _is_disturbed(world: World, scene: Scene, index: int) -> bool:
    thing = scene.things[index]
    if thing.kind in (Kind.DRAWER, Kind.BUTTON):
        return abs(world.displacement(thing.name)) > SHUT_M
    if thing.kind not in CARRIED:
        return False
    x, y, z = world.position(thing.name)
    gap, rise = math.hypot(x - thing.x, y - thing.y), abs(float(z) - thing.z - BLOCK_SIZE_M / 2)
    return max(gap, rise) > LEFT_ALONE_M or motions.is_held(world, thing.name)

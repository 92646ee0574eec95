"""The expert for any aim: plans by the motions of `vla_sim.tasks.motions`, from the state alone, without memory."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64

from vla_sim.tasks import motions, open_drawer, pick_up, press_button, push_to_pad, put_in_bowl
from vla_sim.tasks.grammar import referee
from vla_sim.tasks.grammar.goals import Act, Aim
from vla_sim.tasks.grammar.places import REACH_HIGH, REACH_LOW, Standing, free_spot, is_clear_of
from vla_sim.tasks.task import NOWHERE, Grounding
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene
from vla_sim.worlds.world import World

SEATS = ((0.0, 0.0), (0.029, 0.0), (-0.029, 0.0))
"""Where things sit on a pad that carries several: apart along x, since the fingers are along y."""
_SEAT_M = 0.05
"""Two things on a pad are at least so far apart."""

type Position = Float64[np.ndarray, " xyz"]


def act(world: World, aim: Aim, scene: Scene) -> Float32[np.ndarray, " action_dim"]:
    """One action towards the aim; for a refusal, none: the arm holds still, its gripper as it was.

    Raises:
        RuntimeError: if there is no room left where the thing is to go.
    """
    match aim.act:
        case Act.PICK_UP:
            return pick_up.expert(world, aim.names)
        case Act.PUT_ON:
            subject, floor = aim.names
            height_m = BLOCK_SIZE_M if referee.kind_of(floor) is Kind.BLOCK else BLOCK_SIZE_M / 2
            place = world.position(floor) + motions.up(height_m)
            return motions.bring(world, subject, place, referee.is_on(world, subject, floor))
        case Act.PUT_IN:
            return put_in_bowl.expert(world, aim.names)
        case Act.PUSH_TO:
            return push_to_pad.expert(world, aim.names)
        case Act.OPEN:
            return open_drawer.expert(world, aim.names)
        case Act.PRESS:
            return press_button.expert(world, aim.names)
        case Act.PUT_AT:
            place = place_for(world, aim, scene)
            return motions.bring(world, aim.subjects[0], place, referee.is_at(world, aim))
        case Act.COUNT_ON:
            return _count(world, aim, scene)
        case Act.REFUSE:
            return hold_still(scene)


def hold_still(scene: Scene) -> Float32[np.ndarray, " action_dim"]:
    """No motion; the fingers stay as they began."""
    return np.array([0.0, 0.0, 0.0, 0.0, scene.gripper], np.float32)


def grounding(world: World, aim: Aim, scene: Scene) -> Grounding:
    """What is acted on, and where it is to go."""
    match aim.act:
        case Act.REFUSE:
            return Grounding(NOWHERE, NOWHERE)
        case Act.OPEN:
            return open_drawer.grounding(world, aim.names)
        case Act.COUNT_ON:
            return Grounding(world.position(_next(world, aim)), world.position(aim.objects[0]))
        case Act.PUT_AT:
            return Grounding(world.position(aim.subjects[0]), place_for(world, aim, scene))
        case _:
            destination = world.position(aim.objects[0]) if aim.objects else NOWHERE
            return Grounding(world.position(aim.subjects[0]), destination)


def place_for(world: World, aim: Aim, scene: Scene) -> Position:
    """The middle of the subject when it is where the aim's relation clearly holds.

    Raises:
        RuntimeError: if there is no room.
    """
    assert aim.relation is not None
    others = standing(world, scene, without=aim.subjects[0])
    landmarks = [others[name] for name in aim.objects]
    spot = free_spot(aim.relation, referee.kind_of(aim.subjects[0]), landmarks, others, aim.view)
    if spot is None:
        # Others have been knocked into the way: the heart of the relation is as good as any place.
        spot = free_spot(aim.relation, referee.kind_of(aim.subjects[0]), landmarks, {}, aim.view)
    if spot is None:
        raise RuntimeError(f"no place within reach is {aim.relation.value} of {aim.objects}")
    return np.array([*spot, BLOCK_SIZE_M / 2])


def standing(world: World, scene: Scene, without: str) -> Standing:
    """The middles and kinds of all things but one, as they are now."""
    return {t.name: (world.position(t.name)[:2], t.kind) for t in scene.things if t.name != without}


# --------------------------------------------------------------------------- so many on a pad


def _count(world: World, aim: Aim, scene: Scene) -> Float32[np.ndarray, " action_dim"]:
    """One thing after the other, onto the pad or off it."""
    if referee.is_placed(world, aim) and not any(motions.is_held(world, name) for name in aim.subjects):
        return motions.move(world, world.commanded()[:3] + motions.up(BLOCK_SIZE_M), motions.OPEN)
    name, pad = _next(world, aim), aim.objects[0]
    is_wanted = _wants_more(world, aim, name)
    place = _seat(world, aim, name) if is_wanted else _aside(world, scene, name, pad)
    return motions.bring(world, name, place, referee.is_on(world, name, pad) is is_wanted)


def _next(world: World, aim: Aim) -> str:
    """The thing to act on: one in the fingers, else the first that is not where it should be."""
    held = [name for name in aim.subjects if motions.is_held(world, name)]
    if held:
        return held[0]
    on = [referee.is_on(world, name, aim.objects[0]) for name in aim.subjects]
    candidates = [n for n, is_there in zip(aim.subjects, on, strict=True) if is_there is (sum(on) > aim.count)]
    return candidates[0] if candidates else aim.subjects[0]


def _wants_more(world: World, aim: Aim, besides: str) -> bool:
    """Whether a thing is needed on the pad, given the others."""
    others = [name for name in aim.subjects if name != besides]
    return sum(referee.is_on(world, name, aim.objects[0]) for name in others) < aim.count


def _seat(world: World, aim: Aim, name: str) -> Position:
    """A seat on the pad that no other has."""
    middle = world.position(aim.objects[0])
    taken = [world.position(n) for n in aim.subjects if n != name and referee.is_on(world, n, aim.objects[0])]
    seats = SEATS[1:] if aim.count > 1 else SEATS
    free = [s for s in seats if all(math.hypot(*(middle[:2] + s - t[:2])) > _SEAT_M for t in taken)]
    dx, dy = (free or seats)[0]
    return np.array([middle[0] + dx, middle[1] + dy, BLOCK_SIZE_M / 2])


def _aside(world: World, scene: Scene, name: str, pad: str) -> Position:
    """The free spot nearest to the pad."""
    others = standing(world, scene, without=name)
    kind, middle = referee.kind_of(name), others[pad][0]
    grid = [np.array([x, y]) for x in np.linspace(0.38, 0.64, 8) for y in np.linspace(-0.2, 0.2, 11)]
    free = [s for s in grid if is_clear_of(s, kind, others) and (s > REACH_LOW).all() and (s < REACH_HIGH).all()]
    if not free:
        raise RuntimeError(f"no room beside the {pad}")
    return np.array([*min(free, key=lambda s: math.hypot(*(s - middle))), BLOCK_SIZE_M / 2])

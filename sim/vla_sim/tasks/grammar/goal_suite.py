"""The suite `goal`: one scene, many goals. What stands on the table does not tell what to do; the words alone do.

At a seed all tasks of a family have the very same scene, arm and all.

| family    | stands there                          | goals                                                       |
|-----------|---------------------------------------|-------------------------------------------------------------|
| `table`   | two blocks, a pad, a bowl, a button   | pick up, put on, put in, push to, put next to, stack, press |
| `cabinet` | a drawer, two blocks, a pad, a button | open, press, pick up, put on, stack                         |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla_sim.tasks import layout, open_drawer, push_to_pad
from vla_sim.tasks.grammar.descriptions import Description, plain
from vla_sim.tasks.grammar.goals import Act, Goal
from vla_sim.tasks.grammar.procedural import GrammarTask
from vla_sim.tasks.grammar.relations import Relation
from vla_sim.tasks.grammar.tables import Number, draw_table, draw_things, has_room, offers
from vla_sim.worlds.scene import Kind, Scene, Thing

_MAX_TRIES = 20_000

type Drawn = tuple[Scene, tuple[Goal, ...]]


def _table(generator: np.random.Generator) -> Drawn:
    """The first block can be pushed to the pad, set beside the bowl, and all the rest."""

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        first, second, pad, bowl, button, *_ = things
        beside = Goal(Act.PUT_AT, plain(first), (plain(bowl),), Relation.NEXT_TO)
        aim = offers(beside, things)
        others = [thing for thing in things if thing not in (first, pad)]
        if aim is None or not push_to_pad.is_free([first, pad, *others]) or not has_room(aim, things):
            return None
        return (
            Goal(Act.PICK_UP, plain(first)),
            Goal(Act.PUT_ON, plain(first), (plain(pad),)),
            Goal(Act.PUT_IN, plain(first), (plain(bowl),)),
            Goal(Act.PUSH_TO, plain(first), (plain(pad),)),
            beside,
            Goal(Act.PUT_ON, plain(first), (plain(second),)),
            Goal(Act.PRESS, plain(button)),
        )

    numbers = (Number(Kind.BLOCK, 2, 2), Number(Kind.PAD, 1, 1), Number(Kind.BOWL, 1, 1), Number(Kind.BUTTON, 1, 1))
    return draw_table(generator, numbers, propose)


def _cabinet(generator: np.random.Generator) -> Drawn:
    """A drawer with its way free, and things beside it."""
    numbers = (Number(Kind.BLOCK, 2, 2), Number(Kind.PAD, 1, 1), Number(Kind.BUTTON, 1, 1))
    for _ in range(_MAX_TRIES):
        drawer = open_drawer.draw_drawer(generator)
        things = draw_things(generator, numbers)
        if things is not None and open_drawer.is_clear(drawer, things):
            first, second, pad, button = things
            goals = (
                Goal(Act.OPEN, Description(Kind.DRAWER)),
                Goal(Act.PRESS, plain(button)),
                Goal(Act.PICK_UP, plain(first)),
                Goal(Act.PUT_ON, plain(first), (plain(pad),)),
                Goal(Act.PUT_ON, plain(first), (plain(second),)),
            )
            return Scene((*things, drawer), layout.start_pose(generator), gripper=1.0), goals
    raise RuntimeError(f"no way was free for the drawer on {_MAX_TRIES} tables")


TABLE_TASKS = tuple(
    GrammarTask(name, _table, max_steps, scene_of="" if index == 0 else "table_pick_up", goal_index=index)
    for index, (name, max_steps) in enumerate(
        (
            ("table_pick_up", 30),
            ("table_put_on_pad", 50),
            ("table_put_in_bowl", 50),
            ("table_push_to_pad", 45),
            ("table_put_next_to", 50),
            ("table_stack", 50),
            ("table_press_button", 30),
        )
    )
)
CABINET_TASKS = tuple(
    GrammarTask(name, _cabinet, max_steps, scene_of="" if index == 0 else "cabinet_open_drawer", goal_index=index)
    for index, (name, max_steps) in enumerate(
        (
            ("cabinet_open_drawer", 40),
            ("cabinet_press_button", 30),
            ("cabinet_pick_up", 30),
            ("cabinet_put_on_pad", 50),
            ("cabinet_stack", 50),
        )
    )
)
TASKS = (*TABLE_TASKS, *CABINET_TASKS)
SETS = tuple(tuple(task.name for task in family) for family in (TABLE_TASKS, CABINET_TASKS))
GROUPS = {
    "picking": ("table_pick_up", "cabinet_pick_up"),
    "placing": ("table_put_on_pad", "table_put_in_bowl", "table_put_next_to", "cabinet_put_on_pad"),
    "stacking": ("table_stack", "cabinet_stack"),
    "pushing": ("table_push_to_pad", "table_press_button", "cabinet_press_button"),
    "opening": ("cabinet_open_drawer",),
}

"""Questions about the arm at work, from the simulator's state: done or not, what next, what is held, what is near."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vla_sim.corpus.draws import NUM_CHAPTERS_TRIED, Draft, Draw, tabletop_draft
from vla_sim.corpus.kinds.vqa import YES_NO
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.tabletop_pictures import CLEAR_PIXELS, TabletopPicture
from vla_sim.corpus.wordings import Wording

DONE = Wording(
    "task_done",
    ('the task is "{instruction}": is it done?', 'told to "{instruction}", has the arm done it?'),
    ('is the task "{instruction}" finished?',),
)
NEXT = Wording(
    "next_step",
    ('the task is "{instruction}": what comes next?', 'what does the arm have to do next to "{instruction}"?'),
    ('which step is next for "{instruction}"?',),
)
HELD = Wording(
    "held",
    ("what is the gripper holding?", "what is in the gripper?", "what does the arm hold?"),
    ("which thing is held by the gripper?",),
)
OPEN = Wording(
    "gripper_open",
    ("is the gripper open?", "are the fingers of the gripper apart?", "is the hand of the arm open?"),
    ("does the gripper stand open?",),
)
NEAREST = Wording(
    "nearest",
    ("which thing is nearest the gripper?", "what is the gripper closest to?", "name the thing nearest the gripper"),
    ("to which thing is the gripper closest?",),
)
WORDINGS = (DONE, NEXT, HELD, OPEN, NEAREST)

OPEN_M, CLOSED_M = 0.07, 0.055
"""From the first on the gripper is open, up to the second it is not; in between nothing is asked."""
NEARER_M = 0.06
"""How much nearer than the middle of every other thing the nearest is: more than things differ in size."""
APART_M = 0.02
"""How far from a border between two steps a state is that is asked about."""
PICKING = ("pick_up", "put_on_pad", "put_in_bowl", "stack")
"""Tasks whose steps are these: go there, close, lift or carry, open."""


def make(draw: Draw) -> Draft | None:
    """One of the questions in turn."""
    return draw.cycle((_done, _next, _held, _open, _nearest))(draw)


def _pictures(draw: Draw, num_chapters: int = NUM_CHAPTERS_TRIED) -> Iterator[TabletopPicture]:
    """Those that show the gripper, and what it holds."""
    for picture in draw.pictures(num_chapters):
        is_seen = not picture.held or picture.sight(picture.held).pixels >= CLEAR_PIXELS
        if picture.shows_gripper and picture.is_grip_certain and is_seen:
            yield picture


def _done(draw: Draw) -> Draft | None:
    wanted = draw.cycle(YES_NO)
    for picture in _pictures(draw):
        attempt = picture.attempt
        if attempt is not None and picture.is_done is (wanted == "yes") and _shows(picture, attempt.names):
            return _about_task(draw, DONE, picture, wanted)
    return None


def _shows(picture: TabletopPicture, names: tuple[str, ...]) -> bool:
    """Whether one can see how far a task is."""
    return all(picture.sight(name).is_clear for name in names)


def _about_task(draw: Draw, wording: Wording, picture: TabletopPicture, answer: str) -> Draft:
    assert picture.attempt is not None
    question = draw.ask(wording, instruction=picture.attempt.instruction)
    return tabletop_draft(wording, {}, question, answer, picture)


def _next(draw: Draw) -> Draft | None:
    wanted = draw.cycle(("go", "carry", "nothing"))
    for picture in _pictures(draw):
        step = next_step(picture)
        if step is not None and step[0] == wanted:
            return _about_task(draw, NEXT, picture, step[1])
    return None


def next_step(picture: TabletopPicture) -> tuple[str, str] | None:
    """What an expert does next, as a word and as a sentence; None where that is not asked or hard to say."""
    attempt = picture.attempt
    if attempt is None or attempt.task.name not in PICKING or not _shows(picture, attempt.names[1:]):
        return None
    block = attempt.names[0]
    if picture.sight(block).pixels < CLEAR_PIXELS:
        return None
    if picture.is_done:
        return "nothing", "nothing, it is done"
    gap = picture.tcp - picture.sight(block).position
    if picture.held == block:
        if len(attempt.names) == 1:
            return "carry", f"lift the {block}"
        aside = np.linalg.norm((picture.sight(block).position - picture.sight(attempt.names[1]).position)[:2])
        return ("carry", f"carry the {block} to the {attempt.names[1]}") if aside > 2 * APART_M else None
    is_far = float(np.linalg.norm(gap)) > 3 * APART_M
    is_there = len(attempt.names) == 2 and _is_near(picture, block, attempt.names[1])
    return ("go", f"move the gripper to the {block}") if is_far and not picture.held and not is_there else None


def _is_near(picture: TabletopPicture, block: str, place: str) -> bool:
    """Whether a block is so near its place that letting go may have been the last step."""
    gap = picture.sight(block).position - picture.sight(place).position
    return bool(np.linalg.norm(gap[:2]) < 0.08)


def _held(draw: Draw) -> Draft | None:
    is_something = draw.cycle((True, False))
    for picture in _pictures(draw):
        if is_something and picture.held:
            return tabletop_draft(HELD, {}, draw.ask(HELD), f"the {picture.held}", picture)
        if not is_something and not picture.held and _is_free(picture):
            return tabletop_draft(HELD, {}, draw.ask(HELD), "nothing", picture)
    return None


def _is_free(picture: TabletopPicture) -> bool:
    """Whether no thing is near the fingers."""
    return all(float(np.linalg.norm(s.position - picture.tcp)) > 3 * APART_M for s in picture.sights)


def _open(draw: Draw) -> Draft | None:
    wanted = draw.cycle(YES_NO)
    for picture in _pictures(draw):
        is_open, is_closed = picture.opening_m > OPEN_M, picture.opening_m < CLOSED_M
        if is_open if wanted == "yes" else is_closed:
            return tabletop_draft(OPEN, {}, draw.ask(OPEN), wanted, picture)
    return None


def _nearest(draw: Draw) -> Draft | None:
    # Few are nearest to a pad or a bowl: where the chapter has none that is wanted, any will do.
    for kinds, num_chapters in (((draw.cycle(KINDS),), 1), (KINDS, NUM_CHAPTERS_TRIED)):
        for picture in _pictures(draw, num_chapters):
            name = _nearest_of(picture)
            if name and picture.sight(name).kind in kinds and picture.sight(name).is_clear:
                return tabletop_draft(NEAREST, {}, draw.ask(NEAREST), f"the {name}", picture)
    return None


def _nearest_of(picture: TabletopPicture) -> str:
    """The thing that is clearly the nearest, in space; empty if none is."""
    by_distance = sorted((float(np.linalg.norm(s.position - picture.tcp)), s.name) for s in picture.sights)
    is_clear = len(by_distance) > 1 and by_distance[1][0] - by_distance[0][0] > NEARER_M
    return by_distance[0][1] if is_clear else ""

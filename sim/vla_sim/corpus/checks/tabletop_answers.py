"""Answers about the table, worked out from evidence alone. Each function says whether an answer is right."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np

from vla_datasets.web.samples import parse_locations
from vla_sim.corpus.checks.evidence import Evidence, SeenBody
from vla_sim.corpus.concepts import COLOUR_SYNONYMS, KIND_SYNONYMS, NUMBERS
from vla_sim.corpus.wordings import plural
from vla_sim.tasks import match

Slots = dict[str, str]
_SEEN_PIXELS = 6
"""As many pixels of the picture, or more, are seen of what is there."""
_EDGE_PX = 1.2
"""How far an edge of a box may be from that of the fine mask: pixels of the picture."""
_SIDES = {"left": (0, -1), "right": (0, 1), "behind": (-1, 0), "in front": (1, 0)}
"""Row and column, downwards and to the right."""


def seen(evidence: Evidence) -> dict[str, SeenBody]:
    """What is on view."""
    limit = _SEEN_PIXELS * evidence.scale**2
    return {name: body for name, body in evidence.bodies.items() if int(body.mask.sum()) >= limit}


def caption_table(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """Exactly what is seen is named, from left to right, and the gripper holds what both fingers touch."""
    said = re.fullmatch(r"(.*) on a table(?:; the gripper holds the (.*))?", answer)
    if said is None:
        return False
    names = [re.sub(r"^an? ", "", part) for part in re.split(r", | and ", said[1])]
    visible = seen(evidence)
    if sorted(names) != sorted(visible) or (said[2] or "") != "".join(held(evidence)):
        return False
    columns = [visible[name].middle[1] for name in names]
    return all(right - left > -0.08 for left, right in itertools.pairwise(columns))


def exists_table(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """Whether it is seen."""
    return answer == _yes_no(re.sub(r"^an? ", "", slots["thing"]) in seen(evidence))


def colour_table(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """The only one of its kind has the colour."""
    return [b.colour for b in evidence.bodies.values() if b.kind == slots["kind"]] == [answer]


def on_table(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """Whether the middle of a block is above the place, low and not held."""
    block, place = evidence.bodies[slots["thing"]], evidence.bodies[slots["place"]]
    x, y, z = block.position - place.position
    reach = 0.052 if place.kind == "bowl" else 0.045
    is_on = max(abs(x), abs(y)) < reach and z < 0.06 and block.name not in evidence.pinched
    return answer == _yes_no(bool(is_on))


def count_table(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """As many are seen."""
    things = slots["things"]
    fits = [b for b in seen(evidence).values() if things in (plural(b.kind), f"{b.colour} things")]
    return answer == NUMBERS[len(fits)]


def relation_which(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """The middles of the masks are farther apart that way than any other."""
    return answer == _side(evidence, slots["thing"], slots["other"])


def relation_whether(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """The middles of the masks are apart that way, or the other."""
    side = slots["side"].removesuffix(" of")
    return answer == _yes_no(_side(evidence, slots["thing"], slots["other"]) == side)


def _side(evidence: Evidence, thing: str, other: str) -> str:
    one, two = evidence.bodies[thing], evidence.bodies[other]
    height, width = one.mask.shape
    down, right = one.middle[0] - two.middle[0], (one.middle[1] - two.middle[1]) * width / height
    return max(_SIDES, key=lambda side: _SIDES[side][0] * down + _SIDES[side][1] * right)


def place(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """A point lies on the thing; a box has its edges; or there is no such thing, and the answer says so."""
    name = _plainly(slots["thing"])
    if answer.startswith("there is no "):
        return answer == f"there is no {name}" and name not in evidence.bodies
    found = evidence.bodies.get(name)
    return found is not None and is_at(found.mask, evidence.scale, answer)


def is_at(mask: np.ndarray, scale: int, answer: str) -> bool:
    """Whether location words give a point on a mask, or its box."""
    (place,) = parse_locations(answer)
    height, width = mask.shape
    if len(place) == 2:
        return bool(mask[int(place[0] * height), int(place[1] * width)])
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    edges = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    gaps = np.abs(np.array(place) * [height, width, height, width] - edges) / scale
    return bool(gaps.max() <= _EDGE_PX)


def _plainly(thing: str) -> str:
    """A synonym's thing in the plain words."""
    synonyms = {word: plain for group in (COLOUR_SYNONYMS, KIND_SYNONYMS) for plain, ws in group.items() for word in ws}
    return " ".join(synonyms.get(word, word) for word in thing.split())


def refuse_instruction(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """The instruction speaks of what is not there."""
    name = about(slots["instruction"])[1][0]
    return answer == f"there is no {name}" and name not in evidence.bodies


def moved(before: Evidence, after: Evidence, answer: str) -> bool:
    """The only thing that is elsewhere."""
    gaps = {n: float(np.linalg.norm(after.bodies[n].position - b.position)) for n, b in before.bodies.items()}
    names = [name for name, gap in gaps.items() if gap > 0.02]
    return answer == (f"the {names[0]}" if len(names) == 1 else "nothing" if not names else "")


# --------------------------------------------------------------------------- the arm


def task_done(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """As the task is defined, from positions, speeds and contacts."""
    return answer == _yes_no(is_done(evidence, slots["instruction"]))


def next_step(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """Done; or held, then on to the place; or not held, then there first."""
    task, names = about(slots["instruction"])
    if is_done(evidence, slots["instruction"]):
        return answer == "nothing, it is done"
    if names[0] in evidence.pinched:
        return answer == (f"lift the {names[0]}" if task == "pick_up" else f"carry the {names[0]} to the {names[1]}")
    is_far = evidence.clearance[names[0]] > 0.02
    return is_far and answer == f"move the gripper to the {names[0]}"


def what_is_held(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """What both fingers touch."""
    return answer == ("".join(f"the {name}" for name in held(evidence)) or "nothing")


def gripper_open(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """Whether the fingers' joints are near the end of their travel of 8 cm."""
    return answer == _yes_no(evidence.opening_m > 0.0625)


def nearest(evidence: Evidence, slots: Slots, answer: str) -> bool:
    """The least way from the fingertips to its surface."""
    return answer == f"the {min(evidence.clearance, key=lambda name: evidence.clearance[name])}"


def held(evidence: Evidence) -> list[str]:
    """Blocks that both fingers touch."""
    return sorted(name for name in evidence.pinched if evidence.bodies[name].kind == "block")


def about(instruction: str) -> tuple[str, list[str]]:
    """The task of an instruction, and the things it names, `block` for `cube`."""
    found = match(instruction)
    assert found is not None, instruction
    kinds = {
        "put_on_pad": ("block", "pad"),
        "push_to_pad": ("block", "pad"),
        "put_in_bowl": ("block", "bowl"),
        "stack": ("block", "block"),
        "press_button": ("button",),
    }.get(found[0], ("block",))
    return found[0], [f"{colour} {kind}" for colour, kind in zip(found[1], kinds, strict=False)] or ["drawer"]


def is_done(evidence: Evidence, instruction: str) -> bool:
    """Whether the task of an instruction is done."""
    task, names = about(instruction)
    if task in ("open_drawer", "press_button"):
        return evidence.displacement[names[0]] > (0.09 if task == "open_drawer" else 0.01)
    block = evidence.bodies[names[0]].position
    if task == "reach":
        gap = np.linalg.norm(evidence.fingertips - block - [0, 0, 0.05])
        return bool(gap < 0.02) and evidence.fingertip_speed < 0.1
    if task == "pick_up":
        return bool(block[2] > 0.08) and names[0] in evidence.pinched
    x, y, z = block - evidence.bodies[names[1]].position
    is_in_place = {
        "put_on_pad": max(abs(x), abs(y)) < 0.042 and z < 0.03,
        "push_to_pad": max(abs(x), abs(y)) < 0.042 and z < 0.03,
        "put_in_bowl": math.hypot(x, y) < 0.052 and z < 0.045,
        "stack": math.hypot(x, y) < 0.022 and abs(z - 0.044) < 0.006,
    }[task]
    is_let_go = task == "push_to_pad" or names[0] not in evidence.touched
    return bool(is_in_place) and is_let_go and evidence.speed[names[0]] < (0.03 if task == "put_in_bowl" else 0.02)


def _yes_no(is_so: bool) -> str:
    return "yes" if is_so else "no"

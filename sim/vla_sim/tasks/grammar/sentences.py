"""The grammar: a goal is said in a sentence, and a sentence is read back as its goal.

    sentence  = [view] template(noun phrase, noun phrase or place) [view]
    noun      = "the" [colour] kind ["that is not" colour | "that is neither" colour "nor" colour | ["that is"] place]
    place     = "left of" noun | "between" noun "and" noun | "in the far left corner" | ...

Templates are for training or held out; every word of a held-out one occurs in some training template. All words are
lower-case letters and blanks.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterator

import numpy as np

from vla.interfaces import TemplateSet
from vla_sim.tasks.grammar.descriptions import Description
from vla_sim.tasks.grammar.goals import Act, Goal, Quantity
from vla_sim.tasks.grammar.relations import Relation, View
from vla_sim.worlds.scene import PALETTE, Kind

NOUNS: dict[Kind, tuple[str, ...]] = {
    Kind.BLOCK: ("block", "cube"),
    Kind.PAD: ("pad", "tile"),
    Kind.BOWL: ("bowl", "dish"),
    Kind.BUTTON: ("button", "switch"),
    Kind.DRAWER: ("drawer",),
    Kind.CYLINDER: ("cylinder", "drum"),
    Kind.PRISM: ("prism",),
    Kind.BALL: ("ball", "sphere"),
    Kind.PLATE: ("plate", "disc"),
}
PLACES: dict[Relation, tuple[str, ...]] = {
    Relation.LEFT: ("left of {0}", "to the left of {0}", "on the left of {0}"),
    Relation.RIGHT: ("right of {0}", "to the right of {0}", "on the right of {0}"),
    Relation.FRONT: ("in front of {0}",),
    Relation.BEHIND: ("behind {0}",),
    Relation.NEXT_TO: ("next to {0}", "beside {0}"),
    Relation.BETWEEN: ("between {0} and {1}", "in between {0} and {1}"),
    Relation.NEAREST: ("nearest to {0}", "closest to {0}"),
    Relation.FARTHEST: ("farthest from {0}",),
    Relation.NEAR_LEFT: ("in the near left corner", "in the near left corner of the table"),
    Relation.NEAR_RIGHT: ("in the near right corner", "in the near right corner of the table"),
    Relation.FAR_LEFT: ("in the far left corner", "in the far left corner of the table"),
    Relation.FAR_RIGHT: ("in the far right corner", "in the far right corner of the table"),
}
"""`{0}` and `{1}` are landmarks."""
VIEWS: dict[View, dict[TemplateSet, tuple[str, ...]]] = {
    View.ARM: {
        TemplateSet.TRAINING: ("from your side {0}", "{0} as seen from your side", "as you see it {0}"),
        TemplateSet.HELD_OUT: ("{0} as you see it", "seen from your side {0}"),
    },
    View.CAMERA: {
        TemplateSet.TRAINING: ("seen from the camera {0}", "{0} as seen from the camera", "as the camera sees it {0}"),
        TemplateSet.HELD_OUT: ("{0} as the camera sees it", "as seen from the camera {0}"),
    },
}
"""`{0}` is the rest of the sentence. A sentence without a view is from the arm's side."""


@dataclasses.dataclass(frozen=True)
class Wording:
    """How an act is asked for: `{0}` is the subject, `{1}` the object or the place."""

    act: Act
    training: tuple[str, ...]
    held_out: tuple[str, ...]
    quantity: Quantity | None = None
    takes_back: bool = False
    is_paraphrase: bool = False
    """Whether it says the goal in a roundabout way; the meaning is the same."""

    def templates(self, which: TemplateSet) -> tuple[str, ...]:
        return self.training if which is TemplateSet.TRAINING else self.held_out


WORDINGS: tuple[Wording, ...] = (
    Wording(
        Act.PICK_UP,
        (
            "pick up {0}",
            "pick {0} up",
            "lift {0}",
            "lift up {0}",
            "lift {0} off the table",
            "raise {0}",
            "grab {0}",
            "grab {0} and lift it",
            "grasp {0} and raise it",
            "take {0} off the table",
            "hold {0} up",
        ),
        (
            "grasp {0} and lift it up",
            "raise {0} off the table",
            "pick {0} up off the table",
            "take {0} and lift it",
            "grab {0} and hold it up",
        ),
    ),
    Wording(
        Act.PUT_ON,
        (
            "put {0} on {1}",
            "put {0} on top of {1}",
            "place {0} on {1}",
            "set {0} down on {1}",
            "pick up {0} and put it on {1}",
            "take {0} and place it on {1}",
            "grab {0} and set it on {1}",
        ),
        (
            "set {0} on top of {1}",
            "pick up {0} and place it on top of {1}",
            "take {0} and put it down on {1}",
            "grab {0} and place it on {1}",
        ),
    ),
    Wording(
        Act.PUT_IN,
        (
            "put {0} in {1}",
            "put {0} into {1}",
            "place {0} inside {1}",
            "drop {0} into {1}",
            "pick up {0} and drop it in {1}",
            "take {0} and place it in {1}",
            "grab {0} and put it into {1}",
        ),
        (
            "place {0} into {1}",
            "drop {0} in {1}",
            "pick up {0} and put it inside {1}",
            "grab {0} and drop it into {1}",
        ),
    ),
    Wording(
        Act.PUT_AT,
        (
            "put {0} {1}",
            "place {0} {1}",
            "move {0} {1}",
            "set {0} down {1}",
            "bring {0} to a place {1}",
            "pick up {0} and put it {1}",
            "take {0} and place it {1}",
        ),
        (
            "set {0} {1}",
            "put {0} down {1}",
            "pick up {0} and place it {1}",
            "take {0} and set it down {1}",
            "move {0} to a place {1}",
        ),
    ),
    Wording(
        Act.PUSH_TO,
        (
            "push {0} to {1}",
            "push {0} onto {1}",
            "push {0} across the table to {1}",
            "slide {0} to {1}",
            "slide {0} over to {1}",
            "shove {0} onto {1}",
            "use the gripper to push {0} to {1}",
        ),
        (
            "push {0} over to {1}",
            "slide {0} onto {1}",
            "shove {0} across the table to {1}",
            "use the gripper to slide {0} onto {1}",
        ),
    ),
    Wording(
        Act.OPEN,
        (
            "open {0}",
            "open up {0}",
            "open {0} by its handle",
            "pull {0} open",
            "pull open {0}",
            "pull out {0}",
            "slide {0} open",
        ),
        ("pull {0} open by its handle", "slide out {0}", "slide open {0}", "open {0} up"),
    ),
    Wording(
        Act.PRESS,
        (
            "press {0}",
            "press down on {0}",
            "press {0} down",
            "push down on {0}",
            "hit {0}",
            "tap {0}",
            "press {0} with the gripper",
            "use the gripper to press {0}",
        ),
        ("press down {0}", "tap {0} with the gripper", "hit {0} with the gripper", "push {0} down"),
    ),
    Wording(
        Act.COUNT_ON,
        (
            "put both {0} on {1}",
            "place both {0} on {1}",
            "move both {0} onto {1}",
            "set both {0} down on {1}",
            "bring both {0} to {1}",
            "pick up both {0} and put them on {1}",
        ),
        (
            "set both {0} on {1}",
            "move both {0} to {1}",
            "place both {0} down on {1}",
            "bring both {0} onto {1}",
        ),
        Quantity.ALL,
    ),
    Wording(
        Act.COUNT_ON,
        (
            "there should be a single {0} on {1}",
            "make sure that a single {0} is on {1}",
            "see to it that just a single {0} is on {1}",
            "have a single {0} on {1} and no more",
            "let there be a single {0} on {1}",
            "{1} should carry a single {0}",
        ),
        (
            "make sure that there is a single {0} on {1}",
            "there should be just a single {0} on {1}",
            "have just a single {0} on {1}",
            "{1} should have just a single {0}",
        ),
        Quantity.SINGLE,
    ),
    Wording(
        Act.COUNT_ON,
        (
            "there should be no {0} on {1}",
            "make sure that no {0} is on {1}",
            "clear every {0} off {1}",
            "take every {0} off {1}",
            "move every {0} away from {1}",
            "leave no {0} on {1}",
        ),
        (
            "move every {0} off {1}",
            "make sure that there is no {0} on {1}",
            "take every {0} away from {1}",
            "clear every {0} away from {1}",
        ),
        Quantity.NONE,
    ),
    Wording(
        Act.PICK_UP,
        (
            "could you lift {0} please",
            "i would like to see {0} in the air",
            "make sure that {0} is off the table",
            "see to it that {0} hangs in the air",
            "{0} should be up in the air",
            "get {0} off the table",
            "let {0} hang in the air",
        ),
        (
            "could you get {0} off the table please",
            "i would like to see {0} off the table",
            "see to it that {0} is up in the air",
            "{0} should hang in the air",
        ),
        is_paraphrase=True,
    ),
    Wording(
        Act.PUT_ON,
        (
            "could you put {0} on {1} please",
            "i would like to see {0} on {1}",
            "make sure that {0} ends up on {1}",
            "see to it that {0} is on {1}",
            "{0} belongs on {1}",
            "{1} is where {0} should go",
            "let {0} end up on {1}",
        ),
        (
            "i would like {0} to end up on {1}",
            "see to it that {0} ends up on {1}",
            "{1} is where {0} belongs",
            "{0} should go on {1} please",
        ),
        is_paraphrase=True,
    ),
    Wording(
        Act.PUT_IN,
        (
            "could you put {0} into {1} please",
            "i would like to see {0} in {1}",
            "make sure that {0} ends up in {1}",
            "see to it that {0} is inside {1}",
            "{0} belongs in {1}",
            "inside {1} is where {0} should go",
            "let {0} end up in {1}",
        ),
        (
            "i would like {0} to end up in {1}",
            "see to it that {0} ends up inside {1}",
            "inside {1} is where {0} belongs",
            "{0} should go into {1} please",
        ),
        is_paraphrase=True,
    ),
    Wording(
        Act.PICK_UP,
        (
            "pick up {0} without touching it",
            "pick up {0} but leave it where it is",
            "lift {0} and do not move it",
            "grab {0} without moving it",
            "raise {0} but do not touch it",
            "take {0} and leave it on the table",
        ),
        (
            "lift {0} without touching it",
            "grab {0} but leave it where it is",
            "raise {0} and do not move it",
            "pick up {0} and leave it on the table",
        ),
        takes_back=True,
    ),
    Wording(
        Act.PUT_ON,
        (
            "put {0} on {1} without touching it",
            "put {0} on {1} but leave it where it is",
            "place {0} on {1} and do not move it",
            "set {0} on {1} without moving it",
            "put {0} on {1} but do not touch it",
            "place {0} on {1} but never move it",
        ),
        (
            "place {0} on {1} without touching it",
            "set {0} on {1} but leave it where it is",
            "put {0} on {1} and do not move it",
            "place {0} on {1} but never touch it",
        ),
        takes_back=True,
    ),
)


def say(
    goal: Goal,
    which: TemplateSet,
    generator: np.random.Generator,
    *,
    says_view: bool = False,
    paraphrases: bool = False,
) -> str:
    """One wording of a goal.

    Args:
        paraphrases: whether it is said in a roundabout way.
        says_view: whether the sentence says whose left and right it means; otherwise it means the arm's.

    Raises:
        ValueError: if the view is another's and not said.
    """
    if goal.view is not View.ARM and not says_view:
        raise ValueError(f"a sentence must say that its view is the {goal.view.value}'s")
    template = _one(generator, _wording(goal, paraphrases).templates(which))
    sentence = template.format(_subject(goal, generator), _object(goal, generator))
    return _one(generator, VIEWS[goal.view][which]).format(sentence) if says_view else sentence


def read(sentence: str) -> Goal | None:
    """The goal that a sentence says; None if no template fits, or two disagree."""
    goals = set(_readings(sentence))
    return goals.pop() if len(goals) == 1 else None


# --------------------------------------------------------------------------- saying


def _wording(goal: Goal, paraphrases: bool) -> Wording:
    key = (goal.act, goal.quantity, goal.takes_back, paraphrases)
    return next(w for w in WORDINGS if (w.act, w.quantity, w.takes_back, w.is_paraphrase) == key)


def _object(goal: Goal, generator: np.random.Generator) -> str:
    if goal.relation is not None:
        return _place(goal.relation, goal.objects, generator)
    return _noun(goal.objects[0], generator) if goal.objects else ""


def _subject(goal: Goal, generator: np.random.Generator) -> str:
    """The subject's noun phrase; of things that are counted, what comes after `both`, `a single` or `no`."""
    if goal.quantity is None:
        return _noun(goal.subject, generator)
    noun = f"{goal.subject.colour} {_one(generator, NOUNS[goal.subject.kind])}".strip()
    return f"{noun}s" if goal.quantity is Quantity.ALL else noun


def _noun(description: Description, generator: np.random.Generator) -> str:
    words = ["the", description.colour, _one(generator, NOUNS[description.kind])]
    if description.not_colours:
        is_one = len(description.not_colours) == 1
        words.append(("that is not {}" if is_one else "that is neither {} nor {}").format(*description.not_colours))
    if description.relation is not None:
        words.append(_one(generator, ("", "that is")))
        words.append(_place(description.relation, description.landmarks, generator))
    return " ".join(word for word in words if word)


def _place(relation: Relation, landmarks: tuple[Description, ...], generator: np.random.Generator) -> str:
    return _one(generator, PLACES[relation]).format(*(_noun(landmark, generator) for landmark in landmarks))


def _one(generator: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(generator.integers(len(choices)))]


# --------------------------------------------------------------------------- reading

_KINDS = {word: kind for kind, words in NOUNS.items() for word in words}
_SIMPLE = re.compile(rf"(?:the )?\b(?:({'|'.join(PALETTE)}) )?({'|'.join(_KINDS)})s?\b")
_PLACE = "|".join(place.format("N", "N") for places in PLACES.values() for place in places)
_NOUN = rf"N(?: (?:that is not C|that is neither C nor C|(?:that is )?(?:{_PLACE})))?"
"""In a sentence whose simple nouns, `the red block`, are `N` each, and whose other colours are `C`."""

_NOTHING = Description(Kind.BLOCK)


@dataclasses.dataclass
class _Words:
    """Nouns and colours of a sentence in their order, taken one after the other."""

    nouns: Iterator[Description]
    colours: Iterator[str]


def _readings(sentence: str) -> Iterator[Goal]:
    nouns = [Description(_KINDS[noun], colour) for colour, noun in _SIMPLE.findall(sentence)]
    rest = _SIMPLE.sub("N", sentence)
    colours = [word for word in rest.split() if word in PALETTE]
    outline = " ".join("C" if word in PALETTE else word for word in rest.split())
    for view, pattern in _views():
        framed = pattern.fullmatch(outline)
        for wording, template in _templates() if framed else ():
            found = template.fullmatch(framed.group(1)) if framed else None
            if found:
                yield _goal(wording, view, found, _Words(iter(nouns), iter(colours)))


@functools.cache
def _views() -> list[tuple[View, re.Pattern[str]]]:
    said = [(view, template) for view, sets in VIEWS.items() for template in itertools.chain(*sets.values())]
    return [(view, re.compile(template.format("(.+)"))) for view, template in [(View.ARM, "{0}"), *said]]


@functools.cache
def _templates() -> list[tuple[Wording, re.Pattern[str]]]:
    return [(w, _pattern(template, w.act is Act.PUT_AT)) for w in WORDINGS for template in w.training + w.held_out]


def _pattern(template: str, is_place: bool) -> re.Pattern[str]:
    return re.compile(template.format(rf"(?P<subject>{_NOUN})", rf"(?P<object>{_PLACE if is_place else _NOUN})"))


def _goal(wording: Wording, view: View, found: re.Match[str], words: _Words) -> Goal:
    """The goal of a fitting template, whose slots are read in the order in which they stand in the sentence."""
    goal = Goal(wording.act, _NOTHING, view=view, quantity=wording.quantity, takes_back=wording.takes_back)
    for slot in sorted(found.groupdict(), key=found.start):
        if slot == "subject":
            goal = dataclasses.replace(goal, subject=_read_noun(found[slot], words))
        elif wording.act is Act.PUT_AT:
            relation, landmarks = _read_place(found[slot], words)
            goal = dataclasses.replace(goal, relation=relation, objects=landmarks)
        else:
            goal = dataclasses.replace(goal, objects=(_read_noun(found[slot], words),))
    return goal


def _read_noun(outline: str, words: _Words) -> Description:
    plain = next(words.nouns)
    rest = outline.removeprefix("N").strip()
    if "C" in rest:
        return dataclasses.replace(plain, not_colours=tuple(itertools.islice(words.colours, rest.count("C"))))
    if not rest:
        return plain
    relation, landmarks = _read_place(rest.removeprefix("that is "), words)
    return dataclasses.replace(plain, relation=relation, landmarks=landmarks)


def _read_place(outline: str, words: _Words) -> tuple[Relation, tuple[Description, ...]]:
    relation = next(r for r, places in PLACES.items() if outline in {place.format("N", "N") for place in places})
    return relation, tuple(itertools.islice(words.nouns, outline.count("N")))

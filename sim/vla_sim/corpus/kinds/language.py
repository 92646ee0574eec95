"""Words alone: instructions said in other words, what they speak of, number words in order, sorts of things."""

from __future__ import annotations

from vla_sim.corpus.concepts import CATEGORIES, NUMBERS, category_of
from vla_sim.corpus.draws import Draft, Draw, text_draft
from vla_sim.corpus.kinds.vqa import YES_NO
from vla_sim.corpus.stencils import EMBLEMS
from vla_sim.corpus.wordings import Wording, article
from vla_sim.tasks import SUITES, TASKS
from vla_sim.tasks.task import Task

PARAPHRASE = Wording(
    "paraphrase",
    ('say "{instruction}" in other words', 'what is another way to say "{instruction}"?'),
    ('put "{instruction}" differently',),
)
ABOUT = Wording(
    "acted_on",
    ('which thing does "{instruction}" act on?', 'what is to be handled in "{instruction}"?'),
    ('told to "{instruction}", which thing does the arm handle?',),
)
AFTER = Wording(
    "number_after",
    ("which number comes after {number}?", "count on from {number}", "what follows {number}?"),
    ("which number follows {number}?",),
)
IS_A = Wording(
    "is_a",
    ("is {thing} {category}?", "would you call {thing} {category}?"),
    ("does one call {thing} {category}?",),
)
SORT = Wording("sort_of", ("what sort of thing is {thing}?", "what is {thing}?"), ("which sort of thing is {thing}?",))
WORDINGS = (PARAPHRASE, ABOUT, AFTER, IS_A, SORT)


def make(draw: Draw) -> Draft:
    """One of the questions in turn."""
    return draw.cycle((_paraphrase, _about, _after, _is_a, _sort))(draw)


def _task(draw: Draw) -> tuple[Task, tuple[str, ...]]:
    task = TASKS[draw.cycle(SUITES["tabletop"])]
    return task, task.draw(int(draw.generator.integers(2**32)))[1]


def _paraphrase(draw: Draw) -> Draft:
    task, colours = _task(draw)
    first, second = draw.generator.permutation(len(task.training))[:2]
    said = task.training[int(first)].format(*colours)
    question = draw.ask(PARAPHRASE, instruction=said)
    return text_draft(draw, PARAPHRASE, {"instruction": said}, question, task.training[int(second)].format(*colours))


def _about(draw: Draw) -> Draft:
    task, colours = _task(draw)
    said = task.training[int(draw.generator.integers(len(task.training)))].format(*colours)
    answer = f"the {(*task.names(colours), 'drawer')[0]}"
    return text_draft(draw, ABOUT, {"instruction": said}, draw.ask(ABOUT, instruction=said), answer)


def _after(draw: Draw) -> Draft:
    number = draw.cycle(range(len(NUMBERS) - 1))
    slots = {"number": NUMBERS[number]}
    return text_draft(draw, AFTER, slots, draw.ask(AFTER, **slots), NUMBERS[number + 1])


def _is_a(draw: Draw) -> Draft:
    answer, emblem = draw.cycle(YES_NO), draw.cycle(EMBLEMS)
    others = [category for category in CATEGORIES if category != category_of(emblem)]
    category = category_of(emblem) if answer == "yes" else draw.one_of(others)
    slots = {"thing": article(emblem), "category": article(category)}
    return text_draft(draw, IS_A, slots, draw.ask(IS_A, **slots), answer)


def _sort(draw: Draw) -> Draft:
    category = draw.cycle(list(CATEGORIES))
    slots = {"thing": article(draw.one_of(CATEGORIES[category]))}
    return text_draft(draw, SORT, slots, draw.ask(SORT, **slots), article(category))

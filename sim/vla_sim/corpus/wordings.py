"""Ways to say one question: templates with named slots, some for training, some for testing only.

Wording("how many {things} are there?", ...).ask(things="red blocks")     "how many red blocks are there?"
....................................... .read("how many red blocks are there?")     {"things": "red blocks"}
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re

import numpy as np

from vla.interfaces import TemplateSet
from vla_sim.corpus.concepts import DRAWN_COLOURS
from vla_sim.worlds.scene import COLOURS

_WORD = "[a-z]+"
_THING = "(?:an? )?[a-z]+(?: [a-z]+)?"
_SLOTS = {
    "thing": _THING,
    "other": _THING,
    "place": _THING,
    "category": "an? [a-z]+",
    "things": "[a-z]+(?: things)?",
    "colour": "|".join((*COLOURS, *DRAWN_COLOURS)),
    "side": "left of|right of|in front of|behind",
    "instruction": "[a-z ]+",
    "referent": "[a-z ]+",
    "tile": r"the(?: (?!block\b|brick\b)[a-z]+)+",
    "block": "the [a-z]+ (?:block|brick)",
}
"""What a slot of this name holds; one word if it is not here."""


@dataclasses.dataclass(frozen=True)
class Wording:
    """One question in many words."""

    name: str
    """Of what is asked, unique in the corpus: `count`, `relation_which`."""
    training: tuple[str, ...]
    """Templates: `{thing}` stands for a slot of that name."""
    held_out: tuple[str, ...]
    """Templates for testing only."""

    def ask(self, templates: TemplateSet, generator: np.random.Generator, **slots: str) -> str:
        """One of the ways to say it."""
        choices = self.training if templates is TemplateSet.TRAINING else self.held_out
        return choices[int(generator.integers(len(choices)))].format(**slots)

    def read(self, question: str) -> dict[str, str] | None:
        """The slots of a question that one of the templates says; None if none of them does."""
        for template in self.training + self.held_out:
            found = _pattern(template).fullmatch(question)
            if found:
                return found.groupdict()
        return None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    slots = (f"(?P<{name}>{_SLOTS.get(name, _WORD)})" for name in parts[1::2])
    texts = (re.escape(text) for text in parts[::2])
    return re.compile("".join(piece for pair in itertools.zip_longest(texts, slots, fillvalue="") for piece in pair))


def article(word: str) -> str:
    """`a block`, `an apple`."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(word: str) -> str:
    """Of the nouns in this corpus."""
    irregular = {"fish": "fish", "cherry": "cherries", "box": "boxes", "cross": "crosses", "six": "sixes"}
    return irregular.get(word, f"{word}s")

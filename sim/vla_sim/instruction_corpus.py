"""The text tokenizer that ships with `vla.tokens`, trained on every training sentence of the suite.

    python -m vla_sim.instruction_corpus        # writes vla/tokens/instructions.json anew

Held-out templates are not in it: their words are, since each also occurs in some training template.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vla.files import write_atomically
from vla.tokens.text import TextTokenizer
from vla_sim.tasks import all_instructions

VOCABULARY_SIZE = 512
"""An upper bound: the corpus runs out of merges before."""


def train_tokenizer() -> TextTokenizer:
    """The tokenizer of the suite as it is now."""
    return TextTokenizer.train(all_instructions(), VOCABULARY_SIZE)


if __name__ == "__main__":
    write_atomically(Path(str(resources.files("vla.tokens") / "instructions.json")), train_tokenizer().to_json())

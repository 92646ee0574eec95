"""An action chunk as tokens, and back; whatever the grammar allows decodes to one chunk inside the limits.

Usage: python examples/03_actions_as_tokens.py
"""

from __future__ import annotations

import numpy as np

from vla.tokens.bins import BinTokenizer
from vla_sim.embodiments import TABLETOP_PANDA


def main() -> None:
    generator = np.random.default_rng(0)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    chunks = generator.uniform(low, high, (1000, 4, TABLETOP_PANDA.action_dim)).astype(np.float32)
    tokenizer = BinTokenizer.fit(chunks, TABLETOP_PANDA, vocabulary_size=65)

    ids = tokenizer.encode(chunks[0])
    error = np.abs(tokenizer.decode(ids) - np.clip(chunks[0], tokenizer.ranges.low, tokenizer.ranges.high))
    print(f"{chunks[0].size} numbers became {len(ids)} tokens: {ids}")
    print(f"largest error of a number: {error.max():.2g}")

    grammar, state, drawn = tokenizer.grammar(), 0, []
    while not grammar.accepting[state]:
        drawn.append(int(generator.choice(np.flatnonzero(grammar.allowed[state]))))
        state = int(grammar.next_state[state, drawn[-1]])
    chunk = tokenizer.decode(drawn)
    is_inside = bool((chunk >= low).all() and (chunk <= high).all())
    print(f"tokens drawn at random decode to a chunk inside the limits: {is_inside}")


if __name__ == "__main__":
    main()

"""UTF-8 as an automaton over bytes: what may come next inside a character.

    START ──0xxxxxxx──► START
          ──110xxxxx──► ONE ──10xxxxxx──► START
          ──1110xxxx──► TWO ──10xxxxxx──► ONE
          ──11110xxx──► THREE ──10xxxxxx──► TWO

Four leading bytes narrow their second byte, so that no character has two writings, none is a surrogate and none lies
beyond U+10FFFF. States are numbered so that inside a character they only grow, from START to the last byte.

Source: RFC 3629, section 4.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Int64

START, THREE, AFTER_F0, AFTER_F4, TWO, AFTER_E0, AFTER_ED, ONE = range(8)
NUM_STATES = 8

_LEADING = {
    START: (0x00, 0x7F),
    ONE: (0xC2, 0xDF),
    AFTER_E0: (0xE0, 0xE0),
    TWO: (0xE1, 0xEF),
    AFTER_ED: (0xED, 0xED),  # within the range above
    AFTER_F0: (0xF0, 0xF0),
    THREE: (0xF1, 0xF3),
    AFTER_F4: (0xF4, 0xF4),
}
_CONTINUING = {
    ONE: (0x80, 0xBF, START),
    TWO: (0x80, 0xBF, ONE),
    AFTER_E0: (0xA0, 0xBF, ONE),
    AFTER_ED: (0x80, 0x9F, ONE),
    THREE: (0x80, 0xBF, TWO),
    AFTER_F0: (0x90, 0xBF, TWO),
    AFTER_F4: (0x80, 0x8F, TWO),
}


def follow(state: int, text: bytes) -> tuple[int, int]:
    """The state after some bytes, -1 if they cannot come, and how many characters they complete."""
    table, completed = _table(), 0
    for byte in text:
        state = int(table[state, byte])
        if state < 0:
            return -1, completed
        completed += state == START
    return state, completed


@functools.cache
def _table() -> Int64[np.ndarray, "states bytes"]:
    table = np.full((NUM_STATES, 256), -1)
    for after, (low, high) in _LEADING.items():
        table[START, low : high + 1] = after
    for state, (low, high, after) in _CONTINUING.items():
        table[state, low : high + 1] = after
    return table

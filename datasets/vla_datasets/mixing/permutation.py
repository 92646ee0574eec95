"""A shuffled order of any number of items, without storing it: where item `i` goes is computed alone.

    i = row · columns + column          eight rounds, in turn          row ← row + f(column)  mod rows
                                                                       column ← column + f(row)  mod columns

Each round can be undone, so all eight are a permutation of rows · columns numbers. There may be a few more of those
than items: a number that is no item's is sent through again until it is one (cycle walking), a permutation too.

Source: Black and Rogaway 2002, "Ciphers with Arbitrary Finite Domains", the generalised Feistel network. Ours needs no
secrecy, only order: the round function is SplitMix64's (Steele et al. 2014), not a cipher.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct

from vla.errors import ConfigError

_ROUNDS = 8
_MASK = (1 << 64) - 1


class Permutation:
    """A permutation of 0 .. num - 1 that follows from its key alone, the same on every machine."""

    def __init__(self, num: int, *key: int | str) -> None:
        """Of `num` items; another key is another order."""
        if num < 1:
            raise ConfigError(f"a permutation needs one item or more, got {num}")
        self.num = num
        self._rows = math.isqrt(num - 1) + 1
        self._columns = -(-num // self._rows)
        digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8 * _ROUNDS).digest()
        keys = struct.unpack(f"<{_ROUNDS}Q", digest)
        self._keys = tuple(zip(keys[::2], keys[1::2], strict=True))

    def __len__(self) -> int:
        return self.num

    def __getitem__(self, index: int) -> int:
        """The item at place `index` of the shuffled order."""
        if not 0 <= index < self.num:
            raise IndexError(f"a permutation of {self.num} has places 0 to {self.num - 1}, not {index}")
        item = self._once(index)
        while item >= self.num:
            item = self._once(item)
        return item

    def _once(self, number: int) -> int:
        row, column = divmod(number, self._columns)
        for row_key, column_key in self._keys:
            row = (row + scrambled(column ^ row_key)) % self._rows
            column = (column + scrambled(row ^ column_key)) % self._columns
        return row * self._columns + column


def scrambled(number: int) -> int:
    """64 bits that look random, the same for the same number."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)

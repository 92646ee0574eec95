"""A published FAST processor: its files, its ids, and a grammar in which nothing malformed can be written.

    coefficient q ─► character number q - min_token ─► UTF-8 bytes ─► byte pairs of the file `tokenizer.json`

Its tokens are runs of bytes, and may begin or end inside a character. So the grammar counts the characters still to
come and follows the bytes of the one that is being written; a token is allowed iff what it leaves can be completed.

The folder holds what Transformers' `save_pretrained` writes: `processor_config.json` with `scale` and `min_token`, and
`tokenizer.json`, here or under `bpe_tokenizer/`. Only these are read: no code comes with them.

Source: FAST (arXiv:2501.09747) and its processor at huggingface.co/physical-intelligence/fast. Ours differs in that
chunks are clipped first; that a coefficient whose character has no token becomes the nearest that has one, where the
processor drops it; and that ids which do not make whole characters are refused, where the processor returns zeros.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64
from tokenizers import Tokenizer

from vla.errors import ActionError, CheckpointError
from vla.files import read_json
from vla.interfaces import PADDING_ID, Grammar
from vla.tokens import utf8
from vla.tokens.chunk_tokenizer import ChunkTokenizer, require_format
from vla.tokens.fast import cosines
from vla.tokens.ranges import ActionRanges

FORMAT = "vla.published_fast/1"
CONFIG_FILE = "processor_config.json"
TOKENIZER_FILES = ("tokenizer.json", "bpe_tokenizer/tokenizer.json")


@dataclasses.dataclass(frozen=True, eq=False)
class PublishedFastTokenizer(ChunkTokenizer):
    """The ids that the published processor gives for the same normalised chunk."""

    ranges: ActionRanges
    horizon: int
    scale: float
    min_token: int
    """The coefficient that is character number 0."""
    tokenizer_json: str
    """The text of `tokenizer.json`."""

    def __post_init__(self) -> None:
        if not (self.horizon >= 1 and 0 < self.scale < np.inf):
            raise ValueError(f"expected horizon >= 1 and scale > 0, got {self.horizon} and {self.scale}")
        _check_byte_pairs(json.loads(self.tokenizer_json))
        if not len(self._characters):
            raise ValueError("expected a tokenizer with a token for every byte of some coefficient, got none")

    @staticmethod
    def load(folder: Path, ranges: ActionRanges, horizon: int) -> PublishedFastTokenizer:
        """The tokenizer of a processor's folder, for chunks of these ranges and this horizon.

        Raises:
            CheckpointError: naming the file that is absent or not what it should be.
            ActionError: naming the file, if it was made for another horizon or number of fields.
        """
        config = _read_json(folder / CONFIG_FILE)
        found = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
        if not found:
            raise CheckpointError(f"there is no {' and no '.join(TOKENIZER_FILES)} in {folder}")
        for key, got in (("time_horizon", horizon), ("action_dim", ranges.action_dim)):
            if config.get(key) not in (None, got):
                raise ActionError(f"{folder / CONFIG_FILE} is for {key}={config[key]}, got {got}")
        try:
            text = json.dumps(_read_json(found[0]))
            return PublishedFastTokenizer(ranges, horizon, float(config["scale"]), int(config["min_token"]), text)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{found[0].parent}: {type(error).__name__}: {error}") from error

    @property
    def name(self) -> str:
        return "published_fast"

    @property
    def vocabulary_size(self) -> int:
        return len(self._token_bytes)

    @property
    def is_ordered(self) -> bool:
        return False

    def num_committed(self, steps: int) -> int:
        return 0

    def grammar(self) -> Grammar:
        num_characters = self.horizon * self.action_dim
        follows = [[utf8.follow(state, text) for text in self._token_bytes] for state in range(utf8.NUM_STATES)]
        after, completed = np.moveaxis(np.array(follows), -1, 0)  # (utf8 states, vocabulary)
        return _trimmed(*_counting(after, completed, num_characters))

    def _encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        coefficients = np.einsum("kt,btd->bkd", cosines(self.horizon), values).reshape(len(values), -1)
        wanted = np.maximum(np.rint(coefficients * self.scale) - self.min_token, 0)
        texts = ["".join(map(chr, row)) for row in _nearest(self._characters, wanted)]
        ids = np.full((len(values), self.max_tokens), PADDING_ID, np.int64)
        for row, encoding in zip(ids, self._tokenizer.encode_batch(texts), strict=True):
            row[: len(encoding.ids)] = encoding.ids
        return ids

    def _decode(self, ids: Int64[np.ndarray, "batch tokens"]) -> Float64[np.ndarray, "batch horizon action_dim"]:
        text = b"".join(self._token_bytes[token] for token in ids[ids != PADDING_ID]).decode("utf-8")
        characters = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.float64)
        coefficients = (characters + self.min_token).reshape(len(ids), self.horizon, self.action_dim)
        return np.einsum("kt,bkd->btd", cosines(self.horizon), coefficients) / self.scale

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        try:
            return Tokenizer.from_str(self.tokenizer_json)
        except Exception as error:  # The library raises no narrower one.
            raise ValueError(f"expected a tokenizer that the tokenizers library reads: {error}") from error

    @functools.cached_property
    def _token_bytes(self) -> tuple[bytes, ...]:
        vocabulary = self._tokenizer.get_vocab()
        if sorted(vocabulary.values()) != list(range(len(vocabulary))):
            raise ValueError(f"expected the ids 0 to {len(vocabulary) - 1}, each once")
        return tuple(_bytes_of(token) for token in sorted(vocabulary, key=vocabulary.__getitem__))

    @functools.cached_property
    def _characters(self) -> Int64[np.ndarray, " characters"]:
        """Numbers of characters that can be written, as far as coefficients of -1..1 need them; ascending."""
        known = self._tokenizer.get_vocab().keys()
        names = {byte: name for name, byte in _byte_names().items()}
        most = int(np.ceil(self.scale * self.horizon**0.5)) - self.min_token
        numbers = [number for number in range(max(most, 0) + 1) if not 0xD800 <= number < 0xE000]
        return np.array(
            [number for number in numbers if all(names[byte] in known for byte in chr(number).encode())], np.int64
        )

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "horizon": self.horizon,
            "scale": self.scale,
            "min_token": self.min_token,
            "tokenizer": json.loads(self.tokenizer_json),
            "ranges": self.ranges.to_json(),
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> PublishedFastTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the format is not one this version reads.
        """
        require_format(tree, FORMAT)
        return PublishedFastTokenizer(
            ActionRanges.from_json(tree["ranges"]),
            int(tree["horizon"]),
            float(tree["scale"]),
            int(tree["min_token"]),
            json.dumps(tree["tokenizer"]),
        )


def _read_json(path: Path) -> dict[str, Any]:
    return read_json(path, CheckpointError, absent=f"there is no {path.name} in {path.parent}")


def _check_byte_pairs(tree: Mapping[str, Any]) -> None:
    """Return if the tokenizer is byte pairs over bytes and nothing else, so that ids are what their bytes say.

    Raises:
        ValueError: naming the part that is something else.
    """
    expected: dict[tuple[str, ...], object] = {
        ("model", "type"): "BPE",
        ("model", "dropout"): None,
        ("pre_tokenizer", "type"): "ByteLevel",
        ("pre_tokenizer", "add_prefix_space"): False,
        ("decoder", "type"): "ByteLevel",
        ("normalizer",): None,
        ("truncation",): None,
        ("padding",): None,
    }
    for path, value in expected.items():
        got: Any = tree
        for key in path:
            got = got.get(key) if isinstance(got, Mapping) else None
        if got != value:
            raise ValueError(f"expected a tokenizer whose {'.'.join(path)} is {value!r}, got {got!r}")
    if tree.get("added_tokens"):
        raise ValueError("expected a tokenizer without added tokens")


def _nearest(
    known: Int64[np.ndarray, " characters"], wanted: Float64[np.ndarray, "batch numbers"]
) -> Int64[np.ndarray, "batch numbers"]:
    middles = (known[:-1] + known[1:]) / 2
    return known[np.searchsorted(middles, wanted)]


def _bytes_of(token: str) -> bytes:
    """What the library's decoder makes of a token: each character's byte, or its own writing if one has none."""
    names = _byte_names()
    if all(character in names for character in token):
        return bytes(names[character] for character in token)
    return token.encode("utf-8")


@functools.cache
def _byte_names() -> dict[str, int]:
    """The printable character that stands for each byte: itself where it is one, else one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _counting(
    after: Int64[np.ndarray, "utf8 vocabulary"], completed: Int64[np.ndarray, "utf8 vocabulary"], num_characters: int
) -> tuple[Int32[np.ndarray, "states vocabulary"], int]:
    """State = characters done, then the place inside the next one; and the state in which all are done."""
    end = num_characters * utf8.NUM_STATES
    done, inside = np.divmod(np.arange(end + 1), utf8.NUM_STATES)
    following = (done[:, None] + completed[inside]) * utf8.NUM_STATES + after[inside]
    allowed = (after[inside] >= 0) & (following <= end)
    allowed[end] = False
    return np.where(allowed, following, -1).astype(np.int32), end


def _trimmed(next_state: Int32[np.ndarray, "states vocabulary"], end: int) -> Grammar:
    """The grammar of the states on some way from the first to the end; every step leads to a higher state."""
    longest = np.full(len(next_state), -1)
    longest[end] = 0
    for state in range(end - 1, -1, -1):
        following = next_state[state]
        to_end = np.where(following >= 0, longest[following], -1)
        next_state[state, to_end < 0] = -1
        longest[state] = to_end.max() + 1 if to_end.max() >= 0 else -1
    reached = np.zeros(len(next_state), bool)
    reached[0] = True
    for state in range(end):
        if reached[state]:
            reached[next_state[state][next_state[state] >= 0]] = True
    number = np.cumsum(reached) - 1
    kept = next_state[reached]
    accepting = np.arange(len(next_state)) == end
    return Grammar(np.where(kept >= 0, number[kept], -1).astype(np.int32), accepting[reached], int(longest[0]))

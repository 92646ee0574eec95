"""Action tokenizers by name, and in files: versioned JSON, of known formats only.

A tokenizer's `fingerprint` is the hash of its JSON: ids are worth nothing without the tokenizer that wrote them.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from vla.embodiment import Embodiment
from vla.errors import ActionError, CheckpointError, unknown
from vla.files import read_json, write_atomically
from vla.interfaces import ActionTokenizer
from vla.tokens import bins, fast, ordered, published_fast, residual_vq, spline
from vla.tokens.bins import BinTokenizer
from vla.tokens.fast import FastTokenizer
from vla.tokens.ordered import OrderedTokenizer
from vla.tokens.published_fast import PublishedFastTokenizer
from vla.tokens.residual_vq import ResidualVqTokenizer
from vla.tokens.spline import SplineTokenizer

Fit = Callable[[np.ndarray, Embodiment, int], ActionTokenizer]

TOKENIZERS: dict[str, Fit] = {
    "bins": BinTokenizer.fit,
    "fast": FastTokenizer.fit,
    "ordered": OrderedTokenizer.fit,
    "spline": SplineTokenizer.fit,
    "vq": ResidualVqTokenizer.fit,
}
"""By name: how each is fitted to chunks (chunks, horizon, action_dim), an embodiment and a vocabulary size."""

_READERS: dict[str, Callable[[Mapping[str, Any]], ActionTokenizer]] = {
    bins.FORMAT: BinTokenizer.from_json,
    fast.FORMAT: FastTokenizer.from_json,
    ordered.FORMAT: OrderedTokenizer.from_json,
    published_fast.FORMAT: PublishedFastTokenizer.from_json,
    residual_vq.FORMAT: ResidualVqTokenizer.from_json,
    spline.FORMAT: SplineTokenizer.from_json,
}


def fit_tokenizer(
    name: str,
    chunks: Float32[np.ndarray, "chunks horizon action_dim"],
    embodiment: Embodiment,
    vocabulary_size: int,
) -> ActionTokenizer:
    """The tokenizer of this kind for these chunks.

    Raises:
        ConfigError: if there is no such kind.
        ActionError: if there is no chunk, or one that is not finite.
    """
    if name not in TOKENIZERS:
        raise unknown("tokenizer", name, TOKENIZERS)
    return TOKENIZERS[name](chunks, embodiment, vocabulary_size)


def fingerprint(tokenizer: ActionTokenizer) -> str:
    """SHA-256 of the tokenizer's JSON, 64 hexadecimal digits."""
    canonical = json.dumps(tokenizer.to_json(), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def tokenizer_from_json(tree: Mapping[str, Any]) -> ActionTokenizer:
    """The tokenizer whose `to_json` this is.

    Raises:
        CheckpointError: if the format is not one this version reads, or the tree is not whole.
    """
    reader = _READERS.get(str(tree.get("format")))
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise CheckpointError(f"this version reads action tokenizers of {known}; got {tree.get('format')!r}")
    try:
        return reader(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the action tokenizer is not whole: {type(error).__name__}: {error}") from error


def save_tokenizer(path: Path, tokenizer: ActionTokenizer) -> None:
    """Write a tokenizer as JSON, in one rename."""
    write_atomically(path, json.dumps(tokenizer.to_json(), allow_nan=False))


def load_tokenizer(path: Path, *, horizon: int | None = None) -> ActionTokenizer:
    """Read the tokenizer that `save_tokenizer` wrote.

    Args:
        horizon: that it must have been fitted to, if given.

    Raises:
        CheckpointError: naming the file, if it is absent or not of a known format.
        ActionError: naming the file, if it was fitted to another horizon.
    """
    tree = read_json(path, CheckpointError, absent=f"there is no action tokenizer at {path}")
    try:
        tokenizer = tokenizer_from_json(tree)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if horizon is not None and tokenizer.horizon != horizon:
        raise ActionError(f"{path} was fitted to chunks of {tokenizer.horizon} actions, got horizon={horizon}")
    return tokenizer


def save_tokens(path: Path, ids: Int64[np.ndarray, "chunks tokens"], tokenizer: ActionTokenizer) -> None:
    """Write the ids of chunks, with the fingerprint of the tokenizer that they mean something to."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, ids=ids.astype(np.int32), tokenizer=np.array(fingerprint(tokenizer)))
    write_atomically(path, buffer.getvalue())


def load_tokens(path: Path, tokenizer: ActionTokenizer) -> Int64[np.ndarray, "chunks tokens"]:
    """Read the ids that `save_tokens` wrote.

    Raises:
        ActionError: naming the file, if it is absent, not whole, or was written by another tokenizer.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            ids, written_by = archive["ids"].astype(np.int64), str(archive["tokenizer"])
    except FileNotFoundError:
        raise ActionError(f"there are no action tokens at {path}") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ActionError(f"{path} does not hold action tokens: {error}") from error
    ours = fingerprint(tokenizer)
    if written_by != ours:
        raise ActionError(
            f"{path} was written by action tokenizer {written_by[:12]}, this is {ours[:12]} ('{tokenizer.name}'): "
            f"encode the chunks again, or load the tokenizer that wrote it"
        )
    return ids

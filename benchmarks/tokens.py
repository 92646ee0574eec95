"""Action tokens on Meta-World's fifty scripted experts: tokens a chunk against error, and what wrong tokens break.

The peer is FAST as it was published (arXiv:2501.09747): cosine coefficients times 10, rounded, one letter each, parsed
by the merges of a byte-pair encoding in the order they were learned; a sequence of the wrong length does not decode.
Both sides see the same chunks, clipped to the same ranges: whole chunks of the experts' successes. A tenth of the
episodes is held out for all figures. Ours clips what it decodes; what that alone is worth stands beside the peer.

`python -m benchmarks tokens` collects the episodes into `runs/metaworld`; with `data=STORE` it takes others.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from tokenizers import Tokenizer, models, trainers

from vla import cli
from vla.interfaces import PADDING_ID, ActionTokenizer
from vla.tokens.fast import FastTokenizer
from vla.tokens.files import TOKENIZERS
from vla.tokens.ranges import ActionRanges
from vla.tokens.residual_vq import ResidualVqTokenizer
from vla_policies.tokens_data import Chunks, load_chunks
from vla_policies.tokens_measures import NOISE, measure
from vla_policies.tokens_noise import one_substituted, substituted
from vla_sim import collect

STORE = "runs/metaworld"
EPISODES = 20
"""Of each task."""
HORIZONS, VOCABULARIES = (8, 16), (512, 1024, 2048)
SCALE = 10.0
"""Of coefficients, arXiv:2501.09747."""
OTHER_SCALES, OTHER_STAGES = (5.0, 20.0, 40.0), (4, 6, 7)
"""By the scale FAST trades tokens for error, by its stages VQ: measured at the first horizon, vocabulary 1024."""
HELD_OUT, SEED = 0.1, 0
PEER = "plain_fast"

PUBLISHED = {
    (8, 512): {"tokens_mean": 8.1},
    (8, 1024): {"tokens_mean": 7.1, "tokens_p99": 19, "mae": 0.0134, "error_p99": 0.056, "error_max": 0.096},
    (8, 2048): {"tokens_mean": 6.1},
    (16, 512): {"tokens_mean": 17.6},
    (16, 1024): {"tokens_mean": 15.5, "mae": 0.0121, "error_max": 0.136},
    (16, 2048): {"tokens_mean": 13.8},
}
"""What plain FAST came to on other episodes of these experts, by horizon and vocabulary: the table to reproduce."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One tokenizer at one setting; errors in half-ranges, against the clipped chunk."""

    horizon: int
    vocabulary: int
    name: str
    options: dict[str, float]
    """What was asked for besides."""
    tokens_mean: float
    tokens_p99: float
    compression: float
    mae: float
    error_p99: float
    error_max: float
    mae_clipped: float
    """Once more, with what is decoded clipped to -1..1."""
    error_p99_clipped: float
    undecodable_unconstrained: float
    undecodable_constrained: float | None
    undecodable_one_substitution: float
    fit_s: float
    encoded_per_s: float


def measurements(store: str | None) -> dict[str, object]:
    """Measure all of it, print it line by line, and give it back as JSON values.

    Raises:
        VlaError: if there is no such store, or none is given and Meta-World is not installed.
    """
    store = store or _collected()
    rows: list[Row] = []
    data: dict[str, object] = {}
    for horizon in HORIZONS:
        chunks = load_chunks([store], horizon, only_successes=True)
        data[f"chunks_of_{horizon}"] = {"sha256": chunks.sha256, "number": len(chunks.chunks)}
        for row in _rows(chunks, horizon):
            print(f"tokens: {_line(row)}", flush=True)
            rows.append(row)
    ratios = [ratio for row in rows if row.name != PEER for ratio in _ratios(row, rows)]
    for ratio in ratios:
        print(f"tokens: {_ratio_line(ratio)}")
    return {
        "data": {"store": store, "held_out": HELD_OUT, "seed": SEED, "noise": NOISE, **data},
        "rows": [dataclasses.asdict(row) for row in rows],
        "against_plain_fast": ratios,
        "published": [{"horizon": h, "vocabulary": v, **figures} for (h, v), figures in PUBLISHED.items()],
    }


def _collected() -> str:
    """A store with every expert's episodes; what is there already is not collected again."""
    arguments = ["suite=metaworld", "images=false", f"episodes={EPISODES}", f"out={STORE}"]
    collect.collect(cli.compose("collect", collect.CollectConfig, arguments))
    return STORE


def _rows(chunks: Chunks, horizon: int) -> Iterator[Row]:
    fitted_to, held_out = chunks.split(HELD_OUT, SEED)
    for vocabulary in VOCABULARIES:
        yield _peer_row(fitted_to, held_out, vocabulary, SCALE)
        for name, fit in TOKENIZERS.items():
            yield _row(name, fit, fitted_to, held_out, vocabulary)
    if horizon == HORIZONS[0]:
        for scale in OTHER_SCALES:
            yield _peer_row(fitted_to, held_out, 1024, scale)
            yield _row("fast", FastTokenizer.fit, fitted_to, held_out, 1024, scale=scale)
        for stages in OTHER_STAGES:
            yield _row("vq", ResidualVqTokenizer.fit, fitted_to, held_out, 1024, stages=stages)


# --------------------------------------------------------------------------- ours


def _row(
    name: str,
    fit: Callable[..., ActionTokenizer],
    fitted_to: Chunks,
    held_out: Chunks,
    vocabulary: int,
    **options: float,
) -> Row:
    body, ranges = fitted_to.embodiment, ActionRanges.fit(fitted_to.chunks, fitted_to.embodiment)
    begin = time.monotonic()
    tokenizer = fit(fitted_to.chunks, body, vocabulary, **options)
    fitted = time.monotonic()
    tokenizer.encode_batch(held_out.chunks)
    encoded = time.monotonic()
    measures = dataclasses.asdict(measure(tokenizer, held_out.chunks, ranges, body, SEED).measures)
    del measures["fields"]
    return Row(
        horizon=held_out.chunks.shape[1],
        vocabulary=vocabulary,
        name=name,
        options=options,
        mae_clipped=measures["mae"],
        error_p99_clipped=measures["error_p99"],
        fit_s=fitted - begin,
        encoded_per_s=len(held_out.chunks) / (encoded - fitted),
        **measures,
    )


# --------------------------------------------------------------------------- the peer


class PlainFast:
    """FAST as published, on chunks in -1..1."""

    def __init__(self, values: Float64[np.ndarray, "chunks horizon action_dim"], vocabulary: int, scale: float) -> None:
        self._scale = scale
        self._waves = _cosines(values.shape[1])
        rounded = self.rounded(values)
        self._low, high = int(rounded.min()), int(rounded.max())
        self._size = rounded.shape[1]
        self._parser = Tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            initial_alphabet=[chr(letter) for letter in range(high - self._low + 1)],
            max_token_length=10_000,
            show_progress=False,
        )
        self._parser.train_from_iterator(self._words(rounded), trainer=trainer)

    def rounded(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch numbers"]:
        coefficients = np.einsum("kt,btd->bkd", self._waves, values)
        return np.rint(coefficients * self._scale).astype(np.int64).reshape(len(values), -1)

    def encode(self, values: Float64[np.ndarray, "batch horizon action_dim"]) -> Int64[np.ndarray, "batch tokens"]:
        """Ids, padded with -1."""
        written = [word.ids for word in self._parser.encode_batch(self._words(self.rounded(values)))]
        ids = np.full((len(written), self._size), PADDING_ID, np.int64)
        for row, tokens in zip(ids, written, strict=True):
            row[: len(tokens)] = tokens
        return ids

    def decode(self, ids: Int64[np.ndarray, "batch tokens"], horizon: int) -> list[np.ndarray | None]:
        """Chunks in about -1..1; None where a sequence stands for too many or too few coefficients."""
        letters = [self._parser.id_to_token(index) or "" for index in range(self._parser.get_vocab_size())]
        texts = ["".join(letters[index] for index in row[row != PADDING_ID]) for row in ids]
        return [self._chunk(text, horizon) if len(text) == self._size else None for text in texts]

    def _chunk(self, text: str, horizon: int) -> np.ndarray:
        coefficients = np.array([ord(letter) + self._low for letter in text]).reshape(horizon, -1)
        return self._waves.T @ coefficients / self._scale

    def _words(self, rounded: Int64[np.ndarray, "batch numbers"]) -> list[str]:
        return ["".join(chr(max(number - self._low, 0)) for number in row) for row in rounded.tolist()]


def _peer_row(fitted_to: Chunks, held_out: Chunks, vocabulary: int, scale: float) -> Row:
    ranges = ActionRanges.fit(fitted_to.chunks, fitted_to.embodiment)
    values, horizon = ranges.normalise(held_out.chunks), held_out.chunks.shape[1]
    begin = time.monotonic()
    peer = PlainFast(ranges.normalise(fitted_to.chunks), vocabulary, scale)
    fitted = time.monotonic()
    ids = peer.encode(values)
    encoded = time.monotonic()
    decoded = np.stack([chunk for chunk in peer.decode(ids, horizon) if chunk is not None])
    errors, clipped = np.abs(decoded - values), np.abs(np.clip(decoded, -1, 1) - values)
    lengths = (ids != PADDING_ID).sum(axis=1)
    generator = np.random.default_rng(SEED)
    wrong = (substituted(ids, vocabulary, NOISE, generator), one_substituted(ids, vocabulary, generator))
    noise, one = (float(np.mean([chunk is None for chunk in peer.decode(some, horizon)])) for some in wrong)
    return Row(
        horizon=horizon,
        vocabulary=vocabulary,
        name=PEER,
        options={"scale": scale},
        tokens_mean=float(lengths.mean()),
        tokens_p99=float(np.quantile(lengths, 0.99)),
        compression=float(values[0].size / lengths.mean()),
        mae=float(errors.mean()),
        error_p99=float(np.quantile(errors, 0.99)),
        error_max=float(errors.max()),
        mae_clipped=float(clipped.mean()),
        error_p99_clipped=float(np.quantile(clipped, 0.99)),
        undecodable_unconstrained=noise,
        undecodable_constrained=None,
        undecodable_one_substitution=one,
        fit_s=fitted - begin,
        encoded_per_s=len(values) / (encoded - fitted),
    )


def _cosines(horizon: int) -> Float64[np.ndarray, "horizon horizon"]:
    """The orthonormal DCT-II."""
    waves = np.cos(np.pi * np.arange(horizon)[:, None] * (np.arange(horizon)[None] + 0.5) / horizon)
    return waves * np.sqrt(np.where(np.arange(horizon) == 0, 1, 2) / horizon)[:, None]


# --------------------------------------------------------------------------- side by side


def _ratios(row: Row, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Ours over the peer's at the same setting: below one is better."""
    for peer in rows:
        is_same = (peer.horizon, peer.vocabulary) == (row.horizon, row.vocabulary)
        if peer.name == PEER and is_same and peer.options["scale"] == row.options.get("scale", SCALE):
            names = ("tokens_mean", "mae", "error_p99", "error_max", "mae_clipped", "error_p99_clipped")
            of = {name: getattr(row, name) / getattr(peer, name) for name in names}
            setting = {name: getattr(row, name) for name in ("horizon", "vocabulary", "name", "options")}
            yield {
                **setting,
                **of,
                "dominates": max(of["tokens_mean"], of["mae"], of["error_p99"]) < 1,
                "dominates_clipped": max(of["tokens_mean"], of["mae_clipped"], of["error_p99_clipped"]) < 1,
            }


def _line(row: Row) -> str:
    return (
        f"{_setting(dataclasses.asdict(row))}: {row.tokens_mean:.2f} tokens (p99 {row.tokens_p99:.0f}), "
        f"error {row.mae:.4f} (p99 {row.error_p99:.4f}, max {row.error_max:.3f}), "
        f"{row.undecodable_one_substitution:.0%} broken by a wrong token, {row.encoded_per_s:.0f} chunks/s"
    )


def _ratio_line(ratio: dict[str, Any]) -> str:
    verdict = ", dominates it" if ratio["dominates"] else ""
    return (
        f"{_setting(ratio)} against plain FAST: {ratio['tokens_mean']:.2f} of the tokens, "
        f"{ratio['mae']:.2f} of the mean error ({ratio['mae_clipped']:.2f} once it is clipped), "
        f"{ratio['error_p99']:.2f} of the 99th percentile ({ratio['error_p99_clipped']:.2f}), "
        f"{ratio['error_max']:.2f} of the greatest{verdict}"
    )


def _setting(tree: dict[str, Any]) -> str:
    options = "".join(f", {name} {value:g}" for name, value in tree["options"].items())
    return f"{tree['horizon']} steps, vocabulary {tree['vocabulary']}, {tree['name']}{options}"

"""`vla tokens`: fit an action tokenizer to recorded episodes, or compare all kinds of them.

stores ─► chunks ─┬─► fit ─────────────────────► FILE, for `vla train tokenizer=FILE`
                  └─► report: every kind, on episodes held out ─► tokens.json, tokens.html

Chunks that run over the end of their episode are left out: they repeat its last action, which flatters every tokenizer.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError, unknown
from vla.interfaces import ActionTokenizer
from vla.tokens.bins import BinTokenizer, Spacing
from vla.tokens.files import TOKENIZERS, fingerprint, fit_tokenizer, save_tokenizer
from vla.tokens.published_fast import PublishedFastTokenizer
from vla.tokens.ranges import ActionRanges
from vla_policies.tokens_data import Chunks, ConstantFields, load_chunks
from vla_policies.tokens_measures import compare
from vla_policies.tokens_report import print_table, write_report

PUBLISHED_FAST = "published_fast"


@dataclasses.dataclass
class FitConfig:
    """Fit an action tokenizer to the chunks of recorded episodes, and write it as JSON.

    Example: vla tokens fit tokenizer=fast data=data/tabletop horizon=4 vocabulary=1024 out=fast.json
    """

    tokenizer: str = MISSING
    """Which kind: bins, fast, spline, vq, ordered, or published_fast, which takes its tokens from a processor."""
    spacing: Spacing = Spacing.UNIFORM
    """bins: where the levels lie; `openvla` are OpenVLA's own edges."""
    processor: Path | None = None
    """published_fast: the folder of a published FAST processor. Only the ranges are fitted to the data then."""
    data: list[str] = MISSING
    """Episode store; or several of one embodiment, [a,b]."""
    horizon: int = 8
    """Actions in a chunk."""
    vocabulary: int = 1024
    """How many ids it may use."""
    out: Path = MISSING
    """The file to write."""
    only_successes: bool = False
    """Whether to leave out episodes that failed."""
    constant_fields: ConstantFields = ConstantFields.REFUSE
    """What to do about an action field that never changes in the data."""


@dataclasses.dataclass
class ReportConfig:
    """Compare action tokenizers on episodes that they were not fitted to: length, error, decodability.

    Example: vla tokens report data=data/tabletop horizon=4 vocabulary=1024 out=out/tokens
    """

    data: list[str] = MISSING
    """Episode store; or several of one embodiment, [a,b]."""
    horizon: int = 8
    """Actions in a chunk."""
    vocabulary: int = 1024
    """How many ids each may use."""
    out: Path = MISSING
    """The folder to write tokens.json and tokens.html into."""
    tokenizers: list[str] = dataclasses.field(default_factory=list)
    """Only these kinds; all if empty."""
    held_out: float = 0.1
    """Share of the episodes that nothing is fitted to."""
    seed: int = 0
    """Of the choice of episodes and of the noise."""
    only_successes: bool = False
    """Whether to leave out episodes that failed."""
    constant_fields: ConstantFields = ConstantFields.REFUSE
    """What to do about an action field that never changes in the data."""


def fit_main(arguments: Sequence[str]) -> int:
    """Run `vla tokens fit`; the exit status."""
    return cli.run("tokens fit", FitConfig, fit, arguments)


def report_main(arguments: Sequence[str]) -> int:
    """Run `vla tokens report`; the exit status."""
    return cli.run("tokens report", ReportConfig, report, arguments)


def fit(config: FitConfig) -> int:
    """Fit one tokenizer and write it; 0.

    Raises:
        VlaError: if a store, name or number is not valid; nothing is written then.
    """
    _check_numbers(config.horizon, config.vocabulary)
    _check_kind(config)
    if config.out.is_dir():
        raise ConfigError(f"out={config.out} is a folder: name the file to write, {config.out / config.tokenizer}.json")
    data = load_chunks(
        config.data,
        config.horizon,
        only_successes=config.only_successes,
        constant_fields=config.constant_fields,
    )
    begin = time.monotonic()
    tokenizer = _fitted(config, data)
    seconds = time.monotonic() - begin
    config.out.parent.mkdir(parents=True, exist_ok=True)
    save_tokenizer(config.out, tokenizer)
    print(
        f"{tokenizer.name}: {tokenizer.vocabulary_size} ids, at most {tokenizer.max_tokens} tokens a chunk of "
        f"{config.horizon} x {data.embodiment.action_dim}, fitted to {len(data.chunks)} chunks of "
        f"{data.num_episodes} episodes in {seconds:.1f} s"
    )
    print(f"{config.out}: {fingerprint(tokenizer)[:16]}")
    return 0


def report(config: ReportConfig) -> int:
    """Fit and measure every kind, and write the report; 0.

    Raises:
        VlaError: if a store, name or number is not valid; nothing is written then.
    """
    _check_numbers(config.horizon, config.vocabulary)
    if not 0.0 < config.held_out < 1.0:
        raise ConfigError(f"held_out is a share between 0 and 1, got {config.held_out}")
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    for name in config.tokenizers:
        if name not in TOKENIZERS:
            raise unknown("tokenizer", name, TOKENIZERS)
    data = load_chunks(
        config.data,
        config.horizon,
        only_successes=config.only_successes,
        constant_fields=config.constant_fields,
    )
    compared = compare(
        data,
        names=config.tokenizers or list(TOKENIZERS),
        vocabulary=config.vocabulary,
        held_out=config.held_out,
        seed=config.seed,
    )
    write_report(config.out, compared, cli.resolved(config))
    print_table(compared, config.out)
    return 0


def _check_kind(config: FitConfig) -> None:
    if config.tokenizer not in (*TOKENIZERS, PUBLISHED_FAST):
        raise unknown("tokenizer", config.tokenizer, (*TOKENIZERS, PUBLISHED_FAST))
    if config.spacing is not Spacing.UNIFORM and config.tokenizer != "bins":
        raise ConfigError(f"spacing= is for tokenizer=bins, {config.tokenizer} has no levels to space")
    if (config.processor is not None) != (config.tokenizer == PUBLISHED_FAST):
        raise ConfigError(f"processor=<folder> goes with tokenizer={PUBLISHED_FAST}, and the other way round")


def _fitted(config: FitConfig, data: Chunks) -> ActionTokenizer:
    if config.processor is not None:
        ranges = ActionRanges.fit(data.chunks, data.embodiment)
        return PublishedFastTokenizer.load(config.processor, ranges, config.horizon)
    if config.tokenizer == "bins":
        return BinTokenizer.fit(data.chunks, data.embodiment, config.vocabulary, config.spacing)
    return fit_tokenizer(config.tokenizer, data.chunks, data.embodiment, config.vocabulary)


def _check_numbers(horizon: int, vocabulary: int) -> None:
    for name, value, low in (("horizon", horizon, 1), ("vocabulary", vocabulary, 2)):
        if value < low:
            raise ConfigError(f"{name} is at least {low}, got {value}")

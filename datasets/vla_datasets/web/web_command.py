"""`vla data web info` and `vla data web view`: what a corpus is made of, and how its samples look."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError
from vla_datasets.web.corpora import CorpusConfig, CorpusFormat, open_corpus
from vla_datasets.web.gallery import write_gallery
from vla_datasets.web.samples import WebCorpus
from vla_datasets.web.surveys import print_survey, survey


@dataclasses.dataclass
class InfoConfig:
    """Count the kinds, licences and picture sizes of an image-text corpus, with an example of each kind.

    Example: vla data web info data=data/web
    """

    data: str = MISSING
    """Folder of shards; or, with corpus.kind, a file or folder of another format."""
    corpus: CorpusFormat = dataclasses.field(default_factory=CorpusFormat)
    """Its format, where the shards are not ours."""
    samples: int = 0
    """How many to read, spread over the corpus; 0 for all."""


@dataclasses.dataclass
class ViewConfig:
    """Write a page that shows samples of an image-text corpus, with points and boxes drawn on the pictures.

    Example: vla data web view data=data/web out=out/gallery samples=100
    """

    data: str = MISSING
    """Folder of shards; or, with corpus.kind, a file or folder of another format."""
    corpus: CorpusFormat = dataclasses.field(default_factory=CorpusFormat)
    """Its format, where the shards are not ours."""
    out: Path = MISSING
    """The folder to write index.html and the pictures into."""
    samples: int = 200
    """How many to show, spread over the corpus; 0 for all."""


def info_main(arguments: Sequence[str]) -> int:
    """Run `vla data web info`; the exit status."""
    return cli.run("data web info", InfoConfig, info, arguments)


def view_main(arguments: Sequence[str]) -> int:
    """Run `vla data web view`; the exit status."""
    return cli.run("data web view", ViewConfig, view, arguments)


def info(config: InfoConfig) -> int:
    """Print what the corpus is made of; 0.

    Raises:
        VlaError: if the corpus cannot be read as it is described.
    """
    _check_count(config.samples)
    print_survey(survey(_open(config.data, config.corpus), config.samples))
    return 0


def view(config: ViewConfig) -> int:
    """Write the page and its pictures; 0.

    Raises:
        VlaError: if the corpus cannot be read as it is described; the page is not written then.
    """
    _check_count(config.samples)
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    shown = write_gallery(_open(config.data, config.corpus), config.out, config.samples)
    print(f"{config.out / 'index.html'}: {shown} samples")
    return 0


def _open(data: str, form: CorpusFormat) -> WebCorpus:
    values = {field.name: getattr(form, field.name) for field in dataclasses.fields(form)}
    return open_corpus(CorpusConfig(path=data, **values))


def _check_count(samples: int) -> None:
    if samples < 0:
        raise ConfigError(f"samples is a count, or 0 for all, got {samples}")

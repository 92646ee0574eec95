"""The corpus: samples by number, each a function of the seed, its kind and its number within the kind."""

from __future__ import annotations

from collections.abc import Sequence

from vla.errors import ConfigError, unknown
from vla.interfaces import TemplateSet
from vla_datasets.web.samples import WebSample
from vla_sim.corpus.draws import Draw, key_of
from vla_sim.corpus.kinds import ALL_KINDS, KINDS
from vla_sim.corpus.tabletop_pictures import Album
from vla_sim.demonstrations import LICENCE


class ProceduralCorpus:
    """Samples of some kinds, in turn: sample `i` is number `i // len(kinds)` of kind `i % len(kinds)`.

    Neither how many there are nor in which order they are asked for changes any of them. Neighbours share pictures, so
    that going through in order is several times as fast.

    Tables are rendered by one thread of a process (see `vla_sim.worlds.rendering`): loaders read shards instead.
    """

    def __init__(
        self, kinds: Sequence[str], count: int, seed: int, templates: TemplateSet = TemplateSet.TRAINING
    ) -> None:
        """Draw nothing yet.

        Args:
            kinds: names of `ALL_KINDS`, each once; those of `KINDS` if empty.

        Raises:
            ConfigError: if there is no such kind, it comes twice, or a number is negative.
        """
        for kind in kinds:
            if kind not in ALL_KINDS:
                raise unknown("kind", kind, ALL_KINDS)
        if len(set(kinds)) < len(kinds):
            raise ConfigError(f"kind=[{','.join(kinds)}] names a kind twice: name each once")
        if count < 1 or seed < 0:
            raise ConfigError(f"count is at least 1 and seed at least 0, got count={count} seed={seed}")
        self.kinds = tuple(kinds) or tuple(KINDS)
        self.templates = templates
        self.album = Album(seed)
        self._count = count

    @property
    def name(self) -> str:
        return "procedural"

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < self._count:
            raise IndexError(f"the corpus has samples 0 to {self._count - 1}, not {index}")
        number, place = divmod(index, len(self.kinds))
        return sample(self.album, self.kinds[place], number, self.templates)


def sample(album: Album, kind: str, number: int, templates: TemplateSet = TemplateSet.TRAINING) -> WebSample:
    """One sample.

    Args:
        number: of the sample among those of its kind.

    Raises:
        RuntimeError: if no picture that was tried gives the wanted answer.
    """
    draft = ALL_KINDS[kind].make(Draw(album, kind, number, templates))
    if draft is None:
        raise RuntimeError(f"found no picture for {kind} {number} of seed {album.seed}")
    return WebSample(
        images=draft.images,
        question=draft.question,
        answer=draft.answer,
        kind=kind,
        licence=LICENCE,
        source=f"procedural:{album.seed}:{templates.value}:{kind}:{number}",
        scene=draft.scene,
        facts=draft.facts,
    )


def sample_key(told: WebSample) -> tuple[int, int, int]:
    """The numbers that only this sample has, from where it says that it came from: `Draw.key`."""
    _, seed, _, kind, number = told.source.split(":")
    return key_of(kind, int(seed), int(number))

"""What tokenizers are fitted to and measured on: every whole action chunk of some stores, and whose episode it is.

stores ─► chunks (chunks, horizon, action_dim) ─┬─► to fit to            whole episodes to one side
                                                └─► held out             or the other

Neighbouring chunks of an episode share all actions but one, so only other episodes tell how it does on new data.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float32, Int32
from rich.console import Console
from rich.progress import track

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import ActionError, StoreError
from vla.interfaces import Episode
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.windows import executed_chunks, lookahead_chunks


class ConstantFields(enum.Enum):
    """What becomes of an action field that never changes."""

    REFUSE = "refuse"
    ALLOW = "allow"


@dataclasses.dataclass(frozen=True, eq=False)
class Chunks:
    """The chunks of some episodes, in the episodes' order."""

    embodiment: Embodiment
    chunks: Float32[np.ndarray, "chunks horizon action_dim"]
    """In physical units."""
    episode_index: Int32[np.ndarray, " chunks"]
    """Which episode each is of, counted from 0."""
    num_episodes: int
    stores: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits that stand for these very numbers, and what they mean."""
        digest = hashlib.sha256(self.embodiment.fingerprint.encode())
        digest.update(repr(self.chunks.shape).encode())
        digest.update(np.ascontiguousarray(self.chunks, "<f4").tobytes())
        return digest.hexdigest()

    def split(self, held_out_share: float, seed: int) -> tuple[Chunks, Chunks]:
        """Chunks to fit to, and chunks of other episodes to measure on.

        Raises:
            StoreError: if there is no second episode.
        """
        if self.num_episodes < 2:
            raise StoreError(f"{_named(self.stores)}: to hold an episode out takes two with chunks, there is one")
        number = min(max(1, round(held_out_share * self.num_episodes)), self.num_episodes - 1)
        chosen = np.random.default_rng(seed).permutation(self.num_episodes)[:number]
        is_held_out = np.isin(self.episode_index, chosen)
        return self._only(~is_held_out), self._only(is_held_out)

    def _only(self, keep: np.ndarray) -> Chunks:
        _, index = np.unique(self.episode_index[keep], return_inverse=True)
        return dataclasses.replace(
            self,
            chunks=self.chunks[keep],
            episode_index=index.astype(np.int32),
            num_episodes=int(index.max()) + 1,
        )


def load_chunks(
    paths: Sequence[str],
    horizon: int,
    *,
    only_successes: bool = False,
    constant_fields: ConstantFields = ConstantFields.REFUSE,
) -> Chunks:
    """Every chunk of every episode that does not run over the episode's end.

    Args:
        paths: of episode stores of one embodiment.
        horizon: actions in a chunk.
        only_successes: whether to leave out episodes that failed.

    Raises:
        StoreError: naming the store, if there is none, its labels look less far ahead, or no episode is long enough.
        EmbodimentMismatch: if the stores differ.
        ActionError: naming field and store, if a field never changes and that is not allowed.
    """
    stores = [EpisodeStore.open(path) for path in paths]
    for store in stores[1:]:
        require_same_embodiment(
            stores[0].embodiment,
            store.embodiment,
            expected_name=f"store {stores[0].path}",
            got_name=f"store {store.path}",
        )
    rows = [(store, row) for store in stores for row in store.index() if row.success or not only_successes]
    parts = [
        part
        for part in (_whole_chunks(store, row, horizon) for store, row in with_bar(rows, "reading episodes"))
        if len(part)
    ]
    if not parts:
        raise StoreError(f"{_named(paths)}: no episode has {horizon} actions{' and success' if only_successes else ''}")
    chunks = Chunks(
        embodiment=stores[0].embodiment,
        chunks=np.concatenate(parts),
        episode_index=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]),
        num_episodes=len(parts),
        stores=tuple(paths),
    )
    if constant_fields is ConstantFields.REFUSE:
        _check_that_fields_change(chunks)
    return chunks


def _whole_chunks(store: EpisodeStore, row: EpisodeRow, horizon: int) -> Float32[np.ndarray, "chunks h action_dim"]:
    try:
        chunks, padding = _chunks(store.read(row.id), horizon)
    except StoreError as error:
        raise StoreError(f"store {store.path}: {error}") from None
    return chunks[~padding.any(axis=1)]


def _chunks(episode: Episode, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    lookahead = episode.labels.get("lookahead")
    return executed_chunks(episode.actions, horizon) if lookahead is None else lookahead_chunks(lookahead, horizon)


def _check_that_fields_change(chunks: Chunks) -> None:
    is_constant = np.ptp(chunks.chunks, axis=(0, 1)) == 0
    if is_constant.any():
        field = int(is_constant.argmax())
        name, value = chunks.embodiment.action[field].name, chunks.chunks[0, 0, field]
        raise ActionError(
            f"{_named(chunks.stores)}: field '{name}' is {value:g} in every action, which leaves nothing to fit to: "
            "collect data in which it changes, or constant_fields=allow"
        )


def _named(stores: Sequence[str]) -> str:
    return f"store {stores[0]}" if len(stores) == 1 else f"stores {', '.join(stores)}"


def with_bar[T](items: Sequence[T], what: str) -> Iterable[T]:
    """The items, counted on standard error while they are worked through, where someone looks."""
    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)

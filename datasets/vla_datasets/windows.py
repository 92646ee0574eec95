"""All frames of some stores in memory, and windows over them: history behind, action chunk ahead.

    episode    o0   o1   o2   o3   o4          frame t = 3, history 3, horizon 4
    history         └─── o1 o2 o3 ┘
    chunk                     └── a3  a4  ▒▒  ▒▒      ▒ padding: the episode has ended

A window never crosses an episode. Where it would, the nearest frame or action of the same episode is repeated and
marked as padding, so that every number is finite and a mask says what counts.

Memory: 48,000 frames of 64 x 80 and 32 x 40 pixels are 0.92 GB, all else below 20 MB.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8
from rich.console import Console
from rich.progress import track

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import StoreError
from vla.interfaces import Episode
from vla.normalization import Statistics
from vla_datasets.sampling import ShuffledSampler as ShuffledSampler
from vla_datasets.store import EpisodeRow, EpisodeStore


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """A batch of windows, one a frame that was asked for."""

    images: Mapping[str, UInt8[np.ndarray, "batch history height width 3"]]
    proprioception: Float32[np.ndarray, "batch history state_dim"]
    history_padding: Bool[np.ndarray, "batch history"]
    """Where the episode had not begun; the last one is never padding."""
    chunks: Float32[np.ndarray, "batch horizon action_dim"]
    chunk_padding: Bool[np.ndarray, "batch horizon"]
    target: Float32[np.ndarray, "batch 2"]
    destination: Float32[np.ndarray, "batch 2"]
    instructions: list[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Every frame of some episodes, end to end; row `i` of every array is frame `i`.

    Frames of an episode are neighbours and in order: frame i, at step s of its episode, follows i - 1 if s > 0.
    """

    embodiment: Embodiment
    images: Mapping[str, UInt8[np.ndarray, "frames height width 3"]]
    """By camera name."""
    proprioception: Float32[np.ndarray, "frames state_dim"]
    chunks: Float32[np.ndarray, "frames horizon action_dim"]
    """What to imitate, in physical units: the label `lookahead` where the episode has it, else what was executed."""
    chunk_padding: Bool[np.ndarray, "frames horizon"]
    """Which actions of `chunks` do not count."""
    actions: Float32[np.ndarray, "frames action_dim"]
    """What was executed, be it to imitate or not."""
    target: Float32[np.ndarray, "frames 2"]
    """Image point (u right, v down, in 0..1 of the first camera) of the object to act on; NaN where there is none."""
    destination: Float32[np.ndarray, "frames 2"]
    """Image point of the place to bring it to; NaN where there is none."""
    instruction_index: Int32[np.ndarray, " frames"]
    """Into `instructions`."""
    instructions: tuple[str, ...]
    """All distinct ones, sorted."""
    episode_index: Int32[np.ndarray, " frames"]
    """Into `episodes`."""
    episodes: tuple[EpisodeRow, ...]
    step_index: Int32[np.ndarray, " frames"]
    """Counted from the beginning of the frame's episode."""
    is_correction: Bool[np.ndarray, " frames"]
    """Where a human had taken over from a policy; an episode that a human drove alone has none."""

    def __len__(self) -> int:
        return len(self.proprioception)

    @property
    def horizon(self) -> int:
        return self.chunks.shape[1]

    def statistics(self) -> dict[str, Statistics]:
        """Exact statistics of `proprioception`, and of the `actions` in all chunks without padding."""
        body = self.embodiment
        return {
            "proprioception": Statistics.of(self.proprioception, [field.name for field in body.proprioception]),
            "actions": Statistics.of(self.chunks[~self.chunk_padding], [field.name for field in body.action]),
        }

    @property
    def steps_left(self) -> Int32[np.ndarray, " frames"]:
        """Frames of the same episode behind each."""
        lengths = np.array([row.num_steps for row in self.episodes], np.int32)
        return lengths[self.episode_index] - 1 - self.step_index

    def executed(self) -> Float32[np.ndarray, "frames horizon action_dim"]:
        """For each frame the next `horizon` executed actions; an episode's last one is repeated behind its end."""
        ahead = np.minimum(np.arange(self.horizon), self.steps_left[:, None])
        return self.actions[np.arange(len(self))[:, None] + ahead]

    def windows(self, indices: Int[np.ndarray, " batch"], history: int = 1) -> Windows:
        """The windows that end, in the present, at the frames `indices`.

        Args:
            history: observations seen at once, the present one included.
        """
        rows, history_padding = self.history(indices, history)
        return Windows(
            images={name: images[rows] for name, images in self.images.items()},
            proprioception=self.proprioception[rows],
            history_padding=history_padding,
            chunks=self.chunks[indices],
            chunk_padding=self.chunk_padding[indices],
            target=self.target[indices],
            destination=self.destination[indices],
            instructions=[self.instructions[i] for i in self.instruction_index[indices]],
        )

    def history(
        self, indices: Int[np.ndarray, " batch"], history: int
    ) -> tuple[Int[np.ndarray, "batch history"], Bool[np.ndarray, "batch history"]]:
        """The frames a policy has seen at each of `indices`, oldest first, and which of them are padding."""
        age = np.arange(history - 1, -1, -1)
        step = self.step_index[indices][:, None]
        rows = np.asarray(indices)[:, None] - np.minimum(age, step)  # (batch, history)
        return rows, age > step


def load_frames(
    stores: Sequence[EpisodeStore],
    horizon: int,
    *,
    keep: Callable[[EpisodeRow], bool] = lambda row: True,
    progress: bool = True,
) -> Frames:
    """Every frame of every kept episode, store by store, each in the order of its index.

    Args:
        stores: of one embodiment.
        horizon: actions in a chunk.
        keep: which episodes to take; all if not given.
        progress: whether to show a bar on standard error.

    Raises:
        StoreError: if no episode is left, an episode is damaged, or its labels look less far ahead than `horizon`.
        EmbodimentMismatch: if the stores differ.
    """
    for store in stores[1:]:
        require_same_embodiment(
            stores[0].embodiment,
            store.embodiment,
            expected_name=f"store {stores[0].path}",
            got_name=f"store {store.path}",
        )
    chosen = [(store, row) for store in stores for row in store.index() if keep(row)]
    if not chosen:
        raise StoreError(f"there are no episodes to load in: {', '.join(str(store.path) for store in stores)}")
    frames = _allocate(stores[0].embodiment, tuple(row for _, row in chosen), horizon)
    ends = np.cumsum([row.num_steps for _, row in chosen])
    # Read one after another: Zarr's time is Python's, and a second thread gains nothing (measured).
    for end, (store, row) in zip(ends, _with_bar(chosen, progress), strict=True):
        _fill(frames, slice(end - row.num_steps, end), store.read(row.id))
    return frames


def executed_chunks(
    actions: Float32[np.ndarray, "steps action_dim"], horizon: int
) -> tuple[Float32[np.ndarray, "steps horizon action_dim"], Bool[np.ndarray, "steps horizon"]]:
    """For each step the next `horizon` actions, and which of them are padding: the last action, repeated."""
    steps = np.arange(len(actions))[:, None] + np.arange(horizon)  # (steps, horizon)
    return actions[np.minimum(steps, len(actions) - 1)], steps >= len(actions)


def lookahead_chunks(
    lookahead: Float32[np.ndarray, "steps label_horizon action_dim"], horizon: int
) -> tuple[Float32[np.ndarray, "steps horizon action_dim"], Bool[np.ndarray, "steps horizon"]]:
    """The first `horizon` actions of each label, and which are padding: where the label is NaN, from there on.

    Raises:
        StoreError: if the labels are shorter than `horizon`.
    """
    if lookahead.shape[1] < horizon:
        raise StoreError(f"label 'lookahead' holds {lookahead.shape[1]} actions a step, a chunk needs {horizon}")
    chunks = lookahead[:, :horizon]
    padding = np.logical_or.accumulate(~np.isfinite(chunks).all(axis=2), axis=1)  # (steps, horizon)
    last = np.maximum((~padding).sum(axis=1) - 1, 0)
    source = np.minimum(np.arange(horizon), last[:, None])
    filled = np.take_along_axis(chunks, source[:, :, None], axis=1)
    return np.nan_to_num(filled), padding


def _with_bar[T](items: Sequence[T], progress: bool) -> Iterable[T]:
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    return track(items, "reading episodes", console=console, transient=True, disable=hidden)


def _allocate(embodiment: Embodiment, episodes: tuple[EpisodeRow, ...], horizon: int) -> Frames:
    lengths = np.array([row.num_steps for row in episodes])
    num, instructions = int(lengths.sum()), tuple(sorted({row.instruction for row in episodes}))
    episode_index = np.repeat(np.arange(len(episodes), dtype=np.int32), lengths)
    which = np.array([instructions.index(row.instruction) for row in episodes], np.int32)
    return Frames(
        embodiment=embodiment,
        images={c.name: np.zeros((num, c.height, c.width, 3), np.uint8) for c in embodiment.cameras},
        proprioception=np.zeros((num, embodiment.state_dim), np.float32),
        chunks=np.zeros((num, horizon, embodiment.action_dim), np.float32),
        chunk_padding=np.zeros((num, horizon), np.bool_),
        actions=np.zeros((num, embodiment.action_dim), np.float32),
        target=np.full((num, 2), np.nan, np.float32),
        destination=np.full((num, 2), np.nan, np.float32),
        instruction_index=which[episode_index],
        instructions=instructions,
        episode_index=episode_index,
        episodes=episodes,
        step_index=np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]),
        is_correction=np.zeros(num, np.bool_),
    )


def _fill(frames: Frames, rows: slice, episode: Episode) -> None:
    for name, images in frames.images.items():
        images[rows] = episode.images[name]
    frames.proprioception[rows] = episode.proprioception
    frames.actions[rows] = episode.actions
    lookahead = episode.labels.get("lookahead")
    chunks, padding = (
        executed_chunks(episode.actions, frames.horizon)
        if lookahead is None
        else lookahead_chunks(lookahead, frames.horizon)
    )
    frames.chunks[rows], frames.chunk_padding[rows] = chunks, padding
    human = episode.labels.get("human")
    if human is not None and not human.all():
        frames.is_correction[rows] = human != 0
    for name, points in (("target", frames.target), ("destination", frames.destination)):
        if name in episode.labels:
            points[rows] = episode.labels[name]

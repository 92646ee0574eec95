"""Whatever is alike: nothing of one part is in another, and every episode is in one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_datasets.store import EpisodeRow
from vla_datasets.upkeep.near_duplicates import Likeness, near_duplicates
from vla_datasets.upkeep.splitting import _components, _deal, together

COUNTS = st.integers(1, 30)


@st.composite
def likenesses(draw: st.DrawFn) -> tuple[list[EpisodeRow], list[Likeness]]:
    """Episodes of few tasks, seeds, pictures and paths, so that many are alike."""
    count, rows, found = draw(st.integers(2, 25)), [], []
    for index in range(count):
        task, seed = draw(st.sampled_from("ab")), draw(st.integers(0, 5))
        picture, path, steps = (draw(st.integers(0, 3)) for _ in range(3))
        rows.append(EpisodeRow(str(index), task, seed, "s", True, 10 + steps, "words", "CC0-1.0"))
        pictures = np.full(6, 50.0 * picture, np.float32)
        found.append(Likeness(str(index), "hash", pictures, np.full(16, 0.1 * path, np.float32), 10 + steps))
    return rows, found


@given(likenesses(), st.integers(0, 9), st.sampled_from([(0.5, 0.5), (0.9, 0.1), (0.6, 0.2, 0.2)]))
def test_what_is_alike_is_never_in_two_parts(
    drawn: tuple[list[EpisodeRow], list[Likeness]], seed: int, shares: tuple[float, ...]
) -> None:
    rows, found = drawn
    units = _components(len(rows), together(rows, found))
    dealt = _deal(units, rows, {str(place): share for place, share in enumerate(shares)}, seed)
    part = {index: name for name, members in dealt.items() for index in members}
    assert sorted(index for members in dealt.values() for index in members) == list(range(len(rows)))
    for i, (row, likeness) in enumerate(zip(rows, found, strict=True)):
        for j in range(i):
            acts_alike = np.abs(found[j].path - likeness.path).max() < 0.01
            looks_alike = np.abs(found[j].pictures - likeness.pictures).max() < 2
            as_long = abs(found[j].num_steps - likeness.num_steps) <= 0.1 * max(found[j].num_steps, likeness.num_steps)
            one_scene = rows[j].seed == row.seed and (rows[j].task == row.task or looks_alike)
            if (acts_alike and looks_alike and as_long) or one_scene:
                assert part[i] == part[j]


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=30))
def test_components_are_what_hangs_together(count: int, drawn: list[tuple[int, int]]) -> None:
    pairs = [(i % count, j % count) for i, j in drawn]
    groups = _components(count, pairs)
    assert sorted(index for group in groups for index in group) == list(range(count))
    of = {index: at for at, group in enumerate(groups) for index in group}
    assert all(of[i] == of[j] for i, j in pairs)
    # No two groups could be told apart more finely: as many as a search from each finds.
    reached, left = 0, set(range(count))
    while left:
        reached, frontier = reached + 1, [left.pop()]
        while frontier:
            here = frontier.pop()
            near = {j for pair in pairs if here in pair for j in pair} & left
            left -= near
            frontier += near
    assert len(groups) == reached


@given(st.integers(2, 60), st.integers(0, 1000))
def test_near_pairs_are_those_that_comparing_each_with_each_finds(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    paths = (0.006 * generator.integers(0, 3, (count, 16))).astype(np.float32)
    found = [Likeness(str(i), "h", np.zeros(0, np.float32), path, 10) for i, path in enumerate(paths)]
    distances = np.sqrt(np.square(paths[:, None].astype(np.float64) - paths[None]).mean(axis=2))
    expected = {(i, j) for i in range(count) for j in range(i + 1, count) if distances[i, j] <= 0.01}
    assert set(near_duplicates(found)) == expected

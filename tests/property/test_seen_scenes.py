"""The scenes that a checkpoint was trained on, as short ranges."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_policies.seen_scenes import SeenScenes

SCENES = st.lists(st.tuples(st.sampled_from(["reach", "stack"]), st.integers(-3, 30)))


@given(SCENES, SCENES)
def test_ranges_hold_just_what_was_put_in(some: list[tuple[str, int]], others: list[tuple[str, int]]) -> None:
    seen = SeenScenes.of(some) | SeenScenes.of(others)
    assert set(seen) == {*some, *others}
    assert len(seen) == len({*some, *others})
    assert all((scene in seen) == (scene in {*some, *others}) for scene in [*others, ("push", 1), ("reach", 31)])


@given(SCENES)
def test_what_is_written_is_read_back(scenes: list[tuple[str, int]]) -> None:
    seen = SeenScenes.of(scenes)
    assert SeenScenes.from_json(seen.to_json()) == seen


def test_seeds_in_a_row_are_one_range() -> None:
    assert SeenScenes.of(("reach", seed) for seed in [2, 0, 1, 7]).to_json() == {"reach": [[0, 2], [7, 7]]}


@pytest.mark.parametrize("tree", [[], {"reach": [[3, 1]]}, {"reach": [[True, 2]]}, {"reach": [[1]]}, {"reach": 3}])
def test_anything_else_is_refused(tree: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        SeenScenes.from_json(tree)

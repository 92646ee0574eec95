from __future__ import annotations

import numpy as np
import pytest

from vla.tokens.clusters import k_means, left_without, means, nearest_centre


def _clouds(count: int, seed: int = 0) -> np.ndarray:
    """Round the corners of a square."""
    generator = np.random.default_rng(seed)
    corners = np.array([[0, 0], [0, 10], [10, 0], [10, 10]], np.float32)
    return (np.repeat(corners, count, axis=0) + generator.normal(0, 0.1, (4 * count, 2))).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_clusters_that_lie_apart_are_found(seed: int) -> None:
    centres = k_means(_clouds(30), 4, np.random.default_rng(seed), iterations=5)
    rounded = sorted(np.rint(centres).astype(int).tolist())
    assert rounded == [[0, 0], [0, 10], [10, 0], [10, 10]]


def test_more_centres_than_places_leave_none_without_a_number() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    centres = k_means(points, 8, np.random.default_rng(0), iterations=4)
    assert np.isfinite(centres).all()
    assert nearest_centre(points, centres)[1].max() == pytest.approx(0.0, abs=1e-6)


def test_fewer_points_than_centres_are_refused() -> None:
    with pytest.raises(ValueError, match="3 points cannot have 4 centres"):
        k_means(np.zeros((3, 2), np.float32), 4, np.random.default_rng(0), iterations=1)


def test_the_nearest_centre_is_the_nearest() -> None:
    generator = np.random.default_rng(0)
    points, centres = (generator.normal(size=(n, 5)).astype(np.float32) for n in (400, 30))
    index, distance = nearest_centre(points, centres)
    every = np.square(points[:, None] - centres).sum(axis=2)
    np.testing.assert_allclose(distance, every.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(every[np.arange(400), index], every.min(axis=1), rtol=1e-4)


def test_a_centre_without_points_stays_what_it_was() -> None:
    otherwise = np.full((3, 2), 7, np.float32)
    centres, counts = means(np.array([[1, 2], [3, 4]], np.float32), np.array([1, 1]), otherwise)
    assert centres.tolist() == [[7, 7], [2, 3], [7, 7]]
    assert counts.tolist() == [0, 2, 0]


def test_what_is_left_without_a_point_is_its_distance_from_the_mean_of_the_others() -> None:
    points = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    index = np.zeros(6, np.int64)
    left = left_without(points, points.mean(axis=0, keepdims=True), index)
    expected = [points[i] - np.delete(points, i, axis=0).mean(axis=0) for i in range(6)]
    np.testing.assert_allclose(left, expected, atol=1e-5)


def test_a_point_alone_at_its_centre_is_left_its_distance_from_the_mean_of_all() -> None:
    points = np.array([[0.0], [2.0], [10.0]], np.float32)
    left = left_without(points, np.array([[1.0], [10.0]], np.float32), np.array([0, 0, 1]))
    np.testing.assert_allclose(left[:, 0], [-2.0, 2.0, 6.0])

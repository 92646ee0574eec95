"""Where Meta-World shows its goals and objects."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_sim.metaworld_suite.embodiments import METAWORLD_SAWYER_SMALL
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment

pytest.importorskip("metaworld")


@pytest.fixture(scope="module")
def environment() -> MetaWorldEnvironment:
    return MetaWorldEnvironment(METAWORLD_SAWYER_SMALL)


def redness(picture: np.ndarray, place: np.ndarray) -> float:
    """How red the nine pixels around an image point are."""
    row, column = int(place[1] * picture.shape[0]), int(place[0] * picture.shape[1])
    patch = picture[row - 1 : row + 2, column - 1 : column + 2].astype(float)
    return float((patch[..., 0] - patch[..., 1:].mean(-1)).max())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_picture_shows_the_goal_where_it_is(environment: MetaWorldEnvironment, seed: int) -> None:
    picture = environment.reset(EpisodeSpec("reach", seed)).images["corner2"]
    goal = environment.grounding()["destination"]
    elsewhere = goal + np.array([0.0, 0.08])
    assert redness(picture, goal) > 60
    assert redness(picture, elsewhere) < 60


def test_the_first_picture_does_not_depend_on_the_episode_before(environment: MetaWorldEnvironment) -> None:
    pictures = []
    for before in (5, 6):
        environment.reset(EpisodeSpec("reach", before))
        environment.step(np.array([0.01, 0.0, 0.01, 1.0], np.float32))
        pictures.append(environment.reset(EpisodeSpec("reach", 7)).images["corner2"])
    assert np.array_equal(*pictures)


def test_what_a_camera_does_not_see_has_no_place_in_its_picture(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 1))
    environment._state[4:7] = [0.0, -5.0, 0.0]
    assert np.isnan(environment.grounding()["target"]).all()

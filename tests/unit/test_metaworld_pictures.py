"""Pictures of Meta-World: which view, when they are made, and that tasks do not disturb each other."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from vla.embodiment import CameraSpec
from vla.errors import ObservationError
from vla.interfaces import EpisodeSpec
from vla_sim.metaworld_suite import METAWORLD_SAWYER_SMALL, pictures
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.pictures import LazyImages, Photographer

pytest.importorskip("metaworld")

STILL = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def environment() -> MetaWorldEnvironment:
    return MetaWorldEnvironment(METAWORLD_SAWYER_SMALL)


def test_a_picture_is_made_when_it_is_looked_at() -> None:
    shot: list[str] = []

    def shoot(camera: CameraSpec) -> np.ndarray:
        shot.append(camera.name)
        return np.zeros((camera.height, camera.width, 3), np.uint8)

    images = LazyImages(METAWORLD_SAWYER_SMALL.cameras, shoot)
    assert (list(images), len(images), shot) == (["corner2", "gripper"], 2, [])
    assert images["gripper"] is images["gripper"]
    assert shot == ["gripper"]
    with pytest.raises(KeyError):
        images["front"]


def test_what_was_not_looked_at_cannot_be_seen_later() -> None:
    environment = MetaWorldEnvironment(METAWORLD_SAWYER_SMALL, lazy_pictures=True)
    observation = environment.reset(EpisodeSpec("push", 0))
    seen = observation.images["corner2"].copy()
    environment.step(STILL)
    assert np.array_equal(observation.images["corner2"], seen)
    with pytest.raises(ObservationError, match="'gripper' was not looked at before the next step"):
        observation.images["gripper"]


def test_lazy_pictures_are_the_same_pictures(environment: MetaWorldEnvironment) -> None:
    lazy = MetaWorldEnvironment(METAWORLD_SAWYER_SMALL, lazy_pictures=True)
    expected, seen = (place.reset(EpisodeSpec("push", 0)).images for place in (environment, lazy))
    assert all(np.array_equal(seen[name], image) for name, image in expected.items())


def test_tasks_that_are_rendered_in_turn_do_not_disturb_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MetaWorldEnvironment(METAWORLD_SAWYER_SMALL), MetaWorldEnvironment(METAWORLD_SAWYER_SMALL)
    photographer = Photographer()
    monkeypatch.setattr(pictures, "_KEPT_RENDERERS", 1)
    monkeypatch.setattr("vla_sim.metaworld_suite.environment.shared_photographer", lambda: photographer)
    push = first.reset(EpisodeSpec("push", 0)).images["corner2"]
    window = second.reset(EpisodeSpec("window_open", 0)).images["corner2"]
    assert not np.array_equal(push, window)
    assert np.array_equal(first.observe().images["corner2"], push)
    assert np.array_equal(second.observe().images["corner2"], window)
    assert len(photographer._renderers) == 1


def test_corner2_is_where_published_results_have_it_and_upright(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    model = environment._inner.model
    corner2, corner4 = (mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, name) for name in ("corner2", "corner4"))
    assert np.allclose(model.cam_pos[corner4], [0.75, 0.075, 0.7])
    assert np.allclose(model.cam_quat[corner4], model.cam_quat[corner2])
    assert model.cam_fovy[corner4] == model.cam_fovy[corner2]
    # Upright: the arm, which is red, comes from above.
    red = environment.render(96, 96).astype(int)
    is_arm = (red[..., 0] > 90) & (red[..., 1] < 60)
    assert is_arm[:48].sum() > is_arm[48:].sum()


def test_the_picture_for_people_has_the_size_that_is_asked_for(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    assert environment.render(64, 80).shape == (64, 80, 3)

"""Pictures are set upright as said, and never cut or stretched unsaid."""

from __future__ import annotations

import numpy as np
import pytest

from vla.embodiment import CameraSpec
from vla.errors import DataError
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize, fit_pictures

UPRIGHT = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
CAMERA = CameraSpec("scene", 4, 6)


def _fit(images: np.ndarray, camera: CameraSpec, resize: Resize, aspect: Aspect) -> np.ndarray:
    return fit_pictures(images, camera, Orientation.UPRIGHT, resize, aspect)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (Orientation.UPRIGHT, UPRIGHT),
        (Orientation.UPSIDE_DOWN, np.rot90(UPRIGHT, 2, axes=(1, 2))),
        (Orientation.FLIP_VERTICAL, np.flip(UPRIGHT, 1)),
        (Orientation.FLIP_HORIZONTAL, np.flip(UPRIGHT, 2)),
        (Orientation.TURNED_LEFT, np.rot90(UPRIGHT, 1, axes=(1, 2))),
        (Orientation.TURNED_RIGHT, np.rot90(UPRIGHT, -1, axes=(1, 2))),
    ],
)
def test_pictures_are_set_upright(orientation: Orientation, stored: np.ndarray) -> None:
    fitted = fit_pictures(stored, CAMERA, orientation, Resize.NONE, Aspect.SAME)
    assert np.array_equal(fitted, UPRIGHT)


def test_another_size_is_refused_unless_a_method_is_named() -> None:
    with pytest.raises(
        DataError, match=r"camera 'scene': its pictures are 4 x 6 upright, not 2 x 3: say 'resize: area'"
    ):
        _fit(UPRIGHT, CameraSpec("scene", 2, 3), Resize.NONE, Aspect.SAME)


def test_another_ratio_is_refused_unless_it_is_said_what_to_do() -> None:
    with pytest.raises(DataError, match="4 x 6 and 2 x 2 differ in their ratio of width to height"):
        _fit(UPRIGHT, CameraSpec("scene", 2, 2), Resize.AREA, Aspect.SAME)


def test_area_is_the_mean_over_each_pixel() -> None:
    fitted = _fit(
        np.array([[[[0] * 3, [100] * 3], [[20] * 3, [80] * 3]]], np.uint8),
        CameraSpec("s", 1, 1),
        Resize.AREA,
        Aspect.SAME,
    )
    assert fitted.tolist() == [[[[50, 50, 50]]]]


def test_cropping_keeps_the_middle() -> None:
    fitted = _fit(UPRIGHT, CameraSpec("scene", 4, 4), Resize.NEAREST, Aspect.CROP)
    assert np.array_equal(fitted, UPRIGHT[:, :, 1:5])


def test_padding_adds_black_on_both_sides() -> None:
    fitted = _fit(UPRIGHT, CameraSpec("scene", 6, 6), Resize.NEAREST, Aspect.PAD)
    assert np.array_equal(fitted[:, 1:5], UPRIGHT)
    assert not fitted[:, [0, 5]].any()


def test_stretching_uses_all_of_the_picture() -> None:
    fitted = _fit(UPRIGHT, CameraSpec("scene", 4, 3), Resize.NEAREST, Aspect.STRETCH)
    assert fitted.shape == (2, 4, 3, 3)

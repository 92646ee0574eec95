"""The picture of the arms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_sim.worlds.portraits import HEIGHT, WIDTH, main, portraits


def test_every_arm_is_whole_in_its_portrait() -> None:
    picture = portraits(("ur5e", "so101"))
    assert picture.shape[1] == 2 * WIDTH + 8
    for column in (picture[:HEIGHT, :WIDTH], picture[:HEIGHT, WIDTH + 8 :]):
        background = column[0, 0]
        assert (column[:10] == background).all()
        assert (column != background).any(axis=2).mean() > 0.3


def test_the_picture_is_written_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blank = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr("vla_sim.worlds.portraits.portraits", lambda: blank)
    assert main([str(tmp_path / "arms.png")]) == 0
    written = cv2.imread(str(tmp_path / "arms.png"))
    assert written is not None
    assert np.array_equal(written, blank)
    assert main([]) == 2

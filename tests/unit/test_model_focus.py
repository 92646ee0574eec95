"""Focus: a named query that is torn between two places looks at the likelier one, once the model has learned."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.model.compact import ROLES, Answers, CompactBackbone, CompactConfig, LanguageQueriedConnector

CAMERA = CameraSpec("scene", 16, 20)
CONFIG = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=6)


def looked(focus: float, *, training: bool, is_first: bool = True) -> Answers:
    """What the same weights find in the same picture."""
    torch.manual_seed(0)
    connector = LanguageQueriedConnector(dataclasses.replace(CONFIG, focus=focus), CAMERA, is_first=is_first)
    questions, features = torch.randn(1, CONFIG.image_queries, 8), torch.randn(1, 20, 8)
    with torch.no_grad():
        return connector.train(training)(features, questions)


def test_a_focused_query_is_nearer_to_the_place_it_looks_at_most() -> None:
    plain, focused = looked(1.0, training=False), looked(200.0, training=False)
    cells = LanguageQueriedConnector(CONFIG, CAMERA).get_buffer("cells")
    for role in range(len(ROLES)):
        likeliest = (cells[plain.logits[0, role].argmax()] - 0.5) * 4
        gaps = [torch.linalg.norm(found.points[0, role] - likeliest) for found in (plain, focused)]
        assert gaps[1] < 0.1 < gaps[0]


def test_other_queries_other_cameras_and_what_training_shows_stay_as_they_are() -> None:
    plain, focused = looked(1.0, training=False), looked(4.0, training=False)
    assert torch.equal(plain.logits, focused.logits)
    assert torch.equal(plain.points[:, len(ROLES) :], focused.points[:, len(ROLES) :])
    assert torch.equal(plain.points, looked(4.0, training=False, is_first=False).points)


def test_training_knows_nothing_of_it() -> None:
    assert torch.equal(looked(1.0, training=True).tokens, looked(4.0, training=True).tokens)


def test_a_focus_that_looks_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="focus must be above 0, got 0"):
        CompactBackbone(dataclasses.replace(CONFIG, focus=0.0), [CAMERA], 3, 50)

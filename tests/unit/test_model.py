from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.model.compact import CompactBackbone, CompactConfig, Prefix, StateEncoding
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary, bilinear_cells, grounding_loss, token_loss

CAMERAS = [CameraSpec("scene", 16, 20), CameraSpec("wrist", 8, 8)]
CONFIG = CompactConfig(width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=6)
VOCABULARY = Vocabulary(num_text=50, num_action=7)
NUM_TOKENS = 6


def make_small_model(head: Head) -> VlaModel:
    torch.manual_seed(0)
    return VlaModel(CompactBackbone(CONFIG, CAMERAS, 3, VOCABULARY.num_text), head, VOCABULARY, NUM_TOKENS).eval()


def make_prefix(model: VlaModel, words: Sequence[int] = (9, 9, 9, 9), text_fill: int = 1) -> Prefix:
    batch, random = 2, torch.Generator().manual_seed(1)
    images = {
        camera.name: torch.randint(0, 256, (batch, camera.height, camera.width, 3), generator=random).to(torch.uint8)
        for camera in CAMERAS
    }
    is_padding = torch.zeros(batch, CONFIG.text_tokens, dtype=torch.bool)
    is_padding[:, 4:] = True
    text = torch.tensor([[*words, text_fill, text_fill]] * batch)
    return model.backbone.embed(images, text, is_padding, torch.randn(batch, 3, generator=random))


@pytest.fixture
def actions() -> torch.Tensor:
    return torch.randint(0, 7, (2, NUM_TOKENS), generator=torch.Generator().manual_seed(3))


def test_state_tokens_are_one_a_number_and_tell_states_apart() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(CONFIG, state=StateEncoding.TOKENS)
    backbone = CompactBackbone(config, CAMERAS, 3, VOCABULARY.num_text)
    model = VlaModel(backbone, Head.SLOTS, VOCABULARY, NUM_TOKENS).eval()
    projected = make_small_model(Head.SLOTS).backbone
    assert backbone.num_prefix_tokens == projected.num_prefix_tokens + 3
    with torch.no_grad():
        prefix = make_prefix(model)
    assert prefix.tokens.shape[1] == backbone.num_prefix_tokens
    assert not torch.equal(prefix.tokens[0, -3:], prefix.tokens[1, -3:])


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_padding_of_the_instruction_changes_nothing(head: Head, actions: torch.Tensor) -> None:
    model = make_small_model(head)
    with torch.no_grad():
        one = model(make_prefix(model, text_fill=1), actions)
        other = model(make_prefix(model, text_fill=40), actions)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_the_order_of_the_words_changes_the_logits(head: Head, actions: torch.Tensor) -> None:
    model = make_small_model(head)
    with torch.no_grad():
        one = model(make_prefix(model, words=[5, 6, 7, 8]), actions)
        other = model(make_prefix(model, words=[7, 6, 5, 8]), actions)
    assert not torch.allclose(one, other, atol=1e-5)


def test_autoregressive_logits_do_not_see_later_tokens(actions: torch.Tensor) -> None:
    model = make_small_model(Head.AUTOREGRESSIVE)
    changed = actions.clone()
    changed[:, 3] = (changed[:, 3] + 1) % 7
    with torch.no_grad():
        prefix = make_prefix(model)
        one, other = model(prefix, actions), model(prefix, changed)
    torch.testing.assert_close(one[:, :4], other[:, :4])
    assert not torch.allclose(one[:, 4:], other[:, 4:])


def test_slots_do_not_see_the_true_tokens(actions: torch.Tensor) -> None:
    model = make_small_model(Head.SLOTS)
    with torch.no_grad():
        prefix = make_prefix(model)
        torch.testing.assert_close(model(prefix, actions), model(prefix, actions.flip(1)))


def test_loss_without_spread_is_the_plain_cross_entropy(actions: torch.Tensor) -> None:
    logits = torch.randn(2, NUM_TOKENS, VOCABULARY.size)
    is_padding = torch.zeros(2, NUM_TOKENS, dtype=torch.bool)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), VOCABULARY.action_id(actions).flatten())
    torch.testing.assert_close(token_loss(logits, actions, is_padding, VOCABULARY, spread=0.0), expected)


def test_loss_ignores_what_is_past_the_episode(actions: torch.Tensor) -> None:
    logits = torch.randn(2, NUM_TOKENS, VOCABULARY.size)
    is_padding = torch.zeros(2, NUM_TOKENS, dtype=torch.bool)
    is_padding[:, 3:] = True
    changed = actions.clone()
    changed[:, 3:] = 0
    one = token_loss(logits, actions, is_padding, VOCABULARY, spread=1.0)
    torch.testing.assert_close(one, token_loss(logits, changed, is_padding, VOCABULARY, spread=1.0))


def test_loss_is_gentler_on_a_neighbouring_bin_when_there_is_spread() -> None:
    targets = torch.tensor([[3]])
    is_padding = torch.zeros(1, 1, dtype=torch.bool)

    def loss_of(peak: int) -> float:
        logits = torch.zeros(1, 1, VOCABULARY.size)
        logits[..., VOCABULARY.num_text + peak] = 5.0
        return token_loss(logits, targets, is_padding, VOCABULARY, spread=1.0).item()

    assert loss_of(3) < loss_of(4) < loss_of(6)


def test_cells_around_a_point_have_the_point_as_their_mean() -> None:
    u, v = torch.tensor([0.3, 0.71]), torch.tensor([0.62, 0.4])
    weights = bilinear_cells(u, v, rows=4, columns=5)
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(5), indexing="ij")
    torch.testing.assert_close((weights * ((columns.flatten() + 0.5) / 5)).sum(1), u)
    torch.testing.assert_close((weights * ((rows.flatten() + 0.5) / 4)).sum(1), v)


def test_roles_without_a_point_do_not_count() -> None:
    maps = torch.randn(1, 2, 20)
    points = torch.tensor([[[0.5, 0.5], [math.nan, math.nan]]])
    both = grounding_loss(maps, points, 4, 5)
    torch.testing.assert_close(both, grounding_loss(maps[:, :1], points[:, :1], 4, 5))


def test_no_points_at_all_cost_nothing() -> None:
    assert grounding_loss(torch.randn(1, 2, 20), torch.full((1, 2, 2), math.nan), 4, 5).item() == 0.0

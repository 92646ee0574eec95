"""Heads that say numbers: what they learn, what they read, and where their gradients end."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from vla.embodiment import CameraSpec
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.continuous import (
    LAST_TIME,
    ChunkTargets,
    Committed,
    ExpertConfig,
    FlowHead,
    RegressionHead,
    draw_times,
    features_of,
    mean_over,
    waves,
)
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary, make_continuous
from vla_policies.action_objective import action_loss
from vla_policies.batches import Batch
from vla_policies.trainer import OptimizerConfig, Trainer

CAMERA = CameraSpec("scene", 8, 8)
BATCH, HORIZON, DIM, NUM_TOKENS, ANSWER_TOKENS = 12, 4, 3, 6, 3
CONTINUOUS = tuple(head for head in Head if head.is_continuous)
EXPERT = ExpertConfig(width=32, layers=2, heads=2, euler_steps=10)
CONFIG = CompactConfig(width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=4, answer_tokens=ANSWER_TOKENS)


def make_model(head: Head, config: CompactConfig = CONFIG) -> VlaModel:
    torch.manual_seed(0)
    continuous = make_continuous(head, config.width, HORIZON, DIM, EXPERT)
    backbone = CompactBackbone(config, [CAMERA], 3, 20)
    return VlaModel(backbone, head, Vocabulary(20, 7), NUM_TOKENS, config.answer_tokens, continuous)


def make_targets(seed: int = 0) -> ChunkTargets:
    random = torch.Generator().manual_seed(seed)
    return ChunkTargets(
        actions=torch.randn(BATCH, HORIZON, DIM, generator=random),
        is_committed=torch.zeros(BATCH, HORIZON, dtype=torch.bool),
        is_padding=torch.zeros(BATCH, HORIZON, dtype=torch.bool),
        noise=torch.randn(BATCH, HORIZON, DIM, generator=random),
        time=draw_times(BATCH, random),
    )


def make_batch(seed: int = 0, targets_seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(
        images={"scene": torch.randint(0, 256, (BATCH, 8, 8, 3), generator=random).to(torch.uint8)},
        text=torch.randint(1, 20, (BATCH, 4), generator=random),
        text_is_padding=torch.arange(4).expand(BATCH, -1) >= 3,
        state=torch.randn(BATCH, 3, generator=random),
        actions=torch.randint(0, 7, (BATCH, NUM_TOKENS), generator=random),
        is_padding=torch.zeros(BATCH, NUM_TOKENS, dtype=torch.bool),
        points=torch.rand(BATCH, 2, 2, generator=random),
        chunks=make_targets(targets_seed),
    )


def embed(model: VlaModel, batch: Batch) -> Prefix:
    return model.backbone.embed(batch.images, batch.text, batch.text_is_padding, batch.state)


def nothing_committed() -> Committed:
    return Committed(torch.zeros(BATCH, HORIZON, DIM), torch.zeros(BATCH, HORIZON, dtype=torch.bool))


def randomised(model: VlaModel) -> VlaModel:
    """The same model with a flow that moves: an untrained one stands still."""
    assert isinstance(model.continuous, FlowHead)
    torch.nn.init.normal_(model.continuous.leave.weight)
    return model.eval()


# --------------------------------------------------------------------------- learning


@pytest.mark.parametrize("head", CONTINUOUS)
def test_chunks_are_learned_by_heart(head: Head) -> None:
    model, batch = make_model(head), make_batch()
    assert batch.chunks is not None
    steps = 120 if head is Head.REGRESSION else 300
    trainer = Trainer(model, OptimizerConfig(learning_rate=4e-3, warmup_steps=5, label_spread=0.0), steps)
    for step in range(steps):
        trainer.train_step(dataclasses.replace(batch, chunks=_drawn_again(batch.chunks, step)))
    model.eval()
    assert model.continuous is not None
    with torch.no_grad():
        said = model.continuous.predict(model.backbone, embed(model, batch), make_targets(9).noise, nothing_committed())
    wrong = (said - batch.chunks.actions).abs().mean() / batch.chunks.actions.abs().mean()
    assert wrong < 0.5


def _drawn_again(targets: ChunkTargets, seed: int) -> ChunkTargets:
    other = make_targets(100 + seed)
    return dataclasses.replace(targets, noise=other.noise, time=other.time)


@pytest.mark.parametrize("head", CONTINUOUS)
def test_what_is_padding_costs_nothing(head: Head) -> None:
    model, batch = make_model(head).eval(), make_batch()
    if isinstance(model.continuous, FlowHead):
        randomised(model)
    chunks = batch.chunks
    assert chunks is not None
    last = torch.arange(HORIZON).expand(BATCH, -1) == HORIZON - 1

    def loss(change: float, is_padding: torch.Tensor) -> float:
        changed = chunks.actions + change * last[..., None]
        # The noise moves along, so that a flow reads the same and is asked for the same velocity elsewhere.
        noise = chunks.noise - change * last[..., None] * (chunks.time / (1 - chunks.time))[:, None, None]
        some = dataclasses.replace(chunks, actions=changed, noise=noise, is_padding=is_padding)
        given = dataclasses.replace(batch, chunks=some)
        return float(action_loss(model, embed(model, given), given, 0.0).loss)

    with torch.no_grad():
        assert loss(0.5, last) == pytest.approx(loss(0.0, last), rel=1e-5)
        assert loss(0.5, ~last) != pytest.approx(loss(0.0, ~last), rel=1e-5)


def test_a_mean_over_nothing_is_nothing() -> None:
    assert mean_over(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)) == 0
    half = torch.tensor([[False, True, True], [True, True, True]])
    assert mean_over(torch.arange(24.0).reshape(2, 3, 4), half) == pytest.approx(1.5)


# --------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("head", CONTINUOUS)
def test_what_is_committed_to_shapes_the_rest(head: Head) -> None:
    model, batch = make_model(head).eval(), make_batch()
    if isinstance(model.continuous, FlowHead):
        randomised(model)
    continuous, noise = model.continuous, make_targets().noise
    assert continuous is not None
    first = torch.arange(HORIZON).expand(BATCH, -1) < 2
    with torch.no_grad():
        prefix = embed(model, batch)
        said = [
            continuous.predict(
                model.backbone, prefix, noise, Committed(torch.full((BATCH, HORIZON, DIM), value), first)
            )
            for value in (0.0, 1.0)
        ]
        ignored = [
            continuous.predict(
                model.backbone, prefix, noise, Committed(torch.full((BATCH, HORIZON, DIM), value), first & ~first)
            )
            for value in (0.0, 1.0)
        ]
    assert ((said[0] - said[1])[:, 2:].abs() > 1e-4).any(dim=-1).all()
    torch.testing.assert_close(*ignored)


def test_committed_actions_hide_the_noise_in_their_place() -> None:
    model, batch = randomised(make_model(Head.FLOW)), make_batch()
    assert isinstance(model.continuous, FlowHead)
    first = torch.arange(HORIZON).expand(BATCH, -1) < 2
    known = Committed(torch.ones(BATCH, HORIZON, DIM), first)
    one, other = make_targets(1).noise, make_targets(2).noise
    mixed = torch.where(first[..., None], other, one)
    with torch.no_grad():
        prefix = embed(model, batch)
        a, b = (model.continuous.predict(model.backbone, prefix, noise, known)[:, 2:] for noise in (one, mixed))
        c = model.continuous.predict(model.backbone, prefix, other, known)[:, 2:]
    torch.testing.assert_close(a, b)
    assert not torch.allclose(a, c)


def test_a_flow_follows_a_constant_velocity_from_the_noise() -> None:
    model, batch = make_model(Head.FLOW).eval(), make_batch()
    assert isinstance(model.continuous, FlowHead)
    torch.nn.init.constant_(model.continuous.leave.bias, 0.75)
    noise = make_targets().noise
    with torch.no_grad():
        said = model.continuous.predict(model.backbone, embed(model, batch), noise, nothing_committed())
    torch.testing.assert_close(said, noise + 0.75)


@pytest.mark.parametrize("head", Head)
def test_a_prefix_is_read_the_same_whatever_stands_behind_it(head: Head) -> None:
    model, batch = make_model(head).eval(), make_batch()
    with torch.no_grad():
        prefix = embed(model, batch)
        alone = features_of(model.backbone, prefix)
        beside = model.backbone.hidden(prefix, torch.randn(BATCH, 5, CONFIG.width), True)
    torch.testing.assert_close(alone, beside[:, : prefix.tokens.shape[1]])


@pytest.mark.parametrize("head", Head)
def test_one_prefix_gives_an_action_and_an_answer_in_words(head: Head) -> None:
    model, batch = make_model(head).eval(), make_batch()
    answers = torch.randint(1, 20, (BATCH, ANSWER_TOKENS))
    with torch.no_grad():
        prefix = embed(model, batch)
        words = model.answer_logits(prefix, answers)
        before = action_loss(model, prefix, batch, 0.0).loss
        again = model.answer_logits(prefix, answers)
    assert words.shape == (BATCH, ANSWER_TOKENS, 27)
    assert torch.equal(words, again)
    assert torch.isfinite(before)


def test_padding_of_the_prefix_is_seen_by_no_action() -> None:
    for head in CONTINUOUS:
        model, batch = make_model(head).eval(), make_batch()
        if isinstance(model.continuous, FlowHead):
            randomised(model)
        continuous = model.continuous
        assert continuous is not None
        with torch.no_grad():
            prefix = embed(model, batch)
            tokens = torch.where(prefix.is_padding[..., None], torch.randn_like(prefix.tokens), prefix.tokens)
            said = [
                continuous.predict(model.backbone, some, make_targets().noise, nothing_committed())
                for some in (prefix, dataclasses.replace(prefix, tokens=tokens))
            ]
        assert prefix.is_padding.any()
        torch.testing.assert_close(*said)


# --------------------------------------------------------------------------- insulation


def gradients(model: VlaModel, batch: Batch, *, without: str) -> dict[str, torch.Tensor | None]:
    """Of the loss on actions; `tokens` or `numbers` are left out of it, by giving them nothing that counts."""
    chunks = batch.chunks
    assert chunks is not None
    if without == "numbers":
        chunks = dataclasses.replace(chunks, is_padding=torch.ones_like(chunks.is_padding))
    model.zero_grad(set_to_none=True)
    given = dataclasses.replace(batch, chunks=chunks)
    action_loss(model, embed(model, given), given, 0.0).loss.backward()
    return {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}


def test_the_gradients_of_an_insulated_flow_end_before_the_backbone() -> None:
    """Whatever the flow is asked for, all else gets the very same gradients, bit by bit: those of the tokens."""
    model, batch = randomised(make_model(Head.INSULATED)), make_batch()
    both = gradients(model, batch, without="")
    tokens_alone = gradients(model, batch, without="numbers")
    moved = {name for name, gradient in both.items() if gradient is not None and gradient.any()}
    assert any(name.startswith("continuous.") for name in moved)
    assert any(name.startswith("backbone.vision") for name in moved)
    for name, gradient in both.items():
        expected = tokens_alone[name]
        if name.startswith("continuous."):
            assert expected is None or not expected.any(), name
        elif gradient is not None:
            assert expected is not None
            assert torch.equal(gradient, expected), name
        else:
            assert expected is None, name


def test_the_gradients_of_a_flow_that_is_not_insulated_reach_the_pictures() -> None:
    model, batch = randomised(make_model(Head.FLOW)), make_batch()
    moved = {name for name, gradient in gradients(model, batch, without="").items() if gradient is not None}
    assert "backbone.vision.0.patches.weight" in moved
    assert "backbone.text_embedding.weight" in moved


# --------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("head", CONTINUOUS)
def test_every_weight_of_a_head_that_says_numbers_is_trained(head: Head) -> None:
    """But those of words, which are trained by what is said in words."""
    model, batch = make_model(head, dataclasses.replace(CONFIG, answer_tokens=0)), make_batch()
    if isinstance(model.continuous, FlowHead):
        randomised(model)
    found = gradients(model, batch, without="")
    assert [name for name, gradient in found.items() if gradient is None] == []


def test_flow_times_lie_nearer_to_the_noise() -> None:
    times = draw_times(20_000, torch.Generator().manual_seed(0))
    assert 0 <= times.min() < times.max() <= LAST_TIME
    assert times.mean() == pytest.approx(LAST_TIME * 0.4, abs=0.01)  # of Beta(1.5, 1) the mean is 0.6


def test_the_expert_can_tell_flow_times_apart() -> None:
    told = waves(torch.linspace(0, 1, 101)[None])[0]
    apart = (told[:, None] - told[None, :]).norm(dim=-1) + 10 * torch.eye(101)
    assert apart.min() > 0.1


@pytest.mark.parametrize("head", Head)
def test_a_head_without_what_it_acts_by_is_refused(head: Head) -> None:
    other = Head.SLOTS if head.is_continuous else Head.FLOW
    wrong = make_continuous(other, CONFIG.width, HORIZON, DIM, EXPERT)
    with pytest.raises(ValueError, match=f"head={head.value} acts by"):
        VlaModel(CompactBackbone(CONFIG, [CAMERA], 3, 20), head, Vocabulary(20, 7), NUM_TOKENS, 0, wrong)


def test_numbers_are_asked_of_a_batch_that_has_them() -> None:
    model, batch = make_model(Head.REGRESSION), dataclasses.replace(make_batch(), chunks=None)
    with pytest.raises(ValueError, match="the batch has them as tokens alone"):
        action_loss(model, embed(model, batch), batch, 0.0)


def test_what_heads_act_by_follows_from_their_kind() -> None:
    kinds = {head: type(make_continuous(head, 32, HORIZON, DIM, EXPERT)) for head in Head}
    assert kinds[Head.REGRESSION] is RegressionHead
    assert kinds[Head.FLOW] is kinds[Head.INSULATED] is FlowHead
    assert all(kinds[head] is type(None) for head in TOKEN_HEADS)

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from vla.embodiment import CameraSpec
from vla.errors import DataError
from vla.model.compact import CompactBackbone, CompactConfig, StateEncoding
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary, answer_loss
from vla_datasets.web.samples import location_words, parse_locations
from vla_policies.batches import Batch
from vla_policies.place_words import PLACE_STEPS, coarse, role_points
from vla_policies.trainer import OptimizerConfig, Trainer
from vla_policies.web_batches import WebBatch

CAMERAS = [CameraSpec("scene", 16, 16), CameraSpec("wrist", 8, 8)]
VOCABULARY = Vocabulary(num_text=20, num_action=7)
NUM_TOKENS, TEXT_TOKENS, ANSWER_TOKENS, BATCH = 4, 5, 6, 12
CONFIG = CompactConfig(
    width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=TEXT_TOKENS, answer_tokens=ANSWER_TOKENS
)
SEES_AND_READS = ("backbone.vision", "backbone.connectors", "backbone.text_")


def make_model(head: Head = Head.SLOTS, config: CompactConfig = CONFIG) -> VlaModel:
    torch.manual_seed(0)
    backbone = CompactBackbone(config, CAMERAS, 3, VOCABULARY.num_text)
    return VlaModel(backbone, head, VOCABULARY, NUM_TOKENS, config.answer_tokens)


def make_web(seed: int = 0) -> WebBatch:
    random = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, ANSWER_TOKENS + 1, (BATCH, 1), generator=random)
    place = torch.arange(ANSWER_TOKENS)
    answers = torch.randint(1, 20, (BATCH, ANSWER_TOKENS), generator=random)
    answers = torch.where(place < lengths - 1, answers, 0).masked_fill(place >= lengths, -1)
    return WebBatch(
        image=torch.randint(0, 256, (BATCH, 16, 16, 3), generator=random).to(torch.uint8),
        is_blind=torch.arange(BATCH) % 3 == 2,
        text=torch.randint(1, 20, (BATCH, TEXT_TOKENS), generator=random),
        text_is_padding=torch.arange(TEXT_TOKENS).expand(BATCH, -1) >= 3,
        answers=answers,
        points=torch.rand(BATCH, 2, 2, generator=random),
        source=torch.arange(BATCH) % 2,
        sources=("one", "other"),
    )


def make_robot(seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    return Batch(
        images={
            camera.name: torch.randint(0, 256, (BATCH, camera.height, camera.width, 3), generator=random).to(
                torch.uint8
            )
            for camera in CAMERAS
        },
        text=torch.randint(1, 20, (BATCH, TEXT_TOKENS), generator=random),
        text_is_padding=torch.zeros(BATCH, TEXT_TOKENS, dtype=torch.bool),
        state=torch.randn(BATCH, 3, generator=random),
        actions=torch.randint(0, 7, (BATCH, NUM_TOKENS), generator=random),
        is_padding=torch.zeros(BATCH, NUM_TOKENS, dtype=torch.bool),
        points=torch.rand(BATCH, 2, 2, generator=random),
    )


# --------------------------------------------------------------------------- what is asked and answered


def test_answers_do_not_see_later_words() -> None:
    model, web = make_model().eval(), make_web()
    changed = web.answers.clone()
    changed[:, 3] = 7
    with torch.no_grad():
        prefix = model.backbone.embed_question(web.image, web.is_blind, web.text, web.text_is_padding)
        one, other = model.answer_logits(prefix, web.answers), model.answer_logits(prefix, changed)
    torch.testing.assert_close(one[:, :4], other[:, :4])
    assert not torch.allclose(one[:, 4:], other[:, 4:])


def test_a_question_is_an_instruction_whose_other_tokens_are_masked() -> None:
    model, web = make_model().eval(), make_web()
    whole = {"scene": web.image, "wrist": torch.zeros(BATCH, 8, 8, 3, dtype=torch.uint8)}
    queries = CONFIG.image_queries
    with torch.no_grad():
        short = model.backbone.embed_question(web.image, web.is_blind, web.text, web.text_is_padding)
        long = model.backbone.embed(whole, web.text, web.text_is_padding, torch.randn(BATCH, 3))
        is_padding = long.is_padding.clone()
        is_padding[:, :queries] = web.is_blind[:, None]
        is_padding[:, queries : 2 * queries] = True  # the other camera
        is_padding[:, -1] = True  # the state
        masked = dataclasses.replace(long, is_padding=is_padding)
        torch.testing.assert_close(model.answer_logits(short, web.answers), model.answer_logits(masked, web.answers))


def test_what_a_question_about_no_picture_is_shown_changes_nothing() -> None:
    model, web = make_model().eval(), make_web()
    other = dataclasses.replace(web, image=255 - web.image)
    with torch.no_grad():
        logits = [
            model.answer_logits(
                model.backbone.embed_question(shown.image, web.is_blind, web.text, web.text_is_padding), web.answers
            )
            for shown in (web, other)
        ]
    torch.testing.assert_close(logits[0][web.is_blind], logits[1][web.is_blind])
    assert not torch.allclose(logits[0][~web.is_blind], logits[1][~web.is_blind], atol=1e-4)


def test_padding_of_an_answer_costs_nothing() -> None:
    logits = torch.randn(2, 3, VOCABULARY.size)
    losses = answer_loss(logits, torch.tensor([[4, 0, -1], [5, 6, 0]]))
    assert losses[0, 2] == 0
    torch.testing.assert_close(
        losses[1], torch.nn.functional.cross_entropy(logits[1], torch.tensor([5, 6, 0]), reduction="none")
    )


def test_answers_are_learned_by_heart_beside_actions() -> None:
    trainer = Trainer(make_model(), OptimizerConfig(learning_rate=5e-3, warmup_steps=2, label_spread=0.0), 50)
    metrics = [trainer.train_step(make_robot(), make_web()) for _ in range(50)]
    assert metrics[-1].web["web_loss"] < 0.5 * metrics[0].web["web_loss"]
    assert metrics[-1].action_loss < 0.5 * metrics[0].action_loss


def test_where_a_web_answer_points_teaches_the_maps_that_the_arm_looks_by() -> None:
    trainer = Trainer(make_model(), OptimizerConfig(learning_rate=5e-3, warmup_steps=2, grounding_weight=1.0), 50)
    robot, web = make_robot(), make_web()
    web = dataclasses.replace(web, is_blind=torch.zeros(BATCH, dtype=torch.bool))
    # The same pictures, sentences and places on both sides; only the web side is trained on.
    robot = dataclasses.replace(
        robot,
        images={**robot.images, "scene": web.image},
        text=web.text,
        text_is_padding=web.text_is_padding,
        points=web.points,
    )
    before = trainer.validate(robot).grounding_loss
    for _ in range(50):
        trainer.train_step(None, web)
    assert trainer.validate(robot).grounding_loss < 0.8 * before


def test_losses_of_the_sources_make_up_that_of_all() -> None:
    trainer, web = Trainer(make_model(), OptimizerConfig(), 10), make_web()
    told = trainer.validate(None, web).web
    tokens = [(web.answers[web.source == number] >= 0).sum() for number in range(2)]
    mean = (told["one/loss"] * tokens[0] + told["other/loss"] * tokens[1]) / sum(tokens)
    assert told["web_loss"] == pytest.approx(float(mean), rel=1e-5)


# --------------------------------------------------------------------------- insulation


@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("state", StateEncoding)
def test_insulation_stops_the_gradients_of_actions_and_no_others(head: Head, state: StateEncoding) -> None:
    model, robot = make_model(head, dataclasses.replace(CONFIG, state=state)), make_robot()

    def gradients(insulated: bool) -> dict[str, torch.Tensor | None]:
        model.zero_grad(set_to_none=True)
        prefix = model.backbone.embed(robot.images, robot.text, robot.text_is_padding, robot.state, insulated=insulated)
        model(prefix, robot.actions).square().mean().backward()
        return {name: parameter.grad for name, parameter in model.named_parameters()}

    bare, insulated = gradients(False), gradients(True)
    for name, gradient in insulated.items():
        expected = None if name.startswith(SEES_AND_READS) else bare[name]
        assert (gradient is None) == (expected is None), name
        assert gradient is None or expected is None or torch.equal(gradient, expected), name
    assert any(bare[name] is not None for name in bare if name.startswith(SEES_AND_READS))


def test_insulated_actions_leave_alone_what_words_and_places_teach() -> None:
    """With neither of these, what sees and reads stays as it was, byte by byte."""
    model = make_model()
    options = OptimizerConfig(insulation=True, grounding_weight=0.0, weight_decay=0.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trainer = Trainer(model, options, 10)
    trainer.train_step(make_robot())
    for name, tensor in model.state_dict().items():
        if name.startswith(SEES_AND_READS):
            assert torch.equal(tensor, before[name]), name
    trainer.train_step(make_robot(), make_web())
    assert not torch.equal(
        model.state_dict()["backbone.text_embedding.weight"], before["backbone.text_embedding.weight"]
    )


def test_insulation_does_not_change_what_is_predicted() -> None:
    insulated = Trainer(make_model(), OptimizerConfig(insulation=True), 10).validate(make_robot())
    assert insulated == Trainer(make_model(), OptimizerConfig(), 10).validate(make_robot())


# --------------------------------------------------------------------------- places


def test_a_place_is_said_in_coarse_words_near_the_true_one() -> None:
    for share in np.linspace(0, 1, 50):
        ((row, column),) = parse_locations(coarse(location_words(share, 1 - share)))
        assert abs(row - share) <= 0.54 / PLACE_STEPS
        assert abs(column - (1 - share)) <= 0.54 / PLACE_STEPS


def test_a_single_place_is_for_both_roles() -> None:
    points = role_points(location_words(0.25, 0.75), {}, "t:0")
    np.testing.assert_allclose(points, [[0.75, 0.25], [0.75, 0.25]], atol=1e-3)


def test_a_box_is_looked_at_in_its_middle() -> None:
    points = role_points(location_words(0.0, 0.5, 0.5, 1.0), {"roles": ["destination"]}, "t:0")
    assert math.isnan(points[0, 0])
    np.testing.assert_allclose(points[1], [0.75, 0.25], atol=1e-3)


def test_roles_are_given_in_the_order_of_the_places() -> None:
    answer = f"{location_words(0.1, 0.2)} {location_words(0.6, 0.7)}"
    points = role_points(answer, {"roles": ["destination", "target"]}, "t:0")
    np.testing.assert_allclose(points, [[0.7, 0.6], [0.2, 0.1]], atol=1e-3)
    assert np.isnan(role_points(answer, {}, "t:0")).all()


@pytest.mark.parametrize("roles", [["target"], ["target", "thing"], "target", [1, 2]])
def test_roles_that_do_not_fit_the_places_are_refused(roles: object) -> None:
    answer = f"{location_words(0.1, 0.2)} {location_words(0.6, 0.7)}"
    with pytest.raises(DataError, match=r"t:0: facts\['roles'\] names one of target, destination for each"):
        role_points(answer, {"roles": roles}, "t:0")

"""Pretrained backbones against transformers' own forward, with the same small random weights."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vla.decoding.answers import answer_greedily
from vla.decoding.token_decoder import Leading, TokenDecoder
from vla.decoding.vlm_tokens import VlmTokens
from vla.embodiment import CameraSpec
from vla.model.vla_model import TOKEN_HEADS, Head, Vocabulary
from vla.model.vlm.families import family_named, transformers_class
from vla.model.vlm.pictures import prepare
from vla.model.vlm.vlm_backbone import VlmBackbone, VlmPrefix
from vla.model.vlm.vlm_config import ActionIds, StateInput, VlmConfig
from vla.model.vlm.vlm_model import VlmModel
from vla.tokens.bins import line_grammar

pytest.importorskip("transformers")

from vla.testing.tiny_vlms import IMAGE_TOKEN, LIBRARY_NAMES, NAMES, SENTENCES, family_of, tiny_architecture, tiny_words

CAMERAS = (CameraSpec("scene", 16, 16), CameraSpec("wrist", 24, 32))
ACTIONS, TOKENS = 7, 5
ANSWER_TOKENS = 6
QUESTIONS = ("which colour?", "where?", "is it red?")


@functools.cache
def make_backbone(name: str, state: StateInput = StateInput.NONE) -> VlmBackbone:
    family, words = family_named(family_of(name)), tiny_words(name)
    config = VlmConfig(
        family.name,
        tiny_architecture(name),
        family.prompt.ids(words),
        family.prompt.instruction,
        text_tokens=text_tokens(name),
        answer_tokens=ANSWER_TOKENS,
        state=state,
        action_ids=ActionIds.LEAST_USED,
        do_actions_descend=family.do_actions_descend,
    )
    torch.manual_seed(0)
    return VlmBackbone(config.with_actions(words, ACTIONS), CAMERAS, state_dim=3).eval()


def text_tokens(name: str) -> int:
    """OpenVLA writes an instruction into a sentence."""
    return 100 if name == "openvla" else 24


def make_model(name: str, head: Head) -> VlmModel:
    backbone = make_backbone(name)
    torch.manual_seed(1)
    vocabulary = Vocabulary(backbone.text_vocabulary_size, ACTIONS)
    return VlmModel(backbone, head, vocabulary, TOKENS).eval()


def pictures(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {camera.name: (3, camera.height, camera.width, 3) for camera in CAMERAS}
    return {name: torch.randint(0, 256, size, dtype=torch.uint8, generator=generator) for name, size in sizes.items()}


@torch.no_grad()
def embed(backbone: VlmBackbone, name: str, seed: int = 0) -> VlmPrefix:
    """Three instructions of different lengths, so that two of them are padded."""
    text, is_padding = tiny_words(name).encode_batch(SENTENCES[:3], text_tokens(name))
    assert len(set(is_padding.sum(1))) > 1
    return backbone.embed(pictures(seed), torch.from_numpy(text), torch.from_numpy(is_padding), torch.zeros(3, 3))


def make_peer(backbone: VlmBackbone) -> Any:
    """The library's whole model around the same weights."""
    whole = transformers_class(backbone.family)(backbone.sizes)
    whole.model = backbone.vlm
    if backbone.lm_head is None:
        whole.lm_head.weight = whole.get_input_embeddings().weight
    else:
        whole.lm_head = backbone.lm_head
    return whole.eval()


def prompt_ids(
    backbone: VlmBackbone, name: str, text: list[int], cameras: tuple[CameraSpec, ...] = CAMERAS
) -> list[int]:
    """The prompt as one would write it by hand, with one image token where a picture's token will be."""
    prompt, image_id = backbone.config.prompt, tiny_words(name).id_of(IMAGE_TOKEN)
    ids: list[Any] = [*prompt.before]
    for camera in cameras:
        rows, columns = backbone.family.grid(backbone.sizes, size_of(backbone, camera))
        ids += [*prompt.picture_open, *[image_id] * (rows * columns), *prompt.picture_close]
    return [*ids, *prompt.opening, *text, *prompt.closing]


def size_of(backbone: VlmBackbone, camera: CameraSpec) -> tuple[int, int]:
    return backbone.family.picture_size(backbone.sizes, camera, 0)


def peer_pictures(backbone: VlmBackbone, row: int, cameras: tuple[CameraSpec, ...] = CAMERAS) -> dict[str, Tensor]:
    style, seen = backbone.family.style, pictures()
    pixels = [prepare(seen[camera.name][row : row + 1], size_of(backbone, camera), style) for camera in cameras]
    if not pixels:
        return {}
    match backbone.family.name:
        case "smolvlm" | "idefics3":
            return {"pixel_values": torch.cat(pixels)[None]}
        case "qwen2_5_vl" | "qwen3_vl":
            from vla.model.vlm.qwen_family import patches_of

            patches, grids = zip(
                *(patches_of(picture, backbone.sizes.vision_config) for picture in pixels), strict=True
            )
            return {"pixel_values": torch.cat(patches), "image_grid_thw": torch.cat(grids)}
        case "florence2":
            return {f"picture_{number}": picture for number, picture in enumerate(pixels)}
        case _:
            return {"pixel_values": torch.cat(pixels)}


def peer_logits(backbone: VlmBackbone, name: str, row: int, continuation: list[int]) -> Tensor:
    prompt = prompt_ids(backbone, name, tiny_words(name).encode(SENTENCES[row]))
    return peer_forward(backbone, name, prompt, continuation, peer_pictures(backbone, row))


@torch.no_grad()
def peer_forward(
    backbone: VlmBackbone, name: str, prompt: list[int], continuation: list[int], more: dict[str, Tensor]
) -> Tensor:
    if is_decoder_alone(backbone):
        return encoded_and_decoded(backbone, name, prompt, continuation, more)
    ids = torch.tensor([prompt + continuation])
    if backbone.family.name == "paligemma":
        more["token_type_ids"] = (torch.arange(ids.shape[1]) >= len(prompt)).long()[None]
    if "image_grid_thw" in more:
        more["mm_token_type_ids"] = (ids == tiny_words(name).id_of(IMAGE_TOKEN)).long()
    return make_peer(backbone)(input_ids=ids, **more).logits[0]


def is_decoder_alone(backbone: VlmBackbone) -> bool:
    """Whether the library has logits of what its decoder reads alone."""
    return backbone.family.num_begin_tokens > 0


def encoded_and_decoded(
    backbone: VlmBackbone, name: str, prompt: list[int], continuation: list[int], more: dict[str, Tensor]
) -> Tensor:
    """Logits of the prompt's last tokens and of what goes on. Pictures of several sizes are looked at one by one."""
    whole, num_begin = make_peer(backbone), backbone.family.num_begin_tokens
    whole.model = copy.deepcopy(whole.model)
    whole.model.language_model.set_input_embeddings(whole.get_input_embeddings())
    read, written = torch.tensor([prompt[:-num_begin]]), torch.tensor([prompt[-num_begin:] + continuation])
    pictures = [more[key] for key in sorted(more)]
    if len(pictures) < 2:
        pixels = pictures[0] if pictures else None
        return whole(input_ids=read, decoder_input_ids=written, pixel_values=pixels).logits[0]
    embedded = whole.get_input_embeddings()(read)
    seen = [whole.get_image_features(picture).pooler_output[0] for picture in pictures]
    embedded[read == tiny_words(name).id_of(IMAGE_TOKEN)] = torch.cat(seen)
    return whole(inputs_embeds=embedded, decoder_input_ids=written).logits[0]


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_logits_of_prefix_and_continuation_are_those_of_transformers(name: str) -> None:
    backbone = make_backbone(name)
    prefix, new = embed(backbone, name), torch.tensor([[5, 6, 7], [8, 9, 10], [11, 12, 13]])
    with torch.no_grad():
        ours = backbone.word_logits(backbone.hidden(prefix, backbone.embed_words(new), True))
    for row in range(3):
        theirs = peer_logits(backbone, name, row, new[row].tolist())
        is_real = torch.cat([~prefix.is_padding[row], torch.ones(3, dtype=torch.bool)])
        assert len(theirs) == (backbone.family.num_begin_tokens + 3 if is_decoder_alone(backbone) else is_real.sum())
        torch.testing.assert_close(ours[row][is_real][-len(theirs) :], theirs, atol=1e-5, rtol=0)
        assert theirs.std() > 0.3  # logits that say something


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_words_reach_the_logits(name: str) -> None:
    backbone = make_backbone(name)
    one, other = embed(backbone, name), embed(backbone, name, seed=1)
    new = backbone.embed_words(torch.tensor([[5]] * 3)).detach()
    with torch.no_grad():
        seen, unseen = backbone(one, new, True), backbone(other, new, True)
    assert (seen - unseen).abs().max() > 1e-3
    assert (seen[0] - seen[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_the_decoder_writes_what_transformers_finds_most_likely(name: str) -> None:
    """Token by token through the cache; what is most likely is asked of the library with all tokens before it."""
    model = make_model(name, Head.AUTOREGRESSIVE)
    backbone, first = model.backbone, model.backbone.config.first_action_id
    assert first is not None
    decoded = TokenDecoder(model, line_grammar(TOKENS, ACTIONS)).decode(embed(backbone, name)).ids
    for row in range(3):
        ids = (decoded[row] + first).tolist()
        theirs = peer_logits(backbone, name, row, ids)[-TOKENS - 1 : -1, first : first + ACTIONS]
        assert theirs.argmax(-1).tolist() == decoded[row].tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_decoding_has_the_logits_of_training(name: str, head: Head) -> None:
    model = make_model(name, head)
    prefix = embed(model.backbone, name)
    actions = torch.randint(0, ACTIONS, (3, TOKENS), generator=torch.Generator().manual_seed(2))
    tokens = VlmTokens(model)
    with torch.no_grad():
        whole = model(prefix, actions)[..., model.vocabulary.num_text :]
        if head is Head.SLOTS:
            found = tokens.slots(prefix.tokens, prefix.is_padding, actions[:, :0])
        else:
            cache = tokens.new_cache(prefix.tokens, TOKENS)
            steps = [tokens.start(prefix.tokens, prefix.is_padding, cache)[:, None]]
            for index in range(1, TOKENS):
                steps.append(tokens.extend(actions[:, index - 1 : index], torch.tensor([index]), cache))
            found = torch.cat(steps, dim=1)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["paligemma", "qwen3_vl", "florence2"])
def test_a_prefix_that_was_read_before_changes_nothing(name: str) -> None:
    model = make_model(name, Head.AUTOREGRESSIVE)
    prefix = embed(model.backbone, name)
    decoder = TokenDecoder(model, line_grammar(TOKENS, ACTIONS))
    leading = Leading("same", prefix.tokens.shape[1])
    fresh = decoder.decode(prefix, leading=leading)
    again = decoder.decode(prefix, leading=leading)
    assert torch.equal(fresh.ids, again.ids)
    torch.testing.assert_close(fresh.log_probability, again.log_probability)


@pytest.mark.parametrize("name", NAMES)
def test_ids_given_up_for_actions_are_no_words_any_more(name: str) -> None:
    model = make_model(name, Head.AUTOREGRESSIVE)
    first = model.backbone.config.first_action_id
    assert first is not None
    prefix = embed(model.backbone, name)
    with torch.no_grad():
        share = model(prefix, torch.zeros((3, TOKENS), dtype=torch.int64)).softmax(-1)
    assert share[..., first : first + ACTIONS].max() == 0
    assert np.isclose(share.sum(-1), 1, atol=1e-5).all()
    assert model.vocabulary.size == share.shape[-1]


def test_proprioception_is_one_token_before_the_closing_ones() -> None:
    without, backbone = make_backbone("smolvlm"), make_backbone("smolvlm", StateInput.PROJECTED)
    assert backbone.num_prefix_tokens == without.num_prefix_tokens + 1
    text, is_padding = tiny_words("smolvlm").encode_batch(SENTENCES[:3], 24)
    state = torch.eye(3)
    with torch.no_grad():
        prefix = backbone.embed(pictures(), torch.from_numpy(text), torch.from_numpy(is_padding), state)
    place = -1 - len(backbone.config.prompt.closing)
    assert not prefix.is_padding[:, place].any()
    assert (prefix.tokens[0, place] - prefix.tokens[1, place]).abs().max() > 1e-3


# --------------------------------------------------------------------------- questions and answers


@torch.no_grad()
def ask(backbone: VlmBackbone, name: str, is_blind: Tensor) -> VlmPrefix:
    """Three questions about the first camera's picture."""
    asked = [tiny_words(name).encode_question(question) for question in QUESTIONS]
    text = torch.zeros(3, text_tokens(name), dtype=torch.int64)
    for row, ids in zip(text, asked, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    is_padding = torch.arange(text.shape[1]) >= torch.tensor([[len(ids)] for ids in asked])
    return backbone.embed_question(pictures()["scene"], is_blind, text, is_padding)


@pytest.mark.parametrize("name", LIBRARY_NAMES)
def test_answers_have_the_logits_that_transformers_gives_them(name: str) -> None:
    """With the picture, and without it: then nothing of it stands in the prompt."""
    model = make_model(name, Head.AUTOREGRESSIVE)
    backbone, answers = model.backbone, torch.tensor([[5, 6, 7], [8, 9, -1], [11, -1, -1]])
    words = model.vocabulary.num_text
    first = backbone.config.first_action_id
    assert first is not None
    for is_blind in (False, True):
        with torch.no_grad():
            ours = model.answer_logits(ask(backbone, name, torch.full((3,), is_blind)), answers)
        for row in range(3):
            cameras = () if is_blind else CAMERAS[:1]
            prompt = prompt_ids(backbone, name, tiny_words(name).encode_question(QUESTIONS[row]), cameras)
            told = answers[row][answers[row] >= 0].tolist()
            theirs = peer_forward(backbone, name, prompt, told[:-1], peer_pictures(backbone, row, cameras))
            said = theirs[-len(told) :]
            own = [index for index in range(words) if not first <= index < first + ACTIONS]
            torch.testing.assert_close(ours[row, : len(told)][:, own], said[:, own], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_with_a_cache_is_that_of_the_plain_forward(name: str) -> None:
    model = make_model(name, Head.AUTOREGRESSIVE)
    for prefix in (ask(model.backbone, name, torch.tensor([False, True, False])), embed(model.backbone, name)):
        found = answer_greedily(model, prefix)
        assert found.shape == (3, ANSWER_TOKENS)
        ids = torch.full((3, ANSWER_TOKENS), -1)
        is_done = torch.zeros(3, dtype=torch.bool)
        for index in range(ANSWER_TOKENS):
            with torch.no_grad():
                logits = model.answer_logits(prefix, ids.clamp(min=0))[:, index, : model.vocabulary.num_text]
            ids[:, index] = logits.argmax(-1).masked_fill(is_done, -1)
            is_done |= ids[:, index] == model.end_id
        torch.testing.assert_close(found, ids)

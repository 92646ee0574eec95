"""A SmolVLM of random weights with all files that a published one has.

LeRobot's SmolVLA reads its configuration, tokenizer and processor; ours reads its configuration, tokenizer and weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.trainers.sizes import PATCH, PIXELS, SCALE, VLM_TEXT, VLM_VISION
from vla.model.vlm.families import family_named, make_transformers_model, sizes_only, transformers_config
from vla.model.vlm.pretrained_files import TOKENIZER
from vla.model.vlm.smolvlm_family import PROMPT

MERGES_UP_TO = 500
"""Ids of the tokenizer but its special ones; few sentences run out of merges before."""
IMAGE = "<image>"
SPECIALS = {
    "image_token": IMAGE,
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


def write_small_vlm(folder: Path, sentences: Sequence[str]) -> None:
    """Write sizes, random weights, processor, and a tokenizer that knows the words of these sentences."""
    tokenizer = _tokenizer(sentences)
    family = family_named("smolvlm")
    tree: dict[str, Any] = {
        "model_type": "smolvlm",
        "image_token_id": tokenizer.token_to_id(IMAGE),
        "vision_config": VLM_VISION,
        "text_config": VLM_TEXT,
        "scale_factor": SCALE,
    }
    tree = sizes_only(json.loads(transformers_config(family, tree).to_json_string()))
    whole: Any = make_transformers_model(family, transformers_config(family, tree))
    whole.save_pretrained(folder)
    (folder / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
    _write_processor(folder)


def _tokenizer(sentences: Sequence[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MERGES_UP_TO,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([*sentences, *["User: Assistant:"] * 50], trainer)
    tokenizer.add_special_tokens([*PROMPT.specials, IMAGE])
    return tokenizer


def _write_processor(folder: Path) -> None:
    from transformers import (
        PreTrainedTokenizerFast,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / TOKENIZER), pad_token="<pad>", extra_special_tokens=SPECIALS
    )
    tokens = (PIXELS // PATCH // SCALE) ** 2
    processor = SmolVLMProcessor(SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor(), image_seq_len=tokens)
    processor.save_pretrained(folder)

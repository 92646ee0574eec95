"""Vision-language models of every known family with random weights and a few tens of thousands of numbers.

They have the files, names and shapes of published ones, so whatever runs with them runs with those:

    python -m vla.testing.tiny_vlms paligemma models/tiny-paligemma
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from vla.files import write_atomically
from vla.model.vlm.families import family_named, make_transformers_model, sizes_only, transformers_config
from vla.model.vlm.openvla_files import write_published
from vla.model.vlm.pictures import IMAGENET_MEAN, IMAGENET_STD
from vla.model.vlm.pretrained_files import TOKENIZER
from vla.tokens.words import PretrainedWords

IMAGE_TOKEN = "<image>"
SENTENCES = (
    "put the red block on the blue pad",
    "push the green cube to the left",
    "pick up the small ball now",
    "move the apple to the sum of one and two",
)
PIXELS, PATCH = 16, 4
"""Of a tower's picture, where its size is fixed, and of a patch."""
LIBRARY_NAMES = ("paligemma", "paligemma2", "smolvlm", "idefics3", "qwen2_5_vl", "qwen3_vl", "internvl", "florence2")
"""Of models whose whole class is in `transformers`."""
NAMES = (*LIBRARY_NAMES, "openvla")

_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": PIXELS,
    "patch_size": PATCH,
    "initializer_range": 0.2,
}
_QWEN_TOWER = {
    "depth": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 32,
    "patch_size": PATCH,
    "spatial_merge_size": 2,
    "initializer_range": 0.2,
}
_LANGUAGE = {
    "vocab_size": 360,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
    "initializer_range": 0.2,
}


_DAVIT = {
    "depths": [1, 1],
    "patch_size": [7, 3],
    "patch_stride": [4, 2],
    "patch_padding": [3, 1],
    "patch_prenorm": [False, True],
    "embed_dim": [8, 16],
    "num_heads": [2, 2],
    "num_groups": [2, 2],
    "window_size": 2,
    "mlp_ratio": 2.0,
    "projection_dim": 32,
    "initializer_range": 0.2,
}


def family_of(name: str) -> str:
    """The family of a tiny model; PaliGemma 2 is of PaliGemma's."""
    return "paligemma" if name == "paligemma2" else name


def tiny_words(name: str) -> PretrainedWords:
    """A tokenizer with this family's special tokens: all bytes, and a few merges."""
    family = family_named(family_of(name))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.add_special_tokens([*family.prompt.specials, IMAGE_TOKEN])
    return family.prompt.words(tokenizer.to_str())


def tiny_architecture(name: str) -> dict[str, Any]:
    """The content of a `config.json`."""
    image_id = tiny_words(name).id_of(IMAGE_TOKEN)
    tree = {"model_type": family_of(name), "image_token_id": image_id, **_parts(name)}
    if name == "openvla":
        return tree
    family = family_named(family_of(name))
    return sizes_only(json.loads(transformers_config(family, tree).to_json_string()))


def _parts(name: str) -> dict[str, Any]:
    language: dict[str, Any] = dict(_LANGUAGE)
    match name:
        case "paligemma" | "paligemma2":
            if name == "paligemma2":
                capped = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8}
                language |= {"model_type": "gemma2", "sliding_window": 4096, **capped}
            else:
                language |= {"model_type": "gemma"}
            tower = {"model_type": "siglip_vision_model", "projection_dim": 32, "vision_use_head": False, **_TOWER}
            return {"vision_config": tower, "text_config": language, "projection_dim": 32}
        case "smolvlm" | "idefics3":
            return {"vision_config": _TOWER, "text_config": {"model_type": "llama", **language}, "scale_factor": 2}
        case "qwen2_5_vl":
            language["rope_parameters"] = _rotation()
            return {
                "vision_config": {**_QWEN_TOWER, "window_size": 16, "fullatt_block_indexes": [1]},
                "text_config": language,
            }
        case "qwen3_vl":
            language["rope_parameters"] = _rotation() | {"mrope_interleaved": True}
            tower = {**_QWEN_TOWER, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
            return {"vision_config": tower, "text_config": language}
        case "internvl":
            tower = {**_TOWER, "image_size": [PIXELS, PIXELS], "patch_size": [PATCH, PATCH]}
            return {"vision_config": tower, "text_config": {"model_type": "qwen2", **language}}
        case "florence2":
            return {"vision_config": _DAVIT, "text_config": _bart(name)}
        case "openvla":
            dino = {"width": 16, "depth": 3, "heads": 2, "patch": PATCH, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
            dino |= {"registers": 2, "has_class_token": True, "layer_scale": 0.5}
            siglip = {"width": 24, "depth": 3, "heads": 2, "patch": PATCH, "mlp_ratio": 2.0, "has_pooling_head": True}
            language["model_type"] = "llama"
            return {
                "vision_towers": [dino, siglip],
                "image_sizes": [PIXELS, PIXELS],
                "text_config": language,
                "n_action_bins": 256,
                "norm_stats": {},
            }
        case _:
            raise ValueError(f"there is no tiny model '{name}' (names: {', '.join(NAMES)})")


def _bart(name: str) -> dict[str, Any]:
    words = tiny_words(name)
    begin, end = words.id_of("<s>"), words.id_of("</s>")
    special = {"pad_token_id": 0, "bos_token_id": begin, "eos_token_id": end, "decoder_start_token_id": end}
    layers = {"encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4, "decoder_attention_heads": 2}
    sizes = {"d_model": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 512}
    own = {"model_type": "bart", "vocab_size": 360, "init_std": 0.2}
    return own | special | layers | sizes


def _rotation() -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


def write_tiny_vlm(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny model as its publisher would: sizes, weights and tokenizer."""
    family = family_named(family_of(name))
    config = transformers_config(family, tiny_architecture(name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole: Any = make_transformers_model(family, config)
    if name == "openvla":
        write_published(whole, tiny_architecture(name), folder, shards=2)
    else:
        whole.save_pretrained(folder)
    write_atomically(folder / TOKENIZER, tiny_words(name).to_json())
    return folder


if __name__ == "__main__":
    write_tiny_vlm(sys.argv[1], Path(sys.argv[2]))

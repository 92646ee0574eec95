"""The OpenVLA layout against independent statements: its forward in plain timm and transformers, its bins by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vla.embodiment import CameraSpec, Field
from vla.errors import CheckpointError, StatisticsError
from vla.interfaces import Observation
from vla.model.vla_model import Head, Vocabulary
from vla.model.vlm.openvla_parts import TOWERS
from vla.model.vlm.pictures import IMAGENET_MEAN, IMAGENET_STD
from vla.model.vlm.pretrained_files import describe, load_weights
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig, StateInput, VlmConfig
from vla.model.vlm.vlm_model import VlmModel
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.openvla_statistics import bins_of_openvla
from vla_policies.checkpoint import load_checkpoint, save_checkpoint
from vla_policies.openvla_import import import_openvla
from vla_policies.token_policy import TokenPolicy

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from vla.testing.tiny_vlms import write_tiny_vlm  # noqa: E402

FIELDS = SMALL_EMBODIMENT.action
NORM_STATS: dict[str, Any] = {
    "small": {
        "action": {
            "q01": [-0.04, -0.03, -0.02, -0.1, 0.0],
            "q99": [0.03, 0.04, 0.05, 0.15, 1.0],
            "mask": [True] * 5,
        },
        "num_transitions": 12,
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_vlm("openvla", tmp_path / "openvla")


def published(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


def make_backbone(folder: Path) -> VlmBackbone:
    choice = PretrainedConfig(family="openvla", path=str(folder), text_tokens=80, state=StateInput.NONE)
    backbone = VlmBackbone(describe(choice)[0], (CameraSpec("scene", 16, 16),), state_dim=3)
    load_weights(backbone, folder)
    return backbone.eval()


def tower(tensors: dict[str, Tensor], place: str, **sizes: Any) -> Any:
    """timm's tower, filled with the published weights by nothing but their names."""
    made = timm.models.vision_transformer.VisionTransformer(
        img_size=16, patch_size=4, depth=3, num_heads=2, num_classes=0, **sizes
    )
    own = {name.removeprefix(place): tensor for name, tensor in tensors.items() if name.startswith(place)}
    made.load_state_dict({name.replace("scale_factor", "gamma"): tensor for name, tensor in own.items()})
    return made.eval()


@torch.no_grad()
def logits_by_hand(folder: Path, picture: Tensor, ids: Tensor) -> Tensor:
    """As the authors compose it: <s>, the patches of the last block but one, the rest of the prompt."""
    tensors, config = published(folder), json.loads((folder / "config.json").read_text())
    places = ("vision_backbone.featurizer.", "vision_backbone.fused_featurizer.")
    dino = tower(tensors, places[0], embed_dim=16, init_values=0.5, reg_tokens=2, class_token=True, no_embed_class=True)
    siglip = tower(tensors, places[1], embed_dim=24, mlp_ratio=2.0, class_token=False, global_pool="map")
    pixels = picture.permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(IMAGENET_MEAN)[:, None, None], torch.tensor(IMAGENET_STD)[:, None, None]
    seen = [
        made.get_intermediate_layers(own, n={len(made.blocks) - 2})[0]
        for made, own in ((dino, (pixels - mean) / std), (siglip, (pixels - 0.5) / 0.5))
    ]
    x = torch.cat(seen, dim=2)
    for name in ("fc1", "fc2", "fc3"):
        x = torch.nn.functional.linear(x, tensors[f"projector.{name}.weight"], tensors[f"projector.{name}.bias"])
        x = x if name == "fc3" else torch.nn.functional.gelu(x)
    text = {key: value for key, value in config["text_config"].items() if key != "model_type"}
    language = transformers.LlamaForCausalLM(transformers.LlamaConfig(**text)).eval()
    place = "language_model."
    language.load_state_dict({name.removeprefix(place): t for name, t in tensors.items() if name.startswith(place)})
    words = language.get_input_embeddings()(ids)
    return language(inputs_embeds=torch.cat([words[:, :1], x, words[:, 1:]], dim=1)).logits


def test_logits_are_those_of_the_published_composition(folder: Path) -> None:
    backbone = make_backbone(folder)
    _, words = describe(PretrainedConfig(family="openvla", path=str(folder)))
    picture = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    text, is_padding = words.encode_batch(["Put THE red block"], 80)
    with torch.no_grad():
        prefix = backbone.embed(
            {"scene": picture}, torch.from_numpy(text), torch.from_numpy(is_padding), torch.zeros(1, 3)
        )
        ours = backbone.word_logits(backbone.hidden(prefix, torch.zeros(1, 0, backbone.width), True))
    said = "In: What action should the robot take to put the red block?\nOut:"
    begin, empty = words.id_of("<s>"), words.id_of("▁")
    ids = torch.tensor([[begin, *words.pieces(said), empty]])
    theirs = logits_by_hand(folder, picture, ids)
    torch.testing.assert_close(ours[0][~prefix.is_padding[0]], theirs[0], atol=1e-5, rtol=0)
    assert theirs.std() > 0.1


def test_all_256_published_ids_decode_to_the_published_actions() -> None:
    """The mapping as the paper's code states it: id = vocabulary - bin, centres between 256 edges, percentiles."""
    tokenizer = bins_of_openvla(NORM_STATS, None, SMALL_EMBODIMENT, horizon=1)
    own = NORM_STATS["small"]["action"]
    edges = np.linspace(-1, 1, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    model = vocabulary_of_llama_2(tokenizer.vocabulary_size)
    for ours in range(256):
        theirs = int(model.text_id(torch.tensor(ours)))
        assert 31744 <= theirs <= 31999
        level = centres[np.clip(32000 - theirs - 1, 0, 254)]
        expected = 0.5 * (level + 1) * (np.array(own["q99"]) - np.array(own["q01"])) + np.array(own["q01"])
        np.testing.assert_allclose(tokenizer.decode([ours] * 5)[0], expected, atol=1e-6)


def test_actions_become_the_published_ids() -> None:
    tokenizer = bins_of_openvla(NORM_STATS, "small", SMALL_EMBODIMENT, horizon=1)
    own = {name: np.array(NORM_STATS["small"]["action"][name]) for name in ("q01", "q99")}
    model = vocabulary_of_llama_2(256)
    generator = np.random.default_rng(0)
    for level in [*generator.uniform(-1.2, 1.2, (50, 5)), np.full(5, -1.0), np.full(5, 1.0)]:
        action = 0.5 * (level + 1) * (own["q99"] - own["q01"]) + own["q01"]
        theirs = 32000 - np.digitize(np.clip(level, -1, 1), np.linspace(-1, 1, 256))
        ours = model.text_id(torch.tensor(tokenizer.encode(action[None].astype(np.float32))))
        # A number on an edge may fall to either side of it in float32.
        assert (np.abs(ours.numpy() - theirs) <= (np.abs(level) >= 1)).all()


def vocabulary_of_llama_2(num_actions: int) -> VlmModel:
    """A model with OpenVLA's vocabulary, whose last ordinary id is 31999, and no other size of it."""
    from vla.model.vlm.families import family_named
    from vla.testing.tiny_vlms import tiny_architecture, tiny_words

    tree = tiny_architecture("openvla")
    tree["text_config"] = {**tree["text_config"], "vocab_size": 32064}
    family, words = family_named("openvla"), tiny_words("openvla")
    config = VlmConfig(
        "openvla",
        tree,
        family.prompt.ids(words),
        family.prompt.instruction,
        text_tokens=8,
        state=StateInput.NONE,
        action_ids=ActionIds.LEAST_USED,
        first_action_id=32000 - num_actions,
        do_actions_descend=family.do_actions_descend,
    )
    backbone = VlmBackbone(config, (CameraSpec("scene", 16, 16),), state_dim=3)
    return VlmModel(backbone, Head.AUTOREGRESSIVE, Vocabulary(32064, num_actions), 5)


def test_the_towers_of_the_published_model_have_timms_own_names_and_shapes() -> None:
    from vla.model.vlm.openvla_parts import _whole_tower

    for name, sizes in TOWERS.items():
        with torch.device("meta"):
            ours = _whole_tower(sizes, 224).state_dict()
            theirs = timm.create_model(name, pretrained=False, num_classes=0, img_size=224).state_dict()
        assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in theirs.items()}


def test_every_bad_weight_is_listed(folder: Path) -> None:
    (shard, *_) = sorted(folder.glob("*.safetensors"))
    tensors = load_file(shard)
    names = sorted(tensors)
    del tensors[names[0]]
    tensors[names[1]] = torch.zeros(3, 1, 2)
    tensors["vision_backbone.featurizer.more"] = torch.zeros(1)
    save_file(tensors, shard)
    with pytest.raises(CheckpointError) as told:
        make_backbone(folder)
    for text in (
        f"1 missing ({names[0]})",
        "1 without a place (vision_backbone.featurizer.more)",
        f"{names[1]} is [3, 1, 2]",
    ):
        assert text in str(told.value)


def test_a_missing_or_damaged_shard_is_named(folder: Path) -> None:
    (_, shard) = sorted(folder.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=f"{shard.name} is not a whole safetensors file"):
        make_backbone(folder)
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"{shard.name} is missing"):
        make_backbone(folder)


def test_statistics_of_another_embodiment_are_refused_field_by_field() -> None:
    wide = json.loads(json.dumps(NORM_STATS))
    wide["small"]["action"]["q99"][3] = 3.0
    with pytest.raises(StatisticsError, match=r"another embodiment: dyaw -0.1 to 3, limits -0.2 to 0.2"):
        bins_of_openvla(wide, None, SMALL_EMBODIMENT, 1)
    narrow = json.loads(json.dumps(NORM_STATS))
    for name in ("q01", "q99", "mask"):
        del narrow["small"]["action"][name][-1]
    with pytest.raises(StatisticsError, match=r"actions have 5 fields, q01, q99 and mask \[4, 4, 4\]"):
        bins_of_openvla(narrow, None, SMALL_EMBODIMENT, 1)
    with pytest.raises(StatisticsError, match=r"got 'bridge' \(published: small\)"):
        bins_of_openvla(NORM_STATS, "bridge", SMALL_EMBODIMENT, 1)


def test_a_field_that_is_masked_out_is_read_from_minus_one_to_one() -> None:
    import dataclasses

    gripper = Field("gripper", "1", -1.0, 1.0)
    body = dataclasses.replace(SMALL_EMBODIMENT, action=(*FIELDS[:-1], gripper))
    masked = json.loads(json.dumps(NORM_STATS))
    masked["small"]["action"]["mask"][-1] = False
    tokenizer = bins_of_openvla(masked, None, body, 1)
    assert tokenizer.decode([0] * 5)[0, -1] == pytest.approx(-1 + 1 / 255)
    with pytest.raises(StatisticsError, match="gripper -1 to 1, limits 0 to 1"):
        bins_of_openvla(masked, None, SMALL_EMBODIMENT, 1)


def test_an_imported_policy_acts_with_the_published_weights(folder: Path, tmp_path: Path) -> None:
    from vla.testing import make_observation

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"norm_stats": NORM_STATS}))
    many = tmp_path / "words"
    with pytest.raises(Exception, match=r"256 action tokens do not fit: the tokenizer has \d+ ids"):
        import_openvla(folder, SMALL_EMBODIMENT, "small")
    give_room(folder)
    save_checkpoint(many, import_openvla(folder, SMALL_EMBODIMENT, "small", text_tokens=96))
    checkpoint = load_checkpoint(many)
    assert isinstance(checkpoint.backbone, VlmConfig)
    assert "norm_stats" not in checkpoint.backbone.architecture
    policy = TokenPolicy(checkpoint, device="cpu", batch_size=2)
    observation: Observation = make_observation(SMALL_EMBODIMENT, seed=0)
    (chunk,) = policy.predict([observation])
    low, high = (np.array(NORM_STATS["small"]["action"][name]) for name in ("q01", "q99"))
    assert ((chunk.actions >= low - 1e-6) & (chunk.actions <= high + 1e-6)).all()


def give_room(folder: Path) -> None:
    """Let the tokenizer and the model have 300 more words."""
    from tokenizers import Tokenizer

    tree = json.loads((folder / "tokenizer.json").read_text())
    taken = {token["id"] for token in tree["added_tokens"]}
    first = max([*tree["model"]["vocab"].values(), *taken]) + 1
    tree["model"]["vocab"] |= {f"word{number}": first + number for number in range(300)}
    (folder / "tokenizer.json").write_text(json.dumps(tree))
    Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = first + 300
    (folder / "config.json").write_text(json.dumps(config))
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        for name in ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight"):
            if name in tensors:
                tensors[name] = torch.randn(first + 300, tensors[name].shape[1]) * 0.2
        save_file(tensors, file)

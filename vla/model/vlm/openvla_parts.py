"""The layout of Prismatic VLMs and OpenVLA: DINOv2 and SigLIP side by side, a projector, a Llama.

    picture ─► DINOv2, last block but one ─┐
            ─► SigLIP, last block but one ─┴─► fc1, GELU, fc2, GELU, fc3 ─► language model

Towers are whole, with the last block and the heads that nobody reads, because published weights have them.

Sources: Prismatic VLMs (arXiv:2402.07865), OpenVLA (arXiv:2406.09246); the towers are timm's, the Llama transformers'.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vla.errors import ConfigError
from vla.libraries import require_library
from vla.model.vlm.pictures import HALVES, IMAGENET_MEAN, IMAGENET_STD, Triple


@dataclasses.dataclass(frozen=True)
class WholeTower:
    """The sizes of a vision transformer."""

    width: int
    depth: int
    heads: int
    patch: int
    mlp_ratio: float = 4.0
    registers: int = 0
    has_class_token: bool = False
    layer_scale: float | None = None
    has_pooling_head: bool = False
    mean: Triple = HALVES
    std: Triple = HALVES

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> WholeTower:
        """Sizes that a configuration spells out."""
        known = {field.name: tree[field.name] for field in dataclasses.fields(WholeTower) if field.name in tree}
        triples: dict[str, Any] = {name: tuple(known[name]) for name in ("mean", "std") if name in known}
        return WholeTower(**{**known, **triples})


TOWERS = {
    "vit_large_patch14_reg4_dinov2.lvd142m": WholeTower(
        width=1024,
        depth=24,
        heads=16,
        patch=14,
        registers=4,
        has_class_token=True,
        layer_scale=1e-5,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ),
    "vit_so400m_patch14_siglip_224": WholeTower(
        width=1152, depth=27, heads=16, patch=14, mlp_ratio=3.7362, has_pooling_head=True
    ),
}
"""By the names that published configurations use."""


@dataclasses.dataclass(frozen=True)
class OpenVlaSizes:
    """What a published `config.json` says, as far as it is sizes."""

    towers: tuple[WholeTower, ...]
    image_size: int
    text_config: Any
    """Of `transformers`: a Llama's."""

    def get_text_config(self) -> Any:
        return self.text_config

    @property
    def patch(self) -> int:
        return self.towers[0].patch


def openvla_sizes(tree: Mapping[str, Any]) -> OpenVlaSizes:
    """The sizes in a published configuration.

    Raises:
        ConfigError: if it names a tower that is not known here, or towers that do not go together.
    """
    from transformers import LlamaConfig

    spelled = tree.get("vision_towers")
    names = [str(name) for name in tree.get("timm_model_ids", ())]
    unknown = [] if spelled else [name for name in names if name not in TOWERS]
    if unknown:
        raise ConfigError(f"unknown vision towers {', '.join(unknown)} (known: {', '.join(TOWERS)})")
    towers = tuple(WholeTower.from_json(tower) for tower in spelled) if spelled else tuple(TOWERS[n] for n in names)
    sizes = {int(size) for size in tree.get("image_sizes", (224,))}
    if not towers or len(sizes) != 1 or len({tower.patch for tower in towers}) != 1:
        raise ConfigError(f"towers need one size of pictures and of patches, got {towers} at {sorted(sizes)} pixels")
    text = {key: value for key, value in tree.get("text_config", {}).items() if key != "model_type"}
    return OpenVlaSizes(towers, sizes.pop(), LlamaConfig(**text))


class OpenVlaParts(nn.Module):
    """Towers, projector and language model."""

    def __init__(self, sizes: OpenVlaSizes, language_model: nn.Module) -> None:
        super().__init__()
        self.sizes = sizes
        self.towers = nn.ModuleList(_whole_tower(tower, sizes.image_size) for tower in sizes.towers)
        seen = sum(tower.width for tower in sizes.towers)
        self.projector = Projector(seen, int(sizes.text_config.hidden_size), is_fused=len(sizes.towers) > 1)
        self.language_model = language_model

    def look(self, pixels: Float[Tensor, "batch 3 rows columns"]) -> Float[Tensor, "batch tokens width"]:
        """What the language model reads of pictures.

        Args:
            pixels: RGB in 0..1; each tower normalises as it was trained.
        """
        features = []
        for tower, sizes in zip(self.towers, self.sizes.towers, strict=True):
            channels = zip(pixels.unbind(1), sizes.mean, sizes.std, strict=True)
            own = torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)
            features += cast(Any, tower).forward_intermediates(
                own, [sizes.depth - 2], stop_early=True, intermediates_only=True, output_fmt="NLC"
            )
        return self.projector(torch.cat(features, dim=-1))


class Projector(nn.Module):
    """Linear layers with GELU between them: three behind two towers, two behind one."""

    def __init__(self, seen: int, width: int, *, is_fused: bool) -> None:
        super().__init__()
        widths = [seen, 4 * seen, width, width] if is_fused else [seen, width, width]
        self.layers = [f"fc{number}" for number in range(1, len(widths))]
        for name, (before, after) in zip(self.layers, itertools.pairwise(widths), strict=True):
            self.add_module(name, nn.Linear(before, after))

    def forward(self, x: Float[Tensor, "batch tokens seen"]) -> Float[Tensor, "batch tokens width"]:
        for name in self.layers[:-1]:
            x = nn.functional.gelu(self.get_submodule(name)(x))
        return self.get_submodule(self.layers[-1])(x)


class OpenVlaWhole(nn.Module):
    """The parts, and the language model's head."""

    def __init__(self, sizes: OpenVlaSizes) -> None:
        super().__init__()
        from transformers import LlamaForCausalLM

        language: Any = LlamaForCausalLM(sizes.text_config)
        self.model = OpenVlaParts(sizes, language.model)
        self.lm_head = language.lm_head


def _whole_tower(tower: WholeTower, image_size: int) -> nn.Module:
    require_library("timm", what="a vision tower", extra="backbones")
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_size,
        patch_size=tower.patch,
        embed_dim=tower.width,
        depth=tower.depth,
        num_heads=tower.heads,
        mlp_ratio=tower.mlp_ratio,
        init_values=tower.layer_scale,
        class_token=tower.has_class_token,
        reg_tokens=tower.registers,
        no_embed_class=tower.has_class_token,
        num_classes=0,
        global_pool="map" if tower.has_pooling_head else "token" if tower.has_class_token else "",
    )

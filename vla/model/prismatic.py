"""Vision towers, a projector and a language model: the layout of OpenVLA and of PaliGemma, by sizes alone.

    view ─► tower, tower, ... ─► features side by side ─► projector ─► image tokens ┐
    view ─► ...                                                                     ├─► prefix ─► LlamaDecoder
    instruction ─► embedding ───────────────────────────────────────────────────────┘

With `text_first` the instruction comes before the pictures: in a causal prefix its keys and values then stay the same
from frame to frame, for as long as the instruction does.

Sources: Prismatic VLMs (arXiv:2402.07865), OpenVLA (arXiv:2406.09246), PaliGemma (arXiv:2407.07726); the towers are
timm's vision transformer.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from vla.libraries import require_library
from vla.model.llama import GEMMA_2B, LlamaConfig, LlamaDecoder

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

HALVES = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # timm's constants of the same name


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """A vision transformer, as far as its features are used."""

    width: int
    blocks: int
    """Those that the features pass."""
    heads: int
    mlp_ratio: float = 4.0
    image_size: int = 224
    patch: int = 14
    registers: int = 0
    has_class_token: bool = False
    layer_scale: float | None = None
    final_norm: bool = False
    mean: tuple[float, float, float] = HALVES
    std: tuple[float, float, float] = HALVES


# timm's vit_large_patch14_reg4_dinov2 and vit_so400m_patch14_siglip_224; Prismatic skips their last block.
DINOV2_LARGE = TowerConfig(
    width=1024,
    blocks=23,
    heads=16,
    registers=4,
    has_class_token=True,
    layer_scale=1e-5,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
SIGLIP_SO400M = TowerConfig(width=1152, blocks=26, heads=16, mlp_ratio=4304 / 1152)


OPENVLA_LANGUAGE = LlamaConfig(vocabulary_size=32064)


@dataclasses.dataclass(frozen=True)
class PrismaticConfig:
    """The sizes of a vision-language model; OpenVLA's if nothing is given."""

    towers: tuple[TowerConfig, ...] = (DINOV2_LARGE, SIGLIP_SO400M)
    language: LlamaConfig = OPENVLA_LANGUAGE
    projector_widths: tuple[int, ...] = (4 * (1024 + 1152), 4096)
    """Of the projector's hidden layers."""
    views: int = 1
    text_tokens: int = 32
    text_first: bool = False
    is_prefix_causal: bool = True


OPENVLA_7B = PrismaticConfig()
PALIGEMMA_3B = PrismaticConfig(
    towers=(dataclasses.replace(SIGLIP_SO400M, blocks=27, final_norm=True),),
    language=GEMMA_2B,
    projector_widths=(),
    views=2,
    is_prefix_causal=False,
)


@dataclasses.dataclass(frozen=True)
class PrismaticPrefix:
    """Everything seen and said, embedded."""

    tokens: Float[Tensor, "batch tokens width"]
    is_padding: Bool[Tensor, "batch tokens"]


class PrismaticBackbone(nn.Module):
    """Embeds pictures and an instruction for its language model."""

    def __init__(self, config: PrismaticConfig) -> None:
        super().__init__()
        self.config = config
        self.towers = nn.ModuleList(_tower(tower) for tower in config.towers)
        widths = [sum(tower.width for tower in config.towers), *config.projector_widths, config.language.width]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.GELU(), nn.Linear(before, after)] if layers else [nn.Linear(before, after)]
        self.projector = nn.Sequential(*layers)
        self.decoder = LlamaDecoder(config.language)

    @staticmethod
    def with_random_weights(config: PrismaticConfig, device: torch.device, dtype: torch.dtype) -> PrismaticBackbone:
        """For measuring time, which depends on sizes alone. No copy in another type is made on the way."""
        with torch.device("meta"):
            backbone = PrismaticBackbone(config).to(dtype)
        backbone = backbone.to_empty(device=device).eval()
        backbone.decoder.tie()
        for parameter in backbone.parameters():
            nn.init.normal_(parameter, std=0.02)
        return backbone

    def embed(
        self,
        images: UInt8[Tensor, "batch views height width 3"],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
    ) -> PrismaticPrefix:
        """The prefix.

        Args:
            images: RGB, of the towers' size.
        """
        seen = self._look(images)
        words = self.decoder.embed(text)
        is_seen_padding = text_is_padding.new_zeros(seen.shape[:2])
        parts = [(seen, is_seen_padding), (words, text_is_padding)]
        tokens, is_padding = zip(*(parts[::-1] if self.config.text_first else parts), strict=True)
        return PrismaticPrefix(torch.cat(tokens, dim=1), torch.cat(is_padding, dim=1))

    def _look(
        self, images: UInt8[Tensor, "batch views height width 3"]
    ) -> Float[Tensor, "batch image_tokens language_width"]:
        dtype = self.decoder.norm.weight.dtype
        pixels = images.flatten(0, 1).permute(0, 3, 1, 2).to(dtype) / 255
        features = []
        for tower, config in zip(self.towers, self.config.towers, strict=True):
            # Channel by channel: numbers from the host would break a graph's capture.
            channels = zip(pixels.unbind(1), config.mean, config.std, strict=True)
            normalised = torch.stack([(channel - mean) / std for channel, mean, std in channels], dim=1)
            tokens = cast("VisionTransformer", tower).forward_features(normalised)
            features.append(tokens[:, -((config.image_size // config.patch) ** 2) :])  # no class token, no registers
        return self.projector(torch.cat(features, dim=-1)).unflatten(0, images.shape[:2]).flatten(1, 2)


def _tower(config: TowerConfig) -> VisionTransformer:
    """timm's, without weights.

    Raises:
        ConfigError: if timm is not installed.
    """
    require_library("timm", what="a vision tower", extra="backbones")
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch,
        embed_dim=config.width,
        depth=config.blocks,
        num_heads=config.heads,
        mlp_ratio=config.mlp_ratio,
        init_values=config.layer_scale,
        class_token=config.has_class_token,
        reg_tokens=config.registers,
        no_embed_class=config.has_class_token,
        final_norm=config.final_norm,
        num_classes=0,
        global_pool="",
    )

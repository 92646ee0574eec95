"""`compact`: a vision-language backbone small enough to train from scratch on two CPU cores.

    scene  ─► patches ─► convolutions ─► feature map ──┐
    wrist  ─► patches ─► convolutions ─► feature map ──┤ language-queried connector ─► image tokens ┐
    instruction ─► text tokens ─► text blocks ─► queries ┘                                          ├─► prefix
                                       └────────────────────────────────────────────► text tokens ┤
    proprioception and where the named queries looked ─► one token ────────────────────────────── ┘

The connector asks the feature maps questions that the instruction's tokens answer: each query attends to the text to
become a vector, and that vector attends to the image to become one token, of what is there and where it is. The first
two queries, *target* and *destination*, have names, because training may show them where to look (`Grounding`).

Who attends to whom, in the decoder: prefix tokens attend to all prefix tokens that are not padding; what follows the
prefix attends to the prefix and, as its head says, to all slots at once or to what came before.

Sources: the connector is a Q-Former (arXiv:2301.12597) of one layer that returns where it looked, as in spatial
softmax (arXiv:1504.00702).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.model.transformer import Block, KeyValueCache, Transformer

PATCH = 4
ROLES = ("target", "destination")


@dataclasses.dataclass
class CompactConfig:
    """The size of the compact backbone."""

    width: int = 128
    """Of every token."""
    layers: int = 3
    """Of the decoder."""
    text_layers: int = 1
    """Of the blocks that the text passes before it queries the images."""
    heads: int = 4
    mlp_ratio: int = 4
    channels: int = 48
    """Of the image feature maps."""
    image_queries: int = 4
    """Tokens a camera; the first two of the first camera are the named roles."""
    text_tokens: int = 16
    """The longest instruction, in tokens."""


@dataclasses.dataclass(frozen=True)
class Prefix:
    """Everything seen and said, embedded, with its padding mask."""

    tokens: Float[Tensor, "batch tokens width"]
    is_padding: Bool[Tensor, "batch tokens"]
    grounding: Float[Tensor, "batch roles cells"]
    """Attention logits of the named roles over the first camera's cells, row by row."""


class CompactBackbone(nn.Module):
    """Embeds a prefix, and continues it."""

    def __init__(
        self, config: CompactConfig, cameras: Sequence[CameraSpec], state_dim: int, text_vocabulary_size: int
    ) -> None:
        super().__init__()
        if config.image_queries < len(ROLES):
            raise ValueError(f"image_queries must be at least {len(ROLES)}, got {config.image_queries}")
        self.config = config
        self.camera_names = [camera.name for camera in cameras]
        width = config.width
        self.text_embedding = nn.Embedding(text_vocabulary_size, width)
        self.text_position = nn.Parameter(torch.randn(config.text_tokens, width) * 0.02)
        self.text_blocks = nn.ModuleList(
            Block(width, config.heads, config.mlp_ratio) for _ in range(config.text_layers)
        )
        self.vision = nn.ModuleList(FeatureMap(camera, config.channels) for camera in cameras)
        self.connectors = nn.ModuleList(LanguageQueriedConnector(config, camera) for camera in cameras)
        self.state_embedding = nn.Sequential(
            nn.Linear(state_dim + 2 * len(ROLES), 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, width),
        )
        self.decoder = Transformer(width, config.layers, config.heads, config.mlp_ratio)
        self.apply(_initialise)

    @property
    def width(self) -> int:
        return self.config.width

    @property
    def num_prefix_tokens(self) -> int:
        return len(self.camera_names) * self.config.image_queries + self.config.text_tokens + 1

    def embed(
        self,
        images: Mapping[str, UInt8[Tensor, "batch height width 3"]],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
        state: Float[Tensor, "batch state_dim"],
    ) -> Prefix:
        """The prefix: image tokens, text tokens, one state token.

        Args:
            images: by camera name; RGB.
            state: normalised proprioception.
        """
        words = self.text_embedding(text) + self.text_position
        blocked = text_is_padding[:, None, None, :]
        for block in self.text_blocks:
            words = block(words, blocked)
        answers = [
            connector(vision(images[name], dtype=words.dtype), words, text_is_padding)
            for name, vision, connector in zip(self.camera_names, self.vision, self.connectors, strict=True)
        ]
        seen = [answer.tokens for answer in answers]
        points = answers[0].points[:, : len(ROLES)].flatten(1)
        state_token = self.state_embedding(torch.cat([state.to(points.dtype), points], dim=-1))[:, None]
        tokens = torch.cat([*seen, words, state_token], dim=1)
        is_padding = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        start = sum(part.shape[1] for part in seen)
        is_padding[:, start : start + text.shape[1]] = text_is_padding
        return Prefix(tokens, is_padding, answers[0].logits[:, : len(ROLES)])

    def forward(
        self, prefix: Prefix, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of the slots that follow a prefix, computed in one pass."""
        num_prefix, num_slots = prefix.tokens.shape[1], slots.shape[1]
        blocked = prefix.tokens.new_zeros(
            (len(slots), 1, num_prefix + num_slots, num_prefix + num_slots), dtype=torch.bool
        )
        blocked[:, :, :, :num_prefix] = prefix.is_padding[:, None, None, :]
        blocked[:, :, :num_prefix, num_prefix:] = True
        if is_causal:
            ahead = torch.ones(num_slots, num_slots, dtype=torch.bool, device=slots.device).triu(1)
            blocked[:, :, num_prefix:, num_prefix:] = ahead
        return self.decoder(torch.cat([prefix.tokens, slots], dim=1), blocked)[:, num_prefix:]

    def prefill(self, prefix: Prefix, capacity: int) -> KeyValueCache:
        """A cache that holds the prefix and has room for `capacity` more tokens."""
        batch, num_prefix = prefix.is_padding.shape
        cache = KeyValueCache.allocate(self.decoder, batch, num_prefix + capacity, prefix.tokens)
        self.decoder(prefix.tokens, prefix.is_padding[:, None, None, :], cache)
        return cache

    def extend(
        self, prefix: Prefix, cache: KeyValueCache, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of slots that follow what the cache holds, which they then join."""
        batch, num_prefix = prefix.is_padding.shape
        num_new, seen = slots.shape[1], cache.length + slots.shape[1]
        blocked = torch.zeros((batch, 1, num_new, seen), dtype=torch.bool, device=slots.device)
        blocked[..., :num_prefix] = prefix.is_padding[:, None, None, :]
        if is_causal:
            ahead = torch.ones(num_new, num_new, dtype=torch.bool, device=slots.device).triu(1)
            blocked[..., cache.length :] = ahead
        return self.decoder(slots, blocked, cache)


class FeatureMap(nn.Module):
    """Pixels to features: 4 x 4 patches, then two 3 x 3 convolutions around residuals."""

    def __init__(self, camera: CameraSpec, channels: int) -> None:
        super().__init__()
        if camera.height % PATCH or camera.width % PATCH:
            raise ValueError(
                f"camera '{camera.name}' must be a multiple of {PATCH} pixels, got {camera.height} x {camera.width}"
            )
        rows, columns = camera.height // PATCH, camera.width // PATCH
        self.patches = nn.Conv2d(3, channels, PATCH, PATCH)
        self.position = nn.Parameter(torch.randn(channels, rows, columns) * 0.02)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(
        self, image: UInt8[Tensor, "batch height width 3"], dtype: torch.dtype
    ) -> Float[Tensor, "batch cells channels"]:
        pixels = image.permute(0, 3, 1, 2).to(dtype) * (2 / 255) - 1
        x = self.patches(pixels) + self.position
        for convolution in self.convolutions:
            x = x + convolution(torch.relu(x))
        return x.flatten(2).transpose(1, 2)


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the questions to one image found."""

    tokens: Float[Tensor, "batch queries width"]
    points: Float[Tensor, "batch queries 2"]
    """Where each looked on average, u right and v down, from -2 to 2."""
    logits: Float[Tensor, "batch queries cells"]
    """Of the attention that made them."""


class LanguageQueriedConnector(nn.Module):
    """A few tokens a camera, each the answer to a question that the text asks."""

    def __init__(self, config: CompactConfig, camera: CameraSpec) -> None:
        super().__init__()
        width, channels, queries = config.width, config.channels, config.image_queries
        self.queries = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.text_key = nn.Linear(width, width, bias=False)
        self.question = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, channels))
        self.key = nn.Linear(channels, channels, bias=False)
        self.answer = nn.Linear(channels + 2, width)
        self.place = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.register_buffer("cells", _cell_centres(camera), persistent=False)

    def forward(
        self,
        features: Float[Tensor, "batch cells channels"],
        words: Float[Tensor, "batch text_tokens width"],
        is_padding: Bool[Tensor, "batch text_tokens"],
    ) -> Answers:
        """What the questions found."""
        relevance = self.queries.to(words.dtype) @ self.text_key(words).transpose(1, 2)  # (batch, queries, text_tokens)
        relevance = relevance.masked_fill(is_padding[:, None, :], torch.finfo(relevance.dtype).min)
        questions = self.question(relevance.softmax(-1).to(words.dtype) @ words + self.queries)
        logits = questions @ self.key(features).transpose(1, 2)  # (batch, queries, cells)
        weights = logits.softmax(-1).to(features.dtype)
        points = (weights @ self.cells.to(weights.dtype) - 0.5) * 4
        return Answers(self.answer(torch.cat([weights @ features, points], dim=-1)) + self.place, points, logits)


def _cell_centres(camera: CameraSpec) -> Float[Tensor, "cells 2"]:
    """Where each cell's centre lies in the image: u right, v down, in 0..1."""
    rows, columns = camera.height // PATCH, camera.width // PATCH
    v, u = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([u.flatten(), v.flatten()], dim=-1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

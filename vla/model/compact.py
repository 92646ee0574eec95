"""`compact`: a vision-language backbone small enough to train from scratch on two CPU cores.

    scene  ─► patches ─► convolutions ─► feature map ──┐
    wrist  ─► patches ─► convolutions ─► feature map ──┤ language-queried connector ─► image tokens ┐
    instruction ─► text tokens ─► text blocks ─► queries ┘                                          ├─► prefix
                                       └────────────────────────────────────────────► text tokens ┤
    proprioception and where the named queries looked ─► one token, or one a number ────────────── ┘

With a history, what the same queries found in the frames before is resampled over time (`causal_resampler.py`), and
stands behind the image tokens.

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
import enum
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from vla.embodiment import CameraSpec
from vla.model.backbone import Past, require_past
from vla.model.cache import KeyValueCache
from vla.model.causal_resampler import CausalResampler
from vla.model.masks import following, side_by_side
from vla.model.tower import STRIDE, ResidualTower, Tower, TowerMap
from vla.model.transformer import Block, Transformer
from vla.tokens.state import StateTokenizer

PATCH = 4
ROLES = ("target", "destination")


class StateEncoding(enum.Enum):
    """How proprioception enters the prefix."""

    PROJECTED = "projected"
    """As one token, a projection of all its numbers."""
    TOKENS = "tokens"
    """As one token a number, each a bin (`vla.tokens.state`), behind the token of where the named queries looked."""


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
    tower: Tower = Tower.STEM
    """What looks at the pictures."""
    channels: int = 48
    """Of the image feature maps."""
    image_queries: int = 4
    """Tokens a camera; the first two of the first camera are the named roles."""
    text_tokens: int = 16
    """The longest instruction, in tokens."""
    state: StateEncoding = StateEncoding.PROJECTED
    """How proprioception enters the prefix."""
    answer_tokens: int = 0
    """The longest answer in words, its end included, in tokens; 0 leaves the model without a voice."""
    focus: float = 1.0
    """Factor on the attention logits of the named queries once the model has learned: above 1 a query that is torn
    between two things looks at the likelier one, and not at a place between them. Training knows nothing of it."""
    history: int = 1
    """Frames of each camera that are seen at once, the present one included, a control step apart: what the queries
    found in them becomes as many tokens again, by a resampler over time."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"state": self.state.value, "tower": self.tower.value}

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> CompactConfig:
        """The configuration that `to_json` wrote; what it lacks has its default."""
        named = {
            "state": StateEncoding(tree.get("state", StateEncoding.PROJECTED.value)),
            "tower": Tower(tree.get("tower", Tower.STEM.value)),
        }
        return CompactConfig(**{**tree, **named})

    @property
    def cell_pixels(self) -> int:
        """Side of the square of pixels that a cell of a feature map stands for."""
        return PATCH if self.tower is Tower.STEM else STRIDE


@dataclasses.dataclass(frozen=True)
class Prefix:
    """Everything seen and said, embedded, with its padding mask."""

    tokens: Float[Tensor, "batch tokens width"]
    is_padding: Bool[Tensor, "batch tokens"]
    grounding: Float[Tensor, "batch roles cells"]
    """Attention logits of the named roles over the first camera's cells, row by row."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """An instruction, and what it asks of the pictures."""

    words: Float[Tensor, "batch text_tokens width"]
    is_padding: Bool[Tensor, "batch text_tokens"]
    questions: tuple[Float[Tensor, "batch queries channels"], ...]
    """By camera."""


class CompactBackbone(nn.Module):
    """Embeds a prefix, and continues it."""

    def __init__(
        self, config: CompactConfig, cameras: Sequence[CameraSpec], state_dim: int, text_vocabulary_size: int
    ) -> None:
        super().__init__()
        if config.image_queries < len(ROLES):
            raise ValueError(f"image_queries must be at least {len(ROLES)}, got {config.image_queries}")
        if not config.focus > 0:
            raise ValueError(f"focus must be above 0, got {config.focus}")
        if config.history < 1:
            raise ValueError(f"history counts the present frame: expected 1 or more, got {config.history}")
        self.config = config
        self.camera_names = [camera.name for camera in cameras]
        width = config.width
        self.text_embedding = nn.Embedding(text_vocabulary_size, width)
        self.text_position = nn.Parameter(torch.randn(config.text_tokens, width) * 0.02)
        self.text_blocks = nn.ModuleList(
            Block(width, config.heads, config.mlp_ratio) for _ in range(config.text_layers)
        )
        has_stem = config.tower is Tower.STEM
        feature_map = FeatureMap if has_stem else TowerMap
        self.vision = nn.ModuleList(feature_map(camera, config.channels) for camera in cameras)
        self.connectors = nn.ModuleList(
            LanguageQueriedConnector(config, camera, is_first=number == 0) for number, camera in enumerate(cameras)
        )
        self.state_tokenizer = StateTokenizer() if config.state is StateEncoding.TOKENS else None
        projected = 2 * len(ROLES)
        if self.state_tokenizer is None:
            projected += state_dim
        else:
            self.state_tokens = nn.Embedding(self.state_tokenizer.num_bins, width)
            self.state_field = nn.Parameter(torch.randn(state_dim, width) * 0.02)
        self.num_state_tokens = 1 if self.state_tokenizer is None else 1 + state_dim
        self.state_embedding = nn.Sequential(
            nn.Linear(projected, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, width),
        )
        self.decoder = Transformer(width, config.layers, config.heads, config.mlp_ratio)
        self.prompt: nn.Parameter | None = None
        """Vectors before the words (`vla.model.lora`)."""
        self.apply(_initialise)
        self.tower = None if has_stem else ResidualTower(config.tower)
        self.memory = nn.ModuleList(
            CausalResampler(width, width, config.image_queries, config.history)
            for _ in (cameras if config.history > 1 else ())
        )
        """Of each camera, where there is a history."""

    @property
    def width(self) -> int:
        return self.config.width

    @property
    def is_prefix_causal(self) -> bool:
        return False

    @property
    def num_prefix_tokens(self) -> int:
        num_seen = (len(self.camera_names) + len(self.memory)) * self.config.image_queries
        return num_seen + self._num_prompt + self.config.text_tokens + self.num_state_tokens

    @property
    def _num_prompt(self) -> int:
        return 0 if self.prompt is None else len(self.prompt)

    def add_prompt(self, num_tokens: int) -> None:
        """Put so many vectors before the words, as large as words are."""
        self.prompt = nn.Parameter(torch.randn(num_tokens, self.width) * self.text_embedding.weight.detach().std())

    def _prompted(self, words: Float[Tensor, "batch text_tokens width"]) -> list[Tensor]:
        """The prompt, if there is one, then the words."""
        return [words] if self.prompt is None else [self.prompt.to(words.dtype).expand(len(words), -1, -1), words]

    def embed(
        self,
        images: Mapping[str, UInt8[Tensor, "batch height width 3"]],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
        state: Float[Tensor, "batch state_dim"],
        *,
        insulated: bool = False,
        past: Past | None = None,
    ) -> Prefix:
        """The prefix: image tokens, those of a history, text tokens, state tokens.

        Args:
            images: by camera name; RGB.
            state: normalised proprioception.
            insulated: whether gradients through the prefix's tokens end before what sees and reads; those through its
                `grounding` do not (arXiv:2505.23705).
            past: the frames before the present ones; None where the history is one frame.
        """
        return self.look(images, self.read(text, text_is_padding), state, insulated=insulated, past=past)

    def embed_question(
        self,
        image: UInt8[Tensor, "batch height width 3"],
        is_blind: Bool[Tensor, " batch"],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
    ) -> Prefix:
        """The prefix of a question about one picture, or about none: image tokens, text tokens.

        It is the prefix of `embed` without the other cameras and the state: nobody sees padding, and places are
        embedded, not counted, so a token that is not there is one that is masked.

        Args:
            image: as the first camera would take it; RGB.
            is_blind: where there is no picture: its tokens are padding.
        """
        reading = self.read(text, text_is_padding)
        answers = self._answers(0, self._feature_maps([image], reading.words.dtype)[0], reading)
        blind = is_blind[:, None].expand(-1, answers.tokens.shape[1])
        return Prefix(
            torch.cat([answers.tokens, *self._prompted(reading.words)], dim=1),
            torch.cat([blind, blind.new_zeros(len(blind), self._num_prompt), text_is_padding], dim=1),
            answers.logits[:, : len(ROLES)],
        )

    def read(
        self, text: Int64[Tensor, "batch text_tokens"], text_is_padding: Bool[Tensor, "batch text_tokens"]
    ) -> Reading:
        """All that depends on the instruction alone: it stays the same from frame to frame."""
        words = self.text_embedding(text) + self.text_position[: text.shape[1]]
        blocked = text_is_padding[:, None, None, :]
        for block in self.text_blocks:
            words = block(words, blocked)
        questions = tuple(connector.ask(words, text_is_padding) for connector in self._connectors)
        return Reading(words, text_is_padding, questions)

    def look(
        self,
        images: Mapping[str, UInt8[Tensor, "batch height width 3"]],
        reading: Reading,
        state: Float[Tensor, "batch state_dim"],
        *,
        insulated: bool = False,
        past: Past | None = None,
    ) -> Prefix:
        """The prefix of an instruction that was read; see `embed`."""
        require_past(past, self.config.history)
        words = reading.words
        maps = self._feature_maps([images[name] for name in self.camera_names], words.dtype)
        answers = [self._answers(number, features, reading) for number, features in enumerate(maps)]
        seen = [answer.tokens for answer in answers]
        points = answers[0].points[:, : len(ROLES)].flatten(1)
        if insulated:
            seen, words, points = [tokens.detach() for tokens in seen], words.detach(), points.detach()
        if past is not None:
            seen += self._remembered(seen, reading, past, insulated=insulated)
        tokens = torch.cat([*seen, *self._prompted(words), self._state(state, points)], dim=1)
        is_padding = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        start = sum(part.shape[1] for part in seen) + self._num_prompt
        is_padding[:, start : start + words.shape[1]] = reading.is_padding
        return Prefix(tokens, is_padding, answers[0].logits[:, : len(ROLES)])

    def _remembered(
        self, seen: Sequence[Float[Tensor, "batch queries width"]], reading: Reading, past: Past, *, insulated: bool
    ) -> list[Float[Tensor, "batch queries width"]]:
        """What each camera's queries found in its history, resampled over time."""
        batch, num_past = past.is_padding.shape
        asked = tuple(questions.repeat_interleave(num_past, dim=0) for questions in reading.questions)
        frames = [past.images[name].flatten(0, 1) for name in self.camera_names]
        is_padding = torch.cat([past.is_padding, past.is_padding.new_zeros(batch, 1)], dim=1)[..., None]
        found = []
        for camera, features in enumerate(self._feature_maps(frames, reading.words.dtype)):
            before = self._connectors[camera](features, asked[camera]).tokens.unflatten(0, (batch, num_past))
            before = before.detach() if insulated else before
            window = torch.cat([before, seen[camera][:, None]], dim=1)  # (batch, frames, queries, width)
            resampler = cast(CausalResampler, self.memory[camera])
            found.append(resampler.over_time(window, is_padding.expand(window.shape[:3]))[0])
        return found

    def _feature_maps(
        self, images: Sequence[UInt8[Tensor, "batch _ _ 3"]], dtype: torch.dtype
    ) -> list[Float[Tensor, "batch _ channels"]]:
        """Of the first cameras' pictures; a tower sees pictures of one size at once."""
        if self.tower is None:
            return [see(image, dtype=dtype) for see, image in zip(self.vision, images, strict=False)]
        if len({image.shape for image in images}) == 1:
            seen = list(self.tower(torch.cat(list(images)), dtype).chunk(len(images)))
        else:
            seen = [self.tower(image, dtype) for image in images]
        return [narrow(features) for narrow, features in zip(self.vision, seen, strict=False)]

    def _answers(self, camera: int, features: Float[Tensor, "batch cells channels"], reading: Reading) -> Answers:
        return self._connectors[camera](features, reading.questions[camera])

    @property
    def _connectors(self) -> list[LanguageQueriedConnector]:
        return [cast(LanguageQueriedConnector, connector) for connector in self.connectors]

    def _state(
        self, state: Float[Tensor, "batch state_dim"], points: Float[Tensor, "batch coordinates"]
    ) -> Float[Tensor, "batch tokens width"]:
        if self.state_tokenizer is None:
            return self.state_embedding(torch.cat([state.to(points.dtype), points], dim=-1))[:, None]
        looked = self.state_embedding(points)[:, None]
        numbers = self.state_tokens(self.state_tokenizer.encode(state)) + self.state_field
        return torch.cat([looked, numbers.to(looked.dtype)], dim=1)

    def forward(
        self, prefix: Prefix, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of the slots that follow a prefix, computed in one pass."""
        return self._hidden(prefix, slots, is_causal, slots.shape[1])

    def hidden(
        self,
        prefix: Prefix,
        new: Float[Tensor, "batch new width"],
        is_causal: bool,
        beside: Float[Tensor, "batch beside width"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of a prefix, and of what follows it, which the prefix does not see.

        Args:
            beside: follows the prefix too, one after the other; it and `new` do not see each other.
        """
        if beside is None:
            return self._hidden(prefix, new, is_causal, None)
        counts = new.shape[1], beside.shape[1]
        blocked = side_by_side(prefix.is_padding, *counts, is_prefix_causal=False, is_causal=is_causal)
        return self.decoder(torch.cat([prefix.tokens, new, beside], dim=1), blocked)

    def _hidden(
        self, prefix: Prefix, new: Float[Tensor, "batch new width"], is_causal: bool, num_wanted: int | None
    ) -> Float[Tensor, "batch wanted width"]:
        blocked = following(prefix.is_padding, new.shape[1], is_prefix_causal=False, is_causal=is_causal)
        return self.decoder(torch.cat([prefix.tokens, new], dim=1), blocked, num_wanted=num_wanted)

    def new_cache(self, prefix: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        """An empty cache for a prefix and `num_tokens` tokens behind it."""
        return self.decoder.new_cache(prefix, num_tokens)


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

    def __init__(self, config: CompactConfig, camera: CameraSpec, *, is_first: bool = True) -> None:
        """Make one for a camera; the named queries are those of the first."""
        super().__init__()
        width, channels, queries = config.width, config.channels, config.image_queries
        self.focus = config.focus if is_first else 1.0
        self.queries = nn.Parameter(torch.randn(queries, width) * width**-0.5)
        self.text_key = nn.Linear(width, width, bias=False)
        self.question = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, channels))
        self.key = nn.Linear(channels, channels, bias=False)
        self.answer = nn.Linear(channels + 2, width)
        self.place = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.register_buffer("cells", _cell_centres(camera, config.cell_pixels), persistent=False)

    def ask(
        self, words: Float[Tensor, "batch text_tokens width"], is_padding: Bool[Tensor, "batch text_tokens"]
    ) -> Float[Tensor, "batch queries channels"]:
        """The questions of a text."""
        relevance = self.queries.to(words.dtype) @ self.text_key(words).transpose(1, 2)  # (batch, queries, text_tokens)
        relevance = relevance.masked_fill(is_padding[:, None, :], torch.finfo(relevance.dtype).min)
        return self.question(relevance.softmax(-1).to(words.dtype) @ words + self.queries)

    def forward(
        self, features: Float[Tensor, "batch cells channels"], questions: Float[Tensor, "batch queries channels"]
    ) -> Answers:
        """What the questions found."""
        logits = questions @ self.key(features).transpose(1, 2)  # (batch, queries, cells)
        weights = self._focused(logits).softmax(-1).to(features.dtype)
        points = (weights @ self.get_buffer("cells").to(weights.dtype) - 0.5) * 4
        return Answers(self.answer(torch.cat([weights @ features, points], dim=-1)) + self.place, points, logits)

    def _focused(self, logits: Float[Tensor, "batch queries cells"]) -> Float[Tensor, "batch queries cells"]:
        if self.training or self.focus == 1.0:
            return logits
        named, others = logits[:, : len(ROLES)], logits[:, len(ROLES) :]
        return torch.cat([self.focus * named, others], dim=1)


def _cell_centres(camera: CameraSpec, cell_pixels: int) -> Float[Tensor, "cells 2"]:
    """Where each cell's centre lies in the image: u right, v down, in 0..1."""
    rows, columns = camera.height // cell_pixels, camera.width // cell_pixels
    v, u = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([u.flatten(), v.flatten()], dim=-1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)

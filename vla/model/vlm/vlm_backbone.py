"""A pretrained vision-language model between our prefix and our cache.

    before [open picture close] ... opening instruction state closing | actions
    before [open picture close]     opening question          closing | answer
    └──────────────────────────── prefix ────────────────────────────┘

A camera with a history has a picture for each of its frames, oldest first, or one for all of them (`causal_resampler`).
Frames of before the episode are padding.

The tower, the embedding and the layers are those of `transformers`; which token stands where, who sees whom, and where
keys and values lie is ours, the same for every family. Padding stands behind the instruction, is seen by nobody and
counts in no position.

Where a family adds features of its tower behind the first layers (Qwen3-VL), they travel beside the prefix's tokens:
the prefix is then several widths wide, and everything but pictures is 0 in the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.backbone import Past, require_past
from vla.model.cache import KeyValueCache
from vla.model.causal_resampler import CausalResampler
from vla.model.connectors import ConnectorKind, make_connector
from vla.model.masks import as_bias, following, side_by_side
from vla.model.transformer import Mask
from vla.model.vlm.encoder_decoder import EncoderDecoder, give_one_name, require_room
from vla.model.vlm.families import family_named, make_transformers_model, transformers_config
from vla.model.vlm.pictures import prepare
from vla.model.vlm.places import Places, Span
from vla.model.vlm.prompt import PARTS
from vla.model.vlm.vlm_config import StateInput, VlmConfig


@dataclasses.dataclass(frozen=True)
class VlmPrefix:
    """Everything seen and said, embedded, with its padding mask."""

    tokens: Float[Tensor, "batch tokens width"]
    is_padding: Bool[Tensor, "batch tokens"]
    is_question: bool = False
    """Of a question about the first camera's picture, without the other cameras and the state."""
    num_settled: int = 0
    """Of the first tokens: nothing that trains has made them."""
    grounding: None = None


class VlmBackbone(nn.Module):
    """Embeds a prefix, and continues it."""

    def __init__(self, config: VlmConfig, cameras: Sequence[CameraSpec], state_dim: int) -> None:
        """Make the model, with random weights.

        Raises:
            ConfigError: if the model's sizes do not go together with these cameras.
        """
        super().__init__()
        self.config, self.family = config, family_named(config.family)
        self.sizes = transformers_config(self.family, config.architecture)
        text = self.sizes.get_text_config()
        self.width, self.text_vocabulary_size = int(text.hidden_size), int(text.vocab_size)
        self._num_levels, self._num_begin = self.family.num_levels(self.sizes), self.family.num_begin_tokens
        self._softcap = getattr(text, "final_logit_softcapping", None)
        whole = cast(Any, make_transformers_model(self.family, self.sizes))
        self.vlm = whole.model
        if self._num_begin:
            give_one_name(self.language)
        self.lm_head = None if whole.lm_head.weight is self._embedding.weight else whole.lm_head
        if config.state is StateInput.PROJECTED:
            self.state_embedding = nn.Sequential(
                nn.Linear(state_dim, self.width), nn.SiLU(), nn.Linear(self.width, self.width)
            )
        if config.history < 1:
            raise ConfigError(f"pretrained.history counts the present frame: expected 1 or more, got {config.history}")
        self.connector = make_connector(
            config.connector, self.width, self.width, config.connector_tokens, config.history
        )
        if config.connector is ConnectorKind.POOLED and not self.family.has_grid:
            raise ConfigError(f"pictures of {config.family} are no grid of tokens, so none has neighbours to pool")
        if self.connector is not None and self._num_levels > 1:
            raise ConfigError(f"{config.family} adds pictures behind several layers: leave pretrained.connector=own")
        self.camera_names = [camera.name for camera in cameras]
        self._picture_sizes = [self.family.picture_size(self.sizes, camera, config.picture_side) for camera in cameras]
        for part in PARTS:
            ids = torch.tensor(getattr(config.prompt, part), dtype=torch.int64)
            self.register_buffer(f"_{part}", ids, persistent=False)
        self.prompt: nn.Parameter | None = None
        """Vectors before the words (`vla.model.lora`)."""
        self._lay_out()
        self._check_window(text)

    def _check_window(self, text: Any) -> None:
        if self._num_begin:
            require_room(self.num_prefix_tokens - self._num_begin, self._num_begin, text)
        window = getattr(text, "sliding_window", None)
        if getattr(text, "use_sliding_window", True) and window and window <= self.num_prefix_tokens:
            raise ConfigError(f"a window of {window} tokens is shorter than the prefix of {self.num_prefix_tokens}")

    def _lay_out(self) -> None:
        """Say where every token stands."""
        has_state = self.config.state is StateInput.PROJECTED
        self._shown_sizes = [size for size in self._picture_sizes for _ in range(self._pictures_a_camera)]
        self._places = self._places_of(self._shown_sizes, has_state=has_state)
        self._shorter_places: dict[int, Places] = {}
        self._question_places = self._places_of(self._picture_sizes[:1], has_state=False)

    @property
    def _pictures_a_camera(self) -> int:
        return 1 if isinstance(self.connector, CausalResampler) else self.config.history

    def add_prompt(self, num_tokens: int) -> None:
        """Put so many vectors before the words, as large as words are."""
        scale = self._embedding.weight[:256].detach().std()
        self.prompt = nn.Parameter(torch.randn(num_tokens, self.width) * scale)
        self._lay_out()

    def _places_of(self, picture_sizes: Sequence[tuple[int, int]], *, has_state: bool, absent: int = 0) -> Places:
        prompt = self.config.prompt
        spans = [Span(len(prompt.before))]
        for size in picture_sizes:
            grid = self.family.grid(self.sizes, size)
            grid = grid if self.connector is None else self.connector.grid_of(grid)
            picture = Span(*grid, is_picture=True)
            spans += [Span(len(prompt.picture_open)), picture, Span(len(prompt.picture_close))]
        spans += [
            Span(len(prompt.opening) + (0 if self.prompt is None else len(self.prompt))),
            Span(self.config.text_tokens - absent),
            Span(int(has_state)),
            Span(len(prompt.closing)),
        ]
        return Places(spans, first=self.family.first_position, axes=self.family.axes)

    @property
    def is_prefix_causal(self) -> bool:
        return self.family.is_prefix_causal

    @property
    def num_prefix_tokens(self) -> int:
        return len(self._places)

    @property
    def language(self) -> nn.Module:
        """The language model."""
        return self.family.language(self.vlm)

    @property
    def _embedding(self) -> nn.Embedding:
        return cast(nn.Embedding, cast(Any, self.language).get_input_embeddings())

    def embed_words(self, ids: Int64[Tensor, "*batch tokens"]) -> Float[Tensor, "*batch tokens width"]:
        """What stands for words at the language model's entry."""
        return self._embedding(ids)

    def word_logits(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens words"]:
        """Of the whole text vocabulary."""
        return self.capped(self.raw_word_logits(hidden))

    def raw_word_logits(self, hidden: Tensor, rows: slice = slice(None)) -> Tensor:
        """Of these rows of the text vocabulary, before the model's cap on logits, if it has one."""
        if self.lm_head is None:
            return functional.linear(hidden, self._embedding.weight[rows])
        bias = self.lm_head.bias
        return functional.linear(hidden, self.lm_head.weight[rows], None if bias is None else bias[rows])

    def capped(self, logits: Tensor) -> Tensor:
        """Logits within the model's cap, if it has one."""
        return logits if self._softcap is None else torch.tanh(logits / self._softcap) * self._softcap

    def embed(
        self,
        images: Mapping[str, UInt8[Tensor, "batch height width 3"]],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
        state: Float[Tensor, "batch state_dim"],
        *,
        insulated: bool = False,
        past: Past | None = None,
    ) -> VlmPrefix:
        """The prefix; see the top of this file.

        Args:
            images: by camera name; RGB.
            state: normalised proprioception.
            insulated: whether gradients through the prefix's tokens end before what sees and reads: the tower, its
                connector and the embedding of words.
            past: the frames before the present ones; None where the history is one frame.
        """
        require_past(past, self.config.history)
        present = self._look_at([images[name] for name in self.camera_names])
        cameras = zip(present, self.camera_names, self._picture_sizes, strict=True)
        pictures = [picture for seen, name, size in cameras for picture in self._frames(seen, name, size, past)]
        parts = self._prompt(pictures, text, text_is_padding)
        if insulated:
            parts = [(tokens.detach(), is_padding) for tokens, is_padding in parts]
        if self.config.state is StateInput.PROJECTED:
            parts.insert(-1, _seen(self.widened(self.state_embedding(state)[:, None])))
        return VlmPrefix(*_joined(parts), num_settled=_num_settled(parts))

    def embed_question(
        self,
        image: UInt8[Tensor, "batch height width 3"],
        is_blind: Bool[Tensor, " batch"],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
    ) -> VlmPrefix:
        """The prefix of a question about one picture, or about none, as the model was asked in its own training.

        Args:
            image: in the place of the first camera's; RGB, of any size.
            is_blind: where there is no picture: its tokens, and those around it, are padding.
        """
        picture = self._connected(self._look(image, self._picture_sizes[0]), self._picture_sizes[0])
        parts = self._prompt([(picture, is_blind)], text, text_is_padding)
        return VlmPrefix(*_joined(parts), is_question=True)

    def _prompt(
        self,
        pictures: Sequence[Picture],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
    ) -> list[Part]:
        """All of a prefix but the state."""
        batch = len(text)
        parts = [_seen(self._fixed("before", batch))]
        for picture, is_hidden in pictures:
            around = self._fixed("picture_open", batch), picture, self._fixed("picture_close", batch)
            parts += [(tokens, is_hidden[:, None].expand(tokens.shape[:2])) for tokens in around]
        words = self.widened(self.embed_words(text))
        prompt = [] if self.prompt is None else [_seen(self.widened(self.prompt).expand(batch, -1, -1))]
        return [
            *parts,
            _seen(self._fixed("opening", batch)),
            *prompt,
            (words, text_is_padding),
            _seen(self._fixed("closing", batch)),
        ]

    def _fixed(self, part: str, batch: int) -> Tensor:
        ids = cast(Tensor, getattr(self, f"_{part}"))
        return self.widened(self.embed_words(ids)).expand(batch, -1, -1)

    def widened(self, tokens: Tensor) -> Tensor:
        """Tokens that are no picture, as wide as a prefix is."""
        return functional.pad(tokens, (0, (self._num_levels - 1) * self.width))

    def _look_at(self, images: Sequence[UInt8[Tensor, "batch _ _ 3"]]) -> Sequence[Float[Tensor, "batch _ wide"]]:
        """What the tower sees in each camera's picture; it sees pictures of one size at once."""
        if len(set(self._picture_sizes)) == 1 and len({image.shape for image in images}) == 1:
            return self._look(torch.cat(list(images)), self._picture_sizes[0]).chunk(len(images))
        return [self._look(image, size) for image, size in zip(images, self._picture_sizes, strict=True)]

    def _frames(
        self, present: Float[Tensor, "batch tokens wide"], name: str, size: tuple[int, int], past: Past | None
    ) -> list[Picture]:
        """What the prompt shows of a camera: each frame of its history, oldest first, or all of them in one picture."""
        shown = torch.zeros(len(present), dtype=torch.bool, device=present.device)
        if past is None:
            return [(self._connected(present, size), shown)]
        before = self._look(past.images[name].flatten(0, 1), size).unflatten(0, past.is_padding.shape)
        if not isinstance(self.connector, CausalResampler):
            frames = [*before.unbind(1), present]
            return [
                (self._connected(frame, size), is_hidden)
                for frame, is_hidden in zip(frames, [*past.is_padding.unbind(1), shown], strict=True)
            ]
        window = torch.cat([before, present[:, None]], dim=1)  # (batch, frames, tokens, width)
        is_padding = torch.cat([past.is_padding, shown[:, None]], dim=1)[..., None].expand(window.shape[:3])
        return [(self.connector.over_time(window, is_padding)[0], shown)]

    def _look(self, images: UInt8[Tensor, "batch height width 3"], size: tuple[int, int]) -> Tensor:
        return torch.cat(self.family.look(self.vlm, prepare(images, size, self.family.style)), dim=-1)

    def _connected(self, seen: Float[Tensor, "batch tokens wide"], size: tuple[int, int]) -> Tensor:
        if self.connector is None:
            return seen
        is_padding = torch.zeros(seen.shape[:2], dtype=torch.bool, device=seen.device)
        return self.connector(seen, is_padding, self.family.grid(self.sizes, size))[0]

    def forward(
        self, prefix: VlmPrefix, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of the slots that follow a prefix, computed in one pass."""
        return self.hidden(prefix, slots, is_causal)[:, prefix.tokens.shape[1] :]

    def hidden(
        self,
        prefix: VlmPrefix,
        new: Float[Tensor, "batch new width"],
        is_causal: bool,
        beside: Float[Tensor, "batch beside width"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of a prefix and of what follows it.

        Args:
            beside: follows the prefix too, one after the other; it and `new` do not see each other.
        """
        num_new = new.shape[1]
        if beside is not None:
            return self._side_by_side(prefix, new, is_causal, beside)
        blocked = following(prefix.is_padding, num_new, is_prefix_causal=self.is_prefix_causal, is_causal=is_causal)
        x = torch.cat([prefix.tokens, self.widened(new.to(prefix.tokens.dtype))], dim=1)
        places = self._places_in(prefix)
        behind = places.behind(prefix.is_padding, torch.arange(num_new, device=x.device))
        position = torch.cat([places.of(prefix.is_padding), behind], dim=2)
        return self._read_settled(x, as_bias(blocked, x.dtype), position, prefix)

    def _read_settled(
        self,
        x: Float[Tensor, "batch tokens wide"],
        blocked: Mask,
        position: Int64[Tensor, "axes batch tokens"],
        prefix: VlmPrefix,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of `x`, and no gradient for its first tokens where there is nothing for it to move.

        Where the language model is frozen and a token sees those before it alone, what pictures and words become does
        not hang on what trains behind them: it is computed once, kept as keys and values, and left out of the backward
        pass.
        """
        is_frozen = not any(parameter.requires_grad for parameter in self.language.parameters())
        n, kept = prefix.num_settled, _Kept({})
        if not (n and is_frozen and self.is_prefix_causal and torch.is_grad_enabled()):
            return self.read(x, blocked, position, num_prefix=prefix.tokens.shape[1])
        with torch.no_grad():
            first = self._passed(x.detach()[:, :n], blocked[:, :, :n, :n], position[..., :n], kept)
        behind = self._passed(x[:, n:], blocked[:, :, n:], position[..., n:], _Behind(kept))
        return torch.cat([first, behind], dim=1)

    def _side_by_side(self, prefix: VlmPrefix, new: Tensor, is_causal: bool, beside: Tensor) -> Tensor:
        counts = new.shape[1], beside.shape[1]
        blocked = side_by_side(prefix.is_padding, *counts, is_prefix_causal=self.is_prefix_causal, is_causal=is_causal)
        places = self._places_in(prefix)
        behind = [torch.arange(part.shape[1], device=new.device) for part in (new, beside)]
        positions = [places.of(prefix.is_padding), *(places.behind(prefix.is_padding, index) for index in behind)]
        more = [self.widened(part.to(prefix.tokens.dtype)) for part in (new, beside)]
        x = torch.cat([prefix.tokens, *more], dim=1)
        return self.read(x, as_bias(blocked, x.dtype), torch.cat(positions, dim=2), num_prefix=prefix.tokens.shape[1])

    def places(self, *, is_question: bool = False) -> Places:
        """Where the tokens of a prefix stand, of a robot's or of a question's."""
        return self._question_places if is_question else self._places

    def _places_in(self, prefix: VlmPrefix) -> Places:
        """Where the tokens of this prefix stand, whose text may be shorter than `text_tokens`."""
        whole = self.places(is_question=prefix.is_question)
        absent = len(whole) - prefix.tokens.shape[1]
        if absent == 0 or prefix.is_question:
            return whole
        if absent not in self._shorter_places:
            has_state = self.config.state is StateInput.PROJECTED
            self._shorter_places[absent] = self._places_of(self._shown_sizes, has_state=has_state, absent=absent)
        return self._shorter_places[absent].to(prefix.tokens.device)

    def read(
        self,
        x: Float[Tensor, "batch tokens wide"],
        blocked: Mask,
        position: Int64[Tensor, "axes batch tokens"],
        cache: KeyValueCache | None = None,
        place: Int64[Tensor, " tokens"] | None = None,
        *,
        num_prefix: int = 0,
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of `x`.

        Args:
            blocked: what is added to the scores.
            cache: the keys and values of `x` are written to it.
            place: where in the cache; `x` then attends to all places, else to itself alone, as the first in the cache.
            num_prefix: tokens of the prefix, where there is no cache to know them.
        """
        if self._num_begin:
            num_prefix = num_prefix if cache is None else cache.num_prefix
            reader = EncoderDecoder(self.language, self._num_begin)
            return reader.read(x, blocked, position[0], num_prefix, cache, place)
        return self._passed(x, blocked, position, None if cache is None else _CacheView(cache, place))

    def _passed(
        self,
        x: Float[Tensor, "batch tokens wide"],
        blocked: Mask,
        position: Int64[Tensor, "axes batch tokens"],
        past: _CacheView | _Kept | _Behind | None,
    ) -> Float[Tensor, "batch tokens width"]:
        language = cast(Any, self.language)
        entry, *levels = x.split(self.width, dim=-1)
        position = position[0] if self.family.axes == 1 else position
        rotation = language.rotary_emb(entry, position)
        state = entry
        for index, layer in enumerate(language.layers):
            state = layer(state, attention_mask=blocked, position_embeddings=rotation, past_key_values=past)
            if index < len(levels):
                state = state + levels[index]
        return language.norm(state)

    def new_cache(self, prefix: Float[Tensor, "batch prefix wide"], num_tokens: int) -> KeyValueCache:
        text = self.sizes.get_text_config()
        if self._num_begin:
            return EncoderDecoder(self.language, self._num_begin).new_cache(prefix, num_tokens, text)
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        return KeyValueCache.allocate(
            prefix, num_tokens, layers=text.num_hidden_layers, heads=text.num_key_value_heads, head_dim=head_dim
        )


Picture = tuple[Float[Tensor, "batch _ width"], Bool[Tensor, " batch"]]
"""What a prompt shows: its tokens, and where it is to be left out."""
Part = tuple[Float[Tensor, "batch _ width"], Bool[Tensor, "batch _"]]
"""Of a prefix: tokens, and which of them are padding."""


def _seen(tokens: Float[Tensor, "batch part width"]) -> Part:
    return tokens, torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)


def _joined(parts: Sequence[Part]) -> Part:
    tokens, is_padding = zip(*parts, strict=True)
    return torch.cat([part.to(tokens[0].dtype) for part in tokens], dim=1), torch.cat(is_padding, dim=1)


def _num_settled(parts: Sequence[Part]) -> int:
    """Tokens before the first that something that trains has made; none where all are so."""
    count = 0
    for tokens, _ in parts:
        if tokens.requires_grad:
            return count
        count += tokens.shape[1]
    return 0


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Keys and values by layer, kept as the layers of `transformers` write them."""

    seen: dict[int, tuple[Tensor, Tensor]]

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.seen[layer] = key, value
        return key, value


@dataclasses.dataclass(frozen=True)
class _Behind:
    """Keys and values that stand behind those that were kept; a layer may be passed again."""

    kept: _Kept

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        keys, values = self.kept.seen[layer]
        return torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)


@dataclasses.dataclass(frozen=True)
class _CacheView:
    """Our cache, as the layers of `transformers` write to theirs."""

    cache: KeyValueCache
    place: Int64[Tensor, " tokens"] | None

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return self.cache.layers[layer].write(key, value, self.place)

"""Layouts of published sizes, with random weights: from pictures and words to action tokens on the host.

A robot waits for the whole of it: the copy to the device, towers, projector, language model, the copy back. Towers and
language model are each one captured graph where there is a GPU. The same code runs at a small size in the tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from benchmarks.comparison import Comparison
from vla.decoding.execution import Execution, StaticCall
from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import TokenDecoder
from vla.model.prismatic import OPENVLA_7B, PALIGEMMA_3B, PrismaticBackbone, PrismaticConfig
from vla.model.quantization import num_bytes
from vla.model.vla_model import Head
from vla.tokens.bins import line_grammar


@dataclasses.dataclass(frozen=True)
class Layout:
    """A model's sizes, and the chunk that it is asked for."""

    name: str
    config: PrismaticConfig
    head: Head
    num_tokens: int
    num_actions: int
    repeats: int = 100

    @property
    def image_size(self) -> int:
        return self.config.towers[0].image_size


LAYOUTS = (
    Layout("OpenVLA's layout, 7B, 8 actions of 7 numbers in 56 slots", OPENVLA_7B, Head.SLOTS, 56, 256),
    Layout("PaliGemma's layout, 3B, two views, 8 actions of 7 numbers in 56 slots", PALIGEMMA_3B, Head.SLOTS, 56, 256),
    Layout("OpenVLA's layout, 7B, a chunk of 30 FAST tokens", OPENVLA_7B, Head.AUTOREGRESSIVE, 30, 1024),
)


class Robot:
    """A model at work on one pair of pictures and words after the other."""

    def __init__(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> None:
        config = layout.config
        self.layout, self._device = layout, device
        self.backbone = PrismaticBackbone.with_random_weights(config, device, dtype)
        size = layout.image_size
        self._images = torch.randint(0, 256, (1, config.views, size, size, 3), dtype=torch.uint8)
        self._text = torch.randint(0, config.language.vocabulary_size, (1, config.text_tokens))
        self._is_padding = torch.zeros_like(self._text, dtype=torch.bool)

    def answering(self, execution: Execution, num_tokens: int | None = None) -> Callable[[], torch.Tensor]:
        """What gives the ids of one chunk, or of its first tokens, on the host."""
        layout, num_tokens = self.layout, num_tokens or self.layout.num_tokens
        arguments = (self._images, self._text, self._is_padding)
        embed = StaticCall(
            self.backbone.embed, [argument.to(self._device) for argument in arguments], execution=execution
        )
        first_id = layout.config.language.vocabulary_size - layout.num_actions
        tokens = LlamaTokens(
            self.backbone.decoder,
            layout.head,
            layout.num_actions,
            num_tokens,
            first_action_id=first_id,
            begin_id=0,
            is_prefix_causal=layout.config.is_prefix_causal,
        )
        decoder = TokenDecoder(tokens, line_grammar(num_tokens, layout.num_actions), execution=execution)
        return lambda: decoder.decode(embed(*arguments)).ids.cpu()

    def bound(self, execution: Execution) -> Callable[[], object]:
        """The first token, then for each further one a copy that moves as many bytes as the weights have."""
        first = self.answering(execution, num_tokens=1)
        decoder = self.backbone.decoder
        must_read = num_bytes(decoder.blocks) + num_bytes(decoder.norm)
        # A copy moves each byte twice.
        source = torch.empty(must_read // 2, dtype=torch.uint8, device=self._device)
        target = torch.empty_like(source)

        def run() -> None:
            first()
            for _ in range(self.layout.num_tokens - 1):
                target.copy_(source)
            self._wait()

        return run

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def comparisons(
    layouts: tuple[Layout, ...], device: torch.device, dtype: torch.dtype, executions: tuple[Execution, Execution]
) -> list[Comparison]:
    """For each layout, what is captured against what is not, or against the bandwidth of the device's memory."""
    plain, best = executions
    return [_comparison(Robot(layout, device, dtype), plain, best) for layout in layouts]


def _comparison(robot: Robot, plain: Execution, best: Execution) -> Comparison:
    layout = robot.layout
    is_slots = layout.head is Head.SLOTS
    against = (
        f"{plain.value}" if is_slots else "the bound: prefix and first token, then reading the weights once a token"
    )
    return Comparison(
        claim=f"{layout.name}: {best.value} against {against}",
        baseline=robot.answering(plain) if is_slots else robot.bound(best),
        contender=robot.answering(best),
        work=1,
        unit="chunks",
        settings={"weights_bytes": num_bytes(robot.backbone), "tokens": layout.num_tokens, "batch": 1},
        repeats=layout.repeats,
    )

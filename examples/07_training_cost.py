"""What it would cost to train models of OpenVLA's and PaliGemma's sizes, from one device to a thousand: reckoned.

Usage: python examples/07_training_cost.py
"""

from __future__ import annotations

import torch
from rich.console import Console
from rich.table import Table

from vla.model.cost import Cluster, ModelCost, Recipe, estimate, model_cost
from vla.model.prismatic import OPENVLA_7B, PALIGEMMA_3B, PrismaticBackbone, PrismaticConfig

MODELS = {"PaliGemma's sizes, two views": PALIGEMMA_3B, "OpenVLA's sizes": OPENVLA_7B}
ACTION_TOKENS = 32
SAMPLES = 10_000_000
BATCH = 8
DEVICES = (1, 8, 64, 1000)


def main() -> None:
    table = Table(title=f"{SAMPLES:,} samples, {BATCH} a device, H200s at 45 % of their peak: reckoned, not measured")
    table.add_column("model")
    for name in (
        "devices",
        "sharded over",
        "state a device",
        "a step",
        "of it exchange",
        "hours",
        "save every",
        "lost",
    ):
        table.add_column(name, justify="right")
    for name, config in MODELS.items():
        cost = counted(config)
        about = [name, f"{cost.parameters / 1e9:.1f} billion parameters", f"{cost.operations / 1e12:.1f}e12 a sample"]
        ways = [(devices, within) for devices in DEVICES for within in (False, True) if devices > 8 or not within]
        for index, (devices, within) in enumerate(ways):
            table.add_row(about[index] if index < len(about) else "", *row(cost, devices, within))
        table.add_section()
    Console(width=150).print(table)


def counted(config: PrismaticConfig) -> ModelCost:
    """One sample's forward pass, counted without a byte of memory."""
    with torch.device("meta"):
        model = PrismaticBackbone(config)
        size = config.towers[0].image_size
        images = torch.empty(1, config.views, size, size, 3, dtype=torch.uint8)
        words = torch.empty(1, config.text_tokens, dtype=torch.int64)
        actions = torch.empty(1, ACTION_TOKENS, dtype=torch.int64)

        def run() -> None:
            prefix = model.embed(images, words, torch.zeros_like(words, dtype=torch.bool))
            tokens = torch.cat([prefix.tokens, model.decoder.embed(actions)], dim=1)
            position = torch.zeros(tokens.shape[:2], dtype=torch.int64)
            model.decoder.head(model.decoder(tokens, None, position, num_wanted=ACTION_TOKENS))

        return model_cost(model, config.language.layers, run)


def row(cost: ModelCost, devices: int, within_host: bool) -> list[str]:
    found = estimate(cost, Cluster(devices), Recipe(BATCH, shards_within_host=within_host))
    hours = SAMPLES / found.samples_per_s / 3600
    worst = SAMPLES / found.samples_per_s_at_worst / 3600
    return [
        str(devices),
        "a host" if within_host else "all",
        f"{found.state_bytes / 1e9:.1f} GB" + ("" if found.fits else ": too much"),
        f"{max(found.compute_s, found.exchange_s):.2f} s",
        f"{found.exchange_s:.3f} s",
        f"{hours:.1f} to {worst:.1f}",
        f"{found.save_every_s / 60:.0f} min",
        f"{100 * found.lost_share:.1f} %",
    ]


if __name__ == "__main__":
    main()

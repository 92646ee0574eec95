"""The sizes that both sides have."""

from __future__ import annotations

from typing import Any

PIXELS = 128
"""Side of every picture."""
HORIZON, BATCH = 50, 8
"""LeRobot's defaults, of SmolVLA's chunk and of `batch_size`."""
PATCH, SCALE = 16, 2
"""Side of a patch in SmolVLM's tower; patches that are merged, along each side."""
VLM_VISION: dict[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "image_size": PIXELS,
    "patch_size": PATCH,
}
VLM_TEXT: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 512,
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}

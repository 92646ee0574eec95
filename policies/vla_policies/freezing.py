"""Parts of a model that training leaves as they are, byte by byte.

A part is the beginning of parameters' names, as far as a dot: `backbone.vision`, `backbone.connectors.0`, `logits`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from vla.errors import ConfigError


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Let no gradient, decay or moment reach these parts.

    Raises:
        ConfigError: naming a part that the model does not have, and those it has; or if nothing is left to train.
    """
    parameters = dict(model.named_parameters())
    for part in parts:
        mine = [name for name in parameters if name == part or name.startswith(f"{part}.")]
        if not mine:
            there = ", ".join(dict.fromkeys(".".join(name.split(".")[:2]) for name in parameters))
            raise ConfigError(f"the model has no part '{part}' to freeze; its parts are {there}")
        for name in mine:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise ConfigError(f"freeze=[{', '.join(parts)}] leaves nothing to train")

"""The fifty tasks and what each is in words, as they stand in `wordings.yaml`.

Each task has a few wordings, of which a seed takes one; some of them are held out from training.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
import yaml

from vla.errors import unknown
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet

_WORDS_STREAM, _WRONG_STREAM = 2, 3


@dataclasses.dataclass(frozen=True)
class Wordings:
    """One task in words."""

    training: tuple[str, ...]
    """The first is the plain one."""
    held_out: tuple[str, ...]
    """In no demonstration."""

    def of(self, templates: TemplateSet) -> tuple[str, ...]:
        return self.training if templates is TemplateSet.TRAINING else self.held_out


def _read() -> dict[str, Wordings]:
    text = (resources.files("vla_sim.metaworld_suite") / "wordings.yaml").read_text(encoding="utf-8")
    tree: Mapping[str, Any] = yaml.safe_load(text)
    return {task: Wordings(tuple(words["training"]), tuple(words["held_out"])) for task, words in tree.items()}


WORDINGS = _read()
"""By task; a task's name is Meta-World's with underscores and without its version."""
INSTRUCTIONS = {task: wordings.training[0] for task, wordings in WORDINGS.items()}
"""The plain instruction of each task."""


def instruction(spec: EpisodeSpec) -> str:
    """What the policy is told; depends on the specification alone.

    A wrong instruction is one of another task, chosen by the seed.

    Raises:
        ConfigError: if there is no such task.
    """
    if spec.task not in WORDINGS:
        raise unknown("task", spec.task, WORDINGS)
    if spec.instruction is not None:
        return spec.instruction
    if spec.instruction_kind is InstructionKind.WRONG:
        others = [task for task in WORDINGS if task != spec.task]
        generator = _generator(spec, _WRONG_STREAM)
        return _one_of(WORDINGS[others[int(generator.integers(len(others)))]].of(spec.templates), generator)
    return _one_of(WORDINGS[spec.task].of(spec.templates), _generator(spec, _WORDS_STREAM))


def _generator(spec: EpisodeSpec, stream: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(spec.task.encode()), spec.seed, stream])


def _one_of(sentences: tuple[str, ...], generator: np.random.Generator) -> str:
    return sentences[int(generator.integers(len(sentences)))]

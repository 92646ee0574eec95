"""What a task is: words, a scene, a judgement of success, and an expert who can do it from any state."""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64

from vla.interfaces import TemplateSet
from vla_sim.tasks.order import Step
from vla_sim.tasks.stages import Stage
from vla_sim.worlds.scene import COLOURS, Kind, Scene
from vla_sim.worlds.world import World

Names = tuple[str, ...]
"""The things that an instruction names, in its order: `("red block", "blue pad")`."""
Colours = tuple[str, ...]
"""Their colours: `("red", "blue")`."""

BASE = "@"
"""Between the name of a task and what is otherwise in it: `put_on_pad@camera2`."""
_VARY_STREAM = 7

NOWHERE = np.full(3, np.nan)
"""The grounding point of what a task does not have."""


@dataclasses.dataclass(frozen=True)
class Grounding:
    """Where to look, in the base frame (m); for training labels only."""

    target: Float64[np.ndarray, " xyz"]
    """The thing to act on."""
    destination: Float64[np.ndarray, " xyz"]
    """Where it is to be brought; NaN where there is none."""


@runtime_checkable
class Undertaking(Protocol):
    """What an episode is scored on, and who shows how. It reads the world alone and keeps no memory."""

    @property
    def name(self) -> str: ...

    @property
    def max_steps(self) -> int:
        """Control steps after which an episode is truncated."""
        ...

    @property
    def judged_at_end(self) -> bool:
        """Whether success is asked for when the time is over, and not before."""
        ...

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What comes before success, in its order; for reports only."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]:
        """What has to be done one after the other, in this order; of a task of a single step none."""
        ...

    @property
    def is_lost(self) -> Callable[[World, Names], bool] | None:
        """Whether an attempt is beyond recovery, which ends it; it never is if None."""
        ...

    @property
    def success(self) -> Callable[[World, Names], bool]: ...

    @property
    def expert(self) -> Callable[[World, Names], Float32[np.ndarray, " action_dim"]]:
        """What a skilled operator does in this state: one action within the embodiment's limits."""
        ...

    @property
    def grounding(self) -> Callable[[World, Names], Grounding]: ...

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        """Randomness that depends on the scenes' task, the seed and the stream's number alone."""
        ...


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What is going on in an environment."""

    task: Undertaking
    names: Names
    """The things that the scored task is about."""
    scene: Scene
    instruction: str
    """What the policy is told."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One task. Its functions read the world alone and keep no memory."""

    name: str
    roles: tuple[Kind, ...]
    """The kinds of things that an instruction names by colour, in its order."""
    needs: frozenset[Kind]
    """The kinds of things without which a scene does not offer this task."""
    training: tuple[str, ...]
    """Templates: `{0}`, `{1}` stand for the colours of the roles."""
    held_out: tuple[str, ...]
    """Templates for testing only; every word also occurs in some training template of the suite."""
    max_steps: int
    """Control steps after which an episode is truncated."""
    scene: Callable[[np.random.Generator, Colours], Scene]
    """A scene in which the task, for these colours, can be done."""
    success: Callable[[World, Names], bool]
    expert: Callable[[World, Names], Float32[np.ndarray, " action_dim"]]
    """What a skilled operator does in this state: one action within the embodiment's limits."""
    grounding: Callable[[World, Names], Grounding]
    stages: tuple[Stage, ...] = ()
    """What comes before success, in its order; for reports only."""
    steps: tuple[Step, ...] = ()
    """What has to be done one after the other, in this order; of a task of a single step none."""
    is_lost: Callable[[World, Names], bool] | None = None
    """Whether an attempt is beyond recovery, which ends it; it never is if None."""
    scene_of: str = ""
    """The task whose scenes this one shares, seed by seed; its own if empty."""
    swapped: bool = False
    """Whether the roles take the colours in the other order than the task whose scenes it shares."""
    vary: Callable[[Scene, Names, np.random.Generator], Scene] | None = None
    """What is done to the scene once it is drawn; nothing if None."""
    judged_at_end: bool = False

    @property
    def base(self) -> str:
        """The name of the task that this one is a variant of; its own if it is none."""
        return self.name.partition(BASE)[0]

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        """Randomness that depends on the scenes' task, the seed and the stream's number alone."""
        return stream_of(self.scene_of or self.name, seed, stream)

    def draw(self, seed: int, colours: Colours | None = None) -> tuple[Scene, Colours]:
        """The scene of a seed and the colours that its instruction names; `colours` fixes them."""
        chosen = colours or self.draw_colours(seed)
        scene = self.scene(self.generator(seed, 1), chosen[::-1] if self.swapped else chosen)
        if self.vary is not None:
            scene = self.vary(scene, self.names(chosen), self.generator(seed, _VARY_STREAM))
        return scene, chosen

    def draw_colours(self, seed: int) -> Colours:
        """The colours that the instruction of a seed names."""
        drawn = self._draw_colours(self.generator(seed))
        return drawn[::-1] if self.swapped else drawn

    def _draw_colours(self, generator: np.random.Generator) -> Colours:
        """One colour a role; two roles of the same kind get different ones."""
        while True:
            colours = tuple(str(generator.choice(list(COLOURS))) for _ in self.roles)
            if len(set(zip(self.roles, colours, strict=True))) == len(self.roles):
                return colours

    def names(self, colours: Sequence[str]) -> Names:
        """The names of the things in the roles."""
        return tuple(f"{colour} {kind.value}" for colour, kind in zip(colours, self.roles, strict=True))

    def templates(self, which: TemplateSet) -> tuple[str, ...]:
        return self.training if which is TemplateSet.TRAINING else self.held_out

    def instruction(self, colours: Colours, which: TemplateSet, generator: np.random.Generator) -> str:
        """One wording."""
        templates = self.templates(which)
        return templates[int(generator.integers(len(templates)))].format(*colours)

    def match(self, instruction: str) -> Colours | None:
        """The colours that this task's templates read in a sentence; None if none of them fits."""
        for template in self.training + self.held_out:
            found = _pattern(template).fullmatch(instruction)
            if found:
                return tuple(found.group(f"role{index}") for index in range(len(self.roles)))
        return None


def stream_of(task: str, seed: int, stream: int) -> np.random.Generator:
    """Randomness of a task's name, a seed and a stream's number."""
    return np.random.default_rng([zlib.crc32(task.encode()), seed, stream])


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    """What sentences of a template look like: a colour for each role, the same one wherever the role is named again."""
    colour = "|".join(COLOURS)
    pattern = re.escape(template)
    for role in dict.fromkeys(re.findall(r"\\\{(\d)\\\}", pattern)):
        place = rf"\{{{role}\}}"
        pattern = pattern.replace(place, f"(?P<role{role}>{colour})", 1).replace(place, f"(?P=role{role})")
    return re.compile(pattern)

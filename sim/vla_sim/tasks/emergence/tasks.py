"""The tasks: go to a tile, or put a block on it; once for each way to call a tile.

    seed ─► table ─► its first tile is meant ─► phrase ─► sentence
                          └► names ─► success, expert; another tile ends the attempt

Tiles are as likely to be meant in any cell and any colour, and all three can be called by the concept that is asked
for: that a digit is meant does not tell which. Whoever acts well and does not understand is right by `CHANCE`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32

from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_sim.corpus.concepts import COLOUR_SYNONYMS
from vla_sim.tasks import motions
from vla_sim.tasks.emergence.referents import BRICKS, Concept, call
from vla_sim.tasks.emergence.tables import NUM_BLOCKS, NUM_TILES, draw_table
from vla_sim.tasks.order import Step
from vla_sim.tasks.stages import GRASPED, Stage, moved, reached
from vla_sim.tasks.task import NOWHERE, Attempt, Grounding, Names, stream_of
from vla_sim.worlds.scene import BLOCK_SIZE_M, TILE_SIZE_M, Kind, Scene, Thing
from vla_sim.worlds.world import World

HOVER_M = 0.045
"""Of the tool centre point above a tile that it is to go to."""
OVER_M = 0.045
"""So near to a tile's middle, seen from above, is over it."""
LOW_M = 0.075
"""Below this height the hand is at the tile that it is over."""
MAX_HAND_SPEED_M_S = 0.12
MAX_SPEED_M_S = 0.02
_SCENE_STREAM, _WORDS_STREAM, _WRONG_STREAM = 1, 2, 3


class Act(enum.Enum):
    """What is to be done with a tile."""

    GO_TO = "go_to"
    PUT_ON = "put_on"


TRAINING: dict[Act, tuple[str, ...]] = {
    Act.GO_TO: ("go to {tile}", "move to {tile}", "reach {tile}", "move the gripper to {tile}", "hover over {tile}"),
    Act.PUT_ON: (
        "put the {block} on {tile}",
        "place the {block} on {tile}",
        "set the {block} on {tile}",
        "move the {block} to {tile}",
        "put the {block} down on {tile}",
    ),
}
HELD_OUT: dict[Act, tuple[str, ...]] = {
    Act.GO_TO: ("go over to {tile}", "move the gripper over {tile}"),
    Act.PUT_ON: ("set the {block} down on {tile}", "place the {block} down on {tile}"),
}
"""For testing only; every word is also in some training template."""
MAX_STEPS = {Act.GO_TO: 24, Act.PUT_ON: 50}


@dataclasses.dataclass(frozen=True)
class EmergenceTask:
    """An act, and the way to call the tile."""

    act: Act
    concept: Concept

    @property
    def name(self) -> str:
        """`put_on_digit`."""
        return f"{self.act.value}_{self.concept.value}"

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        """Randomness that depends on the task, the seed and the stream's number alone."""
        return stream_of(self.name, seed, stream)

    def scene(self, seed: int) -> Scene:
        """The table of a seed; its first tile, and its first block, are meant."""
        return draw_table(self.generator(seed, _SCENE_STREAM), self.concept)

    def begin(self, spec: EpisodeSpec) -> Attempt:
        """The attempt that a specification stands for; words that it gives change what is said, not what is scored."""
        scene = self.scene(spec.seed)
        tile, block = scene.of_kind(Kind.TILE)[0], scene.of_kind(Kind.BLOCK)[0]
        names = (tile.name,) if self.act is Act.GO_TO else (block.name, tile.name)
        return Attempt(_Bound(self, scene), names, scene, self._instruction(spec, scene))

    def _instruction(self, spec: EpisodeSpec, scene: Scene) -> str:
        if spec.instruction is not None:
            return spec.instruction
        tiles, block = scene.of_kind(Kind.TILE), scene.of_kind(Kind.BLOCK)[0]
        if spec.instruction_kind is InstructionKind.WRONG:
            return self.say(tiles[1], scene, block, spec.templates, self.generator(spec.seed, _WRONG_STREAM))
        return self.say(tiles[0], scene, block, spec.templates, self.generator(spec.seed, _WORDS_STREAM))

    def say(
        self, tile: Thing, scene: Scene, block: Thing, templates: TemplateSet, generator: np.random.Generator
    ) -> str:
        """A sentence that asks for this tile."""
        called = call(tile, scene.of_kind(Kind.TILE), self.concept, templates, generator)
        choices = (TRAINING if templates is TemplateSet.TRAINING else HELD_OUT)[self.act]
        template = choices[int(generator.integers(len(choices)))]
        return template.format(tile=called, block=self._block(block, generator))

    def _block(self, block: Thing, generator: np.random.Generator) -> str:
        if self.concept is not Concept.SYNONYM:
            return block.name
        words = COLOUR_SYNONYMS[block.colour]
        return f"{words[int(generator.integers(len(words)))]} {BRICKS[int(generator.integers(len(BRICKS)))]}"


@dataclasses.dataclass(frozen=True)
class _Bound:
    """A task in one scene: `vla_sim.tasks.task.Undertaking`."""

    task: EmergenceTask
    scene: Scene

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def max_steps(self) -> int:
        return MAX_STEPS[self.task.act]

    @property
    def judged_at_end(self) -> bool:
        return False

    @property
    def stages(self) -> tuple[Stage, ...]:
        if self.task.act is Act.GO_TO:
            return ()
        placed = Stage("placed", lambda world, names, scene: is_on(world, names[0], names[1]))
        return (reached(), GRASPED, moved(), placed)

    @property
    def steps(self) -> tuple[Step, ...]:
        return ()

    def is_lost(self, world: World, names: Names) -> bool:
        """Whether the hand is at another tile, or any block lies on a tile that is not the one for it."""
        tiles = [thing.name for thing in self.scene.of_kind(Kind.TILE)]
        if self.task.act is Act.GO_TO:
            return any(is_at(world, tile) for tile in tiles if tile != names[0])
        blocks = [thing.name for thing in self.scene.of_kind(Kind.BLOCK)]
        pairs = ((block, tile) for block in blocks for tile in tiles)
        return any(is_put(world, *pair) for pair in pairs if pair != names)

    def success(self, world: World, names: Names) -> bool:
        return is_at(world, names[0]) if self.task.act is Act.GO_TO else is_put(world, names[0], names[1])

    def expert(self, world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
        if self.task.act is Act.GO_TO:
            hover = world.position(names[0]) + motions.up(HOVER_M)
            return motions.approach(world, hover, motions.OPEN, yaw=0.0, clearance_m=0.05)
        place = world.position(names[1]) + motions.up(BLOCK_SIZE_M / 2)
        return motions.bring(world, names[0], place, is_on(world, names[0], names[1]))

    def grounding(self, world: World, names: Names) -> Grounding:
        """The block and the tile; of `go_to` the tile alone, as the destination."""
        if self.task.act is Act.GO_TO:
            return Grounding(NOWHERE, world.position(names[0]))
        return Grounding(world.position(names[0]), world.position(names[1]))

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        return self.task.generator(seed, stream)


def is_at(world: World, tile: str) -> bool:
    """Whether the hand is over a tile, low and slow."""
    x, y, z = world.end_effector()[:3] - world.position(tile)
    return bool(max(abs(x), abs(y)) < OVER_M and z < LOW_M) and world.end_effector_speed() < MAX_HAND_SPEED_M_S


def is_on(world: World, block: str, tile: str) -> bool:
    """Whether a block's middle is over a tile, on the table."""
    x, y, _ = world.position(block) - world.position(tile)
    return bool(max(abs(x), abs(y)) < TILE_SIZE_M / 2 - 0.003 and world.position(block)[2] < 0.03)


def is_put(world: World, block: str, tile: str) -> bool:
    """Whether a block lies on a tile, at rest, let go."""
    return is_on(world, block, tile) and world.speed(block) < MAX_SPEED_M_S and not world.is_touched(block)


EMERGENCE_TASKS: dict[str, EmergenceTask] = {
    task.name: task for task in (EmergenceTask(act, concept) for concept in Concept for act in Act)
}
"""By name, in the order of reports."""
SEEN_TASKS = tuple(name for name, task in EMERGENCE_TASKS.items() if task.concept is Concept.COLOUR)
"""Those that there are demonstrations of."""


def _tasks_of(concept: Concept) -> tuple[str, ...]:
    return tuple(name for name, task in EMERGENCE_TASKS.items() if task.concept is concept)


GROUPS: dict[str, tuple[str, ...]] = {
    "seen": SEEN_TASKS,
    "web_only": tuple(name for name in EMERGENCE_TASKS if name not in SEEN_TASKS),
    "digits": _tasks_of(Concept.DIGIT),
    "sums": _tasks_of(Concept.SUM),
    "symbols": _tasks_of(Concept.SYMBOL),
    "categories": _tasks_of(Concept.CATEGORY),
    "relations": _tasks_of(Concept.RELATION),
    "synonyms": _tasks_of(Concept.SYNONYM),
}
"""Of reports: what robot data says, what only web data says, and that by kind of concept."""
CHANCE: dict[str, float] = {
    name: 1 / NUM_TILES / (NUM_BLOCKS if name == "put_on_synonym" else 1) for name in EMERGENCE_TASKS
}
"""The success of whoever acts well and does not understand what a tile is called, by task."""


def group_chance(tried: Iterable[str]) -> dict[str, float]:
    """The same by group, over all episodes of the tasks that were tried."""
    tasks = list(tried)
    found = {group: [CHANCE[task] for task in tasks if task in members] for group, members in GROUPS.items()}
    return {group: sum(shares) / len(shares) for group, shares in found.items() if shares}


_SHUFFLED_SEEDS = range(12)


def training_sentences(tasks: tuple[str, ...] = tuple(EMERGENCE_TASKS)) -> list[str]:
    """Instructions in training words of a few seeds of each task."""
    specs = [EpisodeSpec(task, seed) for task in tasks for seed in _SHUFFLED_SEEDS]
    return list(dict.fromkeys(EMERGENCE_TASKS[spec.task].begin(spec).instruction for spec in specs))

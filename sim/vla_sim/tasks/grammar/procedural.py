"""A task of the grammar: a seed becomes a scene and a goal, the goal a sentence, an aim, a judgement and an expert.

    seed ─► draw ─► Scene, goals ─► say ─► instruction
                          └► ground ─► Aim ─► Bound: success by the referee, actions by the expert

Tasks that share a drawing share their scenes, seed by seed, and ask for different goals in them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from vla.interfaces import EpisodeSpec, InstructionKind
from vla_sim.tasks import motions
from vla_sim.tasks.grammar import expert, referee
from vla_sim.tasks.grammar.descriptions import plain
from vla_sim.tasks.grammar.goals import Act, Aim, Goal, ground
from vla_sim.tasks.grammar.sentences import say
from vla_sim.tasks.order import Step
from vla_sim.tasks.stages import GRASPED, Stage, moved, reached
from vla_sim.tasks.task import Attempt, Grounding, Names, stream_of
from vla_sim.worlds.scene import CARRIED, Scene
from vla_sim.worlds.world import World

_SCENE_STREAM, _WORDS_STREAM, _WRONG_STREAM = 1, 2, 3

type Drawing = Callable[[np.random.Generator], tuple[Scene, tuple[Goal, ...]]]
"""A scene, and goals that it clearly offers, or clearly does not."""


@dataclasses.dataclass(frozen=True)
class GrammarTask:
    """One task of the grammar."""

    name: str
    draw: Drawing
    max_steps: int = 60
    scene_of: str = ""
    """The task whose scenes this one shares, seed by seed; its own if empty."""
    goal_index: int = 0
    """Which of the drawn goals is this task's."""
    says_view: bool = False
    """Whether sentences say whose left and right they mean."""
    paraphrases: bool = False
    """Whether sentences say the goal in a roundabout way."""

    def situation(self, seed: int) -> tuple[Scene, Goal]:
        """The scene and the goal of a seed."""
        scene, goals = _drawn(self.draw, self.scene_of or self.name, seed)
        return scene, goals[self.goal_index]

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        """Randomness that depends on the scenes' task, the seed and the stream's number alone."""
        return stream_of(self.scene_of or self.name, seed, stream)

    def begin(self, spec: EpisodeSpec) -> Attempt:
        """The attempt that a specification stands for; words that it gives change what is said, not what is scored."""
        scene, goal = self.situation(spec.seed)
        aim = ground(goal, scene)
        return Attempt(Bound(self, aim, scene), aim.names, scene, self._instruction(spec, scene, goal))

    def _instruction(self, spec: EpisodeSpec, scene: Scene, goal: Goal) -> str:
        if spec.instruction is not None:
            return spec.instruction
        generator = self.generator(spec.seed, _WORDS_STREAM)
        if spec.instruction_kind is InstructionKind.WRONG:
            generator = self.generator(spec.seed, _WRONG_STREAM)
            return say(wrong_goal(goal, scene, generator), spec.templates, generator)
        return say(goal, spec.templates, generator, says_view=self.says_view, paraphrases=self.paraphrases)


@functools.lru_cache(maxsize=2048)
def _drawn(draw: Drawing, scenes: str, seed: int) -> tuple[Scene, tuple[Goal, ...]]:
    return draw(stream_of(scenes, seed, _SCENE_STREAM))


@dataclasses.dataclass(frozen=True)
class Bound:
    """A task of the grammar in one scene: `vla_sim.tasks.task.Undertaking`."""

    task: GrammarTask
    aim: Aim
    scene: Scene

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def max_steps(self) -> int:
        return self.task.max_steps

    @property
    def judged_at_end(self) -> bool:
        return self.aim.act is Act.REFUSE

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages_of(self.aim)

    @property
    def steps(self) -> tuple[Step, ...]:
        return ()

    @property
    def is_lost(self) -> None:
        return None

    def success(self, world: World, names: Names) -> bool:
        return referee.is_reached(world, self.aim, self.scene)

    def expert(self, world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
        return expert.act(world, self.aim, self.scene)

    def grounding(self, world: World, names: Names) -> Grounding:
        return expert.grounding(world, self.aim, self.scene)

    def generator(self, seed: int, stream: int = 0) -> np.random.Generator:
        return self.task.generator(seed, stream)


def stages_of(aim: Aim) -> tuple[Stage, ...]:
    """What comes before an aim is reached."""
    placed = Stage("placed", lambda world, names, scene: referee.is_placed(world, aim))
    match aim.act:
        case Act.REFUSE:
            return (Stage("untouched", lambda world, names, scene: referee.is_untouched(world, scene)),)
        case Act.PICK_UP:
            return (reached(), GRASPED, moved())
        case Act.OPEN | Act.PRESS:
            opened = Stage("moved", lambda world, names, scene: world.displacement(names[0]) > referee.SHUT_M)
            return (reached(), opened)
        case Act.PUSH_TO:
            contacted = Stage("contacted", lambda world, names, scene: world.is_touched(names[0]))
            return (reached(), contacted, moved(), placed)
        case Act.COUNT_ON:
            held = Stage("grasped", lambda world, names, scene: any(motions.is_held(world, n) for n in aim.subjects))
            return (held, placed)
        case Act.PUT_ON | Act.PUT_IN | Act.PUT_AT:
            return (reached(), GRASPED, moved(), placed)


def wrong_goal(goal: Goal, scene: Scene, generator: np.random.Generator) -> Goal:
    """Another goal in the same scene, about another thing, so that doing it does not do the original."""
    about = ground(goal, scene).names
    others = [t for t in scene.things if t.kind in CARRIED and t.name not in about]
    if not others:  # every thing is counted, or named: to take up what is not acted on first
        others = [t for t in scene.things if t.kind in CARRIED and t.name not in about[:1]]
    return Goal(Act.PICK_UP, plain(others[int(generator.integers(len(others)))]))

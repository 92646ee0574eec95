"""The tabletop as `vla.interfaces.Environment`: every task, one episode at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import Embodiment
from vla.interfaces import EpisodeSpec, InstructionKind, Observation, Transition
from vla_sim.known_tasks import task_named
from vla_sim.tasks import Task
from vla_sim.tasks.emergence import EMERGENCE_TASKS
from vla_sim.tasks.grammar import GRAMMAR_TASKS
from vla_sim.tasks.order import Order
from vla_sim.tasks.stages import moves_another
from vla_sim.tasks.task import Attempt as Attempt
from vla_sim.tasks.task import Colours
from vla_sim.tasks.wrong import wrong_instruction
from vla_sim.worlds.engines import USUAL, Engines, make_world
from vla_sim.worlds.scene import TABLETOP_CAST, Cast, Scene
from vla_sim.worlds.sensor import sense
from vla_sim.worlds.table_view import table_view
from vla_sim.worlds.world import World

_WORDS_STREAM, _WRONG_STREAM = 2, 3


class TabletopEnvironment:
    """An arm at a table, in any world; success is read from the world's state and never shown."""

    def __init__(
        self, world: World | None = None, *, arm: str = "panda", engines: Engines = USUAL, cast: Cast = TABLETOP_CAST
    ) -> None:
        """Make it with a world, or with this arm's and these things as these engines compute it if none is given.

        Raises:
            ConfigError: if there is no such arm, or an engine is not installed.
        """
        self.world: World = world or make_world(arm, engines, cast)
        """In the metres of the arm."""
        self.table: World = table_view(self.world)
        """The same world in the lengths of the table that tasks speak of: what their functions are given."""
        self._attempt: Attempt | None = None
        self._num_steps = 0
        self._order = Order()

    @property
    def embodiment(self) -> Embodiment:
        return self.world.embodiment

    @property
    def attempt(self) -> Attempt:
        """The present attempt.

        Raises:
            RuntimeError: before the first reset.
        """
        if self._attempt is None:
            raise RuntimeError("the environment has not been reset: call reset(spec) first")
        return self._attempt

    def reset(self, spec: EpisodeSpec) -> Observation:
        """Begin an episode.

        Words given in `spec.instruction` that a template of the task reads also choose the colours of the scene.

        Raises:
            ConfigError: if there is no such task.
        """
        self.begin(spec)
        return self.observe()

    def begin(self, spec: EpisodeSpec) -> None:
        """Begin an episode, and look at nothing; see `reset`."""
        self._attempt = begin(spec)
        self._num_steps = 0
        self._order = Order()
        self.table.reset(self._attempt.scene)

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        applied = self.act(action)
        is_lost, is_late, success = self.judge()
        return Transition(self.observe(), applied, success or is_lost, is_late, success)

    def act(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """Act for one control step, and look at nothing; gives back what was really applied."""
        task, names = self.attempt.task, self.attempt.names
        applied = self.world.step(action)
        self._num_steps += 1
        self._order = self._order.after([step.holds(self.table, names) for step in task.steps])
        return applied

    def judge(self) -> tuple[bool, bool, bool]:
        """Whether the attempt is beyond recovery, whether its time is over, and whether it is a success."""
        task, names = self.attempt.task, self.attempt.names
        is_lost = task.is_lost is not None and task.is_lost(self.table, names)
        is_late = self._num_steps >= task.max_steps
        is_in_order = self._order.completed == len(task.steps)
        is_judged = (is_late or not task.judged_at_end) and is_in_order and not is_lost
        success = is_judged and task.success(self.table, names)
        return is_lost, is_late and not success and not is_lost, success

    def observe(self) -> Observation:
        """What the policy sees now."""
        cameras = self.embodiment.cameras
        sensor = self.attempt.scene.variation.sensor
        return Observation(
            images={
                c.name: sense(self.world.render(c.name, c.height, c.width), sensor, self._num_steps, index)
                for index, c in enumerate(cameras)
            },
            proprioception=self.world.proprioception(),
            instruction=self.attempt.instruction,
            time_s=self.world.time_s(),
            fresh=frozenset([*(c.name for c in cameras), "proprioception"]),
        )

    def expert_action(self) -> Float32[np.ndarray, " action_dim"]:
        """What the scored task's expert does in this state."""
        action = self.attempt.task.expert(self.table, self.attempt.names)
        return action if self.table is self.world else self.world.bench.action(action)

    def stages(self) -> dict[str, bool]:
        """The stages before the scored task's success, in order: whether each holds now. For reports only."""
        attempt = self.attempt
        if attempt.task.steps:
            return self._order.stages(len(attempt.task.steps))
        return {stage.name: stage.holds(self.table, attempt.names, attempt.scene) for stage in attempt.task.stages}

    def moves_another(self) -> bool:
        """Whether a block that the scored task is not about has left its place. For reports only."""
        return moves_another(self.table, self.attempt.names, self.attempt.scene)

    def simulated_s(self) -> float:
        """See `vla_sim.conventions.TimedEnvironment`."""
        return self.world.time_s()

    def physics_dt_s(self) -> None:
        """Not told: a world refuses a control rate that its physics does not divide when it is made."""

    def save(self) -> Float64[np.ndarray, " numbers"]:
        return np.array([*self.world.save(), self._num_steps, *self._order.to_numbers()])

    def restore(self, state: Float64[np.ndarray, " numbers"]) -> None:
        self.world.restore(state[:-3])
        self._num_steps = int(state[-3])
        self._order = Order.from_numbers(state[-2:])

    def render(self, height: int = 240, width: int = 320) -> UInt8[np.ndarray, "height width 3"]:
        """The scene camera's view, larger: for people."""
        return self.world.render("scene", height, width)

    def close(self) -> None:
        """Nothing is held: the renderer belongs to the process."""


def begin(spec: EpisodeSpec) -> Attempt:
    """The attempt that a specification stands for; a pure function.

    Raises:
        ConfigError: if there is no such task.
    """
    if spec.task in GRAMMAR_TASKS:
        return GRAMMAR_TASKS[spec.task].begin(spec)
    if spec.task in EMERGENCE_TASKS:
        return EMERGENCE_TASKS[spec.task].begin(spec)
    task = task_named(spec.task)
    scene, colours = task.draw(spec.seed, task.match(spec.instruction) if spec.instruction else None)
    names = task.names(colours)
    return Attempt(task, names, scene, _instruction(spec, task, colours, scene))


def _instruction(spec: EpisodeSpec, task: Task, colours: Colours, scene: Scene) -> str:
    if spec.instruction is not None:
        return spec.instruction
    if spec.instruction_kind is InstructionKind.WRONG:
        return wrong_instruction(task, colours, scene, spec.templates, task.generator(spec.seed, _WRONG_STREAM))
    return task.instruction(colours, spec.templates, task.generator(spec.seed, _WORDS_STREAM))

"""An environment that others wrote as `vla.interfaces.Environment`, through its mapping."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import cv2
import gymnasium
import numpy as np
from jaxtyping import Float32, UInt8

from vla.embodiment import CameraSpec, Embodiment
from vla.errors import ActionError, ConfigError, DataError, ObservationError, unknown
from vla.interfaces import EpisodeSpec, InstructionKind, Observation, TemplateSet, Transition
from vla_datasets.exchange.mapping import FieldSource, Limits
from vla_datasets.exchange.pictures import Aspect, Orientation, Resize, fit_pictures
from vla_sim.conventions import rest
from vla_sim.gym_suite import library
from vla_sim.gym_suite.mapping import (
    CAMERA_PREFIX,
    INFO_PREFIX,
    OBSERVATION,
    RENDER,
    Channels,
    GymCamera,
    GymMapping,
    GymTask,
    Layout,
    Physics,
    SuccessKind,
)
from vla_sim.gym_suite.mapping_file import number_at
from vla_sim.gym_suite.physics import Draughtsman, divergences, model_and_data, render_plainly
from vla_sim.metaworld_suite.pictures import LazyImages

_WORDS_STREAM, _WRONG_STREAM = 2, 3
_ROUNDING = 1e-5
"""By which a mapped limit may be beyond the action space."""


@runtime_checkable
class Expert(Protocol):
    """A scripted expert of one episode; it may look into the simulator."""

    def action(self, environment: Any) -> Float32[np.ndarray, " action_dim"]:
        """What it does now, in the embodiment's units."""
        ...


type ExpertMaker = Callable[[str], Expert | None]
"""By task; None for one that has no expert."""


class GymEnvironment:
    """Any task of a mapping, one episode at a time; success ends an episode."""

    def __init__(
        self, mapping: GymMapping, make_expert: ExpertMaker | None = None, *, lazy_pictures: bool = True
    ) -> None:
        """Load nothing yet: a task's environment is made when an episode of it begins.

        Args:
            make_expert: of a task, if this suite has experts.
            lazy_pictures: draw and resize what is looked at, which is possible until the next step or reset.
        """
        self._mapping = mapping
        self._make_expert = make_expert
        self._lazy_pictures = lazy_pictures
        self._inner: gymnasium.Env[Any, Any] | None = None
        self._made_task: str | None = None
        self._spec: EpisodeSpec | None = None
        self.instruction = ""
        self._images = LazyImages((), self._shoot)
        self._draughtsman = Draughtsman(mapping.physics)
        fields = mapping.action
        self._order = np.array([number_at(entry.source) for entry in fields])
        self._scale = np.array([entry.scale * entry.factor for entry in fields])
        self._offset = np.array([entry.offset for entry in fields])

    @property
    def embodiment(self) -> Embodiment:
        return self._mapping.embodiment

    def reset(self, spec: EpisodeSpec) -> Observation:
        """Begin an episode; what is drawn depends on task and seed alone.

        Raises:
            ConfigError: if there is no such task, its package is missing, or the mapping does not fit it.
            ObservationError: if the environment does not give what the mapping says.
        """
        self._images.expire()
        task = self._task(spec.task)
        inner = self._made(spec.task, task)
        self._num_steps, self._spec = 0, spec
        self._seen, self._info = inner.reset(seed=spec.seed)
        self._expert = None if self._make_expert is None else self._make_expert(spec.task)
        self.instruction = self._words(spec, task)
        for _ in range(self._mapping.settling_steps):
            self._seen, _, _, _, info = inner.step(self._theirs(self._rest()))
            self._info = {**self._info, **info}
        self._began_s = self._clock_s()
        self._divergences = divergences(inner, self._mapping.physics)
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        """See `vla.interfaces.Environment.step`.

        Raises:
            ActionError: if the action is not finite or has the wrong shape.
            ObservationError: if what comes of it is not finite, or not what the mapping says.
        """
        body, spec, inner = self.embodiment, self._begun, self._inner
        if action.shape != (body.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"an action of {body.name} is {body.action_dim} finite numbers, got {action}")
        assert inner is not None
        applied = np.clip(action, body.action_low, body.action_high).astype(np.float32)
        self._images.expire()
        self._seen, reward, is_over, is_late, self._info = inner.step(self._theirs(applied))
        self._num_steps += 1
        if divergences(inner, self._mapping.physics) > self._divergences:
            raise ObservationError(
                f"the physics of '{spec.task}', seed {spec.seed}, diverged at step {self._num_steps}"
            )
        success = self._succeeded(float(reward), bool(is_over))
        truncated = bool(is_late) or self._num_steps >= self._task(spec.task).max_steps
        terminated = success or bool(is_over)
        return Transition(self.observe(), applied, terminated, truncated and not terminated, success)

    def observe(self) -> Observation:
        """What a policy sees now."""
        body = self.embodiment
        self._images = LazyImages(body.cameras, self._shoot)
        return Observation(
            images=self._images if self._lazy_pictures else dict(self._images),
            proprioception=self._proprioception(),
            instruction=self.instruction,
            time_s=self._num_steps * body.control_dt_s,
            fresh=frozenset([*self._images, "proprioception"]),
        )

    def expert_action(self) -> Float32[np.ndarray, " action_dim"]:
        """What the task's expert does in this state.

        Raises:
            ConfigError: if this suite has none.
        """
        if self._expert is None:
            raise ConfigError(f"suite '{self._mapping.name}' has no scripted expert")
        return self._expert.action(self._inner)

    def render(self, height: int = 240, width: int = 320) -> UInt8[np.ndarray, "height width 3"]:
        """The first camera's view, at any size, with black borders where the shape differs: for people."""
        body = self.embodiment
        if not body.cameras:
            return np.zeros((height, width, 3), np.uint8)
        entry = self._mapping.cameras[0]
        if entry.source.startswith(CAMERA_PREFIX):
            return self._draw(entry.source, height, width)
        picture = self._upright(entry)
        scale = min(height / picture.shape[0], width / picture.shape[1])
        rows, columns = max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))
        page = np.zeros((height, width, 3), np.uint8)
        top, left = (height - rows) // 2, (width - columns) // 2
        page[top : top + rows, left : left + columns] = cv2.resize(picture, (columns, rows))
        return page

    def simulated_s(self) -> float | None:
        """See `vla_sim.conventions.TimedEnvironment`."""
        now_s = self._clock_s()
        return None if now_s is None or self._began_s is None else now_s - self._began_s

    def physics_dt_s(self) -> float | None:
        """See `vla_sim.conventions.TimedEnvironment`."""
        if self._mapping.physics is Physics.NONE:
            return None
        return float(model_and_data(self._inner, self._mapping.physics)[0].opt.timestep)

    def close(self) -> None:
        """Let go of the environment that was made last."""
        self._draughtsman.close()
        if self._inner is not None:
            self._inner.close()
        self._inner = self._made_task = None

    # ----------------------------------------------------------------------- the environment

    @property
    def _begun(self) -> EpisodeSpec:
        if self._spec is None:
            raise RuntimeError("the environment has not been reset: call reset(spec) first")
        return self._spec

    def _task(self, name: str) -> GymTask:
        if name not in self._mapping.tasks:
            raise unknown("task", name, self._mapping.tasks)
        return self._mapping.tasks[name]

    def _made(self, name: str, task: GymTask) -> gymnasium.Env[Any, Any]:
        if self._inner is None or self._made_task != name:
            self.close()
            inner = library.make(self._mapping, task)
            render_plainly(inner, self._mapping.physics)
            self._check_space(inner)
            self._inner, self._made_task = inner, name
        return self._inner

    def _check_space(self, inner: gymnasium.Env[Any, Any]) -> None:
        """Return if every action within the embodiment's limits is one of the environment's."""
        space = inner.action_space
        width = self.embodiment.action_dim
        if not isinstance(space, gymnasium.spaces.Box) or space.shape != (width,):
            raise ConfigError(f"the mapping's action has {width} numbers, the environment's action space is {space}")
        self._space = space
        if not self._mapping.trusts_action_space:
            return
        ends = np.stack(
            [self._theirs_unclipped(end) for end in (self.embodiment.action_low, self.embodiment.action_high)]
        )
        for index, entry in enumerate(self._mapping.action):
            place = self._order[index]
            low, high = ends[:, place].min(), ends[:, place].max()
            if low < space.low[place] - _ROUNDING or high > space.high[place] + _ROUNDING:
                raise ConfigError(
                    f"action field '{entry.field.name}' reaches {low:g} to {high:g} in {entry.source} of the "
                    f"environment, whose space is {space.low[place]:g} to {space.high[place]:g}: "
                    "correct its limits, scale or offset"
                )

    def _theirs_unclipped(self, action: np.ndarray) -> np.ndarray:
        theirs = np.empty(len(self._order))
        theirs[self._order] = (action - self._offset) / self._scale
        return theirs

    def _theirs(self, action: np.ndarray) -> np.ndarray:
        """The environment's own numbers for an action."""
        theirs = self._theirs_unclipped(action)
        if self._mapping.trusts_action_space:
            # What rounding puts beyond the end.
            theirs = np.clip(theirs, self._space.low, self._space.high)
        return theirs.astype(self._space.dtype)

    def _rest(self) -> Float32[np.ndarray, " action_dim"]:
        action = rest(self.embodiment, self.observe())
        for index, field in enumerate(self.embodiment.action):
            action[index] = self._mapping.rest.get(field.name, action[index])
        return action

    def _clock_s(self) -> float | None:
        if self._mapping.physics is Physics.NONE:
            return None
        return float(model_and_data(self._inner, self._mapping.physics)[1].time)

    def _succeeded(self, reward: float, is_over: bool) -> bool:
        rule = self._mapping.success
        match rule.kind:
            case SuccessKind.TERMINATED:
                return is_over
            case SuccessKind.REWARD:
                assert rule.at_least is not None
                return self._finite(reward, "the reward") >= rule.at_least
            case SuccessKind.INFO:
                value = self._of_info(rule.key)
                if rule.at_least is None:
                    return bool(value)
                return self._finite(float(value), f"info '{rule.key}'") >= rule.at_least

    def _finite(self, value: float, what: str) -> float:
        if not np.isfinite(value):
            raise ObservationError(f"{what} of '{self._begun.task}' is {value} at step {self._num_steps}")
        return value

    def _of_info(self, key: str) -> Any:
        if key not in self._info:
            raise ObservationError(f"there is no '{key}' in info; keys: {', '.join(sorted(map(str, self._info)))}")
        return self._info[key]

    # ----------------------------------------------------------------------- what is seen

    def _place(self, name: str) -> Any:
        """An array of the observation, `a/b` within nested ones, or `info/a`."""
        if name == OBSERVATION:
            return self._seen
        tree: Any = self._seen
        path = name
        if name.startswith(INFO_PREFIX):
            tree, path = self._info, name.removeprefix(INFO_PREFIX)
        for key in path.split("/"):
            if not isinstance(tree, Mapping) or key not in tree:
                known = ", ".join(sorted(map(str, tree))) if isinstance(tree, Mapping) else "one array: 'observation'"
                raise ObservationError(f"there is no '{name}' in what the environment gives; there is: {known}")
            tree = tree[key]
        return tree

    def _proprioception(self) -> Float32[np.ndarray, " state_dim"]:
        values = [self._number(entry) for entry in self._mapping.proprioception]
        return np.array(values, np.float32)

    def _number(self, entry: FieldSource) -> float:
        try:
            raw = np.asarray(self._place(entry.source.array), np.float64)[entry.source.index]
            value = float(raw if np.ndim(raw) == 0 else raw.item())
        except (IndexError, ValueError, TypeError) as error:
            raise ObservationError(f"field '{entry.field.name}' is from {entry.source}: {error}") from None
        value = entry.scale * entry.factor * value + entry.offset
        if not np.isfinite(value):
            raise ObservationError(
                f"'{entry.source}' of '{self._begun.task}', seed {self._begun.seed}, is {value} "
                f"at step {self._num_steps}"
            )
        return self._within(value, entry)

    def _within(self, value: float, entry: FieldSource) -> float:
        field = entry.field
        if field.low <= value <= field.high:
            return value
        if self._mapping.limits is Limits.REFUSE:
            raise ObservationError(
                f"'{field.name}' is {value:g} {field.unit}, outside of its limits {field.low:g} to {field.high:g}"
            )
        return min(max(value, field.low), field.high)

    def _shoot(self, camera: CameraSpec) -> UInt8[np.ndarray, "height width 3"]:
        entry = next(entry for entry in self._mapping.cameras if entry.camera.name == camera.name)
        if entry.source.startswith(CAMERA_PREFIX):
            return self._draw(entry.source, camera.height, camera.width)
        try:
            return fit_pictures(self._picture(entry)[None], camera, entry.orientation, entry.resize, entry.aspect)[0]
        except DataError as error:
            raise ObservationError(str(error)) from None

    def _upright(self, entry: GymCamera) -> UInt8[np.ndarray, "height width 3"]:
        picture = self._picture(entry)
        sides = picture.shape[:2]
        if entry.orientation in (Orientation.TURNED_LEFT, Orientation.TURNED_RIGHT):
            sides = sides[::-1]
        camera = CameraSpec(entry.camera.name, *sides)
        return fit_pictures(picture[None], camera, entry.orientation, Resize.NONE, Aspect.SAME)[0]

    def _picture(self, entry: GymCamera) -> UInt8[np.ndarray, "height width 3"]:
        assert self._inner is not None
        raw = self._inner.render() if entry.source == RENDER else self._place(entry.source)
        picture = np.asarray(raw)
        if entry.layout is Layout.CHANNELS_HEIGHT_WIDTH:
            picture = np.moveaxis(picture, 0, -1)
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ObservationError(
                f"camera '{entry.camera.name}': expected uint8 pictures of three colours from '{entry.source}', "
                f"got {picture.dtype} {picture.shape}"
            )
        return np.ascontiguousarray(picture[..., ::-1] if entry.channels is Channels.BGR else picture)

    def _draw(self, source: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._draughtsman.draw(self._inner, source.removeprefix(CAMERA_PREFIX), height, width)

    # ----------------------------------------------------------------------- words

    def _words(self, spec: EpisodeSpec, task: GymTask) -> str:
        if spec.instruction is not None:
            return spec.instruction
        if spec.instruction_kind is InstructionKind.WRONG:
            return self._wrong_words(spec, task)
        words = task.instruction
        sentences = words.training if spec.templates is TemplateSet.TRAINING else words.held_out
        sentence = _one_of(sentences, _generator(spec, _WORDS_STREAM))
        return sentence if words.info is None else sentence.replace("{}", str(self._of_info(words.info)))

    def _wrong_words(self, spec: EpisodeSpec, task: GymTask) -> str:
        """Words of this scene's other tasks, if the mapping names any; else those of another task."""
        sentences = task.instruction.wrong or tuple(
            sentence
            for name, other in self._mapping.tasks.items()
            if name != spec.task and other.instruction.info is None
            for sentence in other.instruction.training
        )
        if not sentences:
            raise ConfigError(f"task '{spec.task}' has no wrong instruction: say 'wrong: [...]' in the mapping")
        return _one_of(sentences, _generator(spec, _WRONG_STREAM))


def _generator(spec: EpisodeSpec, stream: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(spec.task.encode()), spec.seed, stream])


def _one_of(sentences: tuple[str, ...], generator: np.random.Generator) -> str:
    return sentences[int(generator.integers(len(sentences)))]

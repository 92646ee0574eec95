"""A world of dots to reach, in NumPy: the cheapest closed loop that has pictures, words and 4, 7 or 14 action numbers.

    point      4   a hand in a box: dx, dy, dz, gripper; it is to be where the dot is, and close there
    arm        7   a planar arm of seven joints: joint deltas; its tip is to be where the dot is
    two_arms  14   two such arms: each tip is to be at a dot of its own

Three dots lie about, red, green and blue, and the instruction says which; where they are is in the pictures alone. A
stand-in for robots of so many action fields, and no more: nothing is pushed, lifted or in the way.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from jaxtyping import Float64, UInt8

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation
from vla.errors import ActionError
from vla.interfaces import Episode, EpisodeSpec, Observation, Transition
from vla.model.compact import ROLES
from vla_datasets.web.samples import WebSample

SIZE = 32
"""Pixels of a side of every picture."""
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220)}
JOINTS, LINK = 7, 0.11
"""Of each planar arm; lengths in shares of the picture, which is one metre wide."""
BASES = {"arm": [(0.5, 0.0)], "two_arms": [(0.3, 0.0), (0.7, 0.0)]}
REST = np.array([1.0, 0.9, -0.2, -0.3, -0.3, -0.3, 0.5])
STEP, TURN = 0.06, 0.12
"""The largest step of a hand (m) and of a joint (rad)."""
NEAR, MAX_STEPS, CONTROL_HZ = 0.05, 40, 10.0
NOISE = 0.5
"""Deviation of what a demonstration executes from what the expert would do, in largest steps, half of the time."""
WORLDS = {"point": 4, "arm": 7, "two_arms": 14}
"""Action fields by name."""


@functools.cache
def embodiment(kind: str) -> Embodiment:
    """The made-up robot of this name."""
    if kind == "point":
        axes = ("x", "y", "z")
        action = (*(Field(f"d{axis}", "m", -STEP, STEP) for axis in axes), Field("gripper", "1", 0.0, 1.0))
        state = (*(Field(axis, "m", 0.0, 1.0) for axis in axes), Field("opening", "1", 0.0, 1.0))
        cameras = (CameraSpec("scene", SIZE, SIZE), CameraSpec("side", SIZE, SIZE))
    else:
        names = [f"{arm}q{joint}" for arm in range(len(BASES[kind])) for joint in range(JOINTS)]
        action = tuple(Field(f"d{name}", "rad", -TURN, TURN) for name in names)
        tips = [f"tip{arm}{axis}" for arm in range(len(BASES[kind])) for axis in "xy"]
        state = (*(Field(n, "rad", -6.3, 6.3) for n in names), *(Field(n, "m", -1.0, 2.0) for n in tips))
        cameras = (CameraSpec("scene", SIZE, SIZE),)
    return Embodiment(
        name=f"reaching_{kind}",
        action=action,
        action_kind=ActionKind.DELTA_END_EFFECTOR if kind == "point" else ActionKind.DELTA_JOINT,
        frame="world",
        rotation=Rotation.NONE,
        gripper="absolute: 0 closed, 1 open" if kind == "point" else "none",
        proprioception=state,
        control_hz=CONTROL_HZ,
        cameras=cameras,
    )


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is so at one moment."""

    dots: Float64[np.ndarray, "colours 3"]
    body: Float64[np.ndarray, " numbers"]
    """A hand's place and opening, or the joints."""
    goals: tuple[int, ...]
    """The dot of each tip."""


class ReachingEnvironment:
    """One of these worlds as an environment; its one task is `reach`."""

    def __init__(self, kind: str) -> None:
        """Nothing is in it before `reset`."""
        self.kind, self.scene, self._steps, self._words = kind, None, 0, ""

    @property
    def embodiment(self) -> Embodiment:
        return embodiment(self.kind)

    def reset(self, spec: EpisodeSpec) -> Observation:
        self.scene, self._steps = _begin(self.kind, spec.seed), 0
        self._words = instruction(self.scene)
        return self._observation()

    def step(self, action: np.ndarray) -> Transition:
        body = self.embodiment
        if action.shape != (body.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"an action of {body.name} is {body.action_dim} finite numbers, got {action}")
        applied = np.clip(action, body.action_low, body.action_high)
        assert self.scene is not None
        self.scene, self._steps = moved(self.kind, self.scene, applied), self._steps + 1
        success = is_reached(self.kind, self.scene)
        return Transition(self._observation(), applied, success, self._steps >= MAX_STEPS, success)

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self) -> Observation:
        assert self.scene is not None
        names = [camera.name for camera in self.embodiment.cameras]
        return Observation(
            images={name: drawn(self.kind, self.scene, name) for name in names},
            proprioception=_measured(self.kind, self.scene),
            instruction=self._words,
            time_s=self._steps / CONTROL_HZ,
            fresh=frozenset({"proprioception", *names}),
        )


def instruction(scene: Scene) -> str:
    """Which dots to reach."""
    names = [list(COLOURS)[goal] for goal in scene.goals]
    return f"reach the {names[0]} dot" if len(names) == 1 else f"left to the {names[0]} dot, right to the {names[1]}"


def expert(kind: str, scene: Scene) -> Float64[np.ndarray, " action_dim"]:
    """What leads there: straight on, or damped least squares of the tip's way."""
    if kind == "point":
        apart = scene.dots[scene.goals[0]] - scene.body[:3]
        return np.append(np.clip(apart, -STEP, STEP), float(np.linalg.norm(apart) > NEAR))
    turns = [
        _towards(joints, base, scene.dots[goal, :2])
        for joints, base, goal in zip(_arms(kind, scene), BASES[kind], scene.goals, strict=True)
    ]
    return np.concatenate(turns)


def moved(kind: str, scene: Scene, action: np.ndarray) -> Scene:
    """The scene one control step later."""
    if kind == "point":
        place = np.clip(scene.body[:3] + action[:3], 0.0, 1.0)
        return dataclasses.replace(scene, body=np.append(place, action[3]))
    return dataclasses.replace(scene, body=scene.body + action)


def is_reached(kind: str, scene: Scene) -> bool:
    """Whether every tip is near its dot, and a hand is closed."""
    if kind == "point":
        return bool(np.linalg.norm(scene.body[:3] - scene.dots[scene.goals[0]]) < NEAR and scene.body[3] < 0.5)
    tips = [_joints_in_space(q, base)[-1] for q, base in zip(_arms(kind, scene), BASES[kind], strict=True)]
    return all(np.linalg.norm(tip - scene.dots[goal, :2]) < NEAR for tip, goal in zip(tips, scene.goals, strict=True))


def demonstration(kind: str, seed: int, horizon: int) -> Episode:
    """A noisy episode of the expert, with what it would do without noise as labels."""
    environment, noise = ReachingEnvironment(kind), np.random.default_rng([seed, 1])
    body = environment.embodiment
    seen, actions, ahead, points, success = [environment.reset(EpisodeSpec("reach", seed))], [], [], [], False
    while not success and len(actions) < MAX_STEPS:
        scene = environment.scene
        assert scene is not None
        ahead.append(_lookahead(kind, scene, horizon))
        points.append(_points(scene))
        span = (body.action_high - body.action_low) / 2
        disturbed = ahead[-1][0] + NOISE * span * noise.standard_normal(len(span)) * (noise.random() < 0.5)
        done = environment.step(np.clip(disturbed, body.action_low, body.action_high).astype(np.float32))
        actions.append(done.applied)
        seen.append(done.observation)
        success = done.success
    seen = seen[: len(actions)]
    return Episode(
        embodiment=body,
        images={camera.name: np.stack([one.images[camera.name] for one in seen]) for camera in body.cameras},
        proprioception=np.stack([one.proprioception for one in seen]),
        actions=np.stack(actions),
        times_s=np.array([one.time_s for one in seen]),
        instruction=seen[0].instruction,
        task="reach",
        success=success,
        seed=seed,
        source="scripted",
        licence="CC0-1.0",
        labels={"lookahead": np.stack(ahead)} | dict(zip(ROLES, np.stack(points, axis=1), strict=True)),
    )


def question(kind: str, seed: int) -> WebSample:
    """Which dot is the highest, or the lowest, or furthest to one side."""
    scene, which = _begin(kind, seed), np.random.default_rng([seed, 2]).integers(4)
    axis, sign, word = ((1, 1, "highest"), (1, -1, "lowest"), (0, 1, "rightmost"), (0, -1, "leftmost"))[which]
    answer = list(COLOURS)[int(np.argmax(sign * scene.dots[:, axis]))]
    picture = drawn(kind, scene, "scene")
    return WebSample((picture,), f"which dot is {word}", answer, "vqa", "CC0-1.0", f"reaching:{kind}:{seed}", str(seed))


# --------------------------------------------------------------------------- geometry and pictures


def _begin(kind: str, seed: int) -> Scene:
    random = np.random.default_rng([seed, list(WORLDS).index(kind)])
    num_goals = len(BASES.get(kind, [()]))
    while True:
        dots = random.uniform([0.2, 0.2, 0.1], [0.8, 0.55, 0.9], (len(COLOURS), 3))
        if min(np.linalg.norm(dots[i, :2] - dots[j, :2]) for i, j in ((0, 1), (0, 2), (1, 2))) > 0.17:
            break
    goals = tuple(int(goal) for goal in random.permutation(len(COLOURS))[:num_goals])
    if kind == "point":
        return Scene(dots, np.append(random.uniform(0.1, 0.9, 3), 1.0), goals)
    return Scene(dots, np.concatenate([REST + random.normal(scale=0.15, size=JOINTS) for _ in range(num_goals)]), goals)


def _arms(kind: str, scene: Scene) -> list[np.ndarray]:
    return np.split(scene.body, len(BASES[kind]))


def _joints_in_space(joints: np.ndarray, base: tuple[float, float]) -> Float64[np.ndarray, "points 2"]:
    angle = np.cumsum(joints)
    return np.array(base) + np.cumsum(LINK * np.stack([np.cos(angle), np.sin(angle)], axis=1), axis=0)


def _towards(joints: np.ndarray, base: tuple[float, float], goal: np.ndarray) -> Float64[np.ndarray, " joints"]:
    places = _joints_in_space(joints, base)
    way = goal - places[-1]
    way = way * min(1.0, STEP / max(np.linalg.norm(way), 1e-9))
    arms = places[-1] - np.concatenate([[base], places[:-1]])  # from each joint to the tip
    jacobian = np.stack([-arms[:, 1], arms[:, 0]])
    turn = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + 1e-3 * np.eye(2), way)
    return np.clip(turn, -TURN, TURN)


def _lookahead(kind: str, scene: Scene, horizon: int) -> np.ndarray:
    chunk = []
    for _ in range(horizon):
        chunk.append(expert(kind, scene))
        scene = moved(kind, scene, chunk[-1])
    return np.stack(chunk).astype(np.float32)


def _points(scene: Scene) -> np.ndarray:
    goals = scene.dots[[scene.goals[0], scene.goals[-1]], :2]
    return np.stack([goals[:, 0], 1 - goals[:, 1]], axis=1).astype(np.float32)


def _measured(kind: str, scene: Scene) -> np.ndarray:
    if kind == "point":
        return scene.body.astype(np.float32)
    tips = [_joints_in_space(q, base)[-1] for q, base in zip(_arms(kind, scene), BASES[kind], strict=True)]
    return np.concatenate([scene.body, *tips]).astype(np.float32)


def drawn(kind: str, scene: Scene, camera: str) -> UInt8[np.ndarray, "height width 3"]:
    """The dots and the robot, from the front (`scene`: x and y) or from the side (`side`: x and z)."""
    image, up = np.full((SIZE, SIZE, 3), 235, np.uint8), 1 if camera == "scene" else 2
    for colour, dot in zip(COLOURS.values(), scene.dots, strict=True):
        _stamp(image, dot[0], dot[up], 2, colour)
    if kind == "point":
        _stamp(image, scene.body[0], scene.body[up], 1, (20, 20, 20))
        return image
    for joints, base in zip(_arms(kind, scene), BASES[kind], strict=True):
        for x, y in _joints_in_space(joints, base):
            _stamp(image, x, y, 1, (90, 90, 90))
    return image


def _stamp(image: np.ndarray, x: float, y: float, radius: int, colour: tuple[int, int, int]) -> None:
    column, row = round(x * SIZE - 0.5), round((1 - y) * SIZE - 0.5)
    rows, columns = (slice(max(0, at - radius), max(0, at + radius)) for at in (row, column))
    image[rows, columns] = colour

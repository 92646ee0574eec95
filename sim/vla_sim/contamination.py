"""Whether a policy was trained on what it is to be evaluated on: scenes of the evaluation in the training data.

    training stores ─► (task, seed) of each episode; hash and sketch of its first moment ─┐
                                                                                          ├─► in both: the run fails
    evaluation ──────► (task, seed) of each spec; hash and sketch of its first moment ────┘

Task and seed make a scene, so equal ones are a leak, whatever was done in them. The hash of the first moment, state and
pictures bit for bit, finds scenes that were recorded under another name; the sketch (`near_duplicates.py`) finds those
whose pictures were compressed, disturbed or moved a little. Both are compared where a store is of the same embodiment;
the hash needs pictures that were kept losslessly, and a machine that draws the same pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from vla.errors import ConfigError
from vla.interfaces import Environment, EpisodeSpec, Observation
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_policies.seen_scenes import SeenScenes
from vla_sim.near_duplicates import distances, sketch, too_near

type Scene = tuple[str, int]
"""The task whose scene it is, and the seed."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """What was compared, when nothing leaked."""

    scenes: int
    """Of the evaluation."""
    stores: dict[str, int]
    """Episodes by training store."""
    hashed: int
    """Training episodes whose first moment was compared too, bit for bit."""
    sketched: int
    """Training episodes whose first pictures were compared by what they look like."""
    nearest: float | None
    """How far the training picture that is most like one of the evaluation is from it, 0 to 1."""
    too_near: float | None
    """Nearer than this would have been a leak."""


def require_unseen(
    stores: Sequence[str],
    specs: Iterable[EpisodeSpec],
    make_environment: Callable[[], Environment],
    scene_of: Callable[[str], str] = lambda task: task,
) -> Checked:
    """Return if no scene of an evaluation is in the training stores.

    Args:
        stores: their addresses.
        specs: of every episode of the evaluation.
        make_environment: makes one in which the evaluation's scenes begin, to hash them.
        scene_of: the task whose scenes a task has.

    Raises:
        ConfigError: naming the first episode that leaked, and where it lies.
        StoreError: if a store cannot be read.
    """
    scenes = {(scene_of(spec.task), spec.seed): spec for spec in specs}
    opened = [EpisodeStore.open(address) for address in stores]
    for store in opened:
        _require_other_seeds(store, scenes, scene_of)
    environment = make_environment()
    same_robot = [store for store in opened if store.embodiment == environment.embodiment]
    lossless = [store for store in same_robot if store.image_codec is ImageCodec.LOSSLESS]
    nearest = limit = None
    if same_robot:
        moments = [environment.reset(spec) for spec in scenes.values()]
        _require_other_moments(lossless, dict(zip(map(_moment_hash_of, moments), scenes.values(), strict=True)))
        sketches = np.stack([sketch(moment.images) for moment in moments])
        limit = too_near(sketches, [task for task, _ in scenes])
        nearest = _require_other_looks(same_robot, sketches, list(scenes.values()), limit)
    environment.close()
    return Checked(
        scenes=len(scenes),
        stores={store.name: len(store) for store in opened},
        hashed=sum(len(store) for store in lossless),
        sketched=sum(len(store) for store in same_robot),
        nearest=nearest,
        too_near=limit,
    )


def require_other_seeds(seen: SeenScenes, specs: Iterable[EpisodeSpec], scene_of: Callable[[str], str]) -> None:
    """Return if a policy was trained on none of these scenes.

    Args:
        seen: what its checkpoint says it was trained on.
        scene_of: the task whose scenes a task has.

    Raises:
        ConfigError: naming the first episode it was trained on.
    """
    known = SeenScenes.of((_scene_of(task, scene_of), seed) for task, seed in seen)
    for spec in specs:
        if (scene_of(spec.task), spec.seed) in known:
            raise ConfigError(
                f"seed clash: the policy was trained on the scene of the evaluation's episode {spec.task}, seed "
                f"{spec.seed}: choose another seed"
            )


def _scene_of(task: str, scene_of: Callable[[str], str]) -> str:
    """As `scene_of` has it; a task that the suite does not know has scenes of its own."""
    try:
        return scene_of(task)
    except KeyError:
        return task


def _require_other_seeds(
    store: EpisodeStore, scenes: Mapping[Scene, EpisodeSpec], scene_of: Callable[[str], str]
) -> None:
    for row in store.index():
        key = (_scene_of(row.task, scene_of), row.seed)
        if key in scenes:
            raise _leak(scenes[key], store, row.id, "the same task and seed")


def _require_other_moments(stores: Sequence[EpisodeStore], begun: Mapping[str, EpisodeSpec]) -> None:
    for store in stores:
        for row in store.index():
            state = store.numbers(row.id)["proprioception"][0]
            moment = moment_hash(state, _first_pictures(store, row.id))
            if moment in begun:
                raise _leak(begun[moment], store, row.id, "the same first state and pictures")


def _require_other_looks(
    stores: Sequence[EpisodeStore],
    sketches: Float32[np.ndarray, "scenes cells"],
    specs: Sequence[EpisodeSpec],
    limit: float | None,
) -> float | None:
    """How near the nearest training picture is."""
    nearest = None
    for store in stores:
        for row in store.index():
            apart = distances(sketches, sketch(_first_pictures(store, row.id))[None])[:, 0]
            found = int(apart.argmin())
            if limit is not None and apart[found] < limit:
                raise _leak(specs[found], store, row.id, f"pictures {apart[found]:.3f} apart, near is {limit:.3f}")
            nearest = min(float(apart[found]), 1.0 if nearest is None else nearest)
    return nearest


def _first_pictures(store: EpisodeStore, key: str) -> dict[str, UInt8[np.ndarray, "height width 3"]]:
    return {camera.name: store.frame(key, camera.name, 0) for camera in store.embodiment.cameras}


def _leak(spec: EpisodeSpec, store: EpisodeStore, key: str, what: str) -> ConfigError:
    return ConfigError(
        f"leak: the evaluation's episode {spec.task}, seed {spec.seed}, is in the training store {store.name} "
        f"as '{key}' ({what}): choose another seed"
    )


def _moment_hash_of(observation: Observation) -> str:
    return moment_hash(observation.proprioception, observation.images)


def moment_hash(
    proprioception: Float32[np.ndarray, " state_dim"], images: Mapping[str, UInt8[np.ndarray, "height width 3"]]
) -> str:
    """64 hexadecimal digits that stand for what is measured and seen at one moment; not for words."""
    digest = hashlib.sha256(np.ascontiguousarray(proprioception).tobytes())
    for name in sorted(images):
        digest.update(f"{name} {images[name].shape}".encode())
        digest.update(np.ascontiguousarray(images[name]).tobytes())
    return digest.hexdigest()

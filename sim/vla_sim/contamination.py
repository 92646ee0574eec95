"""Whether a policy was trained on what it is to be evaluated on: scenes of the evaluation in the training data.

    training stores ─► (task, seed) of each episode, hash of its first moment ─┐
                                                                               ├─► in both: the run fails, by name
    evaluation ──────► (task, seed) of each spec, hash of its first moment ────┘

Task and seed make a scene, so equal ones are a leak, whatever was done in them. The hash of the first moment, state and
pictures bit for bit, finds scenes that were recorded under another name. It is compared where a store keeps pictures
losslessly and is of the same embodiment, and it is the same only on machines that draw the same pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from vla.errors import ConfigError
from vla.interfaces import Environment, EpisodeSpec
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore

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
    """Training episodes whose first moment was compared too."""


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
    comparable = [
        store
        for store in opened
        if store.embodiment == environment.embodiment and store.image_codec is ImageCodec.LOSSLESS
    ]
    if comparable:
        begun = {_first_moment(environment, spec): spec for spec in scenes.values()}
        for store in comparable:
            _require_other_moments(store, begun)
    environment.close()
    return Checked(len(scenes), {store.name: len(store) for store in opened}, sum(len(store) for store in comparable))


def _require_other_seeds(
    store: EpisodeStore, scenes: Mapping[Scene, EpisodeSpec], scene_of: Callable[[str], str]
) -> None:
    for row in store.index():
        try:
            key = (scene_of(row.task), row.seed)
        except KeyError:  # a task that this suite does not know
            key = (row.task, row.seed)
        if key in scenes:
            raise _leak(scenes[key], store, row.id, "the same task and seed")


def _require_other_moments(store: EpisodeStore, begun: Mapping[str, EpisodeSpec]) -> None:
    cameras = [camera.name for camera in store.embodiment.cameras]
    for row in store.index():
        state = store.numbers(row.id)["proprioception"][0]
        moment = moment_hash(state, {camera: store.frame(row.id, camera, 0) for camera in cameras})
        if moment in begun:
            raise _leak(begun[moment], store, row.id, "the same first state and pictures")


def _leak(spec: EpisodeSpec, store: EpisodeStore, key: str, what: str) -> ConfigError:
    return ConfigError(
        f"leak: the evaluation's episode {spec.task}, seed {spec.seed}, is in the training store {store.name} "
        f"as '{key}' ({what}): choose another seed"
    )


def _first_moment(environment: Environment, spec: EpisodeSpec) -> str:
    observation = environment.reset(spec)
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

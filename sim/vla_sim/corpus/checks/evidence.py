"""What MuJoCo itself says of a tabletop picture: poses, contacts, joint positions, and who is seen in each fine pixel.

Things are told apart by the names of bodies and the colours of geoms in the model, not by the scene they came from.
"""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
from jaxtyping import Bool, Float64

from vla_sim.corpus.studio_world import StudioWorld
from vla_sim.corpus.tabletop_pictures import TabletopPicture
from vla_sim.worlds.scene import COLOURS

_KINDS = ("block", "pad", "bowl", "button", "drawer")
_FAR_M = 1.5
"""Bodies that a scene does not use are parked farther away than this."""
_MAX_FINE_PIXELS = 480


@dataclasses.dataclass(frozen=True)
class SeenBody:
    """One thing as the model and the fine segmentation have it."""

    name: str
    kind: str
    colour: str
    mask: Bool[np.ndarray, "height width"]
    """In a picture `scale` times as large."""
    position: Float64[np.ndarray, " xyz"]
    """Of its moving body."""
    geoms: tuple[int, ...]

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the mask's centroid, as shares of height and width."""
        rows, columns = np.nonzero(self.mask)
        height, width = self.mask.shape
        return float(rows.mean() + 0.5) / height, float(columns.mean() + 0.5) / width


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that is known of one picture."""

    bodies: dict[str, SeenBody]
    scale: int
    opening_m: float
    fingertips: Float64[np.ndarray, " xyz"]
    pinched: frozenset[str]
    """Things that both fingers touch."""
    touched: frozenset[str]
    """Things that the gripper touches."""
    displacement: dict[str, float]
    """Of drawer and buttons: joint positions, m."""
    speed: dict[str, float]
    """Of blocks: m/s."""
    fingertip_speed: float
    """m/s."""
    clearance: dict[str, float]
    """From the fingertips to the nearest point of a thing's geoms, m."""


def gather(world: StudioWorld, picture: TabletopPicture) -> Evidence:
    """Stand as in the picture, and look."""
    world.take(picture.scene, picture.look, picture.state)
    model, data = world.model, world.data
    scale = max(1, _MAX_FINE_PIXELS // max(picture.look.height, picture.look.width))
    fine = world.geoms_seen(scale)
    bodies = {body.name: body for body in _bodies(model, data, fine)}
    owner = {geom: body.name for body in bodies.values() for geom in body.geoms}
    left, right, hand = (_touching(model, data, owner, name) for name in ("finger_left", "finger_right", "hand"))
    roots = {body.name: model.body_rootid[model.geom_bodyid[body.geoms[0]]] for body in bodies.values()}
    speed = {name: _speed(model, data, int(roots[name])) for name in bodies if bodies[name].kind == "block"}
    movable = [name for name, body in bodies.items() if body.kind in ("drawer", "button")]
    sliding = {name: _slide(model, data, int(roots[name])) for name in movable}
    return Evidence(
        bodies=bodies,
        scale=scale,
        opening_m=float(data.qpos[7] + data.qpos[8]),
        fingertips=data.site("tcp").xpos.copy(),
        pinched=left & right,
        touched=left | right | hand,
        displacement=sliding,
        speed=speed,
        fingertip_speed=_site_speed(model, data),
        clearance={name: _clearance(model, data, body.geoms) for name, body in bodies.items()},
    )


def _bodies(model: mujoco.MjModel, data: mujoco.MjData, fine: np.ndarray) -> list[SeenBody]:
    found = []
    for root in range(1, model.nbody):
        kind = model.body(root).name.partition("_")[0]
        is_thing = kind in _KINDS and model.body_parentid[root] == 0
        if not is_thing or np.linalg.norm(data.xpos[root]) > _FAR_M:
            continue
        geoms = tuple(g for g in range(model.ngeom) if model.body_rootid[model.geom_bodyid[g]] == root)
        colour = "" if kind == "drawer" else _colour(model.geom_rgba[geoms[-1], :3])
        last = int(model.geom_bodyid[geoms[-1]])
        found.append(
            SeenBody(
                name=f"{colour} {kind}".strip(),
                kind=kind,
                colour=colour,
                mask=np.isin(fine, geoms),
                position=data.xpos[last].copy(),
                geoms=geoms,
            )
        )
    return found


def _colour(rgb: np.ndarray) -> str:
    return min(COLOURS, key=lambda name: float(np.abs(rgb - np.array(COLOURS[name])).sum()))


def _touching(model: mujoco.MjModel, data: mujoco.MjData, owner: dict[int, str], body: str) -> frozenset[str]:
    mine = model.body(body).id
    found = set()
    for first, second in data.contact.geom:
        for one, other in ((int(first), int(second)), (int(second), int(first))):
            if model.geom_bodyid[one] == mine and other in owner:
                found.add(owner[other])
    return frozenset(found)


def _speed(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> float:
    dof = int(model.body_dofadr[body])
    return float(np.linalg.norm(data.qvel[dof : dof + 3]))


def _slide(model: mujoco.MjModel, data: mujoco.MjData, root: int) -> float:
    joint = next(j for j in range(model.njnt) if model.body_rootid[model.jnt_bodyid[j]] == root)
    return float(data.qpos[model.jnt_qposadr[joint]])


def _site_speed(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    mujoco.mj_fwdVelocity(model, data)
    velocity = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_SITE.value, model.site("tcp").id, velocity, 0)
    return float(np.linalg.norm(velocity[3:]))


def _clearance(model: mujoco.MjModel, data: mujoco.MjData, geoms: tuple[int, ...]) -> float:
    """Every geom taken as the box around it."""
    tip, distances = data.site("tcp").xpos, []
    for geom in geoms:
        half = model.geom_size[geom]
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CYLINDER:
            half = np.array([half[0], half[0], half[1]])
        local = data.geom_xmat[geom].reshape(3, 3).T @ (tip - data.geom_xpos[geom])
        distances.append(float(np.linalg.norm(np.maximum(np.abs(local) - half, 0.0))))
    return min(distances)

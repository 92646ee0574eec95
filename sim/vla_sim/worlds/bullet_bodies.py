"""Bullet's bodies, read from a compiled MuJoCo model: what is added to the model appears in Bullet as well.

    body tree below MuJoCo's world  ──►  one Bullet body: its root is the base, every other body a link
    geoms that can touch            ──►  collision shapes; the others are not there
    joints, actuators, friction     ──►  as they are, save for what Bullet does not have:

| MuJoCo                                      | Bullet                                                               |
|---------------------------------------------|----------------------------------------------------------------------|
| friction of a pair: the larger              | the product: every geom has the root of its own, which is the same   |
|                                             | between equals, and the geometric mean between others                |
| a geom of higher priority decides alone     | its friction over the root of the table's: right where it touches    |
|                                             | what is as slippery as the table                                     |
| position actuator: a spring with a damper   | a servo within the same force, which is as stiff as the solver       |
| armature of a slide                         | mass of its link, weightless; of a servo or a hinge: left out        |
| joint equality                              | a gear                                                               |
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Sequence
from types import ModuleType

import mujoco
import numpy as np
from jaxtyping import Float64

from vla.errors import ConfigError
from vla_sim.worlds.bullet_urdf import joint_of, touching_geoms, urdf
from vla_sim.worlds.physics import HIDDEN_GROUP

_GEOM = mujoco.mjtGeom
_JOINT = mujoco.mjtJoint
_MAX_FRICTION = 10.0
"""Bullet's own limit on the friction of a pair."""
_GEAR_FORCE, _GEAR_ERP = 200.0, 0.2


@dataclasses.dataclass(frozen=True)
class Hinged:
    """A joint of a link: where MuJoCo and Bullet keep it."""

    link: int
    qpos: int
    dof: int
    actuator: int
    """Its position actuator in MuJoCo; -1 if nothing drives it."""
    stiffness: float
    rest: float
    """Where its spring is at ease."""
    weight: float
    """What gravity does to its armature along its axis, N."""


@dataclasses.dataclass(frozen=True)
class Body:
    """One body of Bullet, and the bodies of MuJoCo that it stands for."""

    number: int
    """Bullet's."""
    bodies: tuple[int, ...]
    """MuJoCo's, base first, then the links in Bullet's order."""
    joints: tuple[Hinged, ...]
    free_qpos: int = -1
    """Where the position of a free base is kept; -1 if it stands fast."""
    free_dof: int = -1
    filters: tuple[tuple[int, int, int], ...] = ()
    """Link, group and mask of what can touch."""


def build(bullet: ModuleType, client: int, model: mujoco.MjModel, data: mujoco.MjData) -> list[Body]:
    """Everything that the scene has, in a client that is empty.

    Raises:
        ConfigError: if the model has something that Bullet's world does not know.
    """
    builder = _Builder(bullet, client, model, data)
    trees = [[0], *(tree for tree in _trees(model) if not _is_parked(model, tree))]
    found = [body for body in (builder.body(tree) for tree in trees) if body is not None]
    builder.exclude(found)
    builder.gear(found)
    return found


def _trees(model: mujoco.MjModel) -> list[list[int]]:
    """The bodies below each child of the world, parents first."""
    roots = [b for b in range(1, model.nbody) if model.body_parentid[b] == 0]
    return [[b for b in range(1, model.nbody) if model.body_rootid[b] == root] for root in roots]


def _is_parked(model: mujoco.MjModel, tree: Sequence[int]) -> bool:
    groups = model.geom_group[np.isin(model.geom_bodyid, tree)]
    return len(groups) > 0 and bool((groups == HIDDEN_GROUP).all())


class _Builder:
    """Makes the bodies of one scene."""

    def __init__(self, bullet: ModuleType, client: int, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._bullet = bullet
        self._client = client
        self._model = model
        self._data = data
        self._root_of_friction = math.sqrt(float(model.geom_friction[model.geom("table").id, 0]))
        self._drivers = {int(model.actuator_trnid[a, 0]): a for a in range(model.nu)}
        self._joints = {b: joint_of(model, b) for b in range(model.nbody)}

    def body(self, tree: Sequence[int]) -> Body | None:
        """One tree; `None` if nothing of it moves or can touch."""
        model, root = self._model, tree[0]
        if all(self._joints[b] < 0 and not touching_geoms(self._model, b) for b in tree):
            return None
        is_free = self._joints[root] >= 0
        if is_free and model.jnt_type[self._joints[root]] != _JOINT.mjJNT_FREE:
            raise ConfigError(f"Bullet's world needs a body below '{model.body(root).name}' for its joint")
        number = self._create(tree, is_free)
        joints = [self._hinged(link, b) for link, b in enumerate(tree[1:]) if self._joints[b] >= 0]
        filters = [self._dynamics(number, link, b) for link, b in enumerate(tree, start=-1)]
        free = self._joints[root]
        return Body(
            number,
            tuple(tree),
            tuple(joints),
            int(model.jnt_qposadr[free]) if is_free else -1,
            int(model.jnt_dofadr[free]) if is_free else -1,
            tuple(f for f in filters if f is not None),
        )

    def _create(self, tree: Sequence[int], is_free: bool) -> int:
        model, root = self._model, tree[0]
        position, turn = model.body_pos[root].tolist(), _xyzw(model.body_quat[root])
        if len(tree) > 1:
            return self._jointed(tree, position, turn)
        number = self._bullet.createMultiBody(
            baseMass=float(model.body_mass[root]) if is_free else 0.0,
            baseCollisionShapeIndex=self._shape(root),
            basePosition=position,
            baseOrientation=turn,
            baseInertialFramePosition=model.body_ipos[root].tolist() if is_free else [0, 0, 0],
            baseInertialFrameOrientation=_xyzw(model.body_iquat[root]) if is_free else [0, 0, 0, 1],
            physicsClientId=self._client,
        )
        return int(number)

    def _jointed(self, tree: Sequence[int], position: list[float], turn: list[float]) -> int:
        """Through a file, which is the one way to joints that have limits."""
        bullet = self._bullet
        with tempfile.NamedTemporaryFile("w", suffix=".urdf") as file:
            file.write(urdf(self._model, tree))
            file.flush()
            return int(
                bullet.loadURDF(
                    file.name,
                    position,
                    turn,
                    useFixedBase=True,
                    flags=bullet.URDF_USE_IMPLICIT_CYLINDER | bullet.URDF_USE_INERTIA_FROM_FILE,
                    physicsClientId=self._client,
                )
            )

    def _dynamics(self, number: int, link: int, body: int) -> tuple[int, int, int] | None:
        """Friction, inertia, damping and limits of a link; what it can touch."""
        model, joint = self._model, self._joints[body]
        settings: dict[str, object] = {"linearDamping": 0.0, "angularDamping": 0.0, "restitution": 0.0}
        if model.body_mass[body] > 0 and (link >= 0 or joint >= 0):
            settings["mass"] = float(model.body_mass[body]) + self._added_mass(body)
            settings["localInertiaDiagonal"] = model.body_inertia[body].tolist()
        if joint >= 0 and link >= 0:
            settings["jointDamping"] = (
                0.0 if joint in self._drivers else float(model.dof_damping[model.jnt_dofadr[joint]])
            )
        geoms = touching_geoms(self._model, body)
        if geoms:
            settings |= self._friction(geoms)
        self._bullet.changeDynamics(number, link, physicsClientId=self._client, **settings)
        if not geoms:
            return None
        group = int(np.bitwise_or.reduce(model.geom_contype[geoms]))
        mask = int(np.bitwise_or.reduce(model.geom_conaffinity[geoms]))
        return link, group, mask

    def _friction(self, geoms: Sequence[int]) -> dict[str, float]:
        model = self._model
        geom = max(geoms, key=lambda g: (model.geom_priority[g], model.geom_friction[g, 0]))
        sliding, torsional, _ = model.geom_friction[geom]
        decides = model.geom_priority[geom] > 0
        own = sliding / self._root_of_friction if decides else math.sqrt(sliding)
        spinning = torsional / self._root_of_friction if decides and model.geom_condim[geom] >= 4 else 0.0
        return {"lateralFriction": min(own, _MAX_FRICTION), "spinningFriction": spinning, "rollingFriction": 0.0}

    def _hinged(self, link: int, body: int) -> Hinged:
        model, joint = self._model, self._joints[body]
        dof, qpos = int(model.jnt_dofadr[joint]), int(model.jnt_qposadr[joint])
        axis = np.zeros(3)
        mujoco.mju_rotVecQuat(axis, model.jnt_axis[joint], self._data.xquat[body])
        weight = float(self._added_mass(body) * (model.opt.gravity @ axis))
        return Hinged(
            link,
            qpos,
            dof,
            self._drivers.get(joint, -1),
            float(model.jnt_stiffness[joint]),
            float(model.qpos_spring[qpos]),
            weight,
        )

    def _added_mass(self, body: int) -> float:
        """The armature of a slide that nothing drives."""
        joint = self._joints[body]
        if joint < 0 or joint in self._drivers or self._model.jnt_type[joint] != _JOINT.mjJNT_SLIDE:
            return 0.0
        return float(self._model.dof_armature[self._model.jnt_dofadr[joint]])

    # ------------------------------------------------------------------ shapes

    def _shape(self, body: int) -> int:
        geoms = touching_geoms(self._model, body)
        if not geoms:
            return -1
        offsets = [self._model.geom_pos[g].tolist() for g in geoms]
        turns = [_xyzw(self._model.geom_quat[g]) for g in geoms]
        kinds, sizes = zip(*(self._primitive(g) for g in geoms), strict=True)
        if len(geoms) == 1:
            return int(
                self._bullet.createCollisionShape(
                    kinds[0],
                    collisionFramePosition=offsets[0],
                    collisionFrameOrientation=turns[0],
                    physicsClientId=self._client,
                    **sizes[0],
                )
            )
        for geom, size in zip(geoms, sizes, strict=True):
            if "vertices" in size:
                raise ConfigError(f"Bullet's world knows a mesh as a body's only shape: geom {geom} has company")
        return int(
            self._bullet.createCollisionShapeArray(
                shapeTypes=list(kinds),
                halfExtents=[size.get("halfExtents", [0, 0, 0]) for size in sizes],
                radii=[size.get("radius", 0.0) for size in sizes],
                lengths=[size.get("height", 0.0) for size in sizes],
                collisionFramePositions=offsets,
                collisionFrameOrientations=turns,
                physicsClientId=self._client,
            )
        )

    def _primitive(self, geom: int) -> tuple[int, dict[str, object]]:
        model, bullet = self._model, self._bullet
        size, kind = model.geom_size[geom], _GEOM(int(model.geom_type[geom]))
        match kind:
            case _GEOM.mjGEOM_BOX:
                return bullet.GEOM_BOX, {"halfExtents": size.tolist()}
            case _GEOM.mjGEOM_SPHERE:
                return bullet.GEOM_SPHERE, {"radius": float(size[0])}
            case _GEOM.mjGEOM_CYLINDER:
                return bullet.GEOM_CYLINDER, {"radius": float(size[0]), "height": 2 * float(size[1])}
            case _GEOM.mjGEOM_CAPSULE:
                return bullet.GEOM_CAPSULE, {"radius": float(size[0]), "height": 2 * float(size[1])}
            case _GEOM.mjGEOM_MESH:
                return bullet.GEOM_MESH, {"vertices": self._vertices(geom)}
        raise ConfigError(
            f"Bullet's world knows boxes, balls, cylinders, capsules and meshes; geom {geom} is {kind.name}"
        )

    def _vertices(self, geom: int) -> list[list[float]]:
        """Of a mesh, whose convex hull it is that touches, in both engines."""
        mesh = int(self._model.geom_dataid[geom])
        first, number = int(self._model.mesh_vertadr[mesh]), int(self._model.mesh_vertnum[mesh])
        return self._model.mesh_vert[first : first + number].tolist()

    # ------------------------------------------------------------------ what ties bodies

    def exclude(self, bodies: Sequence[Body]) -> None:
        """Let pairs pass through each other that do so in MuJoCo."""
        where = _where(bodies)
        for signature in self._model.exclude_signature:
            first, second = int(signature) >> 16, int(signature) & 0xFFFF
            if first in where and second in where:
                pair = (*where[first], *where[second])
                self._bullet.setCollisionFilterPair(pair[0], pair[2], pair[1], pair[3], 0, physicsClientId=self._client)

    def gear(self, bodies: Sequence[Body]) -> None:
        """Tie joints that MuJoCo ties."""
        model, where = self._model, _where(bodies)
        for equality in range(model.neq):
            if model.eq_type[equality] != mujoco.mjtEq.mjEQ_JOINT:
                continue
            first, second = int(model.eq_obj1id[equality]), int(model.eq_obj2id[equality])
            if second < 0 or int(model.jnt_bodyid[first]) not in where:
                continue
            (one, link), (other, other_link) = (where[int(model.jnt_bodyid[j])] for j in (first, second))
            axis = model.jnt_axis[first].tolist()
            zero = [0, 0, 0]
            tie = self._bullet.createConstraint(
                one, link, other, other_link, self._bullet.JOINT_GEAR, axis, zero, zero, physicsClientId=self._client
            )
            self._bullet.changeConstraint(
                tie,
                gearRatio=-float(model.eq_data[equality, 1]),
                maxForce=_GEAR_FORCE,
                erp=_GEAR_ERP,
                relativePositionTarget=0,
                physicsClientId=self._client,
            )


def _where(bodies: Sequence[Body]) -> dict[int, tuple[int, int]]:
    """Bullet's body and link by MuJoCo's body."""
    return {b: (body.number, link) for body in bodies for link, b in enumerate(body.bodies, start=-1)}


def _xyzw(wxyz: Float64[np.ndarray, " wxyz"]) -> list[float]:
    w, x, y, z = (float(value) for value in wxyz)
    return [x, y, z, w]

"""Which engine moves a world, and which one draws it: two choices that do not depend on each other.

In a suite's name they stand behind an @, which is what `engine=` and `pictures=` become:

tabletop                  MuJoCo moves and draws
tabletop@bullet           Bullet moves, MuJoCo draws: the engines differ in physics alone
tabletop@bullet/bullet    Bullet does both
tabletop@mujoco/bullet    Bullet draws what MuJoCo moves: pictures alone are others
"""

from __future__ import annotations

import dataclasses
import enum

from vla.errors import ConfigError, unknown
from vla_sim.worlds.bullet_library import pybullet
from vla_sim.worlds.bullet_physics import BulletPhysics
from vla_sim.worlds.bullet_pictures import BulletPictures
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.physics import MujocoPhysics
from vla_sim.worlds.scene import TABLETOP_CAST, Cast, Kind
from vla_sim.worlds.world import World

_AT, _AND = "@", "/"


class Engine(enum.Enum):
    """Who computes a world."""

    MUJOCO = "mujoco"
    BULLET = "bullet"
    """PyBullet, which is an extra."""


@dataclasses.dataclass(frozen=True)
class Engines:
    """Who moves a world, and who draws it."""

    physics: Engine = Engine.MUJOCO
    pictures: Engine = Engine.MUJOCO

    @property
    def packages(self) -> tuple[str, ...]:
        """Those that an outcome depends on, besides everybody's."""
        return ("pybullet",) if Engine.BULLET in (self.physics, self.pictures) else ()

    def require(self) -> None:
        """Return if they are installed.

        Raises:
            ConfigError: naming the extra, if one is not.
        """
        if self.packages:
            pybullet()


USUAL = Engines()


def make_world(arm: str = "panda", engines: Engines = USUAL, cast: Cast = TABLETOP_CAST) -> World:
    """The tabletop of an arm and a cast of things, moved and drawn by these engines.

    Raises:
        ConfigError: if there is no such arm, or an engine is not installed, or cannot draw the things.
    """
    engines.require()
    if engines.pictures is Engine.BULLET and cast.number(Kind.TILE):
        raise ConfigError("Bullet's pictures have no textures, and tiles bear drawings: leave pictures at mujoco")
    make_physics = BulletPhysics if engines.physics is Engine.BULLET else MujocoPhysics
    draw = BulletPictures() if engines.pictures is Engine.BULLET else None
    return MujocoWorld(arm=arm, make_physics=make_physics, cast=cast, draw=draw)


def with_engines(suite: str, engines: Engines) -> str:
    """The name of a suite that these engines compute."""
    if engines == USUAL:
        return suite
    drawn = "" if engines.pictures is USUAL.pictures else _AND + engines.pictures.value
    return f"{suite}{_AT}{engines.physics.value}{drawn}"


def engines_of(suite: str) -> tuple[str, Engines]:
    """The name of a suite without its engines, and the engines.

    Raises:
        ConfigError: if there is no such engine.
    """
    name, at, rest = suite.partition(_AT)
    if not at:
        return suite, USUAL
    physics, _, pictures = rest.partition(_AND)
    return name, Engines(_engine(physics), _engine(pictures) if pictures else USUAL.pictures)


def _engine(name: str) -> Engine:
    try:
        return Engine(name)
    except ValueError:
        raise unknown("engine", name, [engine.value for engine in Engine]) from None

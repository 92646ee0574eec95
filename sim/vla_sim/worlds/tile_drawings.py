"""What can be drawn on a tile: one texture and one material a drawing, in the model of a cast that has tiles.

A drawing is black on white and stands upright for the camera opposite the arm: its top points to the arm's base.
"""

from __future__ import annotations

import cv2
import mujoco
import numpy as np
from jaxtyping import UInt8

from vla.errors import unknown
from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.stencils import num_variants, stencil

DIGITS = NUMBERS[1:7]
SYMBOLS = ("star", "heart", "cross", "ring")
EMBLEMS = ("apple", "banana", "hammer", "wrench", "cat", "fish", "car", "boat")
"""Two of each category of the corpus."""
DRAWINGS = (*DIGITS, *SYMBOLS, *EMBLEMS)
"""Every drawing, by the name of its stencil: those that can be told apart where a tile is 18 pixels wide."""

_SIDE = 64
_SHARE = 0.86
"""Of the card's edge that a drawing takes up."""
_PREFIX = "drawing_"


def add_drawings(spec: mujoco.MjSpec) -> None:
    """Add the materials, which no geom wears until a scene says so."""
    for name in DRAWINGS:
        _add(spec, name)


def drawing_material(model: mujoco.MjModel, drawing: str) -> int:
    """The number of the material of a drawing.

    Raises:
        ConfigError: if there is no such drawing.
    """
    if drawing not in DRAWINGS:
        raise unknown("drawing", drawing, DRAWINGS)
    return int(model.material(_PREFIX + drawing).id)


def drawing_of(model: mujoco.MjModel, geom: int) -> str:
    """What is drawn on a geom, from the model alone; empty if nothing is."""
    material = int(model.geom_matid[geom])
    return model.material(material).name.removeprefix(_PREFIX) if material >= 0 else ""


def card(name: str) -> UInt8[np.ndarray, "side side"]:
    """The card that bears a drawing: 0 is black."""
    # The bold upright digits; what is drawn in one way has no variants.
    cover = stencil(name, num_variants(name) // 2)
    height, width = cover.shape
    scale = _SHARE * _SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    drawn = cv2.resize(cover, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    picture = np.full((_SIDE, _SIDE), 255, np.uint8)
    top, left = (_SIDE - drawn.shape[0]) // 2, (_SIDE - drawn.shape[1]) // 2
    picture[top : top + drawn.shape[0], left : left + drawn.shape[1]] -= drawn
    return picture


def _add(spec: mujoco.MjSpec, name: str) -> None:
    texture = spec.add_texture(
        name=_PREFIX + name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=_SIDE, height=_SIDE, nchannel=3
    )
    texture.data = np.repeat(np.rot90(card(name), 1)[..., None], 3, axis=2).tobytes()
    material = spec.add_material(name=_PREFIX + name, specular=0.0, shininess=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = _PREFIX + name

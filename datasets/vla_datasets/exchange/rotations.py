"""Rotations as others write them, turned into those an embodiment knows. Angles in rad, float64.

Everything passes through the unit quaternion wxyz with w >= 0. A rotation that is already written as wanted is
handed through untouched, so that no bit of it changes.
"""

from __future__ import annotations

import enum
import math

import numpy as np
from jaxtyping import Float64

from vla.embodiment import Rotation
from vla.errors import DataError

UNIT_TOLERANCE = 1e-2
"""How far a quaternion's length or a matrix's columns may be from 1: float16 passes, a wrong slice does not."""
TILT_TOLERANCE_RAD = 1e-3
"""How far from upright a rotation may be and still be called a yaw."""


class SourceRotation(enum.Enum):
    """How a source writes rotations."""

    YAW = "yaw"
    """One angle about z."""
    EULER_XYZ = "euler_xyz"
    """Roll, pitch, yaw about fixed axes: R = Rz(yaw) Ry(pitch) Rx(roll)."""
    EULER_XYZ_INTRINSIC = "euler_xyz_intrinsic"
    """About moving axes, x first: R = Rx(a) Ry(b) Rz(c)."""
    ROTATION_VECTOR = "rotation_vector"
    """Axis times angle."""
    QUATERNION_XYZW = "quaternion_xyzw"
    QUATERNION_WXYZ = "quaternion_wxyz"
    ROTATION_6D_COLUMNS = "rotation_6d_columns"
    """The first two columns of the matrix, one after the other (Zhou et al. 2019)."""
    ROTATION_6D_ROWS = "rotation_6d_rows"
    """The first two rows of the matrix (PyTorch3D, robomimic)."""
    MATRIX = "matrix"
    """Three by three, acting on columns."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one rotation."""
        return _SHAPES[self]

    @property
    def is_angular(self) -> bool:
        """Whether its numbers are angles, which have a unit."""
        return self in (
            SourceRotation.YAW,
            SourceRotation.EULER_XYZ,
            SourceRotation.EULER_XYZ_INTRINSIC,
            SourceRotation.ROTATION_VECTOR,
        )


_SHAPES = {
    SourceRotation.YAW: (1,),
    SourceRotation.EULER_XYZ: (3,),
    SourceRotation.EULER_XYZ_INTRINSIC: (3,),
    SourceRotation.ROTATION_VECTOR: (3,),
    SourceRotation.QUATERNION_XYZW: (4,),
    SourceRotation.QUATERNION_WXYZ: (4,),
    SourceRotation.ROTATION_6D_COLUMNS: (6,),
    SourceRotation.ROTATION_6D_ROWS: (6,),
    SourceRotation.MATRIX: (3, 3),
}

WIDTHS = {Rotation.YAW: 1, Rotation.ROTATION_VECTOR: 3, Rotation.QUATERNION_WXYZ: 4}
"""How many numbers an embodiment's rotation has."""


def convert_rotations(
    values: Float64[np.ndarray, "steps ..."], source: SourceRotation, target: Rotation, name: str
) -> Float64[np.ndarray, "steps width"]:
    """The rotations written as `target`.

    Args:
        values: one rotation a step, of the shape of `source`; angles in rad.
        name: for errors.

    Raises:
        DataError: naming the first step that holds no rotation, or one that is no yaw where a yaw is asked for.
    """
    if values.shape[1:] != source.shape:
        raise DataError(f"{name}: a {source.value} has shape {source.shape}, got {values.shape[1:]} a step")
    if source.value == target.value:
        if source is SourceRotation.QUATERNION_WXYZ:
            _unit_quaternions(values, name)
        return values
    quaternions = to_quaternions(values, source, name)
    match target:
        case Rotation.QUATERNION_WXYZ:
            return quaternions
        case Rotation.ROTATION_VECTOR:
            return _vectors(quaternions)
        case Rotation.YAW:
            return _yaws(quaternions, name)
        case Rotation.NONE:
            raise DataError(f"{name}: a rotation cannot become none; leave its fields out of the mapping")


def to_quaternions(
    values: Float64[np.ndarray, "steps ..."], source: SourceRotation, name: str
) -> Float64[np.ndarray, "steps 4"]:
    """Unit quaternions wxyz with w >= 0.

    Raises:
        DataError: naming the first step that holds no rotation.
    """
    match source:
        case SourceRotation.YAW:
            quaternions = _about(2, values[:, 0])
        case SourceRotation.EULER_XYZ:
            x, y, z = (_about(axis, values[:, axis]) for axis in range(3))
            quaternions = _product(z, _product(y, x))
        case SourceRotation.EULER_XYZ_INTRINSIC:
            x, y, z = (_about(axis, values[:, axis]) for axis in range(3))
            quaternions = _product(x, _product(y, z))
        case SourceRotation.ROTATION_VECTOR:
            quaternions = _from_vectors(values)
        case SourceRotation.QUATERNION_XYZW:
            quaternions = _unit_quaternions(values[:, [3, 0, 1, 2]], name)
        case SourceRotation.QUATERNION_WXYZ:
            quaternions = _unit_quaternions(values, name)
        case SourceRotation.ROTATION_6D_COLUMNS:
            quaternions = _from_matrices(np.swapaxes(_completed(values, name), 1, 2))
        case SourceRotation.ROTATION_6D_ROWS:
            quaternions = _from_matrices(_completed(values, name))
        case SourceRotation.MATRIX:
            quaternions = _from_matrices(_checked_matrices(values, name))
    return np.where(quaternions[:, :1] < 0, -quaternions, quaternions)


def _about(axis: int, angles: np.ndarray) -> np.ndarray:
    quaternions = np.zeros((len(angles), 4))
    quaternions[:, 0], quaternions[:, 1 + axis] = np.cos(angles / 2), np.sin(angles / 2)
    return quaternions


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Hamilton's: first `right`, then `left`."""
    a, b, c, d = left.T
    e, f, g, h = right.T
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=1,
    )


def _from_vectors(vectors: np.ndarray) -> np.ndarray:
    angles = np.linalg.norm(vectors, axis=1, keepdims=True)
    # sin(x) / x, which numpy's sinc gives without dividing by zero.
    return np.concatenate([np.cos(angles / 2), vectors * np.sinc(angles / (2 * math.pi)) / 2], axis=1)


def _vectors(quaternions: np.ndarray) -> np.ndarray:
    sines = np.linalg.norm(quaternions[:, 1:], axis=1, keepdims=True)
    angles = 2 * np.arctan2(sines, quaternions[:, :1])
    # For w near 1 the quotient's limit is 2.
    is_tiny = sines < 1e-12
    return quaternions[:, 1:] * np.where(is_tiny, 2.0, angles / np.where(is_tiny, 1.0, sines))


def _yaws(quaternions: np.ndarray, name: str) -> np.ndarray:
    w, x, y, z = quaternions.T
    tilts = 2 * np.arctan2(np.hypot(x, y), np.hypot(w, z))
    if (tilts > TILT_TOLERANCE_RAD).any():
        step = int(np.argmax(tilts > TILT_TOLERANCE_RAD))
        raise DataError(
            f"{name} is no yaw at step {step}: it tilts z by {tilts[step]:.3g} rad; map to rotation_vector instead"
        )
    return 2 * np.arctan2(z, w)[:, None]


def _unit_quaternions(values: np.ndarray, name: str) -> np.ndarray:
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    _refuse(np.abs(lengths[:, 0] - 1) > UNIT_TOLERANCE, f"{name} is no unit quaternion", values)
    return values / lengths


def _completed(values: np.ndarray, name: str) -> np.ndarray:
    """Rotation matrices by rows, from their first two, made orthogonal as Gram and Schmidt do."""
    first, second = values[:, :3], values[:, 3:]
    lengths = np.stack([np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)])
    is_off = (np.abs(lengths - 1) > UNIT_TOLERANCE).any(axis=0) | (
        np.abs((first * second).sum(axis=1)) > UNIT_TOLERANCE
    )
    _refuse(is_off, f"{name} does not hold two perpendicular unit vectors", values)
    first = first / lengths[0][:, None]
    second = second - (first * second).sum(axis=1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _checked_matrices(matrices: np.ndarray, name: str) -> np.ndarray:
    errors = np.abs(matrices @ np.swapaxes(matrices, 1, 2) - np.eye(3)).max(axis=(1, 2))
    _refuse((errors > UNIT_TOLERANCE) | (np.linalg.det(matrices) < 0), f"{name} is no rotation matrix", matrices)
    return matrices


def _from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Shepperd's method: of four equal formulas, each row by the one with the largest divisor."""
    m = np.moveaxis(matrices, 0, -1)  # (3, 3, steps)
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    x, y, z = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]
    xy, xz, yz = m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1]
    candidates = np.stack(
        [
            np.stack([1 + trace, x, y, z]),
            np.stack([x, 1 + 2 * m[0, 0] - trace, xy, xz]),
            np.stack([y, xy, 1 + 2 * m[1, 1] - trace, yz]),
            np.stack([z, xz, yz, 1 + 2 * m[2, 2] - trace]),
        ]
    )  # (formula, wxyz, steps)
    best = np.argmax(np.einsum("iis->is", candidates), axis=0)
    quaternions = candidates[best, :, np.arange(len(best))]
    return quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)


def _refuse(is_off: np.ndarray, what: str, values: np.ndarray) -> None:
    if is_off.any():
        step = int(np.argmax(is_off))
        raise DataError(f"{what} at step {step}: {np.round(values[step], 4).tolist()}")

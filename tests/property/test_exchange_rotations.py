"""Rotations of every kind become the same rotation in another notation; SciPy is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation as Judge

from vla.embodiment import Rotation
from vla.errors import DataError
from vla_datasets.exchange.rotations import SourceRotation, convert_rotations, to_quaternions

KINDS = [kind for kind in SourceRotation if kind is not SourceRotation.YAW]


def _written(judge: Judge, kind: SourceRotation) -> np.ndarray:
    matrix = judge.as_matrix()
    match kind:
        case SourceRotation.YAW:
            return judge.as_euler("xyz")[:, 2:]
        case SourceRotation.EULER_XYZ:
            return judge.as_euler("xyz")
        case SourceRotation.EULER_XYZ_INTRINSIC:
            return judge.as_euler("XYZ")
        case SourceRotation.ROTATION_VECTOR:
            return judge.as_rotvec()
        case SourceRotation.QUATERNION_XYZW:
            return judge.as_quat()
        case SourceRotation.QUATERNION_WXYZ:
            return judge.as_quat(scalar_first=True)
        case SourceRotation.ROTATION_6D_COLUMNS:
            return np.concatenate([matrix[:, :, 0], matrix[:, :, 1]], axis=1)
        case SourceRotation.ROTATION_6D_ROWS:
            return matrix[:, :2].reshape(-1, 6)
        case SourceRotation.MATRIX:
            return matrix


def _angle(one: Judge, other: Judge) -> float:
    return float((one.inv() * other).magnitude().max())


vectors = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3)


@pytest.mark.parametrize("kind", KINDS)
@given(vector=vectors)
def test_a_rotation_keeps_its_meaning_as_a_vector(kind: SourceRotation, vector: list[float]) -> None:
    if kind in (SourceRotation.EULER_XYZ, SourceRotation.EULER_XYZ_INTRINSIC):
        values = np.array([vector])
        judge = Judge.from_euler("xyz" if kind is SourceRotation.EULER_XYZ else "XYZ", values)
    else:
        judge = Judge.from_rotvec(np.array([vector]))
        values = _written(judge, kind)
    got = convert_rotations(values, kind, Rotation.ROTATION_VECTOR, "r")
    assert _angle(judge, Judge.from_rotvec(got)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@given(vector=vectors)
def test_a_rotation_keeps_its_meaning_as_a_quaternion(kind: SourceRotation, vector: list[float]) -> None:
    judge = Judge.from_rotvec(np.array([vector]))
    if kind in (SourceRotation.EULER_XYZ, SourceRotation.EULER_XYZ_INTRINSIC):
        judge = Judge.from_euler("xyz" if kind is SourceRotation.EULER_XYZ else "XYZ", np.array([vector]))
        values = np.array([vector])
    else:
        values = _written(judge, kind)
    got = to_quaternions(values, kind, "r")
    assert got[0, 0] >= 0
    assert _angle(judge, Judge.from_quat(got, scalar_first=True)) < 1e-6


@given(angle=st.floats(-3.14, 3.14))
def test_a_turn_about_z_is_a_yaw(angle: float) -> None:
    judge = Judge.from_euler("z", [[angle]])
    for kind in (SourceRotation.QUATERNION_XYZW, SourceRotation.ROTATION_VECTOR, SourceRotation.MATRIX):
        got = convert_rotations(_written(judge, kind), kind, Rotation.YAW, "r")
        np.testing.assert_allclose(got, [[angle]], atol=1e-6)


@given(vector=vectors)
def test_what_is_written_as_wanted_keeps_every_bit(vector: list[float]) -> None:
    values = np.array([vector])
    got = convert_rotations(values, SourceRotation.ROTATION_VECTOR, Rotation.ROTATION_VECTOR, "r")
    assert got.tobytes() == values.tobytes()


def test_no_rotation_at_all_is_exact() -> None:
    identity = np.array([[0.0, 0.0, 0.0, 1.0]])
    got = convert_rotations(identity, SourceRotation.QUATERNION_XYZW, Rotation.ROTATION_VECTOR, "r")
    assert got.tolist() == [[0.0, 0.0, 0.0]]


def test_a_tilt_is_no_yaw() -> None:
    values = np.array([[0.0, 0.0, 1.0], [0.5, 0.0, 0.0]])
    with pytest.raises(DataError, match=r"r is no yaw at step 1: it tilts z by 0\.5 rad"):
        convert_rotations(values, SourceRotation.ROTATION_VECTOR, Rotation.YAW, "r")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (SourceRotation.QUATERNION_XYZW, [0.0, 0.0, 0.0, 0.0]),
        (SourceRotation.ROTATION_6D_ROWS, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        (SourceRotation.MATRIX, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]),
    ],
)
def test_numbers_that_are_no_rotation_are_refused(kind: SourceRotation, values: list[float]) -> None:
    with pytest.raises(DataError, match=r"r (is no|does not hold) .* at step 0"):
        convert_rotations(np.array([values]), kind, Rotation.ROTATION_VECTOR, "r")

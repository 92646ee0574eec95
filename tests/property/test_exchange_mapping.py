"""Units convert to and fro, references read back, and every episode that LeRobot can hold comes back equal."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.embodiment import CameraSpec, Embodiment, Field
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.export_command import equal_but_pictures
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.exchange.lerobot_sidecar import open_sidecar
from vla_datasets.exchange.lerobot_writer import LeRobotWriter
from vla_datasets.exchange.mapping import FieldSource, Limits, Reference, _within
from vla_datasets.exchange.mapping_file import parse_mapping
from vla_datasets.exchange.units import UNITS, factor

ONE_FIELD = """
embodiment: one
control_hz: 10
action_kind: absolute_joint
frame: base
rotation: none
gripper: none
action:
  - {{name: a, from: action, source_unit: "{unit}", unit: "{si}", low: -9, high: 9, scale: {scale}, offset: {offset}}}
proprioception: []
cameras: []
instruction: {{text: wait}}
task: {{text: wait}}
success: true
limits: refuse
licence: MIT
"""


@pytest.mark.parametrize("unit", UNITS)
@settings(max_examples=20)
@given(scale=st.sampled_from([-2.0, -1.0, 0.5, 1.0]), offset=st.floats(-10, 10))
def test_a_field_is_scale_times_factor_times_source_plus_offset(unit: str, scale: float, offset: float) -> None:
    mapping = parse_mapping(ONE_FIELD.format(unit=unit, si=UNITS[unit].si, scale=scale, offset=offset))
    assert mapping.action == (
        FieldSource(mapping.embodiment.action[0], Reference("action"), UNITS[unit].factor, scale, offset),
    )


def test_a_number_with_an_exponent_is_a_number() -> None:
    mapping = parse_mapping(ONE_FIELD.format(unit="m", si="m", scale="1e-3", offset=0))
    assert mapping.action[0].scale == 0.001


def test_a_full_turn_is_360_degrees() -> None:
    assert factor("deg", "rad", "x") * 360 == pytest.approx(factor("turn", "rad", "x"))
    assert factor("rpm", "rad/s", "x") * 60 == pytest.approx(2 * math.pi)


@given(
    array=st.text("abc./_ ", min_size=1).map(str.strip).filter(bool),
    index=st.lists(st.integers(0, 99) | st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),
)
def test_a_reference_reads_back(array: str, index: list[int | tuple[int, int]]) -> None:
    parts = tuple(slice(*part) if isinstance(part, tuple) else part for part in index)
    assert Reference.parse(str(Reference(array, parts))) == Reference(array, parts)


@given(values=st.lists(st.floats(-4, 4, width=32), min_size=1))
def test_clipping_changes_nothing_inside_of_the_limits(values: list[float]) -> None:
    source = np.array(values, np.float32)
    clipped = _within(source, Field("a", "1", -1.0, 1.0), Limits.CLIP)
    inside = np.abs(source) <= 1
    assert np.array_equal(clipped[inside], source[inside])
    assert (np.abs(clipped) <= 1).all()


def _embodiment(actions: int, states: int, cameras: int, control_hz: int) -> Embodiment:
    return dataclasses.replace(
        SMALL_EMBODIMENT,
        action=tuple(Field(f"a{index}", "1", -1.0, 1.0) for index in range(actions)),
        proprioception=tuple(Field(f"s{index}", "1", -1.0, 1.0) for index in range(states)),
        cameras=tuple(CameraSpec(f"c{index}", 3 + index, 5) for index in range(cameras)),
        control_hz=float(control_hz),
    )


@settings(max_examples=15)
@given(
    actions=st.integers(1, 3),
    states=st.integers(1, 3),
    cameras=st.integers(0, 2),
    control_hz=st.sampled_from([1, 7, 30, 50]),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_episodes_of_any_shape_come_back_from_lerobot(
    actions: int, states: int, cameras: int, control_hz: int, lengths: list[int]
) -> None:
    embodiment = _embodiment(actions, states, cameras, control_hz)
    episodes = [make_episode(embodiment, steps, seed, lookahead=seed) for seed, steps in enumerate(lengths)]
    with tempfile.TemporaryDirectory() as name:
        writer = LeRobotWriter(Path(name), embodiment, None)
        for episode in episodes:
            writer.append(episode)
        writer.close({})
        sidecar = open_sidecar(Path(name))
        assert sidecar is not None
        for episode, raw in zip(episodes, open_source(Path(name)), strict=True):
            got = sidecar.episode(raw)
            assert equal_but_pictures(episode, got)
            assert all(np.array_equal(episode.images[camera], got.images[camera]) for camera in episode.images)

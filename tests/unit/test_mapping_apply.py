"""A foreign episode becomes one of an embodiment, exactly as the mapping's file says and in no other way."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from vla.embodiment import ActionKind, Rotation
from vla.errors import ConfigError, DataError
from vla.interfaces import Episode
from vla_datasets.exchange.mapping import apply
from vla_datasets.exchange.mapping_file import parse_mapping
from vla_datasets.exchange.raw_episode import RawEpisode

HAND = """
embodiment: hand
control_hz: 10
action_kind: delta_end_effector
frame: base
rotation: rotation_vector
gripper: "absolute: 0 closed, 1 open"
action:
  - {name: dx, from: "action[0]", source_unit: mm, unit: m, low: -0.1, high: 0.1}
  - {name: rx, from: "rotations.turn[0]", unit: rad, low: -4, high: 4}
  - {name: ry, from: "rotations.turn[1]", unit: rad, low: -4, high: 4}
  - {name: rz, from: "rotations.turn[2]", unit: rad, low: -4, high: 4}
  - {name: gripper, from: "action[5]", source_unit: "%", unit: "1", low: 0, high: 1, sign: -1, offset: 1}
proprioception:
  - {name: joint, from: "state", source_unit: raw, unit: rad, scale: 0.001, low: -2, high: 2}
rotations:
  turn: {from: "action[1:5]", kind: quaternion_xyzw}
cameras:
  - {name: scene, from: front, orientation: upside_down, height: 4, width: 6, resize: none, aspect: same}
instruction: instruction
task: {text: pick}
success: source
limits: refuse
licence: CC-BY-4.0
"""


def _raw(steps: int = 3) -> RawEpisode:
    quarter = [0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4)]  # a quarter turn about z
    return RawEpisode(
        index=7,
        arrays={
            "action": np.array([[50.0, *quarter, 25.0]] * steps),
            "state": np.linspace(-1000, 1000, steps),
        },
        images={"front": np.arange(steps * 72, dtype=np.uint8).reshape(steps, 4, 6, 3)},
        instruction="pick up the cube",
        task="",
        success=True,
        times_s=np.arange(steps) / 10,
    )


def _apply(raw: RawEpisode, text: str = HAND) -> Episode:
    return apply(raw, parse_mapping(text), source="test:x", seed=7)


def _with(old: str, new: str) -> str:
    assert old in HAND
    return HAND.replace(old, new)


def test_numbers_are_converted_from_the_units_that_are_named() -> None:
    episode = _apply(_raw())
    np.testing.assert_allclose(episode.actions[0], [0.05, 0, 0, math.pi / 2, 0.75], atol=1e-7)
    np.testing.assert_allclose(episode.proprioception[:, 0], [-1, 0, 1], atol=1e-7)


def test_the_embodiment_is_what_the_file_says() -> None:
    embodiment = _apply(_raw()).embodiment
    assert embodiment.action_kind is ActionKind.DELTA_END_EFFECTOR
    assert embodiment.rotation is Rotation.ROTATION_VECTOR
    assert [field.name for field in embodiment.action] == ["dx", "rx", "ry", "rz", "gripper"]
    assert embodiment.cameras[0].width == 6


def test_words_and_outcome_come_from_where_the_file_says() -> None:
    episode = _apply(_raw())
    assert (episode.instruction, episode.task, episode.success) == ("pick up the cube", "pick", True)
    assert (episode.seed, episode.source, episode.licence) == (7, "test:x", "CC-BY-4.0")
    assert not _apply(_raw(), _with("success: source", "success: false")).success


def test_numbers_that_need_no_conversion_keep_every_bit() -> None:
    text = _with(
        'from: "state", source_unit: raw, unit: rad, scale: 0.001', 'from: "state", source_unit: rad, unit: rad'
    )
    values = np.random.default_rng(0).uniform(-2, 2, 3).astype(np.float32)
    raw = dataclasses.replace(_raw(), arrays={**_raw().arrays, "state": values})
    assert _apply(raw, text).proprioception[:, 0].tobytes() == values.tobytes()


def test_without_times_the_control_rate_decides() -> None:
    episode = _apply(dataclasses.replace(_raw(), times_s=None))
    assert episode.times_s.tolist() == [0.0, 0.1, 0.2]


# --------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"arrays": {"action": np.zeros((4, 6)), "state": np.zeros(3)}},
            r"episode 7: its arrays are of unequal lengths: action 4, state 3, front 3, times 3",
        ),
        ({"times_s": np.array([0.0, 0.2, 0.1])}, r"times do not rise at step 2"),
        (
            {"times_s": np.arange(3) / 30},
            r"0\.03333 s apart, the mapping says control_hz: 10; an import does not resample",
        ),
        ({"success": None}, r"does not say whether it succeeded: write 'success: true'"),
        ({"instruction": ""}, r"gives no instruction here: write a fixed text, 'instruction: \{text: ...\}'"),
        ({"images": {}}, r"there are no pictures 'front' for camera 'scene'; pictures: none"),
    ],
)
def test_an_episode_that_is_not_as_the_mapping_says_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _apply(dataclasses.replace(_raw(), **change))


def _state(values: list[float]) -> RawEpisode:
    return dataclasses.replace(_raw(), arrays={**_raw().arrays, "state": np.array(values)})


def test_a_value_that_is_not_finite_is_named_with_its_step() -> None:
    with pytest.raises(DataError, match=r"episode 7: field 'joint' \(state\) is not finite at step 1"):
        _apply(_state([0.0, math.nan, 0.0]))


def test_a_value_outside_of_its_limits_is_named_with_its_step() -> None:
    with pytest.raises(DataError, match=r"field 'joint' is 2\.5 rad at step 2, outside of its limits -2 to 2 \(1 of 3"):
        _apply(_state([0.0, 0.0, 2500.0]))


def test_a_value_outside_of_its_limits_is_clipped_if_that_is_said() -> None:
    episode = _apply(_state([0.0, 0.0, 2500.0]), _with("limits: refuse", "limits: clip"))
    assert episode.proprioception[2, 0] == 2.0


def test_an_array_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"there is no array 'states'; arrays: action, state"):
        _apply(_raw(), _with('from: "state"', 'from: "states"'))


@pytest.mark.parametrize("place", ["action[6]", "state[0]", "action[0,1]"])
def test_an_index_that_is_not_there_is_named(place: str) -> None:
    with pytest.raises(DataError, match=r"does not exist: '(action|state)' has shape"):
        _apply(_raw(), _with('from: "state"', f'from: "{place}"'))


def test_a_slice_is_not_shortened() -> None:
    with pytest.raises(DataError, match=r"action\[3:7\] does not exist: 'action' has shape \(6,\) a step"):
        _apply(_raw(), _with("action[1:5]", "action[3:7]"))


def test_numbers_that_are_no_rotation_are_named_with_their_step() -> None:
    with pytest.raises(DataError, match=r"rotation 'turn' \(action\[0:4\]\) is no unit quaternion at step 0"):
        _apply(_raw(), _with("action[1:5]", "action[0:4]"))


# --------------------------------------------------------------------------- what the file may not say


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("source_unit: mm", "source_unit: furlong", r"action\[0\]\.source_unit: unknown unit 'furlong'"),
        ("source_unit: mm", "source_unit: deg", r"'deg' does not convert to 'm'"),
        ("source_unit: mm, unit: m", "source_unit: mm, unit: mm", r"an embodiment speaks SI, so 'm' and not 'mm'"),
        ("source_unit: mm, ", "", r"action\[0\]\.source_unit is missing"),
        (", scale: 0.001", "", r"proprioception\[0\]\.scale is missing: 'raw' numbers become rad only by a scale"),
        (", sign: -1", ", sign: -2", r"sign is 1 or -1, got -2"),
        ("licence: CC-BY-4.0", "licence: ' '", r"licence: expected a text"),
        ("licence: CC-BY-4.0", "", r"licence is missing"),
        ("orientation: upside_down, ", "", r"cameras\[0\]\.orientation is missing"),
        ("upside_down", "sideways", r"cameras\[0\]\.orientation: unknown choice 'sideways'"),
        ("limits: refuse", "limits: refuse\ncolour: red", r"unknown key 'colour'"),
        ("limits: refuse", "limits: refuse\nlimits: clip", r"key 'limits' is there twice"),
        ("rotations.turn[2]", "rotations.turn[0]", r"needs its 3 numbers in order"),
        ("rotation: rotation_vector", "rotation: quaternion_wxyz", r"its unit is 1"),
        ("rotations.turn[0]", "rotations.trun[0]", r"unknown rotation 'trun'; did you mean 'turn'"),
        ("kind: quaternion_xyzw", "kind: euler_xyz", r"rotations\.turn\.source_unit is missing"),
        ('"action[0]"', '"action[x]"', r"'action\[x\]' is no place in an array"),
        ("low: -0.1, high: 0.1", "low: 0.1, high: -0.1", r"action\[0\]: field 'dx' needs finite limits"),
        ("success: source", "success: maybe", r"success: expected source, true or false, got 'maybe'"),
        ("frame: base", "frame: camera", r"unknown frame 'camera'"),
    ],
)
def test_a_mapping_that_leaves_something_open_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_mapping(_with(old, new))


def test_placeholders_are_refused_with_their_lines() -> None:
    text = HAND.replace("frame: base", "frame: REVIEW").replace("licence: CC-BY-4.0", "licence: REVIEW # REVIEW it")
    with pytest.raises(ConfigError, match="REVIEW is still on lines 5, 24: decide these first"):
        parse_mapping(text)

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.embodiment import ActionKind, CameraSpec, Embodiment, Field, Rotation, require_same_embodiment
from vla.errors import EmbodimentMismatch, ObservationError
from vla.testing import SMALL_EMBODIMENT

NAMES = st.text(min_size=1, max_size=8)
FINITE = st.floats(-1e6, 1e6)


@st.composite
def drawn_fields(draw: st.DrawFn) -> list[tuple[str, str, float, float]]:
    """Names, units and limits."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    limits = [sorted(draw(st.tuples(FINITE, FINITE).filter(lambda pair: pair[0] != pair[1]))) for _ in names]
    return [(name, draw(NAMES), low, high) for name, (low, high) in zip(names, limits, strict=True)]


@st.composite
def drawn_bodies(draw: st.DrawFn) -> dict[str, object]:
    """What `body` makes an embodiment of. Made there, since making one inside a strategy is not repeatable."""
    return {
        "name": draw(NAMES),
        "action": draw(drawn_fields()),
        "kind": draw(st.sampled_from(ActionKind)),
        "rotation": draw(st.sampled_from(Rotation)),
        "proprioception": draw(drawn_fields()),
        "control_hz": draw(st.floats(0.1, 1e3)),
        "cameras": draw(st.dictionaries(NAMES, st.tuples(st.integers(1, 999), st.integers(1, 999)), max_size=3)),
    }


def body(drawn: dict) -> Embodiment:
    return Embodiment(
        name=drawn["name"],
        action=tuple(Field(*field) for field in drawn["action"]),
        action_kind=drawn["kind"],
        frame="base",
        rotation=drawn["rotation"],
        gripper="absolute",
        proprioception=tuple(Field(*field) for field in drawn["proprioception"]),
        control_hz=drawn["control_hz"],
        cameras=tuple(CameraSpec(name, *size) for name, size in drawn["cameras"].items()),
    )


@given(drawn_bodies())
def test_json_gives_back_an_equal_embodiment(drawn: dict) -> None:
    embodiment = body(drawn)
    back = Embodiment.from_json(json.loads(json.dumps(embodiment.to_json(), allow_nan=False)))
    assert back == embodiment
    assert back.fingerprint == embodiment.fingerprint


@given(drawn_bodies(), drawn_bodies())
def test_fingerprints_are_equal_if_and_only_if_embodiments_are(a: dict, b: dict) -> None:
    left, right = body(a), body(b)
    assert (left.fingerprint == right.fingerprint) == (left == right)
    assert (not left.differences(right)) == (left == right)


@given(drawn_bodies())
def test_nothing_differs_from_itself(drawn: dict) -> None:
    assert body(drawn).differences(body(drawn)) == []
    require_same_embodiment(body(drawn), body(drawn), expected_name="a", got_name="b")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"control_hz": 20.0}, "control_hz: 10.0 against 20.0"),
        ({"frame": "world"}, "frame: 'base' against 'world'"),
        ({"action_kind": ActionKind.DELTA_JOINT}, "action_kind: 'delta_end_effector' against 'delta_joint'"),
        ({"cameras": SMALL_EMBODIMENT.cameras[:1]}, "cameras: 2 entries against 1"),
        ({"cameras": (CameraSpec("scene", 32, 24), SMALL_EMBODIMENT.cameras[1])}, "cameras[0].height: 16 against 32"),
        (
            {"action": (Field("dx", "m", -0.1, 0.05), *SMALL_EMBODIMENT.action[1:])},
            "action[0].low: -0.05 against -0.1",
        ),
    ],
)
def test_a_difference_names_its_field(change: dict, line: str) -> None:
    other = dataclasses.replace(SMALL_EMBODIMENT, **change)
    assert SMALL_EMBODIMENT.differences(other) == [line]
    assert other.fingerprint != SMALL_EMBODIMENT.fingerprint


def test_a_mismatch_names_both_places_and_the_field() -> None:
    other = dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0)
    message = "dataset b is for another embodiment than checkpoint a: control_hz: 10.0 against 20.0"
    with pytest.raises(EmbodimentMismatch, match=message):
        require_same_embodiment(SMALL_EMBODIMENT, other, expected_name="checkpoint a", got_name="dataset b")


def test_many_differences_are_cut_short_and_counted() -> None:
    action = tuple(dataclasses.replace(field, low=-9.0, high=9.0) for field in SMALL_EMBODIMENT.action)
    other = dataclasses.replace(SMALL_EMBODIMENT, action=action)
    with pytest.raises(EmbodimentMismatch, match=r"; and 4 more$"):
        require_same_embodiment(SMALL_EMBODIMENT, other, expected_name="a", got_name="b")


def test_a_limit_written_as_an_integer_has_the_same_fingerprint() -> None:
    tree = SMALL_EMBODIMENT.to_json()
    tree["control_hz"] = 10
    assert Embodiment.from_json(tree).fingerprint == SMALL_EMBODIMENT.fingerprint


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_field_needs_finite_limits_in_order(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="field 'x' needs finite limits low < high"):
        Field("x", "m", *limits)


def test_a_name_given_twice_is_refused() -> None:
    twice = (SMALL_EMBODIMENT.cameras[0],) * 2
    with pytest.raises(ValueError, match="embodiment 'small' names a camera field twice"):
        dataclasses.replace(SMALL_EMBODIMENT, cameras=twice)


@pytest.mark.parametrize("control_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_a_control_rate_is_positive_and_finite(control_hz: float) -> None:
    with pytest.raises(ValueError, match="embodiment 'small' needs a positive control_hz"):
        dataclasses.replace(SMALL_EMBODIMENT, control_hz=control_hz)


def test_an_unknown_camera_is_named_with_those_that_exist() -> None:
    with pytest.raises(ObservationError, match="'top' is not a camera of small; cameras: scene, wrist"):
        SMALL_EMBODIMENT.camera("top")
    assert SMALL_EMBODIMENT.camera("wrist").height == 8

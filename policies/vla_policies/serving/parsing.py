"""From the trees that `wire` reads to requests and answers: known keys alone, each of its kind, or an error by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import ObservationError, WireError
from vla.interfaces import ActionChunk, Observation, check_chunk, check_observation
from vla_policies.serving.messages import IMAGES, NUMBERED, PROMPT, STATE, Begin, Header, Request

_OBSERVED = (STATE, PROMPT, "time_s", "fresh", "committed")
_MAX_NAME = 128
_MAX_PROMPT = 4096
_MAX_SEQUENCE = 2**53
_MAX_DEADLINE_MS = 600_000.0


def parse_header(message: Mapping[str, Any]) -> Header:
    """Who asks, and by when.

    Raises:
        WireError: naming the key whose value is not of its kind.
    """
    session = message.get("session")
    if session is not None and not (isinstance(session, str) and 0 < len(session) <= _MAX_NAME):
        _refuse("session", f"a text of 1 to {_MAX_NAME} characters", session)
    return Header(
        session,
        _integer(message, "seq", 0, _MAX_SEQUENCE),
        _number(message, "deadline_ms", 0.0, _MAX_DEADLINE_MS),
        _number(message, "sent_s", -math.inf, math.inf),
    )


def parse_request(
    message: Mapping[str, Any], header: Header, embodiment: Embodiment, horizon: int, now_s: float
) -> Request | Begin:
    """What a client asks for.

    Args:
        now_s: the observation's time, if the client tells none.

    Raises:
        WireError: naming the key that is not known, or whose value is not of its kind.
        ObservationError: if the observation is not what the embodiment promises.
    """
    if "begin" in message:
        _only(message, ("begin", *NUMBERED))
        seed = _integer(message, "begin", 0, 2**63 - 1)
        if seed is None:
            _refuse("begin", "a seed", None)
        return Begin(header, seed)
    cameras = [f"{IMAGES}{camera.name}" for camera in embodiment.cameras]
    _only(message, (*cameras, *_OBSERVED, *NUMBERED))
    observation = _observation(message, embodiment, now_s)
    check_observation(observation, embodiment)
    return Request(header, observation, _committed(message, embodiment, horizon))


def parse_reply(message: Mapping[str, Any], embodiment: Embodiment, horizon: int) -> ActionChunk:
    """The chunk of an answer.

    Raises:
        WireError: if it holds no times, or actions that are no array.
        ObservationError: if the actions are not of the declared shape.
        ActionError: if they are not finite.
    """
    actions = _array(message, "actions", ("<f4",), (horizon, embodiment.action_dim))
    start_s = _number(message, "start_s", -math.inf, math.inf)
    valid_s = _number(message, "valid_s", 0.0, math.inf)
    if start_s is None or valid_s is None:
        raise WireError("an answer tells start_s and valid_s")
    chunk = ActionChunk(actions.copy(), start_s, valid_s)
    check_chunk(chunk, embodiment, horizon)
    return chunk


def parse_error(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """The kind and text of an error; `None` if the message is none."""
    error = message.get("error")
    if error is None:
        return None
    if not isinstance(error, dict) or not all(isinstance(error.get(name), str) for name in ("kind", "text")):
        raise WireError("an error is a map of kind and text")
    return error["kind"], error["text"]


# --------------------------------------------------------------------------- the values of a request


def _observation(message: Mapping[str, Any], embodiment: Embodiment, now_s: float) -> Observation:
    images = {
        camera.name: _array(message, f"{IMAGES}{camera.name}", ("|u1",), (camera.height, camera.width, 3))
        for camera in embodiment.cameras
    }
    state = _array(message, STATE, ("<f4", "<f8"), (embodiment.state_dim,))
    prompt = message.get(PROMPT)
    if not isinstance(prompt, str) or len(prompt) > _MAX_PROMPT:
        _refuse(PROMPT, f"a text of at most {_MAX_PROMPT} characters", prompt)
    time_s = _number(message, "time_s", -math.inf, math.inf)
    return Observation(
        images=images,
        proprioception=_float32(state),
        instruction=prompt,
        time_s=now_s if time_s is None else time_s,
        fresh=_fresh(message, embodiment),
    )


def _fresh(message: Mapping[str, Any], embodiment: Embodiment) -> frozenset[str]:
    known = {"proprioception", *(camera.name for camera in embodiment.cameras)}
    named = message.get("fresh", sorted(known))
    if not isinstance(named, list) or not all(isinstance(name, str) and name in known for name in named):
        _refuse("fresh", f"a list of {', '.join(sorted(known))}", named)
    return frozenset(named)


def _committed(
    message: Mapping[str, Any], embodiment: Embodiment, horizon: int
) -> Float32[np.ndarray, "_ action_dim"] | None:
    if "committed" not in message:
        return None
    given = message["committed"]
    rows = len(given) if isinstance(given, np.ndarray) and given.ndim else 0
    actions = _array(message, "committed", ("<f4",), (min(rows, horizon), embodiment.action_dim))
    if not np.isfinite(actions).all():
        raise ObservationError("'committed' is not finite")
    return actions


def _array(
    message: Mapping[str, Any], key: str, dtypes: tuple[str, ...], shape: tuple[int, ...] | None = None
) -> np.ndarray:
    if key not in message:
        raise ObservationError(f"'{key}' is missing")
    value = message[key]
    if not isinstance(value, np.ndarray):
        _refuse(key, "an array", value)
    if value.dtype.str not in dtypes or (shape is not None and value.shape != shape):
        expected = f"{' or '.join(dtypes)}{'' if shape is None else f' {shape}'}"
        raise ObservationError(f"'{key}' is {expected}, got {value.dtype.str} {value.shape}")
    return value


def _float32(values: np.ndarray) -> Float32[np.ndarray, " values"]:
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
        return values.astype(np.float32, copy=False)


def _integer(message: Mapping[str, Any], key: str, low: int, high: int) -> int | None:
    value = message.get(key)
    if value is not None and not (type(value) is int and low <= value <= high):
        _refuse(key, f"a whole number from {low} to {high}", value)
    return value


def _number(message: Mapping[str, Any], key: str, low: float, high: float) -> float | None:
    value = message.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
        _refuse(key, "a finite number" if math.isinf(low) else f"a number from {low:g} to {high:g}", value)
    return float(value)


def _only(message: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in message:
        if key not in known:
            raise WireError(f"a request has no key '{key:.60}'; it may have: {', '.join(known)}")


def _refuse(key: str, expected: str, value: object) -> NoReturn:
    came = "nothing" if value is None else f"{value!r:.60}" if isinstance(value, str | int | float) else type(value)
    raise WireError(f"'{key}' is {expected}, got {came}")

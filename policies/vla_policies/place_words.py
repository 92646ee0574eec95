"""Places in a picture as tokens, and as points that the named queries are shown.

A corpus writes places in 1024 steps (`<loc0123><loc0456>`, row then column). A small model speaks of 64: each step's
word is that of its middle in 1024, so what it says is read as any other corpus is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32

from vla.errors import DataError
from vla.model.compact import ROLES
from vla_datasets.web.samples import LOCATION_STEPS, parse_locations

PLACE_STEPS = 64
"""About as many as a 64 x 80 picture has pixels."""
_STEP = LOCATION_STEPS // PLACE_STEPS
_WORD = re.compile(r"<loc(\d{4})>")

PLACE_WORDS = tuple(f"<loc{step * _STEP + _STEP // 2:04d}>" for step in range(PLACE_STEPS))
"""All that a model says."""


def coarse(text: str) -> str:
    """The text with each place in the words that a model says."""
    return _WORD.sub(lambda match: PLACE_WORDS[min(int(match.group(1)) // _STEP, PLACE_STEPS - 1)], text)


def role_points(answer: str, facts: Mapping[str, object], where: str) -> Float32[np.ndarray, "roles 2"]:
    """What each role is to look at, by an answer's places: u right, v down, in 0..1; NaN where nothing is said.

    `facts["roles"]` names the role of each place in turn (`["target", "destination"]`). Without it, a single place is
    for both roles: what is spoken of may be a thing or where to bring it; several places are for none.

    Args:
        where: the sample's source, for errors.

    Raises:
        DataError: if a role is not one that there is, or there are not as many as places.
    """
    points = np.full((len(ROLES), 2), np.nan, np.float32)
    places = parse_locations(answer)
    roles = facts.get("roles")
    if roles is None:
        if len(places) == 1:
            points[:] = _middle(places[0])
        return points
    if not isinstance(roles, list | tuple) or len(roles) != len(places) or any(role not in ROLES for role in roles):
        raise DataError(
            f"{where}: facts['roles'] names one of {', '.join(ROLES)} for each of the answer's {len(places)} places, "
            f"got {roles!r}"
        )
    for role, place in zip(roles, places, strict=True):
        points[ROLES.index(role)] = _middle(place)
    return points


def _middle(place: tuple[float, ...]) -> tuple[float, float]:
    """Column and row, as shares, of a point or of a box's middle."""
    row, column = np.reshape(place, (-1, 2)).mean(axis=0)
    return float(column), float(row)

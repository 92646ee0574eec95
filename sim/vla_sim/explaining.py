"""Maps of what a policy looked at in an episode, each with how far it can be believed.

decisions with their observations ─► a few, evenly spread ─► occlusion map, deletion and insertion ─► trees for JSON
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from vla.errors import ConfigError, DataError
from vla.interfaces import Observation, Policy
from vla_datasets.web.samples import parse_locations
from vla_policies.decisions import Decision
from vla_policies.faithfulness import Faithfulness, faithfulness, mean_score, verdict
from vla_policies.occlusion import by_camera, change_of, measure_of, occlusion_map, patches
from vla_policies.telling import check_telling
from vla_sim.pages import data_uri

_ORDER_STREAM = 0x0CC1


@dataclasses.dataclass
class ExplainConfig:
    """Maps of what the policy looks at; off unless `episodes` is given, for each frame is many calls of the policy."""

    episodes: int = 0
    """So many of the filmed ones, failures first."""
    steps: int = 4
    """Decisions of each episode, evenly spread."""
    patches: int = 8
    """Along the shorter side of each camera's picture; the squares that are greyed out."""
    orders: int = 4
    """Random orders that each map is held against."""
    question: str = ""
    """Asked of the policy at each of these moments: the answer stands beside the map, and nothing that is done hangs on
    it.
    """


def check_explain(config: ExplainConfig) -> None:
    """Return if maps can be made like this.

    Raises:
        ConfigError: if they cannot.
    """
    limits = {"episodes": (0, 1000), "steps": (1, 100), "patches": (2, 32), "orders": (1, 100)}
    for name, (low, high) in limits.items():
        if not low <= getattr(config, name) <= high:
            raise ConfigError(f"explain.{name} is from {low} to {high}, got {getattr(config, name)}")
    if config.question and not config.episodes:
        raise ConfigError("explain.question is asked in the episodes that are explained: give explain.episodes")


def explained(policy: Policy, decisions: Sequence[Decision], seed: int, config: ExplainConfig) -> list[dict[str, Any]]:
    """For some decisions of an episode: `step`, `measure`, `pictures`, `maps` by camera, the three curves, `score`,
    and the `question` with its `answer` and the `places` it names, if there is one.

    Args:
        policy: one that nobody acts with: its episodes are begun anew.
        seed: of the episode.
    """
    kept = [index for index, decision in enumerate(decisions) if decision.observation is not None]
    count = min(config.steps, len(kept))
    chosen = [kept[round(place)] for place in np.linspace(0, len(kept) - 1, count)] if count else []
    return [_explained(policy, decisions[index], seed, config) for index in chosen]


def summary(frames: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """What all frames say together: mean score with its interval, and a verdict in words; `None` without a frame."""
    if not frames:
        return None
    score, low, high = mean_score([frame["score"] for frame in frames])
    largest = max(frame["largest"] for frame in frames)
    return {
        "frames": len(frames),
        "measure": frames[0]["measure"],
        "score": score,
        "low": low,
        "high": high,
        "largest": largest,
        "verdict": verdict(score, low, largest),
    }


def _explained(policy: Policy, decision: Decision, seed: int, config: ExplainConfig) -> dict[str, Any]:
    seen = decision.observation
    assert seen is not None
    step = round(decision.time_s * policy.embodiment.control_hz)
    cut = patches(seen, config.patches)
    change = change_of(policy, decision, seed)
    importance = occlusion_map(change, seen, cut)
    generator = np.random.default_rng([seed, step, _ORDER_STREAM])
    found = faithfulness(change, seen, cut, importance, generator, config.orders)
    return {
        "step": step,
        "measure": measure_of(policy).value,
        "pictures": {camera: _picture(image) for camera, image in seen.images.items()},
        "maps": by_camera([_rounded(value) for value in importance], cut),
        **_curves(found),
        **(_answered(policy, seen, config.question) if config.question else {}),
    }


def _answered(policy: Policy, seen: Observation, question: str) -> dict[str, Any]:
    """`question`, `answer` and `places`: the points that it names, (y, x) as shares of the first camera's picture."""
    _, (answer,) = check_telling(policy).predict_and_tell([seen], question)
    return {"question": question, "answer": answer, "places": _points(answer)}


def _points(answer: str) -> list[tuple[float, ...]]:
    try:
        return [place for place in parse_locations(answer) if len(place) == 2]
    except DataError:  # a policy may say half of a place
        return []


def _curves(found: Faithfulness) -> dict[str, Any]:
    curves = {"deletion": found.deletion, "insertion": found.insertion, "random": found.random}
    tree: dict[str, Any] = {name: [_rounded(value) for value in curve] for name, curve in curves.items()}
    return tree | {"largest": found.largest, "score": found.score}


def _picture(image: np.ndarray) -> str:
    import cv2

    return data_uri("image/png", cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

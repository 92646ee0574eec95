"""What a policy decided, drawn beside the film: actions over time, tokens and how sure they were, and maps.

    trace ─┬─► one plot an action field: what was done, what each chunk foresaw, where chunks took over
           ├─► one plot of the entropy of each chunk's tokens
           ├─► the numbers for the script, which shows the tokens of the chunk that the film stands at
           └─► frames: each camera with its map on it, and the map's deletion curve against random order

Plots are SVG in units of steps and of a field's limits; the script moves a line to where the film stands, and a click
takes the film there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from vla_sim.pages import page_environment

TEMPLATE = "decision_panel.html"
HEIGHT = 100
"""Of a plot, in its own units."""


def decision_panel(trace: Mapping[str, Any], frames_per_second: int) -> Markup:
    """The HTML of one episode's decisions; everything in it is escaped.

    Args:
        trace: see `vla_sim.traces`.
        frames_per_second: of the film.
    """
    return Markup(
        _environment()
        .get_template(TEMPLATE)
        .render(
            width=max(1, trace["steps"]),
            height=HEIGHT,
            frames_per_second=frames_per_second,
            fields=[_field(trace, index) for index in range(len(trace["fields"]))],
            entropy=_entropy(trace),
            seams=trace["seams"],
            has_tokens=any("ids" in chunk for chunk in trace["chunks"]),
            numbers=_for_script(trace),
            frames=[_frame(frame) for frame in trace.get("frames", ())],
        )
    )


def _environment() -> jinja2.Environment:
    return page_environment(number=lambda value: f"{value:.3g}")


def _field(trace: Mapping[str, Any], index: int) -> dict[str, Any]:
    """One field's plot: what was done as steps, and what each chunk foresaw."""
    field = trace["fields"][index]
    done = [row[index] for row in trace["actions"]]
    foreseen = [
        _line([row[index] for row in chunk["actions"]], chunk["step"], field, trace["steps"])
        for chunk in trace["chunks"]
    ]
    return {**field, "done": _line(done, 0, field, trace["steps"]), "foreseen": [line for line in foreseen if line]}


def _line(values: Sequence[float], start: int, field: Mapping[str, Any], steps: int) -> str:
    """Points of a polyline that goes up and down in steps: each action holds for one."""
    low, span = field["low"], (field["high"] - field["low"]) or 1
    points = []
    for step, value in enumerate(values, start):
        if step >= steps:
            break
        y = HEIGHT * (1 - min(1.0, max(0.0, (value - low) / span)))
        points += [f"{step},{y:.1f}", f"{step + 1},{y:.1f}"]
    return " ".join(points)


def _entropy(trace: Mapping[str, Any]) -> dict[str, Any] | None:
    """Mean and highest entropy (nats) of each chunk's tokens, from its step to the next one's."""
    chunks = [chunk for chunk in trace["chunks"] if chunk.get("entropy")]
    if not chunks:
        return None
    top = max(max(chunk["entropy"]) for chunk in chunks) or 1.0
    lines = {}
    for name, of in (("mean", lambda values: sum(values) / len(values)), ("highest", max)):
        points = []
        for chunk, end in zip(chunks, [*(c["step"] for c in chunks[1:]), trace["steps"]], strict=True):
            y = HEIGHT * (1 - of(chunk["entropy"]) / top)
            points += [f"{chunk['step']},{y:.1f}", f"{max(chunk['step'], end)},{y:.1f}"]
        lines[name] = " ".join(points)
    return {"top": top, **lines}


def _for_script(trace: Mapping[str, Any]) -> Markup:
    """The numbers as JSON that cannot end the element that it stands in."""
    told = {name: trace[name] for name in ("steps", "token_fields", "chunks")}
    told["fields"] = [field["name"] for field in trace["fields"]]
    text = json.dumps(told, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _frame(frame: Mapping[str, Any]) -> dict[str, Any]:
    """One map: its pictures with the patches on them, the strongest of all cameras the darkest."""
    strongest = max((value for grid in frame["maps"].values() for row in grid for value in row), default=0.0)
    cameras = [
        {
            "name": camera,
            "picture": frame["pictures"][camera],
            "rows": len(grid),
            "columns": len(grid[0]),
            "patches": [
                {"x": x, "y": y, "alpha": f"{0.85 * value / strongest:.2f}", "change": value}
                for y, row in enumerate(grid)
                for x, value in enumerate(row)
                if strongest > 0 and value > 0.05 * strongest
            ],
            "places": [
                {"x": f"{x * len(grid[0]):.2f}", "y": f"{y * len(grid):.2f}"}
                for y, x in (frame.get("places", ()) if index == 0 else ())
            ],
        }
        for index, (camera, grid) in enumerate(frame["maps"].items())
    ]
    return {
        "question": "",
        **frame,
        "cameras": cameras,
        "unit": "nats a token" if frame["measure"] == "tokens" else "half-ranges",
        "curves": {name: _curve(frame[name], frame["largest"]) for name in ("random", "deletion")},
    }


def _curve(values: Sequence[float], largest: float) -> str:
    top = largest or 1.0
    last = len(values) - 1
    return " ".join(f"{100 * i / last:.0f},{40 - 36 * max(0.0, value) / top:.1f}" for i, value in enumerate(values))

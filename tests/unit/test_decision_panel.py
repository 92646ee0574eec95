"""The panel of what was decided, the trace it is drawn from, and which episodes are explained."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from vla.interfaces import ActionChunk, EpisodeSpec
from vla_policies.decisions import ChunkTokens, Decision
from vla_policies.rollout import RolloutResult
from vla_sim.decision_panel import decision_panel
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.filmed import Filmed, worth_explaining
from vla_sim.jobs import Outcome
from vla_sim.traces import MOST_STEPS, trace

FIELDS = [field.name for field in TABLETOP_PANDA.action]


def decision(step: int, *, with_tokens: bool = True) -> Decision:
    tokens = ChunkTokens(np.arange(10), np.full(10, 0.5, np.float32), np.full(10, 0.25, np.float32))
    chunk = ActionChunk(np.full((2, 5), 0.01, np.float32), 0.0, 1.0)
    return Decision(step * TABLETOP_PANDA.control_dt_s, chunk, tokens if with_tokens else None, None)


def traced(steps: int = 4, *, with_tokens: bool = True, grid: bool = True) -> dict[str, Any]:
    actions = np.tile(np.linspace(-0.04, 0.04, steps, dtype=np.float32)[:, None], (1, 5))
    result = RolloutResult(0, 0, EpisodeSpec("stack", 1), "stack it", False, steps, actions, seams=(2,))
    kept = [decision(step, with_tokens=with_tokens) for step in range(0, steps, 2)]
    return trace(result, kept, TABLETOP_PANDA, FIELDS if grid else None)


def test_a_trace_tells_every_chunk_and_what_was_done() -> None:
    tree = traced()
    assert [field["name"] for field in tree["fields"]] == FIELDS
    assert [chunk["step"] for chunk in tree["chunks"]] == [0, 2]
    assert tree["chunks"][1]["ids"] == list(range(10))
    assert tree["chunks"][1]["p"] == [0.5] * 10
    assert tree["seams"] == [2]
    assert [row[0] for row in tree["actions"]] == [-0.04, -0.01333, 0.01333, 0.04]
    assert json.loads(json.dumps(tree)) == tree


def test_a_long_episode_has_a_trace_of_its_first_steps() -> None:
    tree = traced(MOST_STEPS + 10)
    assert len(tree["actions"]) == MOST_STEPS
    assert max(chunk["step"] for chunk in tree["chunks"]) < MOST_STEPS
    assert len(decision_panel(tree, 5)) < 700_000


def test_the_panel_has_a_plot_for_each_field_and_one_for_the_entropy() -> None:
    panel = decision_panel(traced(), 5)
    assert [name for name in FIELDS if f"<b>{name}</b>" in panel] == FIELDS
    assert "entropy of tokens" in panel
    assert panel.count('class="done"') == len(FIELDS) + 1
    assert panel.count('class="seam"') == len(FIELDS) + 1
    assert 'points="0,100.0 1,100.0 1,66.7 2,66.7 2,33.3 3,33.3 3,0.0 4,0.0"' in panel


def test_a_policy_without_tokens_has_its_actions_alone() -> None:
    panel = decision_panel(traced(with_tokens=False), 5)
    assert "entropy of tokens" not in panel
    assert 'class="tokens"' not in panel
    assert panel.count('class="done"') == len(FIELDS)


def test_the_numbers_for_the_script_cannot_end_their_element() -> None:
    tree = traced()
    tree["fields"][0]["name"] = "</script><b>&"
    panel = decision_panel(tree, 5)
    found = re.search(r'<script type="application/json" class="trace">(.*?)</script>', panel, re.DOTALL)
    assert found is not None
    assert json.loads(found.group(1))["fields"][0] == "</script><b>&"
    assert "<b>&</b>" not in panel
    assert panel.count("</script>") == 1


def test_a_map_marks_the_patches_that_matter_and_says_how_far_to_believe_it() -> None:
    curve = [0.0, *([0.5] * 9), 1.0]
    frame = {
        "step": 2,
        "measure": "tokens",
        "pictures": {"scene": "data:image/png;base64,AAAA"},
        "maps": {"scene": [[0.0, 2.0], [1.0, -1.0]]},
        "deletion": curve,
        "insertion": curve,
        "random": curve,
        "largest": 1.0,
        "score": 0.41,
    }
    panel = decision_panel({**traced(), "frames": [frame]}, 5)
    assert re.findall(r'<rect x="(\d)" y="(\d)" width="1" height="1" opacity="([\d.]+)"', panel) == [
        ("1", "0", "0.85"),
        ("0", "1", "0.42"),
    ]
    assert "faithfulness <b>0.41</b>; greying all changes it by 1 nats a token" in panel
    assert "Asked beside it" not in panel
    asked = {**frame, "question": "where?", "answer": "<loc0512>", "places": [(0.25, 0.75)]}
    panel = decision_panel({**traced(), "frames": [asked]}, 5)
    assert "where? <b>&lt;loc0512&gt;</b>" in panel
    assert re.findall(r'<circle class="place" cx="([\d.]+)" cy="([\d.]+)"', panel) == [("1.50", "0.50")]


def outcome(task: str, seed: int, *, success: bool, film: bytes | None = b"film") -> Outcome:
    result = RolloutResult(0, 0, EpisodeSpec(task, seed), "do it", success, 1, np.zeros((1, 5), np.float32))
    return Outcome(0, result, film, trace={"frames": []})


def test_failures_are_explained_first_and_the_tasks_in_turn() -> None:
    results = [outcome(task, seed, success=seed == 0).result for task in ("reach", "stack") for seed in range(3)]
    assert worth_explaining(results, [0, 1, 2, 3, 4, 5], 3) == [1, 2, 4]
    assert worth_explaining(results, [0, 3, 4], 2) == [0, 4]
    assert worth_explaining(results, [0, 3], 0) == []


def test_what_was_filmed_is_listed_with_the_experts_film_and_the_trace() -> None:
    failed, unfilmed = outcome("stack", 1, success=False), outcome("stack", 2, success=True, film=None)
    filmed = Filmed([failed, unfilmed], {failed.result.spec: b"expert"})
    assert filmed.videos == [
        {
            "task": "stack",
            "seed": 1,
            "success": False,
            "file": "videos/stack-1.mp4",
            "expert": "videos/stack-1-expert.mp4",
            "trace": "traces/stack-1.json",
        }
    ]
    assert filmed.films == {"stack-1.mp4": b"film", "stack-1-expert.mp4": b"expert"}
    assert filmed.traces == {"stack-1.json": {"frames": []}}
    assert filmed.explained is None

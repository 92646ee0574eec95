"""Heads on one backbone: success, action error, latency and text, for actions of 4, 7 and 14 numbers.

Every cell is the same backbone, data, steps, seed and batch: only `head=` differs. The worlds are made-up stand-ins
(`benchmarks/reaching.py`), the budget is small: a table of how heads compare here, not of what they can come to. Beside
the robot's samples each run answers questions about the same kind of pictures, in words.

    HEADS_STEPS=600 HEADS_EPISODES=50 python -m benchmarks heads    # smaller; also HEADS_WORLDS, HEADS_DEMONSTRATIONS

What is there already in `runs/heads` is not done again, but for the latency: that of all heads is taken at the end, in
one go.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reaching import WORLDS, ReachingEnvironment, demonstration, embodiment, question
from vla.files import write_atomically
from vla.interfaces import Episode, EpisodeSpec, Observation, Policy
from vla.intervals import wilson_interval
from vla.model.compact import CompactConfig
from vla.model.vla_model import Head
from vla_datasets.store import EpisodeStore
from vla_datasets.web.shards import write_shards
from vla_policies.checkpoint import load_checkpoint
from vla_policies.gate import ask
from vla_policies.loading import load_policy
from vla_policies.rollout import rollout
from vla_policies.train import TrainConfig, Words, train

FOLDER = Path("runs/heads")
STEPS = int(os.environ.get("HEADS_STEPS", "2000"))
DEMONSTRATIONS = int(os.environ.get("HEADS_DEMONSTRATIONS", "1500"))
EPISODES = int(os.environ.get("HEADS_EPISODES", "100"))
KINDS = os.environ.get("HEADS_WORLDS", ",".join(WORLDS)).split(",")
QUESTIONS, ASKED, HELD_OUT, CHUNKS = 4000, 200, 20, 100
"""Questions to learn from and to be asked; episodes whose frames actions are compared on; chunks that are timed."""
HORIZON, BATCH, WEB_SHARE, UNSEEN = 8, 32, 0.2, 1_000_000
BACKBONE = CompactConfig(width=96, layers=2, channels=32, text_tokens=16)


def measurements(store: str | None = None) -> dict[str, object]:
    """A row for each world and head."""
    torch.set_num_threads(1)
    settings = {
        "steps": STEPS,
        "batch": BATCH,
        "demonstrations": DEMONSTRATIONS,
        "horizon": HORIZON,
        "execution": "half of a chunk, then the next",
        "web_share": WEB_SHARE,
        "backbone": BACKBONE.to_json(),
        "seed": 0,
        "threads": 1,
    }
    rows = [_learned(kind, head) for kind in KINDS for head in Head]
    return {"settings": settings, "rows": [_timed(row) for row in rows]}


def _learned(kind: str, head: Head) -> dict[str, Any]:
    """What does not depend on how busy the machine is."""
    done = FOLDER / kind / f"{head.value}-{STEPS}.json"
    if not done.exists():
        write_atomically(done, json.dumps(_measured(kind, head, _data(kind), _questions(kind))))
    row: dict[str, Any] = json.loads(done.read_text())
    print(f"heads: {kind} {head.value} learned, success {row['success']:.0%}", flush=True)
    return row


def _timed(row: dict[str, Any]) -> dict[str, object]:
    kind, head = row["world"], row["head"]
    policy = load_policy(str(FOLDER / kind / f"{head}-{STEPS}"), embodiment(kind), batch_size=1)
    row = {**row, **_latency(kind, policy)}
    low, high = row["interval"]
    print(
        f"heads: {row['action_dim']:2d} {head:14s} success {row['success']:4.0%} ({low:.0%} to {high:.0%})  "
        f"error {row['action_error']:.3f}  {row['latency_ms_p50']:.1f} ms  words {row['text_accuracy']:.0%}",
        flush=True,
    )
    return row


def _data(kind: str) -> Path:
    path = FOLDER / kind / "demonstrations"
    store = EpisodeStore.open_or_create(path, embodiment(kind))
    for seed in range(DEMONSTRATIONS):
        if not store.contains("reach", seed, "scripted"):
            store.append(demonstration(kind, seed, HORIZON))
    return path


def _questions(kind: str) -> Path:
    path = FOLDER / kind / "questions"
    write_shards([question(kind, seed) for seed in range(QUESTIONS)], path)
    return path


def _measured(kind: str, head: Head, data: Path, questions: Path) -> dict[str, object]:
    out = FOLDER / kind / f"{head.value}-{STEPS}"
    config = TrainConfig(
        out=str(out),
        data=[str(data)],
        web=[str(questions)],
        web_share=WEB_SHARE,
        words=Words.FITTED,
        head=head,
        steps=STEPS,
        batch_size=BATCH,
        horizon=HORIZON,
        committed_share=0.2,
        validation_share=0.0,
        threads=1,
        device="cpu",
        log_every=100,
        backbone=BACKBONE,
    )
    began, cpu = time.monotonic(), time.process_time()
    train(config)
    trained_s, trained_cpu_s = time.monotonic() - began, time.process_time() - cpu
    policy = load_policy(str(out), embodiment(kind))
    successes = sum(_outcomes(kind, policy))
    return {
        "world": kind,
        "action_dim": WORLDS[kind],
        "head": head.value,
        "success": successes / EPISODES,
        "n": EPISODES,
        "interval": wilson_interval(successes, EPISODES),
        "action_error": _action_error(kind, policy),
        **_text(kind, out),
        "weights": sum(math.prod(tensor.shape) for tensor in load_checkpoint(out).weights.values()),
        "trained_s": trained_s,
        "trained_cpu_s": trained_cpu_s,
    }


def _outcomes(kind: str, policy: Policy) -> list[bool]:
    specs = [EpisodeSpec("reach", UNSEEN + seed) for seed in range(EPISODES)]
    results = list(rollout(policy, [ReachingEnvironment(kind) for _ in range(8)], specs))
    assert not any(result.error for result in results), results
    return [result.success for result in results]


def _action_error(kind: str, policy: Policy) -> float:
    """Mean absolute difference from the expert's chunk on frames of unseen episodes, in half-ranges of each field."""
    body, errors = embodiment(kind), []
    half_range = (body.action_high - body.action_low) / 2
    for seed in range(HELD_OUT):
        episode = demonstration(kind, 2 * UNSEEN + seed, HORIZON)
        policy.reset([seed])
        for step in range(0, episode.num_steps, 4):
            seen = _observation(episode, step)
            found = policy.predict([seen])[0].actions
            errors.append(np.abs(found - episode.labels["lookahead"][step]) / half_range)
    return float(np.mean(errors))


def _observation(episode: Episode, step: int) -> Observation:
    return Observation(
        images={name: images[step] for name, images in episode.images.items()},
        proprioception=episode.proprioception[step],
        instruction=episode.instruction,
        time_s=float(episode.times_s[step]),
        fresh=frozenset({"proprioception", *episode.images}),
    )


def _latency(kind: str, policy: Policy) -> dict[str, float]:
    """Of whole chunks, pictures included, one robot at a time."""
    seen = ReachingEnvironment(kind).reset(EpisodeSpec("reach", UNSEEN))
    policy.reset([0])
    seconds = []
    for _ in range(CHUNKS + 10):
        began = time.perf_counter()
        policy.predict([seen])
        seconds.append(time.perf_counter() - began)
    p50, p99 = np.quantile(seconds[10:], [0.5, 0.99])
    return {"latency_ms_p50": 1e3 * float(p50), "latency_ms_p99": 1e3 * float(p99)}


def _text(kind: str, out: Path) -> dict[str, object]:
    path = FOLDER / kind / "asked"
    write_shards([question(kind, UNSEEN + seed) for seed in range(ASKED)], path)
    checkpoint = load_checkpoint(out)
    exact = ask(checkpoint, [str(path)], 0).all.exact
    return {"text_accuracy": exact.success, "text": dataclasses.asdict(exact)}

"""`vla train` against `lerobot-train`: samples a second of models as large, on the same demonstrations.

    the same episodes ─┬─► LeRobot's dataset, video ─► lerobot-train, ACT       in turn with ─┐
                       │                               lerobot-train, SmolVLA                │
                       └─► our store ────────────────► vla train, compact with ResNet-18 ────┤─► samples a second
                                                       vla train, SmolVLM and a flow ────────┘

Both are the commands as installed, each in a process of its own, with a gate before its training step and nothing else
changed (`benchmarks.trainers`): who is not timed is stopped, data workers and all. A round is a few steps, data, log
and the running average of ours included; sides take turns, and medians of rounds are compared.

The same on both sides: episodes, cameras, pictures of 128 x 128 px, batch of 8, chunks of 50, threads, weights that
train (within 2 %), random weights, gradient clipping, AdamW. ACT: a ResNet-18 that both cameras share. SmolVLA: the
same SmolVLM, frozen as LeRobot has it by default, and an expert. Not the same: see `DIFFERENCES`.

    python -m benchmarks training                          # in an environment with lerobot[smolvla,training,dataset]
    TRAINING_SWEEP=1 python -m benchmarks training         # LeRobot with 0, 1, 2 and 4 workers, for the best
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.trainers.demonstrations import write_demonstrations
from benchmarks.trainers.gate import Round
from benchmarks.trainers.paused import PausedTraining
from benchmarks.trainers.sizes import BATCH, HORIZON, PIXELS, VLM_TEXT, VLM_VISION
from benchmarks.trainers.small_vlm import write_small_vlm
from vla.errors import ConfigError

ROUNDS = int(os.environ.get("TRAINING_ROUNDS", "3"))
WARM, STEPS = (int(word) for word in os.environ.get("TRAINING_STEPS", "2,5").split(","))
THREADS = int(os.environ.get("TRAINING_THREADS", str(len(os.sched_getaffinity(0)))))
PAIRS = os.environ.get("TRAINING_PAIRS", "act,smolvla").split(",")
WORKERS = int(os.environ.get("TRAINING_WORKERS", "1"))
"""Of LeRobot's data loader: the number that is best for it on two cores (`TRAINING_SWEEP`); its default is 4."""
SWEPT = (0, 1, 2, 4)
PRECISIONS = ("bf16", "fp32")
TOLERANCE = 0.02
"""Of the number of weights that train, one side's to the other's."""
DIFFERENCES = {
    "act": "LeRobot encodes the chunk with a VAE, has dropout and shares an encoder for pictures; ours reads the "
    "instruction, normalises groups in its ResNet, and keeps a running average of its weights",
    "smolvla": "LeRobot's expert reads keys and values of every layer, ours the hidden states of the last; ours keeps "
    "SmolVLM's prompt around pictures and words, shifts pictures, and keeps a running average of its weights",
}
OURS = (
    "experiment=tabletop collect=[] dagger_steps=[] dagger=[] data=[{store}] out={out} batch_size={batch} "
    "horizon={horizon} validation_share=0 committed_share=0 steps=100000 checkpoint_every=100000 log_every=200 "
    "threads={threads} precision={precision}"
)
THEIRS = (
    "--dataset.repo_id=local/demonstrations --dataset.root={lerobot} --policy.push_to_hub=false --policy.device=cpu "
    "--policy.chunk_size={horizon} --policy.n_action_steps={horizon} --batch_size={batch} --save_checkpoint=false "
    "--output_dir={out} --num_workers={workers} --policy.use_amp={amp}"
)
OUR_MODELS = {
    "act": "head=regression backbone.tower=resnet18 backbone.width=512 backbone.layers=6 backbone.text_layers=4 "
    "backbone.heads=8 backbone.mlp_ratio=5 backbone.channels=128 backbone.text_tokens=16",
    "smolvla": "backbone=smolvlm head=flow pretrained.path={vlm} pretrained.text_tokens={text_tokens} "
    "freeze=[backbone.vlm] expert.width=344 expert.layers=5 expert.heads=4 expert.mlp_ratio=3",
}
THEIR_MODELS = {
    "act": "--policy.type=act --policy.pretrained_backbone_weights=null",
    "smolvla": "--policy.type=smolvla --policy.vlm_model_name={vlm} --policy.num_vlm_layers={layers} "
    "--policy.resize_imgs_with_padding=[{pixels},{pixels}]",
}
TEXT_TOKENS = 16
VERSIONS = ("lerobot", "torch", "transformers", "accelerate", "timm", "torchcodec")
VARIABLES = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": str(THREADS)}


@dataclasses.dataclass(frozen=True)
class Side:
    """One way to train one kind of model."""

    pair: str
    is_ours: bool
    precision: str
    workers: int = 0

    @property
    def name(self) -> str:
        return f"vla-{self.precision}" if self.is_ours else f"lerobot-{self.precision}-workers{self.workers}"

    def start(self, work: Path) -> PausedTraining:
        """In a process, up to its first step."""
        out = work / f"{self.pair}-{self.name}"
        options = (OURS if self.is_ours else THEIRS) + " " + (OUR_MODELS if self.is_ours else THEIR_MODELS)[self.pair]
        words = options.format(
            store=work / "store",
            lerobot=work / "lerobot",
            vlm=work / "vlm",
            out=out,
            batch=BATCH,
            horizon=HORIZON,
            threads=THREADS,
            precision=self.precision,
            amp=str(self.precision == "bf16").lower(),
            workers=self.workers,
            text_tokens=TEXT_TOKENS,
            layers=VLM_TEXT["num_hidden_layers"],
            pixels=PIXELS,
        )
        module = f"benchmarks.trainers.{'our' if self.is_ours else 'lerobot'}_side"
        return PausedTraining(module, words.split(), VARIABLES, work / f"{self.pair}-{self.name}.log")


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back how fast each side is.

    Raises:
        ConfigError: if a store is given, LeRobot or what it trains with is not installed, a side ends by itself, or
            the sides' models are not of one size.
    """
    if store is not None:
        raise ConfigError("the benchmark 'training' films its own demonstrations: leave data= out")
    for package in ("lerobot", "accelerate", "transformers", "timm"):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"the benchmark 'training' needs {package}: uv pip install 'lerobot[smolvla,training,dataset]' timm"
            )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_small_vlm(work / "vlm", write_demonstrations(work))
        pairs = {pair: _pair(pair, work) for pair in PAIRS}
    return {
        "claim": "samples a second in training, models of one size on the same demonstrations, against lerobot-train",
        "settings": {
            "pixels": PIXELS,
            "batch": BATCH,
            "horizon": HORIZON,
            "threads": THREADS,
            "rounds": ROUNDS,
            "steps_to_warm_up": WARM,
            "steps": STEPS,
            "models": {"ours": OUR_MODELS, "lerobot": THEIR_MODELS},
            "smolvlm": {"text": VLM_TEXT, "vision": VLM_VISION},
            "differences": DIFFERENCES,
            "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        },
        "pairs": pairs,
    }


def _sides(pair: str) -> list[Side]:
    workers = SWEPT if "TRAINING_SWEEP" in os.environ else (WORKERS,)
    theirs = [Side(pair, False, precision, count) for precision in PRECISIONS for count in workers]
    return [*theirs, *(Side(pair, True, precision) for precision in PRECISIONS)]


def _pair(pair: str, work: Path) -> dict[str, Any]:
    running: dict[str, PausedTraining] = {}
    rounds: dict[str, list[Round]] = {}
    try:
        for side in _sides(pair):
            running[side.name] = side.start(work)
            rounds[side.name] = []
        facts = {name: training.facts for name, training in running.items()}
        _require_one_size(pair, facts)
        for _ in range(ROUNDS):
            for name, training in running.items():
                rounds[name].append(training.round(WARM, STEPS))
                print(f"training: {pair}: {name}: {_rates(rounds[name][-1:])}", flush=True)
    finally:
        for training in running.values():
            training.end()
    result = _summed_up(facts, rounds)
    for name, ratio in result["ratios"].items():
        print(f"training: {pair}: {name}: {ratio['wall']:.2f} times, by processor time {ratio['cpu']:.2f}", flush=True)
    return result


def _require_one_size(pair: str, facts: Mapping[str, Mapping[str, float]]) -> None:
    theirs = next(fact["trained"] for name, fact in facts.items() if name.startswith("lerobot"))
    for name, fact in facts.items():
        if abs(fact["trained"] / theirs - 1) > TOLERANCE:
            raise ConfigError(
                f"{pair}: expected {theirs} weights to train in {name} within {TOLERANCE:.0%}, got {fact['trained']}"
            )


def _rates(rounds: Sequence[Round]) -> dict[str, float]:
    """Medians over rounds."""
    return {
        "samples_per_s": statistics.median(BATCH * r.steps / r.wall_s for r in rounds),
        "samples_per_cpu_s": statistics.median(BATCH * r.steps / r.cpu_s for r in rounds),
        "wait_share": statistics.median(r.wait_s / r.wall_s for r in rounds),
    }


def _summed_up(facts: Mapping[str, Mapping[str, Any]], rounds: Mapping[str, Sequence[Round]]) -> dict[str, Any]:
    sides = {
        name: {**facts[name], **_rates(found), "rounds": [dataclasses.asdict(one) for one in found]}
        for name, found in rounds.items()
    }
    best = {
        (is_ours, precision): max(
            (name for name in sides if name.startswith("vla") is is_ours and precision in name),
            key=lambda name: sides[name]["samples_per_s"],
        )
        for is_ours in (True, False)
        for precision in ("", *PRECISIONS)
    }
    compared = {precision or "best": (best[True, precision], best[False, precision]) for precision in ("", *PRECISIONS)}
    return {
        "sides": sides,
        "ratios": {
            what: {
                "ours": ours,
                "lerobot": theirs,
                "wall": sides[ours]["samples_per_s"] / sides[theirs]["samples_per_s"],
                "cpu": sides[ours]["samples_per_cpu_s"] / sides[theirs]["samples_per_cpu_s"],
            }
            for what, (ours, theirs) in compared.items()
        },
    }

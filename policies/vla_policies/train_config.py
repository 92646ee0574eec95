"""What a training run is told: the options of `vla train`, each with its meaning."""

from __future__ import annotations

import dataclasses
import enum

from omegaconf import MISSING

from vla.model.compact import CompactConfig
from vla.model.continuous import ExpertConfig
from vla.model.lora import AdapterConfig
from vla.model.vla_model import Head
from vla.model.vlm.vlm_config import PretrainedConfig
from vla_policies.frame_questions import Asked
from vla_policies.precision import Precision
from vla_policies.processes import Parallel
from vla_policies.roll_back import RollBackConfig
from vla_policies.trainer import OptimizerConfig


class Words(enum.Enum):
    """How instructions become tokens."""

    SHIPPED = "shipped"
    """By merges learned from the tabletop's sentences."""
    FITTED = "fitted"
    """By merges learned from the sentences in the data, those of `web` included; it has a token for each place word."""


@dataclasses.dataclass
class TrainConfig:
    """Train a policy on the episodes of one or more stores."""

    out: str = MISSING
    """Folder for checkpoint and log; an interrupted run in it goes on."""
    experiment: str = ""
    """Which file of the gallery the values come from."""
    data: list[str] = dataclasses.field(default_factory=list)
    """Episode stores, made by `vla collect`; without any, they are collected into OUT/data as `collect` says."""
    collect: list[str] = dataclasses.field(default_factory=list)
    """Arguments of `vla collect` for the demonstrations, one call an entry."""
    dagger_steps: list[int] = dataclasses.field(default_factory=list)
    """Steps at which the policy is rolled out and the states it visits are labelled and added to the data; those that
    are not below `steps` are left out, and told."""
    dagger: list[str] = dataclasses.field(default_factory=list)
    """Arguments of `vla collect` for each of these rounds, one call an entry."""
    seed: int = 0
    """Of the initial weights, the order of the samples and the picture shifts."""
    web: list[str] = dataclasses.field(default_factory=list)
    """Web samples to train on beside the robot's: folders of shards, and files of JSON lines for language alone."""
    web_weights: list[float] = dataclasses.field(default_factory=list)
    """How often each of `web` is drawn from, by ratio; each sample as often as any other if empty."""
    web_share: float = 0.3
    """Of a step's samples, those from `web`: they come on top of `batch_size`. 1 trains on them alone; 0 lends their
    words to the tokenizer and nothing else."""
    ask: list[Asked] = dataclasses.field(default_factory=list)
    """What robot samples are asked while they act: task, colour, target, destination. The answer, from the simulator's
    oracle, is learned in the same pass as the actions."""
    ask_share: float = 0.3
    """Of the robot samples, those that are asked something."""
    gate: list[str] = dataclasses.field(default_factory=list)
    """Web samples to ask about before and after: OUT/gate.json tells what the run did to language and vision."""
    gate_samples: int = 1000
    """How many of each of `gate`, spread over it; 0 for all."""
    steps: int = 6000
    """Optimizer steps."""
    batch_size: int = 64
    """Robot samples a step."""
    parallel: Parallel = Parallel.NONE
    """What each of the processes that torchrun started has of the model: replicate (all of it), shard (a part) or
    hybrid (a part within each host). A step's samples are those of all together."""
    accumulate: int = 1
    """Parts that a step's samples are seen in, one after the other: less memory, the same gradient."""
    activation_checkpointing: bool = False
    """Whether blocks are computed again in the backward pass, in place of keeping what they computed: less memory, a
    third more computation, the same losses."""
    compile: bool = False
    """Whether blocks are compiled (torch.compile): minutes of compiling, then faster steps."""
    precision: Precision = Precision.BF16
    """Of matrix products, fp32, bf16 or fp8; weights and their moments are float32."""
    horizon: int = 4
    """Actions predicted at once."""
    head: Head = Head.SLOTS
    """How actions are predicted: slots or autoregressive (tokens), regression or flow (numbers), or insulated (tokens
    train the backbone, a flow acts)."""
    committed_share: float = 0.0
    """Of the samples, those that begin with actions really carried out, and go on with what the expert does then: what
    real-time chunking asks for. For tokenizers each of whose ids stands for one action, and for heads of numbers."""
    tokenizer: str = "bins"
    """How chunks become action tokens: bins, fast, spline, vq, ordered, or a file of `vla tokens fit`."""
    vocabulary: int = 65
    """Action tokens that there are."""
    words: Words = Words.SHIPPED
    """How instructions become tokens."""
    shift_pixels: int = 1
    """Pictures are shifted by up to this many pixels."""
    init: str | None = None
    """Checkpoint folder, or name of a shipped policy, whose weights, tokenizers and statistics to begin with."""
    new_embodiment: bool = False
    """Whether `init` is of another robot, with the same actions and cameras, and goes over to that of the data."""
    freeze: list[str] = dataclasses.field(default_factory=list)
    """Parts of the model that stay as they are, byte by byte: backbone.vision, backbone.connectors.0, logits, ..."""
    only_successes: bool = False
    """Whether failed episodes are left out: where what was executed is imitated, they should be."""
    correction_weight: float = 1.0
    """How often a step at which a human corrected the policy is drawn, by any other step: above 0, at most 1000."""
    validation_share: float = 0.02
    """Of the episodes, kept out of training."""
    log_every: int = 50
    """Steps between lines of the log."""
    checkpoint_every: int = 1000
    """Steps between checkpoints; each takes the place of the one before."""
    keep_every: int | None = None
    """Steps between policies that are kept for good, in OUT/kept, for a learning curve; none if null."""
    tensorboard: bool = False
    """Whether the log's figures also go to OUT/tensorboard (extra `tracking`)."""
    wandb: bool = False
    """Whether the log's figures also go to Weights & Biases (extra `wandb`), as WANDB_PROJECT and WANDB_MODE say."""
    peak_operations_s: float = 0.0
    """Of a device, in bf16 or what `precision` says, for its utilisation in the log; 0 for what its maker states."""
    roll_back: RollBackConfig = dataclasses.field(default_factory=RollBackConfig)
    """When to go back to the last checkpoint."""
    threads: int = 0
    """CPU threads; 0 takes every core."""
    device: str | None = None
    """Where to train; a GPU if there is one."""
    backbone: CompactConfig = dataclasses.field(default_factory=CompactConfig)
    """The compact backbone's size."""
    pretrained: PretrainedConfig = dataclasses.field(default_factory=PretrainedConfig)
    """A backbone that others trained, in place of the compact one: `backbone=NAME pretrained.path=FOLDER`."""
    expert: ExpertConfig = dataclasses.field(default_factory=ExpertConfig)
    """The size of what makes a flow's actions, for head=flow and head=insulated."""
    adapter: AdapterConfig = dataclasses.field(default_factory=AdapterConfig)
    """Low-rank adapters: few weights that train, beside those that know something already."""
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    """How the weights move."""

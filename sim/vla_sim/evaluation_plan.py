"""What `vla eval` is asked for, and the episodes that this comes to; bad input is found here."""

from __future__ import annotations

import dataclasses
import enum
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError, unknown
from vla.interfaces import EpisodeSpec, InstructionKind, Policy, TemplateSet
from vla_policies import loading
from vla_policies.ablations import ShuffledPolicy
from vla_policies.chunking import ExecutionConfig, check_execution
from vla_policies.seen_scenes import SeenScenes
from vla_policies.telling import check_telling
from vla_policies.wall_rollout import WallClock
from vla_sim.check import check_at_start
from vla_sim.comparison import read_report
from vla_sim.contamination import require_other_seeds, require_unseen
from vla_sim.explaining import ExplainConfig, check_explain
from vla_sim.filming import FILMING, FilmConfig, check_film
from vla_sim.launching.cluster import RayConfig
from vla_sim.launching.launcher import Launcher
from vla_sim.launching.slurm import SlurmConfig, check_slurm
from vla_sim.oracle import ScriptedPolicy
from vla_sim.peeking import peeks
from vla_sim.resuming.shards import JOURNAL, Shard, journals_in
from vla_sim.suites import SuiteEnvironment, suite
from vla_sim.wall_clock import Clock
from vla_sim.worlds.engines import Engine
from vla_sim.worlds.rendering import MAX_HEIGHT, MAX_WIDTH

_log = logging.getLogger(__name__)

SCRIPTED, SHUFFLED = "scripted", "shuffled"
FIRST_UNSEEN_SEED = 1_000_000
"""Demonstrations are collected at seeds below."""
PEEK_EPISODES = 3
"""So many are begun to see whether a policy acts on more than it is shown."""


class Control(enum.Enum):
    """An evaluation beside the main one, which says what its number means."""

    RANDOM = "random"
    """Random actions: how much of a success is luck."""
    ZERO = "zero"
    """No motion: how much of a success is there from the start."""
    BLIND = "blind"
    """The policy, shown black images."""
    FROZEN_IMAGE = "frozen_image"
    """The policy, shown the first images of the episode for ever."""
    REMOVED_IMAGE = "removed_image"
    """The policy, whose images turn black in mid-episode."""
    WRONG_INSTRUCTION = "wrong_instruction"
    """The policy, told to do another task in the same scene; the original is scored."""
    SHUFFLED_INSTRUCTION = "shuffled_instruction"
    """The policy, told words of another episode, which its own scene may not offer."""
    HELD_OUT = "held_out"
    """The policy, told in words that no training episode had. This one should not fall."""
    ORACLE_GROUNDING = "oracle_grounding"
    """The policy, in its scenes without anything that the instruction does not name: what taking one thing for another
    costs."""
    ORACLE = "oracle"
    """The scripted expert, who looks into the simulator: how much of a failure is the suite's."""


@dataclasses.dataclass
class EvalConfig:
    """Measure a policy in closed loop, with its controls: report.json, report.html and videos.

    Example: vla eval policy=pretrained suite=tabletop episodes=100 out=out/eval
    Example: vla eval policy=runs/first tasks=[stack,stack_swapped] controls=[] out=out/words
    Example: vla eval policy=pretrained engine=bullet out=out/bullet
    Example: vla eval policy=pretrained instruction=wrong videos=0 out=out/wrong
    """

    policy: str = "pretrained"
    """pretrained, a checkpoint folder, lerobot:FOLDER, scripted, random, zero, replay:STORE, or blind:, frozen:,
    removed: or shuffled: before another policy."""
    suite: str = "tabletop"
    """Which tasks: tabletop, spatial, object, goal, language, long_horizon, memory, emergence, perturbation or
    perturbation_AXIS, each also with _ur5e or _so101 behind; metaworld, or metaworld_small for policies that see small
    pictures; robosuite, libero_NAME, simpler, or gym:ENV_ID for an environment that others wrote."""
    mapping: Path | None = None
    """What the numbers of gym:ENV_ID mean, if the mapping is not one that is shipped."""
    engine: Engine = Engine.MUJOCO
    """Which physics moves the suite's world."""
    pictures: Engine = Engine.MUJOCO
    """Which engine draws it."""
    tasks: list[str] = dataclasses.field(default_factory=list)
    """Only these, of the suite or not; all of the suite if empty."""
    episodes: int = 100
    """Of each task."""
    seed: int = FIRST_UNSEEN_SEED
    """Of the first episode of each task; the next has the next."""
    templates: TemplateSet = TemplateSet.TRAINING
    """Which wordings of the instructions."""
    instruction: InstructionKind = InstructionKind.OWN
    """What the policy is told: its own task, or a wrong one."""
    execution: ExecutionConfig = dataclasses.field(default_factory=ExecutionConfig)
    """How action chunks are carried out."""
    clock: Clock = Clock.SIMULATED
    """Whose time passes while the policy computes; with wall, one environment a process, one process unless `workers`
    says otherwise, and no videos."""
    delay_ms: float = 0.0
    """Added to every prediction: of simulated time (the same as `execution.delay_s`), or of the clock's."""
    controls: list[Control] | None = None
    """Beside the main evaluation; if not given, all of them for a checkpoint and none for others."""
    until: float | None = None
    """Half-width of the overall 95 % interval at which to stop, looked at every ten episodes of each task; `episodes`
    is then the most."""
    train_data: list[str] = dataclasses.field(default_factory=list)
    """Episode stores the policy was trained on: an evaluation of a scene that is in them is refused."""
    control_episodes: int = 10
    """Of each task, for each control; at the same first seeds."""
    workers: int | None = None
    """Processes; one for each core if not given."""
    launcher: Launcher = Launcher.LOCAL
    """Where they are: on this machine, on Ray, or in the jobs of a SLURM queue."""
    ray: RayConfig = dataclasses.field(default_factory=RayConfig)
    """Which Ray."""
    slurm: SlurmConfig = dataclasses.field(default_factory=SlurmConfig)
    """What of the queue."""
    batch: int = 16
    """Episodes at once in each process."""
    videos: int = 1
    """Of each task; zero also leaves out the failures."""
    failure_videos: int = 16
    """At most so many failures, from all tasks in turn."""
    film: FilmConfig = dataclasses.field(default_factory=FilmConfig)
    """How videos look."""
    expert_videos: int = 4
    """Of filmed failures, at most so many with the expert's film at the same seed beside."""
    film_as_in: Path | None = None
    """Folder of another report: what it filmed is filmed here too, so that `vla compare` can show both."""
    explain: ExplainConfig = dataclasses.field(default_factory=ExplainConfig)
    """Maps of what the policy looks at."""
    resume: bool = True
    """Whether to go on from the outcomes that an evaluation which was ended left in `out`."""
    shard: str | None = None
    """`i/n`: carry out the i-th of n shares of the episodes and keep their outcomes in `out`, without a report."""
    merge: list[str] = dataclasses.field(default_factory=list)
    """Folders whose outcomes are used too: of shards, or of other evaluations."""
    out: Path = MISSING
    """Folder of the report and of the outcomes it is made of; an older report in it is replaced."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Episodes under one policy."""

    name: str
    """`policy`, or which control it is."""
    policy: str
    specs: tuple[EpisodeSpec, ...]
    execution: ExecutionConfig
    wall: WallClock | None = None
    """That the world goes by the clock."""


def check_config(config: EvalConfig) -> list[Run]:
    """The runs that a configuration asks for, the main one first; bad input is found here, before anything starts.

    Raises:
        ConfigError, CheckpointError, EmbodimentMismatch: see `evaluate`.
    """
    least = {
        "episodes": 1,
        "control_episodes": 1,
        "batch": 1,
        "workers": 1,
        "videos": 0,
        "failure_videos": 0,
        "expert_videos": 0,
        "seed": 0,
    }
    for name, lowest in least.items():
        value = getattr(config, name)
        if value is not None and value < lowest:
            raise ConfigError(f"{name} is {lowest} or more, got {value}")
    if config.until is not None and not 0.0 < config.until < 0.5:
        raise ConfigError(f"until is a half-width between 0 and 0.5, got {config.until}")
    _check_delay(config)
    if config.shard is not None:
        Shard.parse(config.shard)
        if config.until is not None:
            raise ConfigError("a shard cannot know when all of them are sure enough: use shard or until, not both")
    if config.launcher is Launcher.SLURM and config.until is not None:
        raise ConfigError("jobs cannot know when all of them are sure enough: use launcher=slurm or until, not both")
    for folder in config.merge:
        if not journals_in(Path(folder)):
            raise ConfigError(f"merge={folder}: there are no outcomes ({JOURNAL} or those of shards)")
    check_slurm(config.slurm)
    check_film(config.film, MAX_HEIGHT, MAX_WIDTH)
    check_explain(config.explain)
    if config.film_as_in is not None:
        read_report(config.film_as_in)
    if config.explain.episodes and config.policy == SCRIPTED:
        raise ConfigError("the scripted policy looks at no images: leave explain.episodes at 0")
    suite(config.suite).require()
    _check_out(config.out)
    runs = planned_runs(config)
    _check_expert(config, runs)
    check_at_start(suite(config.suite), runs[0].specs)
    environments = [suite(config.suite).make_environment()]
    policies = {name: make_policy(name, environments, suite_name=config.suite) for name in {run.policy for run in runs}}
    for run in runs:
        policy = policies[run.policy]
        check_execution(run.execution, policy.horizon, policy.embodiment.control_dt_s)
    if config.explain.question:
        check_telling(policies[config.policy])
    return runs


def _check_expert(config: EvalConfig, runs: Sequence[Run]) -> None:
    """Return if every task of the scripted policy has an expert."""
    expertless = suite(config.suite).expertless
    without = {spec.task for run in runs if run.policy == SCRIPTED for spec in run.specs if spec.task in expertless}
    if without:
        raise ConfigError(
            f"no scripted expert for {', '.join(sorted(without))} of suite '{config.suite}': evaluate other tasks, "
            "or without policy 'scripted' and control 'oracle'"
        )


def _check_delay(config: EvalConfig) -> None:
    if not (math.isfinite(config.delay_ms) and config.delay_ms >= 0):
        raise ConfigError(f"delay_ms is zero or more, got {config.delay_ms}")
    if config.clock is Clock.SIMULATED and config.delay_ms and config.execution.delay_s:
        raise ConfigError("delay_ms and execution.delay_s are the same delay when clock=simulated: give one of them")


def _check_out(out: Path) -> None:
    """Return if the report can be written, which is not tried before the evaluation has ended."""
    nearest = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
        raise ConfigError(f"out={out}: {nearest} is no folder that can be written to")


def planned_runs(config: EvalConfig) -> list[Run]:
    """The main run, then the controls."""
    chosen = _default_controls(config) if config.controls is None else config.controls
    for control in (Control.BLIND, Control.FROZEN_IMAGE, Control.REMOVED_IMAGE, Control.SHUFFLED_INSTRUCTION):
        if control in chosen and config.policy == SCRIPTED:
            raise ConfigError(
                f"the scripted policy looks at no images and hears no words: leave '{control.value}' out of controls"
            )
    specs = _specs(config, config.episodes)
    named_alone = _named_alone(config)
    if Control.ORACLE_GROUNDING in chosen and len(named_alone) < len(_specs(config)):
        raise ConfigError(
            f"not all tasks of '{config.suite}' have scenes without what they do not name: leave 'oracle_grounding' "
            f"out of controls"
        )
    plans = {
        Control.RANDOM: Run("random", "random", _specs(config), ExecutionConfig()),
        Control.ZERO: Run("zero", "zero", _specs(config), ExecutionConfig()),
        Control.FROZEN_IMAGE: Run("frozen_image", f"frozen:{config.policy}", _specs(config), config.execution),
        Control.REMOVED_IMAGE: Run("removed_image", f"removed:{config.policy}", _specs(config), config.execution),
        Control.SHUFFLED_INSTRUCTION: Run(
            "shuffled_instruction", f"shuffled:{config.policy}", _specs(config), config.execution
        ),
        Control.ORACLE_GROUNDING: Run("oracle_grounding", config.policy, named_alone, config.execution),
        Control.ORACLE: Run("oracle", SCRIPTED, _specs(config), ExecutionConfig()),
        Control.BLIND: Run("blind", f"blind:{config.policy}", _specs(config), config.execution),
        Control.WRONG_INSTRUCTION: Run(
            "wrong_instruction",
            config.policy,
            _specs(config, instruction_kind=InstructionKind.WRONG),
            config.execution,
        ),
        Control.HELD_OUT: Run(
            "held_out", config.policy, _specs(config, templates=TemplateSet.HELD_OUT), config.execution
        ),
    }
    runs = [
        Run("policy", config.policy, specs, config.execution),
        *(plans[control] for control in Control if control in chosen),
    ]
    return [_by_clock(run, config) if run.execution is config.execution else run for run in runs]


def _named_alone(config: EvalConfig) -> tuple[EpisodeSpec, ...]:
    """The specs of a control, without anything that the instruction does not name; only of tasks that have this."""
    alone = suite(config.suite).alone
    found = ((spec, alone(spec.task)) for spec in _specs(config))
    return tuple(dataclasses.replace(spec, task=task) for spec, task in found if task is not None)


def _by_clock(run: Run, config: EvalConfig) -> Run:
    """A run of the policy under the clock and the delay that were asked for; other controls never wait for it."""
    delay_s = config.delay_ms / 1000
    if config.clock is Clock.WALL:
        return dataclasses.replace(run, wall=WallClock(delay_s))
    if not delay_s:
        return run
    return dataclasses.replace(run, execution=dataclasses.replace(run.execution, delay_s=delay_s))


def chosen_tasks(suite_name: str, tasks: Sequence[str]) -> list[str]:
    """The tasks to evaluate, those of the suite in its order and then any others.

    Raises:
        ConfigError: if there is no such suite or task.
    """
    chosen = suite(suite_name)
    for task in tasks:
        if task not in chosen.known_tasks:
            raise unknown("task", task, chosen.known_tasks)
    order = [*chosen.tasks, *(task for task in chosen.known_tasks if task not in chosen.tasks)]
    return [task for task in order if task in (tasks or chosen.tasks)]


def check_contamination(config: EvalConfig, runs: Sequence[Run]) -> dict[str, Any] | None:
    """What the runs' scenes were compared with; `None` if neither training data nor the policy's own is known.

    Raises:
        ConfigError: naming an episode that the policy was trained on, or that is in the training data.
        StoreError: if a store cannot be read.
    """
    seen = SeenScenes() if config.policy == SCRIPTED else loading.seen_scenes(config.policy)
    if not config.train_data and not len(seen):
        return None
    chosen = suite(config.suite)
    specs = [spec for run in runs for spec in run.specs]
    require_other_seeds(seen, specs, chosen.scene_of)
    if not config.train_data:
        return {"scenes": len(specs), "stores": {}, "seen": len(seen)}
    checked = require_unseen(config.train_data, specs, chosen.make_environment, chosen.scene_of)
    return {**dataclasses.asdict(checked), "seen": len(seen)}


def check_peeking(config: EvalConfig, run: Run) -> bool | None:
    """Whether a run's policy looks into the simulator; `None` if it could not be told.

    What goes wrong here goes wrong in the episodes too, and is told there.
    """
    environment = suite(config.suite).make_environment()
    try:
        policy = make_policy(run.policy, [environment], 1, suite_name=config.suite)
        return peeks(lambda: policy, environment, run.specs[:PEEK_EPISODES])
    except Exception as error:
        _log.info("not told whether %s looks into the simulator: %s", run.policy, error)
        return None
    finally:
        environment.close()


def make_policy(
    name: str,
    environments: Sequence[SuiteEnvironment],
    batch_size: int | None = None,
    *,
    suite_name: str = "tabletop",
) -> Policy:
    """The policy of this name, to act in these environments.

    Args:
        batch_size: of every pass through a checkpoint's model; the policy's own if not given.
        suite_name: whose sentences are shuffled.

    Raises:
        VlaError: if there is none, or it cannot act here.
    """
    if name == SCRIPTED:
        return ScriptedPolicy(environments)
    kind, _, inner = name.partition(":")
    if kind == SHUFFLED:
        told = make_policy(inner or loading.PRETRAINED, environments, batch_size, suite_name=suite_name)
        chosen = suite(suite_name)
        return ShuffledPolicy(told, chosen.sentences(), chosen.meaning)
    return loading.load_policy(name, environments[0].embodiment, batch_size=batch_size, also_known=(SCRIPTED,))


def config_hash(config: EvalConfig) -> str:
    """Of all that can change an outcome: where, and how fast, is left out."""
    tree = cli.resolved(config)
    where = ("out", "resume", "shard", "merge", "workers", "launcher", "ray", "slurm", "batch")
    for name in (*where, "train_data", *FILMING):
        del tree[name]
    return cli.config_hash(tree)


def checkpoint_hash(policy: str) -> str | None:
    """SHA-256 of the checkpoint behind a policy; `None` if it has none."""
    return None if policy == SCRIPTED else loading.checkpoint_hash(policy)


def _default_controls(config: EvalConfig) -> list[Control]:
    is_plain = config.templates is TemplateSet.TRAINING and config.instruction is InstructionKind.OWN
    is_trained = config.policy != SCRIPTED and loading.is_trained(config.policy)
    expertless = suite(config.suite).expertless & set(chosen_tasks(config.suite, config.tasks))
    left_out = {Control.ORACLE} if expertless else set()
    if len(_named_alone(config)) < len(_specs(config)):
        left_out.add(Control.ORACLE_GROUNDING)
    return [control for control in Control if control not in left_out] if is_trained and is_plain else []


def _specs(
    config: EvalConfig,
    episodes: int | None = None,
    templates: TemplateSet | None = None,
    instruction_kind: InstructionKind | None = None,
) -> tuple[EpisodeSpec, ...]:
    """The specs of a run; of a control that differs in nothing, where nothing is given."""
    count = min(config.control_episodes, config.episodes) if episodes is None else episodes
    kind = InstructionKind.OWN if episodes is None else config.instruction
    return tuple(
        EpisodeSpec(task, config.seed + index, templates or config.templates, instruction_kind or kind)
        for task in chosen_tasks(config.suite, config.tasks)
        for index in range(count)
    )

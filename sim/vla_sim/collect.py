"""`vla collect`: demonstrations of the experts, or the states that a policy visits, labelled by the experts.

    (task, seed) ─► worker: environment, expert or policy ─► episode with labels ─► store, one commit an episode

What is in the store already is skipped, so that a collection that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla import cli
from vla.embodiment import Embodiment
from vla.errors import ConfigError, ObservationError, unknown
from vla.interfaces import Episode, EpisodeSpec, Policy
from vla.progress import told
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore, episode_id
from vla_policies.chunking import ExecutionConfig
from vla_policies.loading import checkpoint_folder, is_checkpoint, load_policy
from vla_policies.rollout import rollout
from vla_sim import undisturbed
from vla_sim.demonstrations import SCRIPTED, LabellingEnvironment, NoiseConfig, demonstrate
from vla_sim.environment import TabletopEnvironment
from vla_sim.gym_suite.environment import GymEnvironment
from vla_sim.launching.cluster import RayConfig
from vla_sim.launching.launcher import Launcher
from vla_sim.launching.ray_tasks import ray_map
from vla_sim.launching.slurm import SlurmConfig, check_slurm, run_jobs
from vla_sim.metaworld_suite import BODIES, METAWORLD_SAWYER_BLIND
from vla_sim.metaworld_suite.demonstrations import demonstrate as demonstrate_metaworld
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.suites import Suite, staged, suite
from vla_sim.worlds.engines import USUAL, Engine, Engines
from vla_sim.worlds.rendering import RENDER_SETTINGS

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class CollectConfig:
    """Record demonstrations, or label the states that a policy visits.

    Example: vla collect suite=tabletop episodes=300 seed=0 out=data
    Example: vla collect tasks=[stack] policy=runs/first episodes=50 seed=5000 out=visited
    Example: vla collect engine=bullet episodes=300 out=data/bullet
    Example: vla collect suite=metaworld tasks=[reach,push] episodes=50 out=data/metaworld
    """

    out: str = MISSING
    """The episode store; it is made, or added to."""
    suite: str = "tabletop"
    """Which tasks: tabletop, spatial, object, goal, language, long_horizon, memory, emergence, perturbation or
    perturbation_AXIS, each also with _ur5e or _so101 behind; or metaworld, metaworld_small or robosuite, whose experts
    act undisturbed."""
    engine: Engine = Engine.MUJOCO
    """Which physics moves the suite's world."""
    pictures: Engine = Engine.MUJOCO
    """Which engine draws it."""
    images: bool = True
    """Whether pictures are recorded; `tabletop` is not collected without."""
    image_codec: ImageCodec | None = None
    """How the store keeps pictures; a store that is there keeps its own, a new one is lossless if none is given."""
    tasks: list[str] = dataclasses.field(default_factory=list)
    """Only these of them; all if empty."""
    episodes: int = 100
    """How many of each task."""
    seed: int = 0
    """Of the first episode of each task; the others follow."""
    policy: str = SCRIPTED
    """Who acts: `scripted`, or a policy, such as a checkpoint, whose states the experts label."""
    beta: float = 0.0
    """The chance, each step, that the expert acts instead of the policy."""
    execution: ExecutionConfig = dataclasses.field(default_factory=ExecutionConfig)
    """How a policy's chunks are carried out."""
    horizon: int = 4
    """Steps that a label looks ahead; demonstrations of `metaworld` have no labels."""
    noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    """How demonstrations are disturbed."""
    batch: int = 8
    """Episodes of a policy that go on at once in a worker."""
    workers: int | None = None
    """Processes; one for each core if null."""
    launcher: Launcher = Launcher.LOCAL
    """Where they are: on this machine, on Ray, or in jobs of a SLURM queue; all machines reach `out`."""
    ray: RayConfig = dataclasses.field(default_factory=RayConfig)
    """Which Ray."""
    slurm: SlurmConfig = dataclasses.field(default_factory=SlurmConfig)
    """What of the queue."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """One episode to collect."""

    task: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Collected:
    """What came of it."""

    task: str
    success: bool
    num_steps: int


def main(arguments: Sequence[str]) -> int:
    """Run `vla collect`; the exit status."""
    return cli.run("collect", CollectConfig, collect, arguments)


def collect(config: CollectConfig) -> int:
    """Collect what is not in the store yet; 0, or 3 where episodes ended in errors.

    Raises:
        ConfigError: if a suite, task, policy or number is not valid; nothing is written then.
        StoreError: if `out` holds something else, or labels of another horizon.
    """
    units = _units(config)
    store = EpisodeStore.open_or_create(config.out, _embodiment(config), _metadata(config), config.image_codec)
    store.clean_staging()
    missing = _missing(config, store, units)
    begin = time.monotonic()
    if config.launcher is Launcher.SLURM:
        return _in_jobs(config, store, units)
    done = list(_show(_run(config, missing), len(units) - len(missing), len(units)))
    _summarise(done, time.monotonic() - begin, config.out)
    if len(done) < len(missing):
        Console(stderr=True).print(f"{len(missing) - len(done)} episodes ended in errors and are not in the store")
        return 3
    return 0


def _missing(config: CollectConfig, store: EpisodeStore, units: Sequence[Unit]) -> list[Unit]:
    return [unit for unit in units if not store.contains(unit.task, unit.seed, source(config.policy))]


def _in_jobs(config: CollectConfig, store: EpisodeStore, units: Sequence[Unit]) -> int:
    """Collect in jobs of a queue, each some of the seeds; the exit status."""
    check_slurm(config.slurm)
    overrides = cli.overrides_of(cli.resolved(config), without=("launcher", "slurm", "seed", "episodes"))
    size = -(-config.episodes // config.slurm.jobs)
    shares = [
        [*overrides, f"seed={config.seed + begin}", f"episodes={min(size, config.episodes - begin)}"]
        for begin in range(0, config.episodes, size)
    ]
    run_jobs("collect", shares, Path("slurm") if "://" in config.out else Path(f"{config.out}-slurm"), config.slurm)
    left = _missing(config, store, units)
    print(f"{len(units) - len(left)} of {len(units)} episodes are in {config.out}")
    return 3 if left else 0


def source(policy: str) -> str:
    """Who acted, as the store knows it: no paths."""
    return SCRIPTED if policy == SCRIPTED else f"policy:{Path(policy).name}"


def _units(config: CollectConfig) -> list[Unit]:
    """Every episode that is asked for: the tasks in turn, but one after the other where each is a model of its own."""
    chosen = suite(_staged(config))
    for task in config.tasks:
        if task not in chosen.known_tasks:
            raise unknown("task", task, chosen.known_tasks)
    _require_collected(config, chosen)
    for name, low in (("episodes", 1), ("seed", 0), ("horizon", 1), ("batch", 1)):
        if getattr(config, name) < low:
            raise ConfigError(f"{name} is at least {low}, got {getattr(config, name)}")
    if config.workers is not None and config.workers < 0:
        raise ConfigError(f"workers is at least 1, or null for one each core, got {config.workers}")
    if not 0.0 <= config.beta <= 1.0:
        raise ConfigError(f"beta is a chance between 0 and 1, got {config.beta}")
    if config.policy != SCRIPTED and is_checkpoint(config.policy):
        checkpoint_folder(config.policy, (SCRIPTED,))
    _check_suite(config)
    seeds = range(config.seed, config.seed + config.episodes)
    tasks = list(dict.fromkeys(config.tasks or chosen.collected or chosen.tasks))
    if not _is_tabletop(config):
        return [Unit(task, seed) for task in tasks for seed in seeds]
    return [Unit(task, seed) for seed in seeds for task in tasks]


def _require_collected(config: CollectConfig, chosen: Suite) -> None:
    """Return if there may be demonstrations of the tasks."""
    for task in config.tasks:
        if chosen.collected is not None and task not in chosen.collected:
            raise ConfigError(
                f"task '{task}' of suite '{config.suite}' is asked for and never shown: collect "
                f"{' and '.join(chosen.collected)}"
            )


def _staged(config: CollectConfig) -> str:
    """The suite's name, with its engines."""
    return staged(config.suite, Engines(config.engine, config.pictures))


def _is_metaworld(config: CollectConfig) -> bool:
    return config.suite in BODIES


def _is_tabletop(config: CollectConfig) -> bool:
    return not (_is_metaworld(config) or suite(config.suite).is_mapped)


def _check_suite(config: CollectConfig) -> None:
    """Return if the suite has what is asked for."""
    if not _is_metaworld(config) and not config.images:
        raise ConfigError(f"suite '{config.suite}' is collected with pictures: images=true")
    if _is_tabletop(config):
        suite(_staged(config)).require()
        return
    usual = CollectConfig()
    for name in ("policy", "beta", "execution", "noise", "batch"):
        if getattr(config, name) != getattr(usual, name):
            raise ConfigError(
                f"{name} does not apply to suite '{config.suite}': its experts act undisturbed, unlabelled"
            )
    chosen = suite(config.suite)
    for task in config.tasks or chosen.tasks:
        if task in chosen.expertless:
            raise ConfigError(f"task '{task}' of suite '{config.suite}' has no scripted expert: leave it out of tasks")
    chosen.require()


def _embodiment(config: CollectConfig) -> Embodiment:
    return suite(config.suite).embodiment if config.images else METAWORLD_SAWYER_BLIND


def _metadata(config: CollectConfig) -> dict[str, object]:
    if _is_metaworld(config):
        made_by = {name: importlib.metadata.version(name) for name in ("metaworld", "mujoco")}
        pictures = {"render": dict(RENDER_SETTINGS)} if config.images else {}
        return {"suite": config.suite, "images": config.images, **made_by, **pictures}
    if not _is_tabletop(config):
        chosen = suite(config.suite)
        made_by = {name: importlib.metadata.version(name) for name in chosen.packages}
        return {"suite": chosen.name, **chosen.summarise([]), **made_by, "render": dict(RENDER_SETTINGS)}
    engines = Engines(config.engine, config.pictures)
    # A store of the usual engines says nothing of them, as before there were others.
    computed = {} if engines == USUAL else {"engine": config.engine.value, "pictures": config.pictures.value}
    return {"suite": config.suite, "horizon": config.horizon, "render": dict(RENDER_SETTINGS), **computed}


# --------------------------------------------------------------------------- many processes


def _run(config: CollectConfig, units: Sequence[Unit]) -> Iterator[Collected]:
    """Collect the units, in this process or in several."""
    workers = min(config.workers or os.cpu_count() or 1, max(1, len(units) // 4))
    size = 4 if config.policy == SCRIPTED else max(config.batch, len(units) // (workers * 4))
    shares = [units[begin : begin + size] for begin in range(0, len(units), size)]
    if config.launcher is Launcher.RAY:
        for found in ray_map(functools.partial(collect_missing, config), shares, config.workers, config.ray):
            yield from found
        return
    if workers == 1:
        for share in shares:
            yield from _collect_share(config, share)
        return
    yield from _in_processes(config, shares, workers)


def _in_processes(config: CollectConfig, shares: Sequence[Sequence[Unit]], workers: int) -> Iterator[Collected]:
    # Spawned, not forked: a GL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        pending: set[Future[list[Collected]]] = {pool.submit(collect_missing, config, share) for share in shares}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield from future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    # Ctrl-C reaches the whole group; the parent alone decides: a worker ends after its share.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def collect_missing(config: CollectConfig, units: Sequence[Unit]) -> list[Collected]:
    """Collect some units; those that an earlier attempt committed are not collected again."""
    store = EpisodeStore.open_or_create(config.out, _embodiment(config))
    keys = {unit: episode_id(unit.task, unit.seed, source(config.policy)) for unit in units}
    rows = [store.row(key) for unit, key in keys.items() if store.contains(unit.task, unit.seed, source(config.policy))]
    there = {(row.task, row.seed) for row in rows}
    left = [unit for unit in units if (unit.task, unit.seed) not in there]
    before = [Collected(row.task, row.success, row.num_steps) for row in rows]
    return [*before, *_collect_share(config, left)]


def _collect_share(config: CollectConfig, units: Sequence[Unit]) -> Iterator[Collected]:
    """Collect some units in this process, and commit each episode as it ends."""
    store = EpisodeStore.open_or_create(config.out, _embodiment(config))
    episodes = _demonstrations(config, units) if config.policy == SCRIPTED else _visited(config, units)
    for episode in episodes:
        store.append(episode)
        yield Collected(episode.task, episode.success, episode.num_steps)


def _demonstrations(config: CollectConfig, units: Sequence[Unit]) -> Iterator[Episode]:
    if _is_metaworld(config):
        yield from _metaworld_demonstrations(_metaworld_environment(_embodiment(config)), units)
        return
    if not _is_tabletop(config):
        yield from _mapped_demonstrations(_mapped_environment(config.suite), units)
        return
    environment = _environments(1, _staged(config))[0]
    for unit in units:
        yield demonstrate(unit.task, unit.seed, horizon=config.horizon, noise=config.noise, environment=environment)


def _metaworld_demonstrations(environment: MetaWorldEnvironment, units: Sequence[Unit]) -> Iterator[Episode]:
    for unit in units:
        try:
            yield demonstrate_metaworld(unit.task, unit.seed, environment=environment)
        except ObservationError as error:
            _log.warning("no demonstration: %s", error)


def _mapped_demonstrations(environment: GymEnvironment, units: Sequence[Unit]) -> Iterator[Episode]:
    for unit in units:
        try:
            yield undisturbed.demonstrate(environment, unit.task, unit.seed)
        except ObservationError as error:
            _log.warning("no demonstration: %s", error)


def _visited(config: CollectConfig, units: Sequence[Unit]) -> Iterator[Episode]:
    """Episodes in which the policy acts, labelled by the experts."""
    policy = _policy(config.policy, config.suite)
    number = min(config.batch, len(units))
    slots = [
        LabellingEnvironment(e, config.horizon, config.beta)
        for e in _environments(config.batch, _staged(config))[:number]
    ]
    specs = (EpisodeSpec(unit.task, unit.seed) for unit in units)
    for result in rollout(policy, slots, specs, config.execution):
        if result.error is None:
            yield slots[result.slot].episode(result.success, result.spec.seed, source(config.policy))


@functools.cache
def _environments(number: int, suite_name: str) -> list[TabletopEnvironment]:
    """Made once a process."""
    made = [suite(suite_name).make_environment() for _ in range(number)]
    return [environment for environment in made if isinstance(environment, TabletopEnvironment)]


@functools.cache
def _metaworld_environment(embodiment: Embodiment) -> MetaWorldEnvironment:
    """Made once a process."""
    return MetaWorldEnvironment(embodiment)


@functools.cache
def _mapped_environment(name: str) -> GymEnvironment:
    """Made once a process."""
    environment = suite(name).make_environment()
    assert isinstance(environment, GymEnvironment)
    return environment


@functools.cache
def _policy(name: str, suite_name: str) -> Policy:
    """Loaded once a process."""
    import torch

    torch.set_num_threads(1)
    return load_policy(name, suite(suite_name).embodiment)


# --------------------------------------------------------------------------- what is shown


def _show(results: Iterator[Collected], already: int, total: int) -> Iterator[Collected]:
    columns = (TextColumn("collecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with told(Progress(*columns, console=Console(stderr=True))) as progress:
        bar = progress.add_task("episodes", total=total, completed=already)
        for result in results:
            progress.advance(bar)
            yield result


def _summarise(done: Sequence[Collected], seconds: float, out: str) -> None:
    if not done:
        print(f"nothing to collect: every episode is in {out}")
        return
    groups = {task: [result for result in done if result.task == task] for task in dict.fromkeys(r.task for r in done)}
    groups["all"] = list(done)
    width = max(14, *(len(name) for name in groups))
    for name, mine in groups.items():
        successes, steps = sum(r.success for r in mine), sum(r.num_steps for r in mine)
        row = f"{len(mine):>6} episodes {steps / len(mine):6.1f} steps {successes / len(mine):7.1%} succeed"
        print(f"{name:<{width}} {row}")
    print(f"{len(done)} episodes in {seconds:.0f} s ({len(done) / seconds:.1f} a second) in {out}")

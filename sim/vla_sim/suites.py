"""What `suite=` can be: its tasks, who acts there, and what its results are summed up by.

| suite             | tasks                   | pictures                                             |
|-------------------|-------------------------|------------------------------------------------------|
| `tabletop`        | eight of our own        | 64 x 80 and 32 x 40 px                               |
| `tabletop_ur5e`   | the same, a 6-joint arm | the same; `_ur5e` and `_so101` after any suite of    |
| `tabletop_so101`  | the same, a 5-joint arm | the table's give it to that arm                      |
| `spatial`         | places and viewers      | the same                                             |
| `object`          | new colours and shapes  | the same                                             |
| `goal`            | many in one scene       | the same                                             |
| `language`        | paraphrases, refusals   | the same                                             |
| `metaworld`       | Meta-World's fifty      | 224 x 224 px, as published results have them         |
| `metaworld_small` | the same                | 96 x 96 px, and 48 x 48 px at the gripper            |
| `gym:ENV_ID`      | of its mapping          | of its mapping; see `vla_sim.gym_suite`              |
| `perturbation`    | the tabletop's, and     | 64 x 80 and 32 x 40 px                               |
|                   | perturbed (`_AXIS`: one)|                                                      |
| `long_horizon`    | six of 3 to 5 steps     | the same                                             |
| `memory`          | three with what is hid  | the same                                             |
| `emergence`       | go to, put on a tile    | the same, the scene camera opposite the arm          |
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from vla.embodiment import Embodiment
from vla.errors import ConfigError, unknown
from vla_policies.rollout import RolloutResult
from vla_sim import metaworld_suite
from vla_sim.conventions import AxisCheck, Conventions, GripperCheck
from vla_sim.environment import TabletopEnvironment
from vla_sim.gym_suite.environment import GymEnvironment
from vla_sim.gym_suite.experts import expert_maker
from vla_sim.gym_suite.library import require
from vla_sim.gym_suite.suite import PREFIX, mapping_of, named_mappings
from vla_sim.jobs import FilmedEnvironment
from vla_sim.known_tasks import some_instructions
from vla_sim.metaworld_suite.difficulty import metaworld_averages, metaworld_groups
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.instructions import WORDINGS
from vla_sim.metaworld_suite.library import metaworld
from vla_sim.oracle import ExpertEnvironment
from vla_sim.perturbations import AXES
from vla_sim.perturbations import task_names as perturbed_task_names
from vla_sim.perturbations.scores import perturbation_axes, perturbation_groups
from vla_sim.perturbations.tasks import ALONE
from vla_sim.scores import group_scores, pair_scores
from vla_sim.tasks import GROUPS as TABLETOP_GROUPS
from vla_sim.tasks import SETS as TABLETOP_SETS
from vla_sim.tasks import SUITES as TABLETOP_SUITES
from vla_sim.tasks import TASKS as TABLETOP_TASKS
from vla_sim.tasks import all_instructions, emergence, grammar, match
from vla_sim.tasks.grammar.sentences import read
from vla_sim.tasks.long_horizon import LONG_HORIZON_TASKS
from vla_sim.tasks.memory import CHANCE, MEMORY_TASKS
from vla_sim.tasks.task import BASE, Task
from vla_sim.worlds.benches import BENCHES, PANDA, Bench
from vla_sim.worlds.engines import USUAL, Engines, engines_of, with_engines
from vla_sim.worlds.scene import COVERS_CAST, TABLETOP_CAST, TILES_CAST, Cast

_METAWORLD_TASKS = {
    sentence: task for task, wordings in WORDINGS.items() for sentence in (*wordings.training, *wordings.held_out)
}
"""By instruction."""

_NONE = Conventions()
_XYZ = tuple(AxisCheck(f"d{axis}", axis) for axis in "xyz")
_TABLETOP_CONVENTIONS = Conventions(
    (GripperCheck("gripper", opened=1.0, closed=0.0, measured="gripper"),), (*_XYZ, AxisCheck("dyaw", "yaw"))
)
_METAWORLD_CONVENTIONS = Conventions((GripperCheck("gripper", opened=-1.0, closed=1.0, measured="gripper"),), _XYZ)


@runtime_checkable
class SuiteEnvironment(FilmedEnvironment, ExpertEnvironment, Protocol):
    """Where episodes of a suite happen: it can be filmed, and knows an expert."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """Tasks that belong together."""

    name: str
    tasks: tuple[str, ...]
    """In their order."""
    known_tasks: tuple[str, ...]
    """Those, and others that can be asked for by name."""
    embodiment: Embodiment
    make_environment: Callable[[], SuiteEnvironment]
    require: Callable[[], object] = lambda: None
    """Raises ConfigError if a package is not installed."""
    packages: tuple[str, ...] = ()
    """Those that an outcome depends on, besides everybody's."""
    summarise: Callable[[Sequence[RolloutResult]], dict[str, Any]] = lambda results: {}
    """What a report says of this suite's results besides success by task."""
    sentences: Callable[[], Sequence[str]] = lambda: ()
    """Every instruction of training."""
    meaning: Callable[[str], object] = lambda sentence: sentence
    """Equal for instructions that ask for the same."""
    scene_of: Callable[[str], str] = lambda task: task
    """The task whose scenes a task has, seed by seed."""
    alone: Callable[[str], str | None] = lambda task: None
    """The task with the same scenes and nothing in them but what its instruction names; None if there is none."""
    collected: tuple[str, ...] | None = None
    """The tasks that there may be demonstrations of; all if None."""
    expertless: frozenset[str] = frozenset()
    """The tasks in which `policy=scripted` cannot act."""
    conventions: Conventions = _NONE
    """What `vla check suite=` tries out."""
    is_mapped: bool = False
    """Whether others wrote it and a mapping says what its numbers are: an evaluation begins by trying that out."""


def suite(name: str) -> Suite:
    """The suite of this name.

    Raises:
        ConfigError: if there is none.
    """
    if name in SUITES:
        return SUITES[name]
    bare, engines = engines_of(name) if not name.startswith(PREFIX) else (name, USUAL)
    if engines != USUAL:
        return _staged(suite(bare), engines)
    base, _, arm = name.rpartition("_")
    if arm in BENCHES and arm != PANDA.arm and base in _AT_THE_TABLE:
        return _at_bench(_AT_THE_TABLE[base], BENCHES[arm])
    if name.startswith(PREFIX) or name in named_mappings():
        return _mapped(name)
    raise unknown("suite", name, [*SUITES, *named_mappings()])


def staged(name: str, engines: Engines) -> str:
    """The name of a suite that these engines compute: what `engine=` and `pictures=` make of `suite=`.

    Raises:
        ConfigError: if there is no such suite, or they cannot compute it.
    """
    suite(name)
    if engines != USUAL and _arm_at_the_table(name) is None:
        asked = f"engine={engines.physics.value} pictures={engines.pictures.value}"
        can = ", ".join(known for known in SUITES if _arm_at_the_table(known) is not None)
        raise ConfigError(f"suite '{name}' has an engine of its own and is not computed with {asked}; these are: {can}")
    return with_engines(name, engines)


def _staged(usual: Suite, engines: Engines) -> Suite:
    """A suite as these engines compute it; under its own name, so that reports of both can be compared."""
    arm = _arm_at_the_table(usual.name)
    if arm is None:
        raise unknown("suite", with_engines(usual.name, engines), SUITES)
    return dataclasses.replace(
        usual,
        make_environment=functools.partial(TabletopEnvironment, arm=arm, engines=engines, cast=_cast(usual.name)),
        require=engines.require,
        packages=(*usual.packages, *engines.packages),
    )


def _arm_at_the_table(name: str) -> str | None:
    """The arm of a suite that stands at our table; `None` if it is another's."""
    if name in _AT_THE_TABLE:
        return PANDA.arm
    base, _, arm = name.rpartition("_")
    return arm if arm in BENCHES and base in _AT_THE_TABLE else None


def _cast(name: str) -> Cast:
    """The things that a suite at our table shows some of, whichever arm it is given to."""
    base = name if name in _AT_THE_TABLE else name.rpartition("_")[0]
    own = {name: chosen.cast for name, chosen in grammar.SUITES.items()} | {
        "memory": COVERS_CAST,
        "emergence": TILES_CAST,
    }
    return own.get(base, TABLETOP_CAST)


@functools.lru_cache(maxsize=16)
def _mapped(name: str) -> Suite:
    """An environment that others wrote."""
    mapping = mapping_of(name)
    make_expert = expert_maker(mapping)
    return Suite(
        mapping.name,
        tuple(mapping.tasks),
        tuple(mapping.tasks),
        mapping.embodiment,
        functools.partial(GymEnvironment, mapping, make_expert),
        functools.partial(require, mapping),
        mapping.packages,
        lambda results: {"mapping": mapping.to_json()},
        sentences=lambda: [words for task in mapping.tasks.values() for words in task.instruction.training],
        expertless=frozenset(task for task in mapping.tasks if make_expert is None or make_expert(task) is None),
        conventions=mapping.conventions,
        is_mapped=True,
    )


def _at_bench(chosen: Suite, bench: Bench) -> Suite:
    """A suite of the Panda's table, given to another arm at its own bench."""
    return dataclasses.replace(
        chosen,
        name=f"{chosen.name}_{bench.arm}",
        embodiment=bench.embodiment,
        make_environment=functools.partial(TabletopEnvironment, arm=bench.arm, cast=_cast(chosen.name)),
    )


def _tabletop(name: str) -> Suite:
    return Suite(
        name,
        TABLETOP_SUITES[name],
        tuple(TABLETOP_TASKS),
        PANDA.embodiment,
        TabletopEnvironment,
        summarise=lambda results: {
            "groups": group_scores(results, TABLETOP_GROUPS),
            "pairs": pair_scores(results, TABLETOP_SETS),
        },
        sentences=functools.partial(all_instructions, name),
        meaning=functools.partial(match, suite=name),
        scene_of=_tabletop_scene_of,
        alone=lambda task: None if BASE in task else f"{task}{BASE}{ALONE}",
        conventions=_TABLETOP_CONVENTIONS,
    )


def _tabletop_scene_of(task: str) -> str:
    base = task.partition(BASE)[0]
    return TABLETOP_TASKS[base].scene_of or base


def _perturbation(name: str, axes: Sequence[str]) -> Suite:
    """The tabletop's tasks as they are, and perturbed along some axes."""
    tabletop = _tabletop("tabletop")
    return dataclasses.replace(
        tabletop,
        name=name,
        tasks=tuple(perturbed_task_names(tabletop.tasks, axes)),
        known_tasks=tuple(perturbed_task_names(tabletop.known_tasks)),
        summarise=_perturbation_summary,
    )


def _perturbation_summary(results: Sequence[RolloutResult]) -> dict[str, Any]:
    return {"groups": perturbation_groups(results), "axes": perturbation_axes(results)}


def _templates(name: str, tasks: Mapping[str, Task], make: Callable[[], SuiteEnvironment]) -> Suite:
    """A suite of templates beside the tabletop's, whose sentences are too many to be all said."""
    return Suite(
        name,
        tuple(tasks),
        tuple(tasks),
        PANDA.embodiment,
        make,
        sentences=functools.partial(some_instructions, tuple(tasks)),
        meaning=lambda sentence: next(((n, c) for n, t in tasks.items() if (c := t.match(sentence))), sentence),
        scene_of=lambda task: tasks[task.partition(BASE)[0]].scene_of or task.partition(BASE)[0],
        conventions=_TABLETOP_CONVENTIONS,
    )


def _grammar(name: str) -> Suite:
    chosen = grammar.SUITES[name]
    tasks = tuple(task.name for task in chosen.tasks)
    scenes = {task.name: task.scene_of or task.name for task in chosen.tasks}
    return Suite(
        name,
        tasks,
        tasks,
        PANDA.embodiment,
        functools.partial(TabletopEnvironment, cast=chosen.cast),
        summarise=lambda results: {
            "groups": group_scores(results, chosen.groups),
            "pairs": pair_scores(results, chosen.sets),
        },
        sentences=functools.partial(grammar.training_sentences, name),
        meaning=lambda sentence: read(sentence) or sentence,
        scene_of=lambda task: scenes[task],
        conventions=_TABLETOP_CONVENTIONS,
    )


def _metaworld(name: str) -> Suite:
    body, tasks = metaworld_suite.BODIES[name], tuple(metaworld_suite.INSTRUCTIONS)
    make_environment = functools.partial(MetaWorldEnvironment, body, lazy_pictures=True)
    return Suite(
        name,
        tasks,
        tasks,
        body,
        make_environment,
        metaworld,
        ("metaworld",),
        _metaworld_summary,
        sentences=lambda: [sentence for wordings in WORDINGS.values() for sentence in wordings.training],
        meaning=lambda sentence: _METAWORLD_TASKS.get(sentence, sentence),
        conventions=_METAWORLD_CONVENTIONS,
    )


def _metaworld_summary(results: Sequence[RolloutResult]) -> dict[str, Any]:
    return {"groups": metaworld_groups(results), "averages": metaworld_averages(results)}


_TABLETOP = [_tabletop(name) for name in TABLETOP_SUITES]
_PERTURBATION = [_perturbation("perturbation", tuple(AXES))]
_PERTURBATION += [_perturbation(f"perturbation_{axis}", [axis]) for axis in AXES]
_GRAMMAR = [_grammar(name) for name in grammar.SUITES]

_LONG_HORIZON = _templates("long_horizon", LONG_HORIZON_TASKS, TabletopEnvironment)
_MEMORY = dataclasses.replace(
    _templates("memory", MEMORY_TASKS, functools.partial(TabletopEnvironment, cast=COVERS_CAST)),
    summarise=lambda results: {"chance": {task: CHANCE[task] for task in dict.fromkeys(r.spec.task for r in results)}},
)

_EMERGENCE = Suite(
    "emergence",
    tuple(emergence.EMERGENCE_TASKS),
    tuple(emergence.EMERGENCE_TASKS),
    PANDA.embodiment,
    functools.partial(TabletopEnvironment, cast=TILES_CAST),
    summarise=lambda results: {
        "groups": group_scores(results, emergence.GROUPS),
        "chance": {task: emergence.CHANCE[task] for task in dict.fromkeys(r.spec.task for r in results)},
        "group_chance": emergence.group_chance(r.spec.task for r in results),
    },
    sentences=emergence.training_sentences,
    collected=emergence.SEEN_TASKS,
    conventions=_TABLETOP_CONVENTIONS,
)

_AT_THE_TABLE = {
    made.name: made for made in (*_TABLETOP, *_GRAMMAR, *_PERTURBATION, _LONG_HORIZON, _MEMORY, _EMERGENCE)
}
_OTHER_ARMS = [_at_bench(made, bench) for made in _TABLETOP for bench in BENCHES.values() if bench is not PANDA]

SUITES = (
    _AT_THE_TABLE
    | {made.name: made for made in _OTHER_ARMS}
    | {name: _metaworld(name) for name in metaworld_suite.BODIES}
)
"""By what `suite=` calls them."""

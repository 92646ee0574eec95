"""The suites of the grammar: experts in every task, episodes at seeds that no demonstration has, Wilson intervals.

No pictures are drawn: the experts read the simulator's state, and so does the referee. Doing nothing is measured beside
them: what it succeeds at are the refusals, which is why each of these is scored together with a task that is not one.
"""

from __future__ import annotations

import numpy as np

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.environment import begin
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED
from vla_sim.scores import group_scores, pair_scores
from vla_sim.tally import tally
from vla_sim.tasks.grammar import SUITES, GrammarSuite
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.world import World

EPISODES, STILL_EPISODES = 100, 20


def measurements(store: str | None = None) -> dict[str, object]:
    """Success by suite, task, group and set, of the experts and of doing nothing."""
    return {"seeds_from": FIRST_UNSEEN_SEED, "suites": {name: _suite(name, chosen) for name, chosen in SUITES.items()}}


def _suite(name: str, chosen: GrammarSuite) -> dict[str, object]:
    world = MujocoWorld(cast=chosen.cast)
    tasks = [task.name for task in chosen.tasks]
    done = [_episode(world, t, FIRST_UNSEEN_SEED + i, acts=True) for t in tasks for i in range(EPISODES)]
    still = [_episode(world, t, FIRST_UNSEEN_SEED + i, acts=False) for t in tasks for i in range(STILL_EPISODES)]
    total, idle = tally(done), tally(still)
    print(
        f"suites: {name}: experts {total['success']:.1%} of {total['n']}, doing nothing {idle['success']:.1%}",
        flush=True,
    )
    return {
        "experts": total,
        "tasks": {task: tally([r for r in done if r.spec.task == task]) for task in tasks},
        "groups": group_scores(done, chosen.groups),
        "pairs": pair_scores(done, chosen.sets),
        "median_steps": {task: float(np.median([r.steps for r in done if r.spec.task == task])) for task in tasks},
        "failed": [[r.spec.task, r.spec.seed] for r in done if not r.success],
        "doing_nothing": {
            "all": idle,
            "groups": group_scores(still, chosen.groups),
            "pairs": pair_scores(still, chosen.sets),
        },
    }


def _episode(world: World, task: str, seed: int, *, acts: bool) -> RolloutResult:
    spec = EpisodeSpec(task, seed)
    attempt = begin(spec)
    world.reset(attempt.scene)
    still = np.array([0.0, 0.0, 0.0, 0.0, attempt.scene.gripper], np.float32)
    success, steps = False, 0
    while steps < attempt.task.max_steps and not success:
        world.step(attempt.task.expert(world, attempt.names) if acts else still)
        steps += 1
        is_judged = not attempt.task.judged_at_end or steps == attempt.task.max_steps
        success = is_judged and attempt.task.success(world, attempt.names)
    return RolloutResult(0, 0, spec, attempt.instruction, success, steps, np.zeros((0, 5), np.float32), None)

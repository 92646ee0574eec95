"""What the demo runs."""

from __future__ import annotations

from vla_sim.demo import DemoConfig, evaluation_config
from vla_sim.evaluation_plan import FIRST_UNSEEN_SEED, planned_runs


def test_a_demo_is_fifty_six_unseen_episodes_of_the_shipped_policy() -> None:
    main, *controls = planned_runs(evaluation_config(DemoConfig()))
    assert (main.policy, len(main.specs)) == ("pretrained", 56)
    assert min(spec.seed for spec in main.specs) == FIRST_UNSEEN_SEED
    assert [(run.name, len(run.specs)) for run in controls] == [("random", 16)]


def test_a_demo_may_show_another_policy() -> None:
    main, *_ = planned_runs(evaluation_config(DemoConfig(policy="scripted", episodes=1)))
    assert (main.policy, len(main.specs)) == ("scripted", 8)

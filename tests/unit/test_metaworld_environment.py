"""Meta-World behind our vocabulary: its tasks, its units, its experts, its end."""

from __future__ import annotations

import dataclasses
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from vla.embodiment import Embodiment
from vla.errors import ActionError, ConfigError, ObservationError
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_sim.metaworld_suite import (
    INSTRUCTIONS,
    METAWORLD_SAWYER,
    METAWORLD_SAWYER_BLIND,
    METAWORLD_SAWYER_SMALL,
    library,
)
from vla_sim.metaworld_suite.demonstrations import demonstrate
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.instructions import WORDINGS, instruction

needs_metaworld = pytest.mark.skipif(find_spec("metaworld") is None, reason="needs the extra metaworld")


@pytest.fixture(scope="module")
def environment() -> MetaWorldEnvironment:
    return MetaWorldEnvironment()


@pytest.mark.parametrize("body", [METAWORLD_SAWYER_BLIND, METAWORLD_SAWYER_SMALL])
def test_the_arms_differ_by_name_and_cameras_alone(body: Embodiment) -> None:
    again = dataclasses.replace(body, name=METAWORLD_SAWYER.name, cameras=METAWORLD_SAWYER.cameras)
    assert again == METAWORLD_SAWYER


def test_every_sentence_stands_for_one_task() -> None:
    sentences = [sentence for words in WORDINGS.values() for sentence in (*words.training, *words.held_out)]
    assert len(set(sentences)) == len(sentences)
    assert len(set(INSTRUCTIONS.values())) == len(INSTRUCTIONS) == 50


def test_held_out_sentences_are_new_and_their_words_are_not() -> None:
    known = {word for words in WORDINGS.values() for sentence in words.training for word in sentence.split()}
    assert {word for words in WORDINGS.values() for sentence in words.held_out for word in sentence.split()} <= known


def test_words_that_are_given_are_used() -> None:
    assert instruction(EpisodeSpec("reach", 0, instruction="go there")) == "go there"


@pytest.mark.parametrize("templates", TemplateSet)
def test_a_seed_takes_one_of_the_wordings(templates: TemplateSet) -> None:
    said = {instruction(EpisodeSpec("reach", seed, templates)) for seed in range(60)}
    assert said == set(WORDINGS["reach"].of(templates))


def test_a_wrong_instruction_is_of_another_task() -> None:
    specs = [EpisodeSpec("reach", seed, instruction_kind=InstructionKind.WRONG) for seed in range(60)]
    said = {instruction(spec) for spec in specs}
    assert not said & {*WORDINGS["reach"].training, *WORDINGS["reach"].held_out}
    assert len(said) > 20


def test_a_task_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown task 'reech'; did you mean 'reach'\?"):
        instruction(EpisodeSpec("reech", 0))


def test_without_the_package_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metaworld", None)
    library.metaworld.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'vla-stack\[metaworld\]'"):
        library.metaworld()


@needs_metaworld
def test_our_tasks_are_meta_world_s() -> None:
    theirs = library.metaworld().env_dict.ALL_V3_ENVIRONMENTS
    assert {f"{task.replace('_', '-')}-v3" for task in INSTRUCTIONS} == set(theirs)


@needs_metaworld
def test_units_and_rate_are_meta_world_s(environment: MetaWorldEnvironment) -> None:
    inner = library.make_environment("reach")
    body = environment.embodiment
    assert body.control_dt_s == pytest.approx(inner.dt)
    assert body.action_high[0] == pytest.approx(inner.action_scale)
    assert np.allclose([f.low for f in body.proprioception[:3]], inner._HAND_SPACE.low)
    assert np.allclose([f.high for f in body.proprioception[:3]], inner._HAND_SPACE.high)


@needs_metaworld
def test_the_hand_follows_the_command(environment: MetaWorldEnvironment) -> None:
    begin = environment.reset(EpisodeSpec("reach", 0)).proprioception
    end = _held(environment, [0.004, 0.0, 0.0, -1.0], steps=20)
    assert end[0] - begin[0] == pytest.approx(0.08, abs=0.02)
    assert np.abs(end[1:3] - begin[1:3]).max() < 0.02


@needs_metaworld
def test_positive_effort_closes_the_gripper(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    opened = _held(environment, [0.0, 0.0, 0.0, -1.0], steps=20)[3]
    assert _held(environment, [0.0, 0.0, 0.0, 1.0], steps=20)[3] < opened - 0.02


def _held(environment: MetaWorldEnvironment, action: list[float], steps: int) -> np.ndarray:
    """Proprioception after an action was repeated."""
    transitions = [environment.step(np.array(action, np.float32)) for _ in range(steps)]
    return transitions[-1].observation.proprioception


@needs_metaworld
@pytest.mark.parametrize("task", ["button_press", "drawer_open", "pick_place", "peg_unplug_side"])
def test_the_expert_succeeds(environment: MetaWorldEnvironment, task: str) -> None:
    episode = demonstrate(task, 0, environment=environment)
    assert episode.success
    assert episode.num_steps < 500
    assert (np.abs(episode.actions) <= environment.embodiment.action_high + 1e-9).all()


@needs_metaworld
def test_a_demonstration_depends_on_its_arguments_alone(environment: MetaWorldEnvironment) -> None:
    first = demonstrate("push", 3, environment=environment)
    demonstrate("push", 4, environment=environment)
    demonstrate("door_open", 3, environment=environment)
    for again in (demonstrate("push", 3, environment=environment), demonstrate("push", 3)):
        assert np.array_equal(first.actions, again.actions)
        assert np.array_equal(first.proprioception, again.proprioception)


@needs_metaworld
def test_seeds_give_other_goals(environment: MetaWorldEnvironment) -> None:
    first, second = (demonstrate("reach", seed, environment=environment) for seed in (0, 1))
    assert not np.array_equal(first.actions[:5], second.actions[:5])


@needs_metaworld
def test_time_ends_where_meta_world_ends_it(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("door_lock", 0))
    still = np.zeros(4, np.float32)
    for _ in range(499):
        transition = environment.step(still)
        assert (transition.terminated, transition.truncated) == (False, False)
    transition = environment.step(still)
    assert (transition.terminated, transition.truncated, transition.success) == (False, True, False)


@needs_metaworld
def test_an_action_that_is_not_finite_is_refused(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    with pytest.raises(ActionError, match="4 finite numbers"):
        environment.step(np.full(4, np.nan, np.float32))


@needs_metaworld
def test_a_weld_keeps_numbers_that_meta_world_does_not_know() -> None:
    model = library.make_environment("reach").model
    assert np.array_equal(model.eq_data[0, :11], library.WELD)
    assert (model.eq_data[0, 11:] == 1.0).all()


@needs_metaworld
def test_a_state_that_is_not_finite_is_an_error_and_the_next_episode_is_not(environment: MetaWorldEnvironment) -> None:
    environment.reset(EpisodeSpec("reach", 0))
    environment._inner.data.qvel[:] = np.nan
    with pytest.raises(ObservationError, match="the physics of 'reach', seed 0, diverged at step 1"):
        environment.step(np.zeros(4, np.float32))
    environment.reset(EpisodeSpec("reach", 0))
    assert not environment.step(np.zeros(4, np.float32)).success

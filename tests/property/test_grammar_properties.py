"""The grammar's meanings: relations exclude each other, sentences read back, what is described is one thing alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_sim.corpus.concepts import held_out_words
from vla_sim.tasks.grammar import GRAMMAR_TASKS
from vla_sim.tasks.grammar.descriptions import denote
from vla_sim.tasks.grammar.goals import Act, ground
from vla_sim.tasks.grammar.relations import CORNERS, DIRECTIONS, Level, Relation, View, holds
from vla_sim.tasks.grammar.sentences import NOUNS, PLACES, WORDINGS, read
from vla_sim.worlds.scene import PALETTE, Kind

NAMES = sorted(GRAMMAR_TASKS)

points = st.tuples(st.floats(0.3, 0.7), st.floats(-0.28, 0.28)).map(np.array)
views = st.sampled_from(list(View))
levels = st.sampled_from(list(Level))
landmark_kinds = st.sampled_from([Kind.BLOCK, Kind.PAD, Kind.BOWL])
seeds = st.integers(0, 2**31)
slower = settings(max_examples=15, deadline=None)
"""A scene takes milliseconds to draw."""
OPPOSITE = {
    Relation.LEFT: Relation.RIGHT,
    Relation.RIGHT: Relation.LEFT,
    Relation.FRONT: Relation.BEHIND,
    Relation.BEHIND: Relation.FRONT,
}


@given(points, points, landmark_kinds, views)
def test_no_two_directions_are_plainly_true_at_once(
    subject: np.ndarray, landmark: np.ndarray, kind: Kind, view: View
) -> None:
    assert sum(holds(r, subject, [(landmark, kind)], view, Level.PLAIN) for r in DIRECTIONS) <= 1


@given(points, points, landmark_kinds, views, levels)
def test_a_direction_and_its_opposite_are_never_both_true(
    subject: np.ndarray, landmark: np.ndarray, kind: Kind, view: View, level: Level
) -> None:
    true = {r for r in DIRECTIONS if holds(r, subject, [(landmark, kind)], view, level)}
    assert not any(OPPOSITE[relation] in true for relation in true)


@given(points, points, st.sampled_from(DIRECTIONS), views, levels)
def test_swapped_roles_swap_the_verdict(
    one: np.ndarray, other: np.ndarray, relation: Relation, view: View, level: Level
) -> None:
    forward = holds(relation, one, [(other, Kind.BLOCK)], view, level)
    assert holds(OPPOSITE[relation], other, [(one, Kind.BLOCK)], view, level) is forward
    assert not (forward and holds(relation, other, [(one, Kind.BLOCK)], view, level))


@given(points, points, points, landmark_kinds, st.sampled_from(list(Relation)), views)
def test_what_is_clear_is_plain_and_what_is_plain_is_loose(
    subject: np.ndarray, first: np.ndarray, second: np.ndarray, kind: Kind, relation: Relation, view: View
) -> None:
    if relation in (Relation.NEAREST, Relation.FARTHEST) or np.allclose(first, second, atol=1e-3):
        return
    clear, plain, loose = (holds(relation, subject, [(first, kind), (second, kind)], view, level) for level in Level)
    assert clear <= plain <= loose


@given(points, levels)
def test_a_corner_of_the_arm_is_the_opposite_corner_of_the_camera(point: np.ndarray, level: Level) -> None:
    for relation, opposite in zip(CORNERS, reversed(CORNERS), strict=True):
        assert holds(relation, point, [], View.ARM, level) is holds(opposite, point, [], View.CAMERA, level)


@pytest.mark.parametrize("relation", [Relation.NEAREST, Relation.FARTHEST])
def test_a_comparison_is_not_judged_from_one_thing(relation: Relation) -> None:
    with pytest.raises(ValueError, match="compares all things of a kind"):
        holds(relation, np.zeros(2), [(np.ones(2), Kind.PAD)], View.ARM, Level.PLAIN)


@slower
@given(st.sampled_from(NAMES), seeds, st.sampled_from(list(TemplateSet)))
def test_a_sentence_reads_back_as_its_goal(name: str, seed: int, templates: TemplateSet) -> None:
    task = GRAMMAR_TASKS[name]
    sentence = task.begin(EpisodeSpec(name, seed, templates)).instruction
    assert read(sentence) == task.situation(seed)[1]
    assert set(sentence) <= set("abcdefghijklmnopqrstuvwxyz ")


@slower
@given(st.sampled_from(NAMES), seeds)
def test_what_is_described_is_one_thing_of_the_scene_and_no_other_nearly(name: str, seed: int) -> None:
    scene, goal = GRAMMAR_TASKS[name].situation(seed)
    aim = ground(goal, scene)
    if aim.act in (Act.REFUSE, Act.COUNT_ON):
        return
    for description, meant in zip((goal.subject, *goal.objects), aim.names, strict=True):
        for level in Level:
            assert [t.name for t in denote(description, scene.things, goal.view, level)] == [meant]


@slower
@given(st.sampled_from(NAMES), seeds)
def test_a_wrong_instruction_is_about_another_thing_of_the_scene(name: str, seed: int) -> None:
    attempt = GRAMMAR_TASKS[name].begin(EpisodeSpec(name, seed, instruction_kind=InstructionKind.WRONG))
    told = read(attempt.instruction)
    assert told is not None
    aim = ground(told, attempt.scene)
    assert aim.act is Act.PICK_UP
    assert aim.names[0] != (attempt.names or ("",))[0]


def test_every_held_out_word_occurs_in_a_training_template() -> None:
    known = {word for wording in WORDINGS for template in wording.training for word in template.split()}
    assert {word for wording in WORDINGS for template in wording.held_out for word in template.split()} <= known


def test_no_sentence_says_a_word_that_is_kept_for_measuring_transfer() -> None:
    said = {word for w in WORDINGS for template in (*w.training, *w.held_out) for word in template.split()}
    said |= {word for words in (*NOUNS.values(), *PLACES.values()) for phrase in words for word in phrase.split()}
    assert not (said | set(PALETTE)) & held_out_words()


def test_templates_are_different_and_each_set_has_enough() -> None:
    templates = [template for w in WORDINGS for template in (*w.training, *w.held_out)]
    assert len(set(templates)) == len(templates)
    assert all(len(w.training) >= 6 and len(w.held_out) >= 4 for w in WORDINGS)


@slower
@given(st.sampled_from(NAMES), seeds)
def test_a_seed_stands_for_one_scene_whatever_is_said(name: str, seed: int) -> None:
    task = GRAMMAR_TASKS[name]
    specs = [EpisodeSpec(name, seed, templates, kind) for templates in TemplateSet for kind in InstructionKind]
    attempts = [task.begin(spec) for spec in specs]
    assert len({attempt.scene.things for attempt in attempts}) == 1
    assert len({attempt.names for attempt in attempts}) == 1


@slower
@given(st.sampled_from(sorted({task.scene_of for task in GRAMMAR_TASKS.values() if task.scene_of})), seeds)
def test_tasks_that_share_scenes_have_the_same_ones_and_other_goals(name: str, seed: int) -> None:
    tasks = [task for task in GRAMMAR_TASKS.values() if name in (task.name, task.scene_of)]
    situations = [task.situation(seed) for task in tasks]
    assert len({scene.things for scene, _ in situations}) == 1
    assert len({dataclasses.astuple(goal) for _, goal in situations}) == len(tasks)

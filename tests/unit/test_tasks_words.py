"""What the tasks say: templates, and reading a sentence back."""

from __future__ import annotations

import re

import pytest

from vla_sim.tasks import SUITES, TASKS, all_instructions, match

NAMES = SUITES["tabletop"]


def _words(templates: tuple[str, ...]) -> set[str]:
    return {word for template in templates for word in template.split() if not word.startswith("{")}


def test_the_suite_has_eight_tasks() -> None:
    assert len(NAMES) == 8


@pytest.mark.parametrize("name", NAMES)
def test_a_task_has_enough_different_templates(name: str) -> None:
    task = TASKS[name]
    assert len(set(task.training)) >= 10
    assert len(set(task.held_out)) >= 4
    assert not set(task.training) & set(task.held_out)


@pytest.mark.parametrize("name", NAMES)
def test_templates_are_plain_and_name_every_role(name: str) -> None:
    task = TASKS[name]
    for template in task.training + task.held_out:
        assert re.fullmatch(r"[a-z]+( [a-z]+| \{\d\})*", template)
        assert sorted(re.findall(r"\{(\d)\}", template)) == [str(index) for index in range(len(task.roles))]


@pytest.mark.parametrize("name", NAMES)
def test_held_out_words_occur_in_training(name: str) -> None:
    known = set().union(*(_words(TASKS[other].training) for other in NAMES))
    assert _words(TASKS[name].held_out) <= known


@pytest.mark.parametrize("name", NAMES)
def test_every_sentence_is_read_back_as_its_task_alone(name: str) -> None:
    task = TASKS[name]
    colours = ("red", "blue")[: len(task.roles)]
    for template in task.training + task.held_out:
        sentence = template.format(*colours)
        assert match(sentence) == (name, colours)
        assert [other for other in NAMES if TASKS[other].match(sentence) is not None] == [name]


def test_a_sentence_of_no_template_is_not_read() -> None:
    assert match("sing a song about the red block") is None


def test_a_block_is_not_stacked_on_itself() -> None:
    assert match("stack the red block on the red block") is None


def test_all_instructions_are_different_and_read_back() -> None:
    sentences = all_instructions()
    assert len(sentences) == len(set(sentences)) > 1000
    assert all(match(sentence) is not None for sentence in sentences[::37])


def test_held_out_sentences_are_not_among_all_instructions() -> None:
    assert "sing" not in " ".join(all_instructions())
    assert TASKS["reach"].held_out[0].format("red") not in set(all_instructions())

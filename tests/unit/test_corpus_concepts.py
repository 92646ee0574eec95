import itertools
import re

from vla_sim.corpus.concepts import CATEGORIES, NUMBERS, category_of, held_out_words
from vla_sim.corpus.wordings import Wording, article, listed, plural
from vla_sim.instruction_corpus import train_tokenizer
from vla_sim.metaworld_suite import INSTRUCTIONS
from vla_sim.tasks import SUITES, TASKS, all_instructions
from vla_sim.worlds.scene import COLOURS, Kind


def robot_words() -> set[str]:
    sentences = [sentence for suite in SUITES for sentence in all_instructions(suite)]
    for task in TASKS.values():
        for template, colours in itertools.product(
            (*task.training, *task.held_out), itertools.permutations(COLOURS, 2)
        ):
            sentences.append(template.format(*colours))
    return {word for sentence in sentences for word in re.findall(r"[a-z]+|\d", sentence.lower())}


def test_no_robot_instruction_says_a_held_out_word():
    said = robot_words()
    assert len(said) > 50
    assert not said & held_out_words()
    assert not said & {plural(word) for word in held_out_words()}
    assert not any(word.isdigit() for word in said)


def test_no_thing_of_the_table_is_a_held_out_concept():
    assert not held_out_words() & {*COLOURS, *(kind.value for kind in Kind)}


def test_the_tokenizer_that_ships_was_trained_on_no_held_out_word():
    said = {word for sentence in all_instructions() for word in sentence.split()}
    assert not said & held_out_words()
    assert train_tokenizer()


def test_categories_share_nothing():
    members = [member for group in CATEGORIES.values() for member in group]
    assert len(set(members)) == len(members)
    assert category_of("saw") == "tool"
    assert NUMBERS[3] == "three"


def test_a_wording_reads_what_it_says():
    wording = Wording("test", ("is the {thing} {side} the {other}?",), ("say {colour}, {thing}",))
    question = "is the red block in front of the blue pad?"
    assert wording.read(question) == {"thing": "red block", "side": "in front of", "other": "blue pad"}
    assert wording.read("say orange, a cat") == {"colour": "orange", "thing": "a cat"}
    assert wording.read("say cheese, a cat") is None


def test_words_are_put_together_as_one_says_them():
    assert (article("apple"), article("red star")) == ("an apple", "a red star")
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert (plural("fish"), plural("cherry"), plural("block")) == ("fish", "cherries", "blocks")


def test_what_meta_world_says_of_them_is_known():
    """Its sentences are the data of others: transfer is measured on the tabletop."""
    said = {word for sentence in INSTRUCTIONS.values() for word in re.findall("[a-z]+", str(sentence).lower())}
    assert said & held_out_words() == {"hammer", "one", "ring"}

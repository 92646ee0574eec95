import collections
from typing import Any

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import TemplateSet
from vla.testing import check_corpus
from vla_datasets.web.samples import WebCorpus, WebSample, parse_locations
from vla_sim.corpus.drawings import MIN_SIDE, Sheet, scatter
from vla_sim.corpus.draws import CHAPTER
from vla_sim.corpus.kinds import KINDS
from vla_sim.corpus.procedural import ProceduralCorpus, sample
from vla_sim.corpus.tabletop_pictures import MOMENTS, WINDOW, Album
from vla_sim.demonstrations import LICENCE

NUMBER = 60
"""Of samples of each kind: every question's options come round at least once."""


@pytest.fixture(scope="module")
def album() -> Album:
    return Album(0)


@pytest.fixture(scope="module")
def samples(album: Album) -> list[WebSample]:
    return [sample(album, kind, number) for number in range(NUMBER) for kind in KINDS]


def answers(samples: list[WebSample], ask: str) -> collections.Counter[str]:
    return collections.Counter(s.answer for s in samples if s.facts["ask"] == ask)


def same(one: WebSample, other: WebSample) -> bool:
    texts = (one.question, one.answer, one.kind, one.licence, one.source, one.scene, one.facts)
    if texts != (other.question, other.answer, other.kind, other.licence, other.source, other.scene, other.facts):
        return False
    return len(one.images) == len(other.images) and all(map(np.array_equal, one.images, other.images))


def test_the_corpus_is_a_web_corpus():
    corpus = ProceduralCorpus(["language"], 5, 0)
    assert isinstance(corpus, WebCorpus)
    assert len(corpus) == 5
    assert [corpus[index].source for index in range(2)] == [
        "procedural:0:training:language:0",
        "procedural:0:training:language:1",
    ]
    with pytest.raises(IndexError, match="samples 0 to 4, not 5"):
        corpus[5]


def test_a_sample_is_the_same_in_any_order_and_of_any_count(samples: list[WebSample]):
    longer = ProceduralCorpus([], 10**6, 0)
    for index in (137, 20, 300, 21):
        assert same(longer[index], samples[index])


def test_drawings_and_words_keep_the_contract_of_corpora():
    check_corpus(ProceduralCorpus(["digits", "arithmetic", "language"], 30, 0))


def test_another_seed_gives_other_samples(samples: list[WebSample]):
    other = Album(1)
    assert not any(same(sample(other, kind, 0), samples[place]) for place, kind in enumerate(KINDS))


def test_kinds_come_in_turn():
    corpus = ProceduralCorpus(["digits", "language"], 4, 0)
    assert [corpus[index].kind for index in range(4)] == ["digits", "language"] * 2


def test_every_sample_has_licence_source_and_scene(samples: list[WebSample]):
    assert {s.licence for s in samples} == {LICENCE}
    assert all(s.scene and s.question and s.answer and s.facts for s in samples)
    assert len({s.source for s in samples}) == len(samples)


def test_pictures_of_one_demonstration_share_their_scene(album: Album):
    assert {album[number].scene_id for number in (1, 3, 5)} == {"episode:0:0"}
    assert album[0].scene_id != album[2].scene_id


@pytest.mark.parametrize(
    ("ask", "options"),
    [
        ("exists_table", 2),
        ("on_table", 2),
        ("exists_drawing", 2),
        ("count_table", 5),
        ("count_drawing", 6),
        ("relation_which_table", 4),
        ("relation_whether_table", 2),
        ("relation_drawing", 4),
        ("task_done", 2),
        ("gripper_open", 2),
        ("symbol_arrow", 4),
        ("category_of", 4),
        ("digit_which", 10),
        ("synonym_same", 2),
        ("is_a", 2),
    ],
)
def test_every_answer_comes_equally_often(samples: list[WebSample], ask: str, options: int):
    counts = answers(samples, ask)
    total = counts.total()
    assert len(counts) == options
    # Of as many samples in a row as there are options each comes once.
    assert min(counts.values()) >= total // options
    assert max(counts.values()) <= total // options + 1


def test_nothing_is_held_or_moved_half_of_the_time(samples: list[WebSample]):
    for ask in ("held", "moved"):
        counts = answers(samples, ask)
        assert abs(counts["nothing"] - counts.total() / 2) <= 1


def test_refusals_name_what_is_asked_for_and_missing(samples: list[WebSample]):
    for refusal in (s for s in samples if s.kind == "refusal"):
        missing = refusal.answer.removeprefix("there is no ")
        assert refusal.answer.startswith("there is no ")
        colour, kind = missing.split()
        facts: Any = refusal.facts
        said = refusal.question.replace("cube", "block").replace("switch", "button")
        assert f"{colour} {kind}" in said
        for picture in facts.get("pictures", []):
            assert missing not in picture["things"]
        for drawing in facts.get("drawings", []):
            assert (colour, kind) not in [(item["colour"], item["name"]) for item in drawing]


def test_places_are_answered_in_location_words_alone(samples: list[WebSample]):
    for s in samples:
        if s.kind in ("point", "box"):
            (place,) = parse_locations(s.answer)
            assert len(place) == (2 if s.kind == "point" else 4)
            assert "".join(s.answer.split("<loc")).replace(">", "").isdigit()


def test_two_pictures_are_shown_for_a_difference_and_none_for_words(samples: list[WebSample]):
    assert {len(s.images) for s in samples if s.kind == "difference"} == {2}
    assert {len(s.images) for s in samples if s.kind == "language"} == {0}


def test_pictures_are_of_several_sizes_up_to_224(samples: list[WebSample]):
    sizes = {image.shape for s in samples for image in s.images}
    assert {(64, 80, 3), (224, 224, 3)} <= sizes
    assert max(height for height, _, _ in sizes) == 224


def test_held_out_templates_say_nothing_that_training_templates_say(album: Album):
    for kind in KINDS.values():
        for wording in kind.wordings:
            assert wording.training
            assert wording.held_out
            assert not set(wording.training) & set(wording.held_out)
    training, held_out = (sample(album, "count", 1, templates) for templates in TemplateSet)
    assert training.question != held_out.question
    assert training.answer == held_out.answer
    assert training.source != held_out.source


def test_pictures_are_drawn_once_for_all_kinds():
    album = Album(3)
    for number in range(4):
        for kind in ("caption", "refusal", "point"):
            sample(album, kind, number)
    assert album.num_taken <= CHAPTER


@pytest.mark.parametrize(
    ("kinds", "count", "seed", "message"),
    [
        (["captoin"], 1, 0, "unknown kind 'captoin'; did you mean 'caption'"),
        (["caption", "caption"], 1, 0, r"kind=\[caption,caption\] names a kind twice"),
        ([], 0, 0, "count is at least 1 and seed at least 0, got count=0 seed=0"),
        ([], 1, -1, "got count=1 seed=-1"),
    ],
)
def test_bad_input_is_refused_by_name(kinds: list[str], count: int, seed: int, message: str):
    with pytest.raises(ConfigError, match=message):
        ProceduralCorpus(kinds, count, seed)


def test_a_demonstration_with_fewer_steps_than_moments_is_seen_too():
    album = Album(21)
    states = [album[2 * WINDOW + place].state for place in range(1, WINDOW, 2)]
    assert len({state.tobytes() for state in states}) < MOMENTS


def test_drawings_hold_as_many_items_as_fit():
    generator = np.random.default_rng(0)
    sheet = Sheet(96, 120, (240, 240, 240))
    for number in (1, 6, 9, 12):
        places = scatter(generator, sheet, [MIN_SIDE] * number)
        assert len(places) == number
        assert all(p.row + p.side <= sheet.height and p.column + p.side <= sheet.width for p in places)
    with pytest.raises(RuntimeError, match="no room for 13 pictograms on 96 x 120 px"):
        scatter(generator, sheet, [MIN_SIDE] * 13)

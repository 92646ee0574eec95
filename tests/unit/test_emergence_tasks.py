"""Tiles with drawings: which one words mean, who may be told of them, and what a wrong one costs."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla_datasets.store import EpisodeStore
from vla_datasets.web.samples import location_words, parse_locations
from vla_sim.collect import CollectConfig, collect
from vla_sim.corpus.checks.checker import Checker
from vla_sim.corpus.concepts import held_out_words
from vla_sim.corpus.kinds import TILE_KINDS
from vla_sim.corpus.procedural import ProceduralCorpus
from vla_sim.corpus.tile_pictures import SUITE_LOOK, tile_world
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.suites import suite
from vla_sim.tasks.emergence import CHANCE, EMERGENCE_TASKS, GROUPS, SEEN_TASKS, group_chance
from vla_sim.tasks.emergence.referents import PLACES, WEB_CONCEPTS, Concept, denote, read
from vla_sim.tasks.emergence.tables import COLUMNS_M, VIEW
from vla_sim.tasks.emergence.tasks import HELD_OUT, TRAINING, Act
from vla_sim.worlds.scene import TABLETOP_CAST, TILES_CAST, Kind, Scene, Thing
from vla_sim.worlds.tabletop import tabletop_model
from vla_sim.worlds.tile_drawings import DRAWINGS, drawing_material

NAMES = list(EMERGENCE_TASKS)
SEEDS = range(40)


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment(cast=TILES_CAST)


def phrase_of(instruction: str, act: Act) -> str:
    """What a sentence calls its tile, read with the templates that make sentences."""
    for template in (*TRAINING[act], *HELD_OUT[act]):
        pattern = template.replace("{tile}", "(?P<tile>the .+)").replace("{block}", "[a-z]+ (?:block|brick)")
        if found := re.fullmatch(pattern, instruction):
            return found["tile"]
    raise AssertionError(instruction)


def play(
    environment: TabletopEnvironment, spec: EpisodeSpec, names: tuple[str, ...] | None = None
) -> tuple[bool, bool]:
    """Whether an attempt was lost, and whether it succeeded: the expert's, or one after things of other names."""
    environment.begin(spec)
    attempt = environment.attempt
    is_lost = success = False
    for _ in range(attempt.task.max_steps):
        environment.act(attempt.task.expert(environment.table, names or attempt.names))
        is_lost, is_late, success = environment.judge()
        if is_lost or is_late or success:
            break
    return is_lost, success


@pytest.mark.parametrize("templates", list(TemplateSet))
@pytest.mark.parametrize("name", NAMES)
def test_words_mean_the_scored_tile_and_no_other(name: str, templates: TemplateSet) -> None:
    for seed in SEEDS:
        attempt = begin(EpisodeSpec(name, seed, templates))
        meaning = read(phrase_of(attempt.instruction, EMERGENCE_TASKS[name].act))
        assert meaning is not None
        meant = denote(meaning, attempt.scene.of_kind(Kind.TILE))
        assert [f"{tile.colour} tile" for tile in meant] == [attempt.names[-1]], attempt.instruction


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_instruction_means_another_tile_by_the_same_concept(name: str) -> None:
    for seed in range(10):
        attempt = begin(EpisodeSpec(name, seed, instruction_kind=InstructionKind.WRONG))
        meaning = read(phrase_of(attempt.instruction, EMERGENCE_TASKS[name].act))
        assert meaning is not None
        (meant,) = denote(meaning, attempt.scene.of_kind(Kind.TILE))
        assert f"{meant.colour} tile" != attempt.names[-1]


def test_demonstrations_say_no_word_that_only_web_data_says() -> None:
    told = {begin(EpisodeSpec(name, seed)).instruction for name in SEEN_TASKS for seed in range(400)}
    said = {word for sentence in told for word in sentence.split()}
    web = held_out_words() | set(PLACES)
    assert not said & web
    for name in GROUPS["web_only"]:
        assert all(set(begin(EpisodeSpec(name, seed)).instruction.split()) & web for seed in SEEDS)


def test_demonstrations_show_every_drawing_that_is_asked_for() -> None:
    scenes = [begin(EpisodeSpec(name, seed)).scene for name in SEEN_TASKS for seed in range(200)]
    shown = Counter(tile.drawing for scene in scenes for tile in scene.of_kind(Kind.TILE))
    assert set(shown) == set(DRAWINGS)
    assert min(shown.values()) > 20


@pytest.mark.parametrize("name", NAMES)
def test_neither_place_nor_colour_tells_which_tile_is_meant(name: str) -> None:
    tiles = [begin(EpisodeSpec(name, seed)).scene.of_kind(Kind.TILE)[0] for seed in range(300)]
    columns = Counter(int(np.argmin(np.abs(np.array(COLUMNS_M) - tile.y))) for tile in tiles)
    rows = Counter(tile.x > 0.515 for tile in tiles)
    colours = Counter(tile.colour for tile in tiles)
    # Four deviations of a fair draw.
    assert all(abs(count - 100) < 33 for count in columns.values())
    assert all(abs(count - 150) < 35 for count in rows.values())
    assert all(abs(count - 60) < 28 for count in colours.values())


@pytest.mark.parametrize("concept", [Concept.DIGIT, Concept.SUM, Concept.SYMBOL, Concept.CATEGORY])
def test_the_other_tiles_can_be_meant_by_the_same_concept(concept: Concept) -> None:
    for seed in SEEDS:
        scene = begin(EpisodeSpec(f"go_to_{concept.value}", seed)).scene
        task = EMERGENCE_TASKS[f"go_to_{concept.value}"]
        for tile in scene.of_kind(Kind.TILE):
            words = task.say(tile, scene, scene.of_kind(Kind.BLOCK)[0], TemplateSet.TRAINING, np.random.default_rng(0))
            assert read(phrase_of(words, Act.GO_TO)) is not None


@pytest.mark.parametrize("name", NAMES)
def test_the_expert_does_it_and_another_tile_ends_the_attempt(environment: TabletopEnvironment, name: str) -> None:
    spec = EpisodeSpec(name, 7)
    assert play(environment, spec) == (False, True)
    attempt = environment.attempt
    other = attempt.scene.of_kind(Kind.TILE)[1].name
    assert play(environment, spec, (*attempt.names[:-1], other)) == (True, False)


def test_another_block_on_the_tile_ends_the_attempt(environment: TabletopEnvironment) -> None:
    environment.begin(EpisodeSpec("put_on_synonym", 3))
    attempt = environment.attempt
    other = attempt.scene.of_kind(Kind.BLOCK)[1].name
    assert play(environment, EpisodeSpec("put_on_synonym", 3), (other, attempt.names[1])) == (True, False)


def test_groups_hold_every_task_once_and_chance_is_told() -> None:
    chosen = suite("emergence")
    assert sorted((*GROUPS["seen"], *GROUPS["web_only"])) == sorted(chosen.tasks)
    by_kind = [task for group in list(GROUPS)[2:] for task in GROUPS[group]]
    assert sorted(by_kind) == sorted(GROUPS["web_only"])
    assert len(by_kind) == 2 * len(WEB_CONCEPTS)
    assert set(CHANCE) == set(chosen.tasks)
    assert CHANCE["put_on_sum"] == pytest.approx(1 / 3)
    # A block that is called by other words may be the other one.
    assert group_chance(["put_on_synonym", "go_to_synonym"]) == pytest.approx({"web_only": 0.25, "synonyms": 0.25})


def test_what_web_data_alone_teaches_is_never_collected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'put_on_digit' of suite 'emergence' is asked for and never shown: collect"):
        collect(CollectConfig(out=str(tmp_path / "a"), suite="emergence", tasks=["put_on_digit"]))
    assert collect(CollectConfig(out=str(tmp_path / "a"), suite="emergence", episodes=1, workers=1)) == 0
    store = EpisodeStore.open(str(tmp_path / "a"))
    rows = [store.row(key) for key in store]
    assert sorted(row.task for row in rows) == sorted(SEEN_TASKS)


def test_web_pictures_can_be_the_very_ones_of_the_suite(environment: TabletopEnvironment) -> None:
    scene = begin(EpisodeSpec("go_to_digit", 11)).scene
    environment.world.reset(scene)
    world = tile_world()
    world.reset(scene)
    world.look(SUITE_LOOK)
    assert scene.variation == VIEW
    assert np.array_equal(world.picture(), environment.world.render("scene", 64, 80))


def test_every_web_label_agrees_with_the_model_and_others_do_not() -> None:
    corpus = ProceduralCorpus(list(TILE_KINDS), 180, 3)
    checker, samples = Checker(corpus.album), [corpus[index] for index in range(180)]
    assert [s.question for s in samples if checker.finding(s)] == []
    words = [s for s in samples if s.kind == "tile_read"]
    for one, other in pairwise(words):
        assert one.answer == other.answer or checker.finding(dataclasses.replace(one, answer=other.answer))
    for told in (s for s in samples if s.kind != "tile_read"):
        # A tenth of the picture aside lies the edge of a tile.
        moved = [(row, (column + 0.1) % 1.0) for row, column in parse_locations(told.answer)]
        answer = " ".join(location_words(*place) for place in moved)
        assert checker.finding(dataclasses.replace(told, answer=answer))


def test_no_web_table_is_one_of_the_robots() -> None:
    corpus = ProceduralCorpus(list(TILE_KINDS), 60, 0)
    told = {str(corpus[index].facts["tiles"]) for index in range(60)}
    assert len(told) > 50
    assert all("<loc" in corpus[index].answer or corpus[index].kind == "tile_read" for index in range(60))


def test_a_drawing_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="unknown drawing 'strar'; did you mean 'star'"):
        drawing_material(tabletop_model(cast=TILES_CAST), "strar")


def test_worlds_without_tiles_have_no_drawings() -> None:
    model = tabletop_model(cast=TABLETOP_CAST)
    assert not [i for i in range(model.nmat) if model.material(i).name.startswith("drawing_")]


def test_each_drawing_looks_different(environment: TabletopEnvironment) -> None:
    pictures = []
    for drawing in DRAWINGS:
        things = (Thing(Kind.TILE, "red", 0.59, 0.0, drawing=drawing),)
        environment.world.reset(Scene(things, np.array([0.4, 0.0, 0.2, 0.0]), gripper=1.0, variation=VIEW))
        pictures.append(environment.world.render("scene", 64, 80).astype(int))
    gaps = [np.abs(a - b).max(-1) > 60 for i, a in enumerate(pictures) for b in pictures[:i]]
    assert min(int(gap.sum()) for gap in gaps) >= 12


def test_bullet_moves_tiles_and_does_not_draw_them() -> None:
    pytest.importorskip("pybullet")
    moved = suite("emergence@bullet").make_environment()
    assert isinstance(moved, TabletopEnvironment)
    assert play(moved, EpisodeSpec("put_on_digit", 5)) == (False, True)
    with pytest.raises(ConfigError, match="Bullet's pictures have no textures, and tiles bear drawings"):
        suite("emergence@mujoco/bullet").make_environment()


def test_words_that_only_test_occur_in_training_words() -> None:
    def words(templates: TemplateSet) -> set[str]:
        told = (begin(EpisodeSpec(name, seed, templates)).instruction for name in NAMES for seed in range(60))
        return {word for sentence in told for word in sentence.split()}

    assert not words(TemplateSet.HELD_OUT) - words(TemplateSet.TRAINING)

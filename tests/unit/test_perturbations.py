"""The suite `perturbation`: names, seeds, pairs, and what each axis leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec, InstructionKind
from vla_policies.rollout import RolloutResult
from vla_sim.environment import TabletopEnvironment, begin
from vla_sim.perturbations import AXES, STRENGTHS, task_names
from vla_sim.perturbations.contact_sheet import contact_sheet
from vla_sim.perturbations.scores import perturbation_axes, perturbation_groups
from vla_sim.perturbations.shoving import speed_over
from vla_sim.suites import suite
from vla_sim.tasks import SUITES, Task, match
from vla_sim.worlds.variations import NO_VARIATION

TASKS = SUITES["tabletop"]
SCENE_AXES = ("start", "layout", "distractors")
CELLS = [f"{axis}{strength}" for axis in AXES for strength in STRENGTHS]


@pytest.mark.parametrize("cell", CELLS)
def test_a_perturbed_task_asks_for_the_same_in_the_same_words(cell: str) -> None:
    for task in TASKS:
        for seed in range(3):
            usual, other = begin(EpisodeSpec(task, seed)), begin(EpisodeSpec(f"{task}@{cell}", seed))
            assert (other.names, other.instruction) == (usual.names, usual.instruction)
            assert isinstance(other.task, Task)
            assert other.task.base == task


@pytest.mark.parametrize("cell", CELLS)
def test_an_axis_changes_the_scene_or_the_variation_and_not_both(cell: str) -> None:
    for task in TASKS:
        usual, other = (begin(EpisodeSpec(name, 4)).scene for name in (task, f"{task}@{cell}"))
        is_same_scene = other.things == usual.things and np.array_equal(other.pose, usual.pose)
        assert is_same_scene == (cell[:-1] not in SCENE_AXES)
        assert (other.variation == NO_VARIATION) == (cell[:-1] in SCENE_AXES)


@pytest.mark.parametrize("axis", AXES)
def test_a_seed_stands_for_one_perturbation(axis: str) -> None:
    first, again, other = (begin(EpisodeSpec(f"stack@{axis}2", seed)).scene for seed in (7, 7, 8))
    assert (first.things, first.variation) == (again.things, again.variation)
    assert np.array_equal(first.pose, again.pose)
    assert (first.things, first.variation) != (other.things, other.variation)


def test_a_stronger_shift_goes_the_same_way_farther() -> None:
    shifts = [begin(EpisodeSpec(f"reach@camera{strength}", 3)).scene.variation.camera for strength in STRENGTHS]
    azimuths = [shift.azimuth_rad for shift in shifts]
    assert len({math.copysign(1.0, azimuth) for azimuth in azimuths}) == 1
    assert abs(azimuths[0]) < abs(azimuths[1]) < abs(azimuths[2])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_distractors_are_added_and_bear_names_of_their_own(strength: int) -> None:
    for task in TASKS:
        usual, other = (begin(EpisodeSpec(name, 2)).scene for name in (task, f"{task}@distractors{strength}"))
        assert other.things[: len(usual.things)] == usual.things
        assert 0 < len(other.things) - len(usual.things) <= (1, 2, 4)[strength - 1]
        assert len({thing.name for thing in other.things}) == len(other.things)


def test_a_layout_moves_all_things_together() -> None:
    usual, other = (begin(EpisodeSpec(name, 2)).scene for name in ("put_on_pad", "put_on_pad@layout3"))
    moves = {(round(b.x - a.x, 6), round(b.y - a.y, 6)) for a, b in zip(usual.things, other.things, strict=True)}
    assert len(moves) == 1
    assert 0.03 < math.hypot(*moves.pop()) <= 0.06 + 1e-9


def test_the_target_is_shoved_from_the_second_strength_on() -> None:
    for seed in range(5):
        first, second, third = (begin(EpisodeSpec(f"pick_up@shove{s}", seed)) for s in STRENGTHS)
        struck = [attempt.scene.variation.shove for attempt in (first, second, third)]
        assert struck[0] is None or struck[0].thing not in first.names
        assert struck[1] is not None
        assert struck[2] is not None
        assert struck[1].thing == struck[2].thing == second.names[0]
        assert struck[1].step == struck[2].step


def test_a_shoved_block_slides_about_as_far_as_asked() -> None:
    environment = TabletopEnvironment()
    environment.reset(EpisodeSpec("pick_up@shove3", 1))
    shove = environment.attempt.scene.variation.shove
    assert shove is not None
    before = environment.world.position(shove.thing)
    for _ in range(shove.step + 8):
        environment.world.step(np.array([0, 0, 0, 0, 1], np.float32))
    assert math.hypot(shove.x_m_s, shove.y_m_s) == pytest.approx(speed_over(0.09))
    assert np.linalg.norm(environment.world.position(shove.thing) - before) == pytest.approx(0.09, rel=0.25)


def test_the_same_seed_gives_the_same_bits_whatever_was_before() -> None:
    fresh, used = TabletopEnvironment(), TabletopEnvironment()
    for name in ("stack@mass3", "reach@texture3", "put_on_pad@light3"):
        used.reset(EpisodeSpec(name, 1))
    for cell in ("camera3", "noise2", "friction3", "shove3"):
        spec = EpisodeSpec(f"put_on_pad@{cell}", 5)
        for environment in (fresh, used):
            environment.reset(spec)
            for _ in range(4):
                seen = environment.step(environment.expert_action()).observation
            environment.last = seen.images  # type: ignore[attr-defined]
        assert np.array_equal(fresh.save(), used.save())
        for camera, picture in fresh.last.items():  # type: ignore[attr-defined]
            assert np.array_equal(picture, used.last[camera])  # type: ignore[attr-defined]


def test_a_wrong_instruction_of_a_perturbed_task_is_of_another_task() -> None:
    for seed in range(10):
        attempt = begin(EpisodeSpec("open_drawer@camera1", seed, instruction_kind=InstructionKind.WRONG))
        read = match(attempt.instruction)
        assert read is not None
        assert read[0] != "open_drawer"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("put_on_pad@camra2", r"unknown perturbation 'camra2'; did you mean 'camera2'\?"),
        ("put_on_pad@camera4", "unknown perturbation 'camera4'"),
        ("put_on_pat@camera2", r"unknown task 'put_on_pat'; did you mean 'put_on_pad'\?"),
    ],
)
def test_a_name_that_does_not_exist_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        begin(EpisodeSpec(name, 0))


def test_the_suite_has_every_task_unperturbed_and_in_every_cell() -> None:
    assert len(suite("perturbation").tasks) == 8 * (1 + 12 * 3) == len(set(suite("perturbation").tasks))
    assert suite("perturbation_camera").tasks == tuple(task_names(TASKS, ["camera"]))


def test_scenes_count_as_those_of_the_task_they_are_made_of() -> None:
    for name in ("perturbation", "tabletop"):
        assert suite(name).scene_of("put_on_pad@camera2") == "put_on_pad"
        assert suite(name).scene_of("stack_swapped@camera2") == "stack"


def result(task: str, seed: int, *, success: bool) -> RolloutResult:
    return RolloutResult(0, 0, EpisodeSpec(task, seed), "do", success, 1, np.zeros((1, 5), np.float32))


def test_cells_are_compared_with_the_same_seeds_unperturbed() -> None:
    results = [result("reach", seed, success=True) for seed in range(8)]
    results += [result("reach@camera3", seed, success=seed == 0) for seed in range(8)]
    results += [result("reach@blur1", 99, success=False)]
    groups = perturbation_groups(results)
    assert {name: group["success"] for name, group in groups.items()} == {
        "unperturbed": 1.0,
        "camera3": 1 / 8,
        "blur1": 0.0,
    }
    axes = perturbation_axes(results)
    assert list(axes) == ["camera"]
    assert axes["camera"]["3"] == {**groups["camera3"], "lost": 7, "gained": 0, "p": pytest.approx(2 / 2**7)}


def test_the_contact_sheet_shows_every_axis_at_every_strength() -> None:
    sheet = contact_sheet()
    rows = np.split(sheet, len(AXES))
    for row in rows:
        pictures = [row[:-6, 110 + 166 * index : 110 + 166 * index + 160] for index in range(4)]
        assert all(picture.std() > 5 for picture in pictures)

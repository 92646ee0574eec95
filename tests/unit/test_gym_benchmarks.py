"""robosuite, LIBERO, LIBERO-Plus and SimplerEnv through their adapters, on toys that have their interfaces."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import toy_benchmarks
from vla.errors import ConfigError, DataError
from vla.interfaces import EpisodeSpec, TemplateSet
from vla.testing import check_environment
from vla_datasets.exchange.mapping_file import load_mapping as load_import_mapping
from vla_datasets.store import EpisodeStore
from vla_sim import collect, evaluate
from vla_sim.gym_suite.environment import GymEnvironment
from vla_sim.gym_suite.libero import assets_folder, init_file
from vla_sim.gym_suite.library import require
from vla_sim.gym_suite.mapping import GymMapping
from vla_sim.gym_suite.pickled_array import read_pickled_array
from vla_sim.gym_suite.suite import mapping_of, named_mappings
from vla_sim.suites import suite

BOWL = "pick_up_the_black_bowl_on_the_stove_and_place_it_on_the_plate"
FIRST = 1_000_000


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every distribution seems to be there."""
    known = importlib.metadata.version

    def version(name: str) -> str:
        try:
            return known(name)
        except importlib.metadata.PackageNotFoundError:
            return "0"

    monkeypatch.setattr(importlib.metadata, "version", version)


# --------------------------------------------------------------------------- robosuite


@pytest.fixture
def robosuite(installed: None, monkeypatch: pytest.MonkeyPatch) -> GymMapping:
    toy_benchmarks.plant_robosuite(monkeypatch)
    return mapping_of("robosuite")


def test_robosuite_keeps_the_contract_and_begins_by_seed(robosuite: GymMapping) -> None:
    specs = [EpisodeSpec("lift", 0), EpisodeSpec("lift", 1)]
    check_environment(GymEnvironment(robosuite, lazy_pictures=False), specs, steps=4)


def test_the_expert_lifts_and_its_demonstrations_are_collected(robosuite: GymMapping, tmp_path: Path) -> None:
    where = ["suite=robosuite", "tasks=[lift]", "episodes=2", "workers=1"]
    assert collect.main([*where, f"out={tmp_path / 'data'}"]) == 0
    store = EpisodeStore.open(str(tmp_path / "data"))
    assert [row.success for row in store.index()] == [True, True]
    assert store.embodiment == robosuite.embodiment
    assert evaluate.main(["policy=scripted", *where, "videos=0", f"out={tmp_path / 'out'}"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["overall"]["success"] == 1.0


def test_a_robosuite_whose_gripper_is_the_wrong_way_round_is_not_evaluated(
    robosuite: GymMapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(toy_benchmarks.Lift, "polarity", -1.0)
    arguments = ["policy=random", "suite=robosuite", "tasks=[lift]", "episodes=1", "workers=1", f"out={tmp_path / 'o'}"]
    assert evaluate.main(arguments) == 2
    assert "mapping of suite 'robosuite', task 'lift', does not do what it declares: gripper" in capsys.readouterr().err


def test_tasks_without_expert_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], installed: None) -> None:
    assert suite("robosuite").expertless == {"door", "nut_assembly"}
    assert collect.main(["suite=robosuite", f"out={tmp_path / 'data'}"]) == 2
    assert "task 'door' of suite 'robosuite' has no scripted expert" in capsys.readouterr().err
    assert evaluate.main(["policy=scripted", "suite=robosuite", "episodes=1", f"out={tmp_path / 'out'}"]) == 2
    assert "no scripted expert for door, nut_assembly" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["robosuite", "libero_goal", "libero_plus", "simpler", "gym:gym_pusht/PushT-v0"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match=r"needs a package that is not installed \(.*\): .*install"):
        require(mapping_of(name))


# --------------------------------------------------------------------------- LIBERO


def test_libero_is_the_robot_that_imported_demonstrations_are_of(root: Path) -> None:
    imported = load_import_mapping(root / "docs" / "how-to" / "mappings" / "libero.yaml").embodiment
    names = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_plus")
    assert {named_mappings()[name].embodiment.fingerprint for name in names} == {imported.fingerprint}
    assert [len(named_mappings()[name].tasks) for name in names[:4]] == [10, 10, 10, 10]
    assert [next(iter(named_mappings()[n].tasks.values())).max_steps for n in names[:4]] == [220, 280, 300, 520]


def test_libero_begins_at_states_by_index_settles_with_open_gripper_and_stands_upright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_spatial": [BOWL]})
    mapping = mapping_of("libero_spatial")
    require(mapping)
    place = GymEnvironment(mapping, lazy_pictures=False)
    for seed, state in ((FIRST, 0.0), (FIRST + 3, 0.3), (FIRST + toy_benchmarks.LIBERO_STATES, 0.0)):
        seen = place.reset(EpisodeSpec(BOWL, seed))
        assert seen.proprioception[0] == pytest.approx(state)
    assert toy_benchmarks.LiberoEnvironment.made[-1].actions == [[*[0.0] * 6, -1.0]] * 10
    assert (seen.images["front"][-1] == 255).all()
    assert not seen.images["front"][:-1].any()
    assert seen.instruction == "pick up the black bowl on the stove and place it on the plate"
    check_environment(place, [EpisodeSpec(BOWL, 0), EpisodeSpec(BOWL, 1, TemplateSet.HELD_OUT)], steps=3)


def test_a_configuration_of_libero_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBERO_CONFIG_PATH", str(tmp_path))
    assert assets_folder(tmp_path / "libero") == Path.home() / ".cache" / "libero" / "assets"
    (tmp_path / "config.yaml").write_text("assets: [\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"LIBERO's .*config\.yaml cannot be read: while parsing"):
        assets_folder(tmp_path / "libero")


def test_libero_plus_finds_its_tasks_and_gives_each_the_words_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    variant = f"{BOWL}_language_3"
    package = toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_goal": [BOWL, variant]})
    (package / "init_files" / "libero_goal" / f"{variant}.pruned_init").unlink()
    mapping = mapping_of("libero_plus")
    assert set(mapping.tasks) == {BOWL, variant}
    seen = GymEnvironment(mapping).reset(EpisodeSpec(variant, FIRST + 1))
    assert seen.instruction == f"written in {variant} twice"
    assert seen.proprioception[0] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("variant", "states"),
    [
        (f"{BOWL}_language_3", f"libero_goal/{BOWL}"),
        (f"{BOWL}_view_0_15_100_0_0_initstate_4_noise_12", f"libero_goal/{BOWL}"),
        (f"{BOWL}_table_7", f"libero_goal/{BOWL}"),
        (f"{BOWL}_tb_2", f"libero_goal/{BOWL}"),
        (f"{BOWL}_light_9", f"libero_goal/{BOWL}"),
        (f"{BOWL}_add_3", f"libero_newobj/libero_goal/{BOWL}_add_3"),
        (f"{BOWL}_moved_level2_sample1", f"libero_newobj/libero_goal/{BOWL}_moved_level2_sample1"),
    ],
)
def test_a_variant_of_libero_plus_begins_where_libero_plus_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None, variant: str, states: str
) -> None:
    package = toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_goal": [BOWL, variant]})
    (package / "init_files" / "libero_goal" / f"{variant}.pruned_init").unlink()
    if "_view_" in variant:
        (package / "bddl_files" / "libero_goal" / f"{variant}.bddl").unlink()
    (package / "benchmark").mkdir()
    (package / "benchmark" / "libero_suite_task_map.py").write_text(
        f"libero_task_map = {{'libero_goal': ['{BOWL}', '{variant}'], 'libero_mix': ['{variant}']}}\n"
    )
    task = mapping_of("libero_plus").tasks[variant]
    with pytest.raises(ConfigError, match="is missing") if "newobj" in states else contextlib.nullcontext():
        init_file(package, task)
    file = package / "init_files" / f"{states}.pruned_init"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(toy_benchmarks.saved(np.full(7, 0.3)))  # one state, as new objects have
    assert init_file(package, task) == file
    place = GymEnvironment(mapping_of("libero_plus"))
    assert place.reset(EpisodeSpec(variant, FIRST)).proprioception[0] == pytest.approx(0.3)
    assert toy_benchmarks.LiberoEnvironment.made[-1].file.stem == variant


def test_noise_of_libero_plus_is_the_episodes_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    variant = f"{BOWL}_view_0_0_100_0_0_initstate_0_noise_12"
    toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_goal": [BOWL, variant]})
    one, other = (GymEnvironment(mapping_of("libero_plus"), lazy_pictures=False) for _ in range(2))
    alone = one.reset(EpisodeSpec(variant, 3)).images["front"]
    other.reset(EpisodeSpec(variant, 4))
    assert (one.reset(EpisodeSpec(variant, 3)).images["front"] == alone).all()
    assert (other.reset(EpisodeSpec(variant, 5)).images["front"] != alone).any()


def test_a_list_of_tasks_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    package = toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_goal": [BOWL]})
    (package / "benchmark").mkdir()
    (package / "benchmark" / "libero_suite_task_map.py").write_text("tasks = []\n")
    with pytest.raises(ConfigError, match="has no dictionary libero_task_map"):
        mapping_of("libero_plus")


def test_libero_says_what_is_missing_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    package = toy_benchmarks.plant_libero(tmp_path, monkeypatch, {"libero_spatial": [BOWL]})
    mapping = mapping_of("libero_spatial")
    (package / "assets" / "turbosquid_objects").rmdir()
    with pytest.raises(ConfigError, match=r"assets are not in .*assets \(turbosquid_objects missing.*copy libero"):
        require(mapping)
    (tmp_path / "config" / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"asks on the terminal where its data is, unless .*config\.yaml exists"):
        require(mapping)


def test_first_states_are_read_without_running_their_file(tmp_path: Path) -> None:
    states = np.random.default_rng(0).normal(size=(50, 92))
    file = tmp_path / "a.pruned_init"
    file.write_bytes(toy_benchmarks.saved(states))
    np.testing.assert_array_equal(read_pickled_array(file), states)


class _Planted:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, ("planted",)


def test_a_program_in_place_of_first_states_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.pruned_init"
    file.write_bytes(toy_benchmarks.saved(_Planted()))
    with pytest.raises(DataError, match=r"names 'posix mkdir', which is not part of an array"):
        read_pickled_array(file)
    assert not (tmp_path / "planted").exists()


@settings(max_examples=40)
@given(st.integers(0, 700), st.integers(0, 255))
def test_damaged_first_states_are_an_array_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    content = bytearray(toy_benchmarks.saved(np.ones((3, 4))))
    content[place % len(content)] = value
    file = tmp_path_factory.mktemp("damaged") / "a.pruned_init"
    file.write_bytes(bytes(content))
    with contextlib.suppress(DataError):
        assert read_pickled_array(file).ndim == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [([1.0, 2.0], "holds no float64 array"), (np.ones((2, 2), np.float32), "holds no float64 array")],
)
def test_what_is_no_array_of_states_is_refused(tmp_path: Path, value: object, message: str) -> None:
    file = tmp_path / "a.pruned_init"
    file.write_bytes(toy_benchmarks.saved(value))
    with pytest.raises(DataError, match=message):
        read_pickled_array(file)


# --------------------------------------------------------------------------- SimplerEnv


def test_simpler_begins_with_layouts_by_index_and_takes_its_own_words(
    monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    toy_benchmarks.plant_simpler(monkeypatch)
    mapping = mapping_of("simpler")
    require(mapping)
    place = GymEnvironment(mapping, lazy_pictures=False)
    assert place.reset(EpisodeSpec("widowx_stack_cube", 24 + 5)).instruction == "do number 5"
    specs = [EpisodeSpec("widowx_stack_cube", 0), EpisodeSpec("widowx_carrot_on_plate", 1)]
    check_environment(place, specs, steps=3)

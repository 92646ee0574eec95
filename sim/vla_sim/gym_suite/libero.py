"""LIBERO's tasks (Liu et al. 2023, arXiv:2306.03310), and LIBERO-Plus's, where the user has package and assets.

What moves a result by tens of points is said here or in the mapping, and stands in the report:

| convention           | ours                                                                                   |
|----------------------|----------------------------------------------------------------------------------------|
| first states         | number `seed % n` of the task's file, by index: seed 1000000 begins at state 0 of 50    |
| instruction          | LIBERO: the task's file name in words, as published results have it; Plus: its bddl file |
| pictures             | row 0 at the bottom as rendered; `orientation` in the mapping sets them upright           |
| gripper              | -1 opens, 1 closes, as robosuite                                                         |
| settling, max_steps  | in the mapping: 10 steps of rest; 220, 280, 300, 520 steps                               |

A variant of LIBERO-Plus (arXiv:2510.13626) says in its name what is perturbed, and only some have files of their own:

    TASK_language_N                       own bddl file; the task's first states
    TASK_view_..._initstate_K[_noise_N]   the task's bddl file and first states; the package reads the rest off the name
    TASK_table_N, TASK_tb_N, TASK_light_N own bddl file; the task's first states
    TASK_add_N, TASK_..._levelN           own bddl file; its one first state, among those of new objects
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import yaml
from gymnasium import spaces

from vla.errors import ConfigError
from vla_sim.gym_suite.mapping import GymMapping, GymTask
from vla_sim.gym_suite.pickled_array import read_pickled_array

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")
SETTLED_SEED = 0
"""Of LIBERO's own generator; where objects are is in the first state, but what is not still follows the seed."""
_ASSETS = ("articulated_objects", "stable_scanned_objects", "turbosquid_objects", "stable_hope_objects")
_SCENE = re.compile(r"^[A-Z_]+SCENE\d+_")
_TASK_MAP = Path("benchmark") / "libero_suite_task_map.py"
_TASK_MAP_NAME = "libero_task_map"
_VIEW, _FROM_STATE = "_view_", "_initstate_"
_NEW_OBJECTS = "libero_newobj"
_BACKGROUND = re.compile(r"_(table|tb)_\d+")
_LANGUAGE = re.compile(r"\(:language\s+([^)]+)\)")
_GRIPPER = 6
_OPEN = -1.0


def require_libero(mapping: GymMapping) -> None:
    """Return if LIBERO can be imported without a question on the terminal, and its assets are there.

    Raises:
        ConfigError: naming the file or folder that is missing, and how to get it.
    """
    folder = package_folder(mapping)
    config = _config_file()
    if not config.is_file():
        raise ConfigError(
            f"LIBERO asks on the terminal where its data is, unless {config} exists: write into it "
            f"'benchmark_root: {folder}', 'bddl_files: {folder / 'bddl_files'}', "
            f"'init_states: {folder / 'init_files'}', 'datasets: {folder.parent / 'datasets'}' and 'assets: FOLDER'"
        )
    assets = assets_folder(folder)
    absent = [name for name in _ASSETS if not (assets / name).is_dir()]
    if absent:
        raise ConfigError(
            f"LIBERO's assets are not in {assets} ({', '.join(absent)} missing; they are in no wheel, about 200 MB): "
            "copy libero/libero/assets from LIBERO's repository there, or name another folder as 'assets' in "
            f"{config}"
        )


def package_folder(mapping: GymMapping) -> Path:
    """Where LIBERO is installed, without importing it.

    Raises:
        ConfigError: if it is not installed.
    """
    spec = importlib.util.find_spec("libero")
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    inner = [Path(place) / "libero" for place in places if (Path(place) / "libero").is_dir()]
    if not inner:
        raise ConfigError(f"suite '{mapping.name}' needs a package that is not installed (libero): {mapping.install}")
    return inner[0]


def found_tasks(mapping: GymMapping) -> Mapping[str, GymTask]:
    """Every task that the installed package lists, or has a bddl file for; by name, and none if it is not installed."""
    template = mapping.template
    assert template is not None
    try:
        folder = package_folder(mapping)
    except ConfigError:
        return {}
    listed = _listed_tasks(folder / _TASK_MAP)
    files = {suite: sorted((folder / "bddl_files" / suite).glob("*.bddl")) for suite in SUITES}
    names = {
        name: f"{suite}/{name}" for suite in SUITES for name in listed.get(suite, [file.stem for file in files[suite]])
    }
    return {name: dataclasses.replace(template, environment=path) for name, path in names.items()}


def words_of(name: str) -> str:
    """A task's file name in words."""
    return _SCENE.sub("", name).replace("_", " ")


def written_words(bddl: str) -> str:
    """The instruction that a bddl file holds.

    Raises:
        ConfigError: if it holds none.
    """
    match = _LANGUAGE.search(bddl)
    if match is None:
        raise ConfigError("the bddl file has no '(:language ...)'")
    return " ".join(match[1].split()).lower()


def bddl_file(folder: Path, task: GymTask) -> Path:
    """The task's definition: of a variant seen from elsewhere, that of the task it is a variant of."""
    path = task.environment.partition(_VIEW)[0] if _FROM_STATE in task.environment else task.environment
    return folder / "bddl_files" / f"{path}.bddl"


def init_file(folder: Path, task: GymTask) -> Path:
    """The first states of a task, or of the task that it is a variant of.

    Raises:
        ConfigError: if there are none.
    """
    file = folder / "init_files" / f"{_states_of(task.environment)}.pruned_init"
    if not file.is_file():
        raise ConfigError(f"there are no first states for '{task.environment}': {file} is missing")
    return file


def _states_of(path: str) -> str:
    """From SUITE/NAME to the path of its first states, as LIBERO-Plus looks for them."""
    for mark in ("_language_", _VIEW):
        if mark in path:
            return path.partition(mark)[0]
    if "_add_" in path or "_level" in path:
        return f"{_NEW_OBJECTS}/{path}"
    return _BACKGROUND.sub("", path.partition("_light_")[0])


def _listed_tasks(file: Path) -> Mapping[str, list[str]]:
    """The names in the package's own list, by suite; read and not run.

    Raises:
        ConfigError: if the file is there, and holds no such list.
    """
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Dict() as listed) if name == _TASK_MAP_NAME:
                return dict(_named_lists(listed))
    raise ConfigError(f"{file} has no dictionary {_TASK_MAP_NAME}: is the installed libero another version?")


def _named_lists(listed: ast.Dict) -> Iterator[tuple[str, list[str]]]:
    for key, value in zip(listed.keys, listed.values, strict=True):
        match key, value:
            case ast.Constant(value=str(suite)), ast.List(elts=names):
                yield suite, [str(name.value) for name in names if isinstance(name, ast.Constant)]


def assets_folder(package: Path) -> Path:
    """Where LIBERO looks for meshes: beside its code, or where its configuration says, or where it downloads to."""
    beside = package / "assets"
    if beside.is_dir():
        return beside
    named = _configured().get("assets")
    if isinstance(named, str) and Path(named).is_dir():
        return Path(named)
    return Path.home() / ".cache" / "libero" / "assets"


class LiberoTask(gymnasium.Env[Mapping[str, Any], np.ndarray]):
    """One of LIBERO's tasks; info has `is_success` and both wordings, `language` and `language_bddl`."""

    def __init__(self, mapping: GymMapping, task: GymTask) -> None:
        """Make it with the package's `OffScreenRenderEnv`.

        Raises:
            ConfigError: if package, assets or the task's files are missing.
            DataError: if the task's first states are no array.
        """
        require_libero(mapping)
        folder = package_folder(mapping)
        file = bddl_file(folder, task)
        _require_file(file, mapping)
        perturbed = folder / "bddl_files" / f"{task.environment}.bddl"
        self._states = read_pickled_array(init_file(folder, task))
        name = task.environment.partition("/")[2]
        self._info = {
            "language": words_of(name),
            "language_bddl": written_words(file.read_text(encoding="utf-8")),
        }
        made = importlib.import_module("libero.libero.envs").OffScreenRenderEnv
        self._noise = np.random.RandomState(SETTLED_SEED).get_state()
        with self._own_noise():
            self._inner = made(bddl_file_name=str(perturbed), **task.options)
        self.action_space = spaces.Box(-1.0, 1.0, (_GRIPPER + 1,), np.float32)
        self.observation_space = spaces.Dict({})

    @property
    def sim(self) -> Any:
        """Robosuite's binding of MuJoCo."""
        return self._inner.sim

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Mapping[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        index = (seed or 0) % len(self._states)
        self._noise = np.random.RandomState(seed or 0).get_state()
        with self._own_noise():
            self._inner.seed(SETTLED_SEED)
            self._inner.reset()
            seen = self._inner.set_init_state(self._states[index])
        return seen, {**self._info, "init_state": index, "is_success": False}

    def step(self, action: np.ndarray) -> tuple[Mapping[str, Any], float, bool, bool, dict[str, Any]]:
        with self._own_noise():
            seen, reward, is_over, info = self._inner.step(action.tolist())
        success = bool(self._inner.check_success())
        return seen, float(reward), bool(is_over), False, {**info, **self._info, "is_success": success}

    def close(self) -> None:
        self._inner.close()

    @contextlib.contextmanager
    def _own_noise(self) -> Iterator[None]:
        """What LIBERO-Plus draws from NumPy's global generator is drawn from the episode's own meanwhile."""
        outside = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._noise)  # noqa: NPY002
        try:
            yield
        finally:
            self._noise = np.random.get_state()  # noqa: NPY002
            np.random.set_state(outside)  # noqa: NPY002


def _require_file(file: Path, mapping: GymMapping) -> None:
    if not file.is_file():
        raise ConfigError(f"there is no {file}: is the installed libero the one of suite '{mapping.name}'?")


def _config_file() -> Path:
    return Path(os.environ.get("LIBERO_CONFIG_PATH", str(Path.home() / ".libero"))) / "config.yaml"


def _configured() -> Mapping[str, Any]:
    """What LIBERO was told of its folders; nothing if it was told nothing.

    Raises:
        ConfigError: if its configuration cannot be read.
    """
    try:
        tree = yaml.safe_load(_config_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"LIBERO's {_config_file()} cannot be read: {' '.join(str(error).split())}") from error
    return tree if isinstance(tree, dict) else {}

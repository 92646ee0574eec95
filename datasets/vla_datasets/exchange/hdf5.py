"""robomimic and LIBERO datasets: HDF5, one file or a folder with one file a task.

    data                    attributes: env_args (JSON), LIBERO also problem_info (JSON) and bddl_file_name
      demo_0                attribute: num_samples
        actions, rewards, dones, states, ...
        obs/<name>          numbers, and pictures as uint8 (steps, height, width, 3)
      demo_1 ...

Fields are named as they lie: `actions`, `obs/joint_states`, `obs/agentview_rgb`. `next_obs` (each `obs` one step later)
and `mask` (which demonstrations are for training) are not read. Pictures are not turned: LIBERO's have row 0 at the
bottom. A field is what every demonstration has in one shape: LIBERO's `states` are as long as a task has objects.

Source: robomimic.github.io/docs/datasets/overview.html; LIBERO, scripts/create_dataset.py.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vla.errors import DataError
from vla_datasets.exchange.hdf5_files import Hdf5Array, attribute, children, group, open_hdf5, read_array
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField

if TYPE_CHECKING:
    import h5py

SUFFIXES = (".hdf5", ".h5")

_GROUPS = ("obs", "action_dict")
"""Groups of a demonstration whose arrays are fields; others are not read."""


def open_source(path: Path) -> Hdf5Reader:
    """The demonstrations of a file, or of every file in a folder.

    Raises:
        DataError: naming the file, and the demonstration or array that is not as the format says.
    """
    files = tuple(_read_layout(file) for file in _files(path))
    rates = {file.control_hz for file in files}
    if len(rates) > 1:
        shown = ", ".join(f"{file.path.name} {file.control_hz}" for file in files)
        raise DataError(f"{path} has files of unequal control_freq, import them one by one: {shown}")
    if not any(file.demos for file in files):
        raise DataError(f"{path} has no demonstrations: expected groups data/demo_0, data/demo_1, ...")
    return Hdf5Reader(path=path, files=files, fields=_common_fields(files), control_hz=rates.pop())


@dataclasses.dataclass(frozen=True)
class DemoFile:
    """What is known of one file without reading its arrays."""

    path: Path
    demos: Mapping[str, Mapping[str, Hdf5Array]]
    """The arrays of each demonstration by field, in the order of their numbers."""
    instruction: str
    task: str
    control_hz: float | None


@dataclasses.dataclass(frozen=True)
class Hdf5Reader:
    """Demonstrations whose arrays have been checked for kind, length and place, and not yet read."""

    path: Path
    files: tuple[DemoFile, ...]
    fields: Mapping[str, SourceField]
    control_hz: float | None
    """`control_freq` of the simulator, from `env_args`."""

    def __len__(self) -> int:
        return len(self._demos)

    @functools.cached_property
    def _demos(self) -> list[tuple[DemoFile, str]]:
        return [(file, demo) for file in self.files for demo in file.demos]

    def __iter__(self) -> Iterator[RawEpisode]:
        return (self.read(position) for position in range(len(self)))

    def index_of(self, position: int) -> int:
        """Episodes are numbered through all files."""
        return position

    def read(self, position: int) -> RawEpisode:
        """The episode at `position`, without those before it.

        Raises:
            DataError: as iteration does.
        """
        file, demo = self._demos[position]
        with open_hdf5(file.path) as opened:
            inside = group(group(opened, "data", file.path), demo, file.path)
            columns = {name: read_array(inside, name, file.demos[demo][name], file.path) for name in self.fields}
        images = {name for name, field in self.fields.items() if _is_picture(field)}
        return RawEpisode(
            index=position,
            arrays={name: column for name, column in columns.items() if name not in images},
            images={name: columns[name] for name in images},
            instruction=file.instruction,
            task=file.task,
            # Rewards and dones are the simulator's; no attribute says what they mean.
            success=None,
            times_s=None,
        )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(file for file in path.glob("*") if file.suffix in SUFFIXES) if path.is_dir() else []
    if not files:
        raise DataError(f"{path} is neither an HDF5 file nor a folder with files *{' or *'.join(SUFFIXES)}")
    return files


def _is_picture(field: SourceField) -> bool:
    return field.dtype == "uint8" and len(field.shape) == 3 and field.shape[2] == 3


def _common_fields(files: tuple[DemoFile, ...]) -> dict[str, SourceField]:
    """The fields of the first demonstration that every file has in the same shape."""
    kinds = [arrays for file in files for arrays in list(file.demos.values())[:1]]
    fields = {name: SourceField(dtype=array.dtype, shape=array.shape[1:]) for name, array in kinds[0].items()}
    return {
        name: field
        for name, field in fields.items()
        if all(
            name in other and (other[name].dtype, other[name].shape[1:]) == (field.dtype, field.shape)
            for other in kinds
        )
    }


# --------------------------------------------------------------------------- one file


def _read_layout(path: Path) -> DemoFile:
    with open_hdf5(path) as file:
        data = group(file, "data", path)
        names = [name for name in children(data, path) if re.fullmatch(r"demo_\d{1,9}", name)]
        demos = {name: _demo(group(data, name, path), path) for name in sorted(names, key=_number)}
        _require_alike(demos, path)
        environment, problem = _json_attribute(data, "env_args", path), _json_attribute(data, "problem_info", path)
        task = attribute(data, "bddl_file_name", path)
        return DemoFile(
            path=path,
            demos=demos,
            instruction=_instruction(problem, path),
            task=PurePosixPath(task).stem if task else str(environment.get("env_name") or ""),
            control_hz=_control_hz(environment, path),
        )


def _number(demo: str) -> int:
    return int(demo.removeprefix("demo_"))


def _demo(demo: h5py.Group, path: Path) -> dict[str, Hdf5Array]:
    """The arrays of a demonstration, all of which have a row a step."""
    arrays = {name: found for name, found in children(demo, path).items() if isinstance(found, Hdf5Array)}
    for inner in (name for name in _GROUPS if name in demo):
        for name, found in children(group(demo, inner, path), path).items():
            if isinstance(found, Hdf5Array):
                arrays[f"{inner}/{name}"] = found
    if "actions" not in arrays:
        raise DataError(f"{path}: {demo.name} has no array of numbers 'actions'")
    steps = arrays["actions"].shape[0]
    for name, array in arrays.items():
        if array.shape[0] != steps:
            raise DataError(f"{path}: {demo.name}/{name} has {array.shape[0]} rows, its actions have {steps}")
    _check_num_samples(demo, steps, path)
    return arrays


def _check_num_samples(demo: h5py.Group, steps: int, path: Path) -> None:
    stated = attribute(demo, "num_samples", path)
    if steps < 1 or stated not in ("", str(steps)):
        raise DataError(f"{path}: {demo.name} has {steps} actions, its num_samples is {stated or 'not given'}")


def _require_alike(demos: Mapping[str, Mapping[str, Hdf5Array]], path: Path) -> None:
    """Return if all demonstrations of a file have the same arrays."""
    kinds = {demo: {name: (a.dtype, a.shape[1:]) for name, a in arrays.items()} for demo, arrays in demos.items()}
    first = next(iter(kinds), None)
    for demo, kind in kinds.items():
        if first is not None and kind != kinds[first]:
            name = sorted(item[0] for item in kind.items() ^ kinds[first].items())[0]
            raise DataError(
                f"{path}: '{name}' of {demo} is not as that of {first}: absent, or of another type or shape"
            )


def _json_attribute(data: h5py.Group, name: str, path: Path) -> dict[str, Any]:
    """The JSON object in an attribute; empty if there is none."""
    text = attribute(data, name, path)
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{path}: attribute '{name}' of data is not a JSON object")
    return value


def _instruction(problem: Mapping[str, Any], path: Path) -> str:
    """LIBERO has the sentence as one text, or cut into pieces that are joined without a space."""
    words = problem.get("language_instruction", "")
    pieces = [words] if isinstance(words, str) else words
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise DataError(f"{path}: language_instruction in problem_info is {type(words).__name__}, expected a text")
    return "".join(pieces).strip().strip('"')


def _control_hz(environment: Mapping[str, Any], path: Path) -> float | None:
    settings = environment.get("env_kwargs")
    rate = settings.get("control_freq") if isinstance(settings, dict) else None
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6:
        raise DataError(f"{path}: control_freq in env_args is {rate!r}, expected a positive number")
    return float(rate)

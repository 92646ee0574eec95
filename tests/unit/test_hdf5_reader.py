from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.foreign_sources import write_hdf5
from vla.errors import DataError
from vla_datasets.exchange.hdf5 import Hdf5Reader, open_source
from vla_datasets.exchange.raw_episode import SourceField, SourceReader

LIBERO = {
    "env_args": {"env_name": "Libero_Kitchen_Tabletop_Manipulation", "env_kwargs": {"control_freq": 20}},
    "problem_info": {"language_instruction": "open the top drawer", "problem_name": "libero_kitchen"},
    "bddl_file_name": "libero_goal/open_the_top_drawer.bddl",
}


def _demo(steps: int, objects: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(steps)
    return {
        "actions": rng.normal(size=(steps, 7)),
        "dones": np.arange(steps) == steps - 1,
        "states": rng.normal(size=(steps, objects)),
        "obs/agentview_rgb": rng.integers(0, 256, (steps, 8, 10, 3)).astype(np.uint8),
        "obs/ee_pos": rng.normal(size=(steps, 3)),
        "next_obs/ee_pos": rng.normal(size=(steps, 3)),
    }


def _write(path: Path, *demos: dict[str, np.ndarray], attributes: dict[str, Any] | None = None) -> Path:
    return write_hdf5(path, demos, LIBERO if attributes is None else attributes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return _write(tmp_path / "drawer_demo.hdf5", _demo(4), _demo(3))


def test_the_fields_are_the_arrays_by_their_own_names(file: Path) -> None:
    reader = open_source(file)
    assert isinstance(reader, SourceReader)
    assert reader.fields == {
        "actions": SourceField("float64", (7,)),
        "dones": SourceField("bool", ()),
        "states": SourceField("float64", (5,)),
        "obs/agentview_rgb": SourceField("uint8", (8, 10, 3)),
        "obs/ee_pos": SourceField("float64", (3,)),
    }
    assert (len(reader), reader.control_hz) == (2, 20.0)


def test_an_episode_comes_back_as_it_lies_unturned(file: Path) -> None:
    first, second = open_source(file)
    assert (first.index, second.index, len(second.arrays["actions"])) == (0, 1, 3)
    for name in ("actions", "dones", "states", "obs/ee_pos"):
        np.testing.assert_array_equal(first.arrays[name], _demo(4)[name])
    np.testing.assert_array_equal(first.images["obs/agentview_rgb"], _demo(4)["obs/agentview_rgb"])
    assert (first.instruction, first.task) == ("open the top drawer", "open_the_top_drawer")
    assert (first.success, first.times_s) == (None, None)


def test_demonstrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = _write(tmp_path / "many.hdf5", *(_demo(steps) for steps in range(1, 13)))
    assert [len(episode.arrays["actions"]) for episode in open_source(path)] == [*range(1, 13)]


def test_robomimic_names_its_environment_and_has_no_instruction(tmp_path: Path) -> None:
    attributes = {"env_args": {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20}}, "total": "4"}
    (episode,) = open_source(_write(tmp_path / "low_dim.hdf5", _demo(4), attributes=attributes))
    assert (episode.task, episode.instruction) == ("Lift", "")


@pytest.mark.parametrize("words", ["pick it up", '"pick it up"', ["pick ", "it", " up"]])
def test_an_instruction_may_be_quoted_or_in_pieces(tmp_path: Path, words: Any) -> None:
    path = _write(tmp_path / "a.hdf5", _demo(2), attributes={"problem_info": {"language_instruction": words}})
    assert [episode.instruction for episode in open_source(path)] == ["pick it up"]


def test_a_folder_is_its_files_by_name_and_its_fields_are_what_they_share(tmp_path: Path) -> None:
    _write(tmp_path / "b.hdf5", _demo(3, objects=9))
    _write(tmp_path / "a.hdf5", _demo(4), _demo(2))
    reader = open_source(tmp_path)
    assert [len(episode.arrays["actions"]) for episode in reader] == [4, 2, 3]
    assert [episode.index for episode in reader] == [0, 1, 2]
    assert "states" not in reader.fields


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither an HDF5 file nor a folder with files \*.hdf5 or \*.h5"):
        open_source(tmp_path)


def test_files_at_different_rates_are_refused_with_their_rates(tmp_path: Path) -> None:
    _write(tmp_path / "a.hdf5", _demo(2))
    _write(tmp_path / "b.hdf5", _demo(2), attributes={"env_args": {"env_kwargs": {"control_freq": 10}}})
    with pytest.raises(DataError, match=r"import them one by one: a\.hdf5 20\.0, b\.hdf5 10\.0"):
        open_source(tmp_path)


def test_a_file_that_is_no_hdf5_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.hdf5").write_bytes(b"not at all")
    with pytest.raises(DataError, match=r"a\.hdf5 is not a whole HDF5 file"):
        open_source(tmp_path)


def test_a_file_that_is_cut_off_is_named(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"drawer_demo\.hdf5 is not a whole HDF5 file: .*truncated"):
        open_source(file)


def _edit_link(data: h5py.Group) -> None:
    data["demo_0/obs/elsewhere"] = h5py.ExternalLink("/etc/other.hdf5", "/data")


def _edit_soft_link(data: h5py.Group) -> None:
    data["demo_0/obs/elsewhere"] = h5py.SoftLink("/data/demo_1")


def _edit_external_group(data: h5py.Group) -> None:
    data["demo_7"] = h5py.ExternalLink("other.hdf5", "/data/demo_0")


def _edit_virtual(data: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4, 2), "f8")
    layout[:] = h5py.VirtualSource("other.hdf5", "x", (4, 2))
    data.create_virtual_dataset("demo_0/obs/elsewhere", layout)


def _edit_external_storage(data: h5py.Group) -> None:
    data.create_dataset("demo_0/obs/elsewhere", (4, 2), "f8", external=[("raw.bin", 0, 64)])


def _edit_bomb(data: h5py.Group) -> None:
    bomb = data.create_dataset("demo_0/obs/bomb", (4, 1 << 40), "u1", chunks=(1, 1 << 16), compression="gzip")
    bomb[0, :10] = 1


def _edit_unwritten(data: h5py.Group) -> None:
    data.create_dataset("demo_0/obs/bomb", (4, 1 << 40), "u1")


def _edit_plugin(data: h5py.Group) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_chunk((4, 2))
    layout.set_filter(32004, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4, 2))
    h5py.h5d.create(data["demo_0/obs"].id, b"packed", h5py.h5t.NATIVE_DOUBLE, space, layout)


def _edit_length(data: h5py.Group) -> None:
    data["demo_0/obs/short"] = np.zeros((3, 2))


def _edit_num_samples(data: h5py.Group) -> None:
    data["demo_0"].attrs["num_samples"] = 7


def _edit_missing(data: h5py.Group) -> None:
    del data["demo_1/obs/ee_pos"]


def _edit_actions(data: h5py.Group) -> None:
    del data["demo_0/actions"]


def _edit_json(data: h5py.Group) -> None:
    data.attrs["env_args"] = "{"


def _edit_words(data: h5py.Group) -> None:
    data.attrs["env_args"] = np.bytes_(b"\xff\xfe")


def _edit_rate(data: h5py.Group) -> None:
    data.attrs["env_args"] = '{"env_kwargs": {"control_freq": -1}}'


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_edit_link, "data/demo_0/obs/elsewhere is a link; links are not followed"),
        (_edit_soft_link, "data/demo_0/obs/elsewhere is a link; links are not followed"),
        (_edit_external_group, "data/demo_7 is a link; links are not followed"),
        (_edit_virtual, "data/demo_0/obs/elsewhere keeps its values in other files"),
        (_edit_external_storage, "data/demo_0/obs/elsewhere keeps its values in other files"),
        (_edit_bomb, r"data/demo_0/obs/bomb declares 4398046511104 bytes in a file of \d+: refused as a bomb"),
        (_edit_unwritten, "data/demo_0/obs/bomb declares 4398046511104 bytes and holds none"),
        (_edit_plugin, "data/demo_0/obs/packed is compressed by plugin 32004"),
        (_edit_length, "/data/demo_0/obs/short has 3 rows, its actions have 4"),
        (_edit_num_samples, "/data/demo_0 has 4 actions, its num_samples is 7"),
        (_edit_missing, "'obs/ee_pos' of demo_1 is not as that of demo_0"),
        (_edit_actions, "/data/demo_0 has no array of numbers 'actions'"),
        (_edit_json, "attribute 'env_args' of data is not a JSON object"),
        (_edit_words, "attribute 'env_args' of /data is not UTF-8"),
        (_edit_rate, "control_freq in env_args is -1, expected a positive number"),
    ],
)
def test_what_is_unsafe_or_damaged_is_refused_by_name(file: Path, edit: Any, message: str) -> None:
    with h5py.File(file, "r+") as opened:
        edit(opened["data"])
    with pytest.raises(DataError, match=f"{re.escape(str(file))}.*{message}"):
        list(open_source(file))


def test_chunks_that_are_compressed_by_gzip_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.hdf5", _demo(4))
    pictures = np.zeros((4, 64, 64, 3), np.uint8)
    with h5py.File(path, "r+") as opened:
        opened.create_dataset("data/demo_0/obs/black", data=pictures, compression="gzip", shuffle=True)
    (episode,) = open_source(path)
    np.testing.assert_array_equal(episode.images["obs/black"], pictures)


def test_a_file_without_data_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w"):
        pass
    with pytest.raises(DataError, match=r"a\.hdf5 has no group 'data'"):
        open_source(tmp_path / "a.hdf5")


def test_a_file_without_demonstrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no demonstrations"):
        open_source(_write(tmp_path / "a.hdf5"))


def test_one_episode_is_in_memory_at_a_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = h5py.Dataset.read_direct
    monkeypatch.setattr(h5py.Dataset, "read_direct", lambda s, out: read.append(s.name) or original(s, out))
    reader: Hdf5Reader = open_source(file)
    assert read == []
    next(iter(reader))
    assert {name.split("/")[2] for name in read} == {"demo_0"}

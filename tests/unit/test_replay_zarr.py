from __future__ import annotations

import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign_sources import write_replay
from vla.errors import DataError
from vla_datasets.exchange.raw_episode import SourceField, SourceReader
from vla_datasets.exchange.replay_zarr import open_source

ENDS = (4, 9, 11)


def _data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "action": rng.normal(size=(11, 2)).astype(np.float32),
        "state": rng.normal(size=(11, 5)).astype(np.float32),
        "img": rng.integers(0, 256, (11, 12, 10, 3)).astype(np.float32),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_replay(tmp_path / "pusht.zarr", _data(), ENDS)


def _zip(folder: Path, top: str = "") -> Path:
    path = folder.with_suffix(".zarr.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, top + file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("packed", [lambda path: path, _zip, lambda path: _zip(path, "pusht/replay.zarr/")])
def test_episodes_come_back_number_by_number(folder: Path, packed: Callable[[Path], Path]) -> None:
    reader = open_source(packed(folder))
    assert isinstance(reader, SourceReader)
    assert len(reader) == 3
    starts = (0, *ENDS)
    for index, episode in enumerate(reader):
        rows = slice(starts[index], ENDS[index])
        assert episode.index == index
        np.testing.assert_array_equal(episode.arrays["action"], _data()["action"][rows])
        np.testing.assert_array_equal(episode.arrays["state"], _data()["state"][rows])
        np.testing.assert_array_equal(episode.images["img"], _data()["img"][rows])
        assert episode.images["img"].dtype == np.uint8
        assert (episode.instruction, episode.task, episode.success, episode.times_s) == ("", "", None, None)


def test_the_fields_are_the_arrays_of_data(folder: Path) -> None:
    reader = open_source(folder)
    assert reader.fields == {
        "action": SourceField("float32", (2,)),
        "state": SourceField("float32", (5,)),
        "img": SourceField("float32", (12, 10, 3)),
    }
    assert reader.control_hz is None


@pytest.mark.parametrize("compressor", [None, "blosc", "zstd", "lz4"])
def test_every_codec_that_is_read_is_read(tmp_path: Path, compressor: str | None) -> None:
    import numcodecs
    import zarr

    codec: Any = None if compressor is None else numcodecs.get_codec({"id": compressor})
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    for name, values in {"data/action": _data()["action"], "meta/episode_ends": np.array([5, 11])}.items():
        group.create_array(name, data=values, chunks=values.shape, compressors=codec)
    episodes = list(open_source(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(episodes[1].arrays["action"], _data()["action"][5:])


def test_floats_that_are_no_pictures_stay_numbers(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(4, 10, 10, 3))
    (episode,) = open_source(write_replay(tmp_path / "a.zarr", {"points": points}, [4]))
    np.testing.assert_array_equal(episode.arrays["points"], points)


def test_pictures_that_are_not_whole_numbers_throughout_are_refused(tmp_path: Path) -> None:
    pictures = _data()["img"]
    pictures[7] += 0.5
    reader = open_source(write_replay(tmp_path / "a.zarr", {"img": pictures}, ENDS))
    with pytest.raises(DataError, match="data/img holds pictures, but not only whole numbers from 0 to 255"):
        list(reader)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([4, 4, 11], "episode_ends does not rise at episode 1"),
        ([0, 11], "episode_ends does not rise at episode 0"),
        ([4, 12], r"data/action has \(11,\) steps, meta/episode_ends says 12"),
        ([4], r"data/action has \(11,\) steps, meta/episode_ends says 4"),
    ],
)
def test_ends_that_do_not_fit_the_data_are_refused(tmp_path: Path, ends: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(write_replay(tmp_path / "a.zarr", _data(), ends))


def test_a_chunk_that_is_missing_is_an_error_and_no_zeros(folder: Path) -> None:
    (folder / "data" / "action" / "1.0").unlink()
    with pytest.raises(DataError, match=r"pusht\.zarr: chunk data/action/1\.0 is missing"):
        open_source(folder)


def test_a_chunk_that_is_cut_off_is_an_error(folder: Path) -> None:
    chunk = folder / "data" / "img" / "1.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"data/img is damaged in steps \d+ to \d+|chunk data/img/1.0.0.0"):
        list(open_source(folder))


def test_a_chunk_of_another_size_than_declared_is_refused_before_it_is_decoded(folder: Path) -> None:
    import numcodecs

    codec: Any = numcodecs.get_codec({"id": "blosc"})
    (folder / "data" / "action" / "1.0").write_bytes(codec.encode(bytes(1 << 20)))
    with pytest.raises(DataError, match=r"chunk data/action/1\.0 says 1048576 bytes, expected 32: it is altered"):
        open_source(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [1 << 60, 2]}, r"data/action should have \d+ chunks, there are fewer files"),
        ({"chunks": [1 << 40, 2]}, r"data/action has chunks of \d+ bytes, more than"),
        ({"chunks": [0, 2]}, "does not describe a Zarr v2 array of one axis or more"),
        ({"shape": [-1, 2]}, "does not describe a Zarr v2 array"),
        ({"dtype": "|O", "filters": [{"id": "pickle"}]}, "only numbers by compressor None, blosc, zstd, lz4"),
        ({"compressor": {"id": "pickle"}}, "compressor pickle"),
        ({"compressor": {"id": "imagecodecs_jpegxl"}}, "compressor imagecodecs_jpegxl"),
        ({"zarr_format": 3}, "does not describe a Zarr v2 array"),
        ({"dtype": [["x", "<f4"]]}, "does not describe a Zarr v2 array"),
    ],
)
def test_metadata_that_is_absurd_or_unsafe_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    file = folder / "data" / "action" / ".zarray"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(DataError, match=message):
        open_source(folder)


def test_a_link_in_the_folder_is_refused_by_name(folder: Path) -> None:
    (folder / "data" / "more").symlink_to("/etc")
    with pytest.raises(DataError, match="data/more is a link; links are not followed"):
        open_source(folder)


def test_a_folder_without_episode_ends_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="should hold one array 'meta/episode_ends', there are 0"):
        open_source(tmp_path / "a")


def test_zarr_of_version_3_is_refused(tmp_path: Path) -> None:
    import zarr

    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)
    with pytest.raises(DataError, match=r"a\.zarr is Zarr v3, expected v2"):
        open_source(tmp_path / "a.zarr")


def _entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (_entry("../outside"), "names the path '../outside': expected one inside of its folder"),
        (_entry("/etc/passwd"), "names the path '/etc/passwd'"),
        (_entry("data/../../x"), r"names the path 'data/\.\./\.\./x'"),
        (_entry("C:/x"), "names the path 'C:/x'"),
        (_entry("data\\x"), "names the path"),
        (_entry("data/link", stat.S_IFLNK | 0o777), "entry 'data/link' is a link or device"),
        (_entry("data/pipe", stat.S_IFIFO | 0o666), "entry 'data/pipe' is a link or device"),
        (_entry("data/action/.zarray"), "entry 'data/action/.zarray' is there twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_unsafe_entry_of_an_archive_is_refused_by_name(folder: Path, entry: zipfile.ZipInfo, message: str) -> None:
    path = _zip(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, b"x")
    with pytest.raises(DataError, match=message):
        open_source(path)


def test_a_bomb_in_an_archive_is_refused_before_it_is_expanded(folder: Path) -> None:
    path = _zip(folder)
    content = path.read_bytes()
    # In the central directory the sizes of an entry stand 20 and 24 bytes behind its signature.
    at = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: at + 24] + (1 << 31).to_bytes(4, "little") + content[at + 28 :])
    with pytest.raises(DataError, match=r"says 2147483648 bytes in \d+: it is refused as a bomb"):
        open_source(path)


def test_an_archive_that_is_cut_off_is_refused(folder: Path) -> None:
    path = _zip(folder)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"pusht\.zarr\.zip is no whole zip archive"):
        open_source(path)


def test_an_altered_byte_of_an_archive_is_noticed(folder: Path) -> None:
    path = _zip(folder)
    content = bytearray(path.read_bytes())
    content[content.index(b"data/img/0.0.0.0") + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pusht\.zarr\.zip: .*data/img"):
        list(open_source(path))

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign_sources import write_json_lines, write_video
from vla.errors import DataError
from vla_datasets.exchange.raw_episode import SourceField, SourceReader
from vla_datasets.exchange.video_folder import open_source


def _frames(steps: int) -> np.ndarray:
    """Grey, a shade a step: what survives a coding that halves the resolution of colour."""
    shades = np.arange(steps, dtype=np.uint8) * 20 + 40
    return np.broadcast_to(shades[:, None, None, None], (steps, 32, 48, 3)).copy()


def _steps(count: int) -> list[dict[str, Any]]:
    return [{"state": [0.1 * t, t], "action": 0.5, "closed": t > 1, "time_s": 0.1 * t} for t in range(count)]


def _line(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": number,
        "instruction": "pick up the cube",
        "task": "pick",
        "success": True,
        "videos": {"front": f"videos/{number}.mp4"},
        "data": f"data/{number}.jsonl",
        "control_hz": 10,
    } | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_json_lines(tmp_path / "episodes.jsonl", [_line(0), _line(1)])
    for index, steps in enumerate((4, 3)):
        write_json_lines(tmp_path / f"data/{index}.jsonl", _steps(steps))
        write_video(tmp_path / f"videos/{index}.mp4", _frames(steps))
    return tmp_path


def test_the_fields_are_the_names_of_the_steps_and_the_cameras(folder: Path) -> None:
    reader = open_source(folder)
    assert isinstance(reader, SourceReader)
    assert reader.fields == {
        "state": SourceField("float64", (2,)),
        "action": SourceField("float64", ()),
        "closed": SourceField("bool", ()),
        "front": SourceField("uint8", (32, 48, 3)),
    }
    assert (len(reader), reader.control_hz) == (2, 10.0)


def test_an_episode_comes_back_with_every_frame(folder: Path) -> None:
    first, second = open_source(folder)
    np.testing.assert_allclose(first.arrays["state"], [[0.1 * t, t] for t in range(4)])
    assert second.arrays["closed"].tolist() == [False, False, True]
    assert first.times_s is not None
    np.testing.assert_allclose(first.times_s, [0.0, 0.1, 0.2, 0.3])
    assert np.abs(first.images["front"].astype(int) - _frames(4)).max() <= 3
    assert (first.index, first.instruction, first.task, first.success) == (0, "pick up the cube", "pick", True)


def test_what_may_be_left_out_is_empty(folder: Path) -> None:
    lines = [{"index": 5, "videos": {}, "data": "data/0.jsonl"}]
    write_json_lines(folder / "episodes.jsonl", lines)
    write_json_lines(folder / "data/0.jsonl", [{"state": 1}])
    reader = open_source(folder)
    (episode,) = reader
    assert (episode.index, episode.instruction, episode.task, episode.success) == (5, "", "", None)
    assert (reader.control_hz, episode.times_s, dict(episode.images)) == (None, None, {})


@pytest.mark.parametrize("steps", [3, 5])
def test_a_video_of_another_length_than_its_data_is_refused_with_both_numbers(folder: Path, steps: int) -> None:
    write_video(folder / "videos/0.mp4", _frames(steps))
    with pytest.raises(DataError, match=rf"videos/0\.mp4 has {steps} frames, its data have 4 steps"):
        list(open_source(folder))


def test_a_video_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "videos/1.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"videos/1\.mp4 is not a video that can be read"):
        list(open_source(folder))


def test_a_video_that_is_cut_off_is_named(folder: Path) -> None:
    content = (folder / "videos/0.mp4").read_bytes()
    (folder / "videos/0.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"videos/0\.mp4"):
        list(open_source(folder))


def test_a_playlist_is_no_video(folder: Path) -> None:
    (folder / "videos/0.mp4").write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
    with pytest.raises(DataError, match=r"videos/0\.mp4 is not a video that can be read"):
        open_source(folder)


def test_a_video_of_another_size_is_refused_with_both_sizes(folder: Path) -> None:
    write_video(folder / "videos/1.mp4", _frames(3)[:, :16, :16])
    with pytest.raises(DataError, match=r"videos/1\.mp4: frame 0 is 16 x 16, expected 32 x 48"):
        list(open_source(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "../data.jsonl"}, r"names the path '\.\./data\.jsonl': expected one inside of its folder"),
        ({"data": "/etc/passwd"}, "names the path '/etc/passwd': expected one inside"),
        ({"videos": {"front": "a/../../b.mp4"}}, "names the path .* expected one inside of its folder"),
        ({"videos": {"front": "videos\\0.mp4"}}, "names the path .* expected one inside of its folder"),
        ({"data": "outside/passwd"}, "which a link leads out of"),
        ({"data": "data/9.jsonl"}, r"data/9\.jsonl, which is not there"),
        ({"data": 3}, "'data' is 3, expected a text"),
        ({"videos": None}, "'videos' is None, expected paths by camera"),
        ({"index": -1}, "'index' is -1, expected a whole number from 0"),
        ({"success": "yes"}, "'success' is 'yes', expected true, false or nothing"),
        ({"control_hz": 0}, "'control_hz' is 0, expected a positive number"),
        ({"fps": 30}, "has the unknown key 'fps'"),
    ],
)
def test_a_line_that_is_unsafe_or_wrong_is_refused_by_number(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    (folder / "outside").symlink_to("/etc")
    write_json_lines(folder / "episodes.jsonl", [_line(0), _line(1, **changes)])
    with pytest.raises(DataError, match=rf"episodes\.jsonl, line 2:? ?.*{message}"):
        open_source(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": 0}, "two episodes of index 0"),
        ({"videos": {"side": "videos/1.mp4"}}, r"episode 1 has cameras \['side'\], not \['front'\]"),
        ({"control_hz": 20}, r"episode 1 is at 20\.0 Hz, not 10\.0"),
    ],
)
def test_episodes_that_are_not_alike_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    write_json_lines(folder / "episodes.jsonl", [_line(0), _line(1, **changes)])
    with pytest.raises(DataError, match=message):
        open_source(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"state": [0, 1], "action": 0.5}', r"line 3: '\w+' is in this line or in line 1, not in both"),
        ('{"state": [0], "action": 0.5, "closed": true, "time_s": 0.2}', r"'state', line 3, is \S+ \(1,\), in line 1"),
        ('{"state": [0, [1]], "action": 0.5, "closed": true, "time_s": 0.2}', "'state' has lists of unequal lengths"),
        ('{"state": "x", "action": 0.5, "closed": true, "time_s": 0.2}', "'state', line 3, is 'x', expected numbers"),
        ('{"state": [0, 1], "action": true, "closed": true, "time_s": 0.2}', "'action', line 3, is bool"),
        ('{"state": [0, NaN], "action": 0.5, "closed": true, "time_s": 0.2}', "line 3 is not JSON: it holds NaN"),
        ("{", "line 3 is not JSON"),
        ("[1]", "line 3 is a JSON list, expected an object"),
    ],
)
def test_a_step_that_is_damaged_is_refused_by_line(folder: Path, line: str, message: str) -> None:
    lines = [json.dumps(step) for step in _steps(4)]
    (folder / "data/0.jsonl").write_text("\n".join([*lines[:2], line, lines[3]]))
    with pytest.raises(DataError, match=rf"data/0\.jsonl.*{message}"):
        open_source(folder)


def test_data_that_differ_between_episodes_are_refused_by_name(folder: Path) -> None:
    write_json_lines(folder / "data/1.jsonl", [step | {"state": [0.0]} for step in _steps(3)])
    with pytest.raises(DataError, match=r"data/1\.jsonl: 'state' is float64 \(1,\) a step, that of the first episode"):
        list(open_source(folder))


def test_a_line_without_end_is_refused_before_it_is_parsed(folder: Path) -> None:
    (folder / "data/0.jsonl").write_text("[" * (1 << 21))
    with pytest.raises(DataError, match=r"line 1: at most \d+ lines of \d+ bytes are read"):
        open_source(folder)


def test_a_folder_without_episodes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"episodes\.jsonl cannot be read: No such file"):
        open_source(tmp_path)
    (tmp_path / "episodes.jsonl").write_text("")
    with pytest.raises(DataError, match=r"episodes\.jsonl lists no episodes"):
        open_source(tmp_path)

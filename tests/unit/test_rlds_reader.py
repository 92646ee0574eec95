from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.foreign_sources import TEXT, dictionary, example, image, png, tensor, tfrecord, write_rlds
from vla.errors import DataError
from vla_datasets.exchange.raw_episode import SourceField, SourceReader
from vla_datasets.exchange.rlds import RldsReader, open_source

STEPS = dictionary(
    observation=dictionary(image=image(8, 10, 3), depth=image(-1, -1, 1, dtype="uint16"), state=tensor("float32", 2)),
    action=tensor("float64", 3),
    is_last=tensor("bool"),
    count=tensor("uint8"),
    language_instruction=TEXT,
)
SHARD = "tiny-train.tfrecord-00000-of-00001"


def _pictures(steps: int) -> np.ndarray:
    return np.random.default_rng(steps).integers(0, 256, (steps, 8, 10, 3)).astype(np.uint8)


def _depths(steps: int) -> np.ndarray:
    return np.arange(steps * 12, dtype=np.uint16).reshape(steps, 3, 4, 1) * 1000


def _features(steps: int, **changes: Any) -> dict[str, Any]:
    return {
        "steps/observation/image": [png(picture) for picture in _pictures(steps)],
        "steps/observation/depth": [png(depth) for depth in _depths(steps)],
        "steps/observation/state": np.arange(2 * steps, dtype=np.float32),
        "steps/action": np.linspace(0, 1, 3 * steps, dtype=np.float32),
        "steps/is_last": np.array([0] * (steps - 1) + [1]),
        "steps/count": np.arange(steps) + 250,
        "steps/language_instruction": ["stack the cups"] * steps,
        "episode_metadata/success": np.array([1]),
        **{name.replace("__", "/"): value for name, value in changes.items()},
    }


def _one(folder: Path, features: dict[str, Any], steps: dict[str, Any] = STEPS) -> RldsReader:
    return open_source(write_rlds(folder / "set", steps, [[example(features)]]))


def test_the_fields_are_those_of_the_tree_and_open_sizes_are_measured(tmp_path: Path) -> None:
    reader = _one(tmp_path, _features(2))
    assert isinstance(reader, SourceReader)
    assert reader.fields == {
        "action": SourceField("float64", (3,)),
        "count": SourceField("uint8", ()),
        "is_last": SourceField("bool", ()),
        "language_instruction": SourceField("str", ()),
        "observation/depth": SourceField("uint16", (3, 4, 1)),
        "observation/image": SourceField("uint8", (8, 10, 3)),
        "observation/state": SourceField("float32", (2,)),
    }
    assert reader.control_hz is None


def test_an_episode_comes_back_number_by_number_and_pixel_by_pixel(tmp_path: Path) -> None:
    metadata = dictionary(success=tensor("bool"), file_path=TEXT)
    path = write_rlds(tmp_path / "set", STEPS, [[example(_features(3))], [example(_features(2))]], metadata)
    reader = open_source(path)
    first, second = reader
    assert (len(reader), first.index, second.index) == (2, 0, 1)
    np.testing.assert_array_equal(first.images["observation/image"], _pictures(3))
    np.testing.assert_array_equal(first.arrays["observation/depth"], _depths(3))
    np.testing.assert_array_equal(first.arrays["observation/state"], np.arange(6, dtype=np.float32).reshape(3, 2))
    assert first.arrays["action"].dtype == np.float64
    assert first.arrays["is_last"].tolist() == [False, False, True]
    assert first.arrays["count"].tolist() == [250, 251, 252]
    assert (first.instruction, first.task, first.success, first.times_s) == ("stack the cups", "", True, None)


def test_success_is_unknown_where_the_metadata_do_not_say(tmp_path: Path) -> None:
    (episode,) = _one(tmp_path, _features(2))
    assert episode.success is None


def test_the_instruction_may_lie_in_the_observation(tmp_path: Path) -> None:
    tree = dictionary(observation=dictionary(natural_language_instruction=TEXT), action=tensor("float32", 1))
    features = {
        "steps/observation/natural_language_instruction": ["pick"] * 2,
        "steps/action": np.zeros(2, np.float32),
    }
    (episode,) = _one(tmp_path, features, tree)
    assert episode.instruction == "pick"


def test_a_picture_with_an_exif_turn_is_not_turned(tmp_path: Path) -> None:
    import cv2

    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16] = 255
    plain = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    tree = dictionary(image=image(16, 32, 3), action=tensor("float32", 1))
    (episode,) = _one(tmp_path, {"steps/image": [turned], "steps/action": np.zeros(1, np.float32)}, tree)
    assert episode.images["image"][0, 8, 4, 0] > 200
    assert episode.images["image"][0, 8, 28, 0] < 50


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps__action": np.zeros(5, np.float32)}, "'steps/.*' has .* values, expected"),
        (
            {"steps__observation__state": np.zeros(7, np.float32)},
            "state' has 7 values, expected 2 steps of 2",
        ),
        ({"steps__action": ["a", "b"] * 3}, "'steps/action' holds bytes, expected float64"),
        ({"steps__count": np.array([1, 256])}, "'steps/count' has numbers that uint8 cannot hold"),
        ({"steps__is_last": np.array([0.0, 1.0])}, "'steps/is_last' holds float32, expected bool"),
        ({"steps__language_instruction": ["a", "b"]}, "changes from 'a' to 'b': expected one instruction"),
        ({"steps__language_instruction": [b"\xff", b"\xff"]}, "language_instruction' is not UTF-8"),
        ({"steps__observation__image": [b"", b""]}, "observation/image', step 0 is neither PNG, JPEG nor WebP"),
        (
            {"steps__observation__image": [png(np.zeros((8, 9, 3), np.uint8))] * 2},
            "step 0 is 8 x 9, expected 8 x 10",
        ),
        ({"steps__observation__image": [png(_pictures(1)[0])[:-9]] * 2}, "image', step 0 is cut off"),
    ],
)
def test_what_does_not_fit_the_tree_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(_one(tmp_path, _features(2, **changes)))


def test_a_list_that_is_absent_is_refused_by_name(tmp_path: Path) -> None:
    features = _features(2)
    del features["steps/count"]
    with pytest.raises(DataError, match=r"record 0 has no list 'steps/count', which features\.json declares"):
        list(_one(tmp_path, features))


def test_a_picture_that_claims_gigapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    bomb = bytearray(png(np.zeros((8, 10, 3), np.uint8)))
    bomb[16:24] = (8000).to_bytes(4, "big") * 2
    tree = dictionary(image=image(8000, 8000, 3), action=tensor("float32", 1))
    with pytest.raises(DataError, match=r"8000 x 8000 pixels in \d+ bytes: it is refused as a bomb"):
        list(_one(tmp_path, {"steps/image": [bytes(bomb)], "steps/action": np.zeros(1, np.float32)}, tree))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (33, "cut off: a chunk at byte 33 ends at 2"),
        (45, "altered: chunk b'IDAT' at byte 33 does not have its checksum"),
    ],
)
def test_a_damaged_chunk_of_a_png_is_refused_before_it_is_decoded(tmp_path: Path, place: int, message: str) -> None:
    picture = bytearray(png(_pictures(1)[0]))
    picture[place] ^= 0x80
    tree = dictionary(image=image(8, 10, 3), action=tensor("float32", 1))
    with pytest.raises(DataError, match=f"image', step 0 is {message}"):
        list(_one(tmp_path, {"steps/image": [bytes(picture)], "steps/action": np.zeros(1, np.float32)}, tree))


def test_a_shard_of_another_length_than_stated_is_refused_with_both_numbers(tmp_path: Path) -> None:
    path = write_rlds(tmp_path / "set", STEPS, [[example(_features(2))] * 2])
    (path / SHARD).write_bytes(tfrecord([example(_features(2))]))
    with pytest.raises(DataError, match=f"{SHARD} has 1 records, dataset_info.json says 2"):
        open_source(path)


def test_a_shard_that_is_absent_is_named(tmp_path: Path) -> None:
    path = write_rlds(tmp_path / "set", STEPS, [[example(_features(2))]])
    (path / SHARD).unlink()
    with pytest.raises(DataError, match=f"{SHARD} is not a file, but dataset_info.json names it"):
        open_source(path)


@pytest.mark.parametrize("name", ["../{SPLIT}", "/etc/passwd", "..", "{UNKNOWN}", "a\\b"])
def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = write_rlds(tmp_path / "set", STEPS, [[example(_features(2))]])
    info = json.loads((path / "dataset_info.json").read_text())
    info["splits"][0]["filepathTemplate"] = name
    (path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="expected a plain name in its folder"):
        open_source(path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("features.json", "{", "features.json is not JSON"),
        ("features.json", "[]", "features.json is a JSON list, expected an object"),
        ("features.json", "{}", "expected featuresDict with features"),
        ("features.json", '{"featuresDict": {"features": {}}}', "has no sequence 'steps': it is not an RLDS dataset"),
        ("features.json", "[" * 100_000, "features.json is not JSON"),
        ("dataset_info.json", '{"name": "tiny"}', "does not say name, splits and shardLengths: KeyError"),
        ("dataset_info.json", '{"fileFormat": "array_record"}', "files of format 'array_record', only tfrecord"),
    ],
)
def test_damaged_descriptions_are_named(tmp_path: Path, file: str, content: str, message: str) -> None:
    path = write_rlds(tmp_path / "set", STEPS, [[example(_features(2))]])
    (path / file).write_text(content)
    with pytest.raises(DataError, match=message):
        open_source(path)


def test_the_folder_above_the_versions_is_refused_with_their_names(tmp_path: Path) -> None:
    write_rlds(tmp_path / "tiny" / "1.0.0", STEPS, [[example(_features(2))]])
    with pytest.raises(DataError, match=r"its versions are 1\.0\.0: name one"):
        open_source(tmp_path / "tiny")


def test_what_has_no_fixed_shape_is_no_field(tmp_path: Path) -> None:
    tree = dictionary(
        action=tensor("float32", 1),
        ragged=tensor("float32", -1),
        zipped={"tensor": {"dtype": "float32", "encoding": "zlib", "shape": {"dimensions": ["2"]}}},
        sound={"audio": {}},
    )
    assert [*_one(tmp_path, {"steps/action": np.zeros(2, np.float32)}, tree).fields] == ["action"]

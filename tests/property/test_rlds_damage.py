"""Whatever the bytes, reading ends, and in nothing but a DataError."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import example as given_example
from hypothesis import strategies as st

from tests.foreign_sources import TEXT, delimited, dictionary, example, image, png, tensor, tfrecord, write_rlds
from vla.errors import DataError
from vla_datasets.exchange.rlds import open_source
from vla_datasets.exchange.tf_example import parse_example
from vla_datasets.exchange.tfrecord import count_records, masked_crc32c, read_records

NAMES = st.text(max_size=8)
VALUES = st.one_of(
    st.lists(st.binary(max_size=12), min_size=1, max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4).map(lambda x: np.array(x, np.float32)),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4).map(lambda x: np.array(x, np.int64)),
)
EXAMPLE = example({"steps/a": np.arange(6, dtype=np.float32), "steps/n": np.array([-1, 3]), "steps/t": ["x", "yz"]})


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_example_comes_back(features: dict[str, list[bytes] | np.ndarray]) -> None:
    parsed = parse_example(example(features), "here")
    assert parsed.keys() == features.keys()
    for name, values in features.items():
        np.testing.assert_array_equal(parsed[name], values)


@given(st.binary(max_size=200))
@given_example(delimited(1, delimited(1, delimited(2, delimited(3, b"\x0a\x01\x80")))))
def test_bytes_at_random_parse_or_are_refused(content: bytes) -> None:
    with contextlib.suppress(DataError):
        parse_example(content, "here")


@settings(max_examples=200)
@given(st.data())
def test_flipped_bits_of_an_example_parse_or_are_refused(data: st.DataObject) -> None:
    content = bytearray(EXAMPLE)
    for place in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=3)):
        content[place // 8] ^= 1 << place % 8
    with contextlib.suppress(DataError):
        parse_example(bytes(content[: data.draw(st.integers(1, len(content)))]), "here")


def test_every_single_flipped_bit_of_a_tfrecord_file_is_noticed(tmp_path: Path) -> None:
    good = tfrecord([b"first record", b"second"])
    for place in range(8 * len(good)):
        content = bytearray(good)
        content[place // 8] ^= 1 << place % 8
        (tmp_path / "records").write_bytes(content)
        assert _refuses(tmp_path / "records"), f"bit {place}"


def test_every_truncation_of_a_tfrecord_file_is_noticed(tmp_path: Path) -> None:
    records = [b"first record", b"second"]
    good = tfrecord(records)
    ends = {0, len(tfrecord(records[:1])), len(good)}
    for length in range(len(good)):
        (tmp_path / "records").write_bytes(good[:length])
        # Cut between two records it is whole: that it has too few of them, dataset_info.json tells.
        assert _refuses(tmp_path / "records") == (length not in ends)


@given(st.binary(max_size=100))
def test_bytes_at_random_are_no_tfrecord_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "records").write_bytes(content)
        assert _refuses(path) or not content
        with contextlib.suppress(DataError):
            count_records(path)


@settings(max_examples=100, phases=[Phase.generate])
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4))
def test_damage_inside_of_the_checksums_ends_in_an_episode_or_a_refusal(places: list[int]) -> None:
    """Whoever can write a file can write its checksums: the parsers are all that stands then."""
    content = bytearray(EPISODE)
    for place in places:
        content[place // 8 % len(content)] ^= 1 << place % 8
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(DataError):
        for episode in open_source(write_rlds(Path(folder) / "set", STEPS, [[bytes(content)]])):
            assert episode.images["observation/image"].shape[1:] == (8, 10, 3)


STEPS = dictionary(
    observation=dictionary(image=image(8, 10, 3), state=tensor("float32", 2)),
    action=tensor("float32", 3),
    is_last=tensor("bool"),
    language_instruction=TEXT,
)
EPISODE = example(
    {
        "steps/observation/image": [png(np.full((8, 10, 3), 40 * step, np.uint8)) for step in range(2)],
        "steps/observation/state": np.arange(4, dtype=np.float32),
        "steps/action": np.arange(6, dtype=np.float32),
        "steps/is_last": np.array([0, 1]),
        "steps/language_instruction": ["go", "go"],
    }
)


def _refuses(path: Path) -> bool:
    try:
        list(read_records(path))
    except DataError:
        return True
    return False


def test_the_two_checksums_of_these_tests_agree() -> None:
    assert tfrecord([b"x"])[8:12] == masked_crc32c(tfrecord([b"x"])[:8]).to_bytes(4, "little")

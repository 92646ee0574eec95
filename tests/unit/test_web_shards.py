from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError, DataError
from vla_datasets.web.pictures import PictureFormat, encode_picture
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shard_index import INDEX_FILE, SCAN_FILE
from vla_datasets.web.shard_samples import ShardFields, key_and_field
from vla_datasets.web.shards import ShardCorpus, begin_shards, write_shard, write_shards
from vla_datasets.web.tar_members import END, member_bytes


def _sample(number: int, images: int = 1) -> WebSample:
    generator = np.random.default_rng(number)
    pictures = tuple(generator.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(images))
    said = {"question": "what is é?", "answer": f"number {number}", "kind": "vqa", "licence": "CC0-1.0"}
    return WebSample(pictures, **said, source=f"made:{number}", scene=f"s{number // 2}", facts={"number": number})


_SAMPLES = [_sample(number, number % 3) for number in range(10)]


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _archive(path: Path, *files: tuple[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(member_bytes(*file) for file in files) + END)
    return path.parent


def _picture() -> bytes:
    return encode_picture(np.full((4, 5, 3), 90, np.uint8), PictureFormat.JPEG)


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert write_shards(_SAMPLES, tmp_path, 4) == 3
    corpus = ShardCorpus(tmp_path, name="made")
    corpus.verify()
    assert [len(shard.offsets) for shard in corpus.shards] == [4, 4, 2]
    for index in (9, 0, 4, 3):
        got, given = corpus[index], _SAMPLES[index]
        assert all(np.array_equal(a, b) for a, b in zip(got.images, given.images, strict=True))
        texts = ("question", "answer", "kind", "licence", "source", "scene", "facts")
        assert [getattr(got, name) for name in texts] == [getattr(given, name) for name in texts]


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path / "a", 4)
    write_shards(_SAMPLES, tmp_path / "b", 4)
    assert _bytes_of(tmp_path / "a") == _bytes_of(tmp_path / "b")


def test_shards_that_are_there_are_not_asked_for_again(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path / "whole", 4)
    begin_shards(_SAMPLES, tmp_path / "part", 4)
    write_shard(_SAMPLES, tmp_path / "part", 1, 4)
    with pytest.raises(DataError, match="not finished: 1 shards are written"):
        ShardCorpus(tmp_path / "part")
    assert write_shards(_SAMPLES, tmp_path / "part", 4) == 2
    assert write_shards(_SAMPLES, tmp_path / "part", 4) == 0
    assert _bytes_of(tmp_path / "part") == _bytes_of(tmp_path / "whole")


def test_other_samples_are_not_added_to_shards(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path, 4, identity="a")
    with pytest.raises(ConfigError, match="other samples: their identity is 'a', here it is 'b'"):
        write_shards(_SAMPLES, tmp_path, 4, identity="b")
    with pytest.raises(ConfigError, match="their samples_per_shard is 4, here it is 5"):
        write_shards(_SAMPLES, tmp_path, 5, identity="a")


def test_nothing_is_written_without_a_licence(tmp_path: Path) -> None:
    unlicensed = WebSample((), "two plus one", "three", "arithmetic", " ", "made:0")
    with pytest.raises(DataError, match="'made:0' has no licence"):
        write_shards([unlicensed], tmp_path)


def test_facts_that_are_not_json_are_refused(tmp_path: Path) -> None:
    odd = WebSample((), "q", "a", "vqa", "CC0-1.0", "made:0", facts={"x": float("nan")})
    with pytest.raises(DataError, match="facts that are not JSON values"):
        write_shards([odd], tmp_path)


def test_a_shard_that_is_short_altered_or_missing_is_named(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path, 4)
    path = tmp_path / "shard-000001.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:-700] + b"x" + whole[-699:])
    with pytest.raises(DataError, match=r"shard-000001\.tar is altered"):
        ShardCorpus(tmp_path).verify()
    path.write_bytes(whole[:-512])
    with pytest.raises(DataError, match=r"shard-000001\.tar has \d+ bytes, its index says \d+"):
        ShardCorpus(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"shard-000001\.tar is missing"):
        ShardCorpus(tmp_path)


def test_an_index_that_cannot_be_read_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path, 4)
    (tmp_path / INDEX_FILE).unlink()
    (tmp_path / INDEX_FILE).mkdir()
    with pytest.raises(DataError, match=r"index\.json cannot be read: Is a directory"):
        ShardCorpus(tmp_path)


def test_an_index_cannot_name_a_file_outside_of_its_folder(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path, 4)
    index = json.loads((tmp_path / INDEX_FILE).read_bytes())
    index["shards"][0]["file"] = "../shard-000000.tar"
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    with pytest.raises(DataError, match="a shard outside of its folder"):
        ShardCorpus(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("offsets", [0, 5, 3, 9]), ("bytes", "x"), ("samples", 3), ("stop", -1)])
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, name: str, value: object) -> None:
    write_shards(_SAMPLES, tmp_path, 4)
    index = json.loads((tmp_path / INDEX_FILE).read_bytes())
    index["shards"][0][name] = value
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        ShardCorpus(tmp_path)


def test_shards_without_an_index_are_scanned_once(tmp_path: Path) -> None:
    write_shards(_SAMPLES, tmp_path, 4)
    (tmp_path / INDEX_FILE).unlink()
    assert ShardCorpus(tmp_path)[9].answer == "number 9"
    kept = (tmp_path / SCAN_FILE).read_bytes()
    assert ShardCorpus(tmp_path)[9].answer == "number 9"
    assert (tmp_path / SCAN_FILE).read_bytes() == kept
    (tmp_path / "shard-000002.tar").unlink()
    assert len(ShardCorpus(tmp_path)) == 8


def test_shards_of_others_are_read_as_the_fields_say(tmp_path: Path) -> None:
    said = json.dumps({"caption": "a cup", "q": "what?"}).encode()
    folder = _archive(tmp_path / "x.tar", ("d/1.jpg", _picture()), ("d/1.json", said), ("d/1.txt", b" a mug\n"))
    sample = ShardCorpus(folder, ShardFields(answer="txt", licence="CC-BY-4.0"), name="x")[0]
    assert (sample.question, sample.answer, sample.licence) == ("caption en", "a mug", "CC-BY-4.0")
    assert (sample.source, sample.scene, sample.images[0].shape) == ("x:d/1", "x:d/1", (4, 5, 3))
    fields = ShardFields(answer="json:caption", question="json:q", licence="CC-BY-4.0", images=("png;jpg",))
    assert (ShardCorpus(folder, fields)[0].question, ShardCorpus(folder, fields)[0].answer) == ("what?", "a cup")


def test_what_the_fields_name_must_be_there(tmp_path: Path) -> None:
    folder = _archive(tmp_path / "x.tar", ("1.jpg", _picture()), ("1.json", b'{"caption": 3}'))
    with pytest.raises(DataError, match=r"x\.tar: 1 has no 'txt', only"):
        ShardCorpus(folder, ShardFields(answer="txt", licence="CC0-1.0"))[0]
    with pytest.raises(DataError, match=r"1\.json should have a text 'caption', it has 3"):
        ShardCorpus(folder, ShardFields(answer="json:caption", licence="CC0-1.0"))[0]
    with pytest.raises(DataError, match="should have a text 'question'"):
        ShardCorpus(folder)[0]
    with pytest.raises(ConfigError, match="licence= is empty"):
        ShardFields(answer="txt", licence="")
    with pytest.raises(ConfigError, match="name a key of it, json:KEY"):
        ShardFields(answer="json", licence="CC0-1.0")


@pytest.mark.parametrize("name", ["/etc/a.json", "../a.json", "a/../../b.json", "a\\b.json"])
def test_a_member_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = _archive(tmp_path / "x.tar", (name, b"{}"))
    with pytest.raises(DataError, match=r"x\.tar: member '.*' names a file outside"):
        ShardCorpus(folder)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "character device")],
)
def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    header = tarfile.TarInfo("a.json")
    header.type, header.linkname = kind, "/etc/passwd"
    (tmp_path / "x.tar").write_bytes(header.tobuf() + END)
    with pytest.raises(DataError, match=rf"x\.tar: member 'a\.json' is a {what}"):
        ShardCorpus(tmp_path)


def test_a_member_longer_than_the_archive_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.json")
    header.size = 1 << 34
    (tmp_path / "x.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + END)
    with pytest.raises(DataError, match=r"'a\.json' claims 17179869184 bytes, beyond the end"):
        ShardCorpus(tmp_path)


def test_archives_strung_together_are_refused(tmp_path: Path) -> None:
    whole = member_bytes("a.json", b"{}") + END
    (tmp_path / "x.tar").write_bytes(whole + whole)
    with pytest.raises(DataError, match="goes on after its end"):
        ShardCorpus(tmp_path)


def test_members_of_a_key_that_lie_apart_are_refused(tmp_path: Path) -> None:
    folder = _archive(tmp_path / "x.tar", ("a.jpg", _picture()), ("b.txt", b"b"), ("a.txt", b"a"))
    with pytest.raises(DataError, match="the members of 'a' lie apart"):
        ShardCorpus(folder)


def test_an_unknown_folder_is_read_from_what_gnu_tar_writes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        folder = tarfile.TarInfo("./d")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in ((f"./d/{'k' * 120}.jpg", _picture()), (f"./d/{'k' * 120}.txt", b"a cup")):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    (tmp_path / "x.tar").write_bytes(buffer.getvalue())
    corpus = ShardCorpus(tmp_path, ShardFields(answer="txt", licence="CC0-1.0"), name="x")
    assert (len(corpus), corpus[0].source) == (1, f"x:d/{'k' * 120}")


def test_a_key_ends_at_the_first_dot_of_the_file() -> None:
    assert key_and_field("a.b/c.0.png") == ("a.b/c", "0.png")

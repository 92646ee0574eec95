"""Archives of shards: ours read as tarfile reads them, and no damage is read as if it were none."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import DataError
from vla_datasets.web.tar_members import END, member_bytes, members, read_member

_NAMES = st.from_regex(r"[a-zé]{1,12}(/[a-zé]{1,60}){0,4}\.(json|png)", fullmatch=True)
_FILES = st.dictionaries(_NAMES, st.binary(max_size=1500), min_size=1, max_size=4)


def _read(content: bytes) -> list[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tar"
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            found = [(member.name, read_member(descriptor, member, "a.tar")) for member in members(descriptor, "a.tar")]
        finally:
            os.close(descriptor)
        return found


def _whole() -> bytes:
    files = {"a.0.png": bytes(range(256)) * 3, "a.json": b"{}", "b.json": b'{"x": 1}'}
    return b"".join(member_bytes(name, content) for name, content in files.items()) + END


@given(files=_FILES, kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_what_tarfile_writes_is_read_as_it_was_given(files: dict[str, bytes], kind: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size, header.mtime = len(content), 1.5
            try:
                archive.addfile(header, io.BytesIO(content))
            except ValueError:  # A name that is too long for the oldest format.
                return
    assert _read(buffer.getvalue()) == list(files.items())


@given(at=st.integers(0, len(_whole()) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_changes_content_alone_or_is_refused(at: int, bit: int) -> None:
    whole = _whole()
    damaged = bytearray(whole)
    damaged[at] ^= 1 << bit
    try:
        found = _read(bytes(damaged))
    except DataError:
        return
    # The checksum of a header covers all of it: what is left are contents and padding.
    assert [(name, len(content)) for name, content in found] == [(name, len(content)) for name, content in _read(whole)]


@given(length=st.integers(0, len(_whole()) - 1))
def test_an_archive_that_is_cut_off_anywhere_is_refused(length: int) -> None:
    with pytest.raises(DataError, match=r"a\.tar.*(cut off|beyond the end)"):
        _read(_whole()[:length])


@given(noise=st.binary(min_size=0, max_size=3000))
def test_noise_is_refused_with_our_own_error(noise: bytes) -> None:
    try:
        _read(noise)
    except DataError:
        return
    assert not noise.strip(b"\0")


@given(block=st.binary(min_size=512, max_size=512), kind=st.sampled_from(b"0gxL5SK7"))
def test_a_header_of_noise_with_a_right_checksum_is_read_or_refused(block: bytes, kind: int) -> None:
    made = bytearray(block)
    made[156] = kind
    made[124:136] = b"00000000777\0"
    made[148:156] = b" " * 8
    made[148:156] = b"%06o\0 " % sum(made)
    with contextlib.suppress(DataError):
        _read(bytes(made) + block + END)

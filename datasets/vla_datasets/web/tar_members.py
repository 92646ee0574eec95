"""The plain files in a tar archive, where each lies, and how one is written with the same bytes each time.

    [header 512][content, padded to 512] [header][content] ... [1024 zeros or more]

Nothing is unpacked: a member is an offset and a length. Links, devices, sparse files, names that leave the folder,
lengths beyond the file, headers whose checksum is wrong, and archives without their end are refused. The tarfile module
takes a header that it cannot read for the end of the archive, so that damage loses samples in silence.

Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block"; long names also as GNU tar writes them.
"""

from __future__ import annotations

import dataclasses
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vla.errors import DataError

BLOCK = 512
END = bytes(2 * BLOCK)
MAX_HEADER_BYTES = 1 << 16
"""Of an extended header: a name and a length are far shorter."""

_FILE_TYPES = b"0\0"
_FOLDER_TYPE = b"5"
_PAX_TYPE, _PAX_GLOBAL_TYPE, _LONG_NAME_TYPE = b"x", b"g", b"L"
_REFUSED_TYPES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"K": "a link with a long name",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


@dataclasses.dataclass(frozen=True)
class Member:
    """One plain file in an archive."""

    name: str
    """As a relative path; a leading `./` is dropped."""
    header: int
    """Byte at which its headers begin."""
    offset: int
    """Byte at which its content begins."""
    size: int
    """Bytes of content."""


def members(descriptor: int, where: str, start: int = 0, stop: int | None = None) -> Iterator[Member]:
    """The plain files whose headers begin in `start..stop`, in order; folders are passed over.

    Args:
        descriptor: of the archive, open for reading; its position is neither used nor changed.
        where: the archive's name, for errors.
        start: a byte at which a header begins.
        stop: one too; `None` for the end, and then the archive must end as archives do.

    Raises:
        DataError: naming the archive and the member.
    """
    length = os.fstat(descriptor).st_size
    at, name, size, begin = start, "", -1, start
    while stop is None or at < stop:
        block = os.pread(descriptor, BLOCK, at)
        if len(block) < BLOCK:
            raise DataError(f"{where} is cut off at byte {length}: an archive ends with {len(END)} zeros")
        if not block.strip(b"\0"):
            _check_end(descriptor, where, at, length)
            return
        _check_sum(block, where, at)
        kind = block[156:157]
        declared = _number(block[124:136], where, at)
        extended = kind in (_PAX_TYPE, _PAX_GLOBAL_TYPE, _LONG_NAME_TYPE)
        own_name = name or _name_of(block, where, at)
        own_size = declared if extended or size < 0 else size
        _check_kind(kind, where, own_name)
        if at + BLOCK + own_size > length:
            raise DataError(f"{where}: member '{own_name}' claims {own_size} bytes, beyond the end of the archive")
        if extended:
            content = _extension(descriptor, at + BLOCK, own_size, where)
            long_name, long_size = _read_extension(kind, content, where, at)
            name, size = long_name or name, size if long_size is None else long_size
        else:
            safe = _safe_name(own_name, where)
            if kind != _FOLDER_TYPE:
                yield Member(safe, begin, at + BLOCK, own_size)
            name, size = "", -1
        at += BLOCK + _padded(own_size)
        begin = begin if extended else at
    if at != stop:
        raise DataError(f"{where} has no header at byte {stop}, where its index says: delete the index")


def read_member(descriptor: int, member: Member, where: str) -> bytes:
    """The content of one member.

    Raises:
        DataError: if the archive is shorter than when it was listed.
    """
    content = os.pread(descriptor, member.size, member.offset)
    if len(content) != member.size:
        raise DataError(f"{where}: member '{member.name}' is cut off: {len(content)} of {member.size} bytes are there")
    return content


def member_bytes(name: str, content: bytes) -> bytes:
    """The header and padded content of one plain file: owner 0, time 0, mode 0644, so equal files give equal bytes.

    Args:
        name: at most 100 bytes.
    """
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(_padded(len(content)) - len(content))


# --------------------------------------------------------------------------- headers


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _check_sum(block: bytes, where: str, at: int) -> None:
    expected = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if _number(block[148:156], where, at) != expected:
        raise DataError(f"{where} is damaged: the header at byte {at} does not have the checksum that it states")


def _check_end(descriptor: int, where: str, at: int, length: int) -> None:
    if length - at < len(END):
        raise DataError(f"{where} is cut off at byte {length}: an archive ends with {len(END)} zeros")
    while content := os.pread(descriptor, 1 << 20, at):
        if content.strip(b"\0"):
            raise DataError(f"{where} goes on after its end, near byte {at}: archives strung together are not read")
        at += len(content)


def _check_kind(kind: bytes, where: str, name: str) -> None:
    if kind in _REFUSED_TYPES:
        raise DataError(f"{where}: member '{name}' is {_REFUSED_TYPES[kind]}; only plain files are read")
    known = (*(bytes([kind]) for kind in _FILE_TYPES), _FOLDER_TYPE, _PAX_TYPE, _PAX_GLOBAL_TYPE, _LONG_NAME_TYPE)
    if kind not in known:
        raise DataError(f"{where}: member '{name}' is of the unknown type {kind!r}; only plain files are read")


def _safe_name(name: str, where: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise DataError(f"{where}: member '{name}' names a file outside of the archive's folder")
    return str(path)


def _number(field: bytes, where: str, at: int) -> int:
    """An octal number, or a binary one as GNU tar writes those that are too long."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:])
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise DataError(f"{where} is damaged: the header at byte {at} has {field!r} for a number")
    return int(digits, 8)


def _name_of(block: bytes, where: str, at: int) -> str:
    # GNU tar writes "ustar  " and keeps times where the prefix of a POSIX name would be.
    prefix = block[345:500] if block[257:263] == b"ustar\0" else b""
    parts = [_text(part.partition(b"\0")[0], where, at) for part in (prefix, block[:100])]
    return "/".join(part for part in parts if part)


def _text(content: bytes, where: str, at: int) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise DataError(f"{where}: the header at byte {at} has a name that is not UTF-8: {content[:40]!r}") from None


# --------------------------------------------------------------------------- extended headers


def _extension(descriptor: int, offset: int, size: int, where: str) -> bytes:
    if size > MAX_HEADER_BYTES:
        raise DataError(f"{where} has an extended header of {size} bytes at byte {offset}, at most {MAX_HEADER_BYTES}")
    return os.pread(descriptor, size, offset)


def _read_extension(kind: bytes, content: bytes, where: str, at: int) -> tuple[str, int | None]:
    """The name and the length that an extended header gives to the next file, where it does."""
    if kind == _LONG_NAME_TYPE:
        return _text(content.rstrip(b"\0"), where, at), None
    records = dict(_records(content, where, at))
    if sparse := [key for key in records if key.startswith("GNU.sparse")]:
        raise DataError(f"{where}: the header at byte {at} has {sparse[0]}: sparse files are not read")
    if kind == _PAX_GLOBAL_TYPE:
        if shared := records.keys() & {"path", "size"}:
            raise DataError(f"{where}: the header at byte {at} gives every member the same {min(shared)}")
        return "", None
    size = records.get("size")
    if size is not None and not (size.isascii() and size.isdigit() and len(size) < 20):
        raise DataError(f"{where}: the header at byte {at} gives the size '{size[:40]}'")
    return records.get("path", ""), None if size is None else int(size)


def _records(content: bytes, where: str, at: int) -> Iterator[tuple[str, str]]:
    """`<length> <key>=<value>` and a newline, where the length counts all of it."""
    begin = 0
    while begin < len(content):
        digits, space, _ = content[begin : begin + 20].partition(b" ")
        stop = begin + int(digits) if space and digits.isdigit() else 0
        key, equals, value = content[begin + len(digits) + 1 : stop].partition(b"=")
        if stop > len(content) or not equals or not value.endswith(b"\n"):
            raise DataError(f"{where} is damaged: the extended header at byte {at} cannot be read")
        yield _text(key, where, at), _text(value[:-1], where, at)
        begin = stop


def open_for_reading(path: Path) -> int:
    """A descriptor of a file; the caller closes it.

    Raises:
        DataError: if it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDONLY)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None

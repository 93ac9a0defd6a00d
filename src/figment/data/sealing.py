"""The data room: a folder sealed into one encrypted file, and opened again, with nothing of it changed or missing.

    FILE = "figseal1", length of the header (4 bytes), header (JSON), sealed chunks
    the chunks hold a tar of the folder's files, without the cache, which can be made again

Every chunk is AES-256-GCM. Its nonce is a random prefix, its number, and whether it is the last; the header's digest is
authenticated with it. So chunks that are changed, reordered, repeated, left out or cut off are refused (the STREAM
construction of Hoang, Reyhanitabar, Rogaway, Vizar 2015, "Online authenticated-encryption and its nonce-reuse
misuse-resistance", section 7). A file has a key of its own, which the passphrase, key file or public key locks away.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from figment.core.durable import make_folder, sync_folder
from figment.core.errors import DataError
from figment.data.disk import disk_errors
from figment.data.keys import Lock
from figment.data.members import refusal_of_name

MAGIC = b"figseal1"
CHUNK_BYTES = 1 << 20
_TAG_BYTES = 16
_PREFIX_BYTES = 7
_MAX_HEADER_BYTES = 1 << 16
_LEFT_OUT = ("cache",)


def seal(folder: Path, out: Path, lock: Lock) -> int:
    """Encrypt a folder into the file `out`, which must be new; the number of files in it.

    Raises DataError where `out` is there already or lies within the folder, and MissingExtra without `cryptography`.
    """
    if out.exists():
        raise DataError(f"{out}: is there already; give --out a new file")
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{out}: lies within {folder}, which it is to hold; give --out a file beside it")
    key = os.urandom(32)
    prefix = os.urandom(_PREFIX_BYTES)
    header = json.dumps({"lock": lock.close(key), "prefix": prefix.hex(), "chunk": CHUNK_BYTES}).encode()
    fresh = out.with_name(out.name + ".tmp")
    with disk_errors(out):
        make_folder(out.parent)
        try:
            with fresh.open("wb") as file:
                file.write(MAGIC + struct.pack(">I", len(header)) + header)
                writer = _Writer(file, key, prefix, hashlib.sha256(header).digest())
                number = _pack(folder, writer)
                writer.finish()
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(out)
            sync_folder(out.parent)
        finally:
            fresh.unlink(missing_ok=True)
    return number


def is_sealed(path: Path) -> bool:
    """Whether a path is a file that begins as a sealed one does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_sealed(path: Path, lock: Lock, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The content of the files whose names are wanted, by name, all of it verified; nothing is written anywhere.

    Raises what `open_sealed` raises.
    """
    with disk_errors(path), _tar_errors(path), path.open("rb") as file:
        return {name: content.read() for name, content in _files(path, file, lock) if wanted(name)}


def open_sealed(path: Path, out: Path, lock: Lock) -> int:
    """Decrypt a sealed file into the folder `out`, which must be new or empty; the number of files in it.

    The folder appears when all has been verified. Raises DataError for a file that is none, for another key, and for
    one that was changed or cut off; MissingExtra without `cryptography`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; give --out a new folder")
    fresh = out.with_name(out.name + ".tmp")
    number = 0
    with disk_errors(out), _tar_errors(path), path.open("rb") as file:
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            for name, content in _files(path, file, lock):
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                with (fresh / name).open("wb") as copy:
                    shutil.copyfileobj(content, copy, CHUNK_BYTES)
                number += 1
            if out.exists():
                out.rmdir()
            fresh.replace(out)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return number


class _Writer(io.RawIOBase):
    """A file to write plain bytes to, which come out as sealed chunks."""

    def __init__(self, file: BinaryIO, key: bytes, prefix: bytes, digest: bytes):
        super().__init__()
        self._file, self._prefix, self._digest = file, prefix, digest
        self._cipher = _cipher(key)
        self._waiting = bytearray()
        self._number = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:  # more than one, so that the last is never empty but of an empty file
            self._emit(bytes(self._waiting[:CHUNK_BYTES]), is_last=False)
            del self._waiting[:CHUNK_BYTES]
        return len(data)

    def finish(self) -> None:
        self._emit(bytes(self._waiting), is_last=True)

    def _emit(self, plain: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, is_last)
        self._file.write(self._cipher.encrypt(nonce, plain, self._digest))
        self._number += 1


class _Reader(io.RawIOBase):
    """Verified chunks as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]):
        super().__init__()
        self._chunks, self._waiting = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._waiting = memoryview(chunk)
        number = min(len(buffer), len(self._waiting))
        buffer[:number] = self._waiting[:number]
        self._waiting = self._waiting[number:]
        return number


def _header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """What the header says, and its digest."""
    start = file.read(len(MAGIC) + 4)
    if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 4:
        raise DataError(f"{path}: is no sealed file; give one that 'figment data seal' has made")
    length = struct.unpack(">I", start[len(MAGIC) :])[0]
    content = file.read(min(length, _MAX_HEADER_BYTES))
    try:
        header = json.loads(content)
        is_whole = len(content) == length and len(bytes.fromhex(header["prefix"])) == _PREFIX_BYTES
        if not is_whole or header["chunk"] != CHUNK_BYTES or not isinstance(header["lock"], dict):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(_damaged(path)) from None
    return header, hashlib.sha256(content).digest()


def _opened(path: Path, file: BinaryIO, key: bytes, prefix: bytes, digest: bytes, size: int) -> Iterator[bytes]:
    """The plain chunks, each verified before it is given away, up to the one that says that it is the last."""
    from cryptography.exceptions import InvalidTag

    cipher = _cipher(key)
    sealed, number = file.read(size + _TAG_BYTES), 0
    while True:
        following = file.read(size + _TAG_BYTES)
        try:
            plain = cipher.decrypt(_nonce(prefix, number, not following), sealed, digest)
        except (InvalidTag, ValueError):
            raise DataError(_damaged(path)) from None
        yield plain
        if not following:
            return
        sealed, number = following, number + 1


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _nonce(prefix: bytes, number: int, is_last: bool) -> bytes:
    return prefix + struct.pack(">IB", number, is_last)


@contextmanager
def _tar_errors(path: Path) -> Iterator[None]:
    """Whoever has the key may seal what is no tar of figment's."""
    try:
        yield
    except tarfile.TarError as error:
        raise DataError(f"{path}: holds no folder ({error}); it was not made by figment") from None


def _damaged(path: Path) -> str:
    return f"{path}: was changed or cut off, and is not opened; fetch or seal it again"


def _pack(folder: Path, file: Any) -> int:
    """Write the folder's files as a tar, in the order of their names, without owners and times."""
    number = 0
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or name.split("/")[0] in _LEFT_OUT:
                continue
            member = tarfile.TarInfo(name)
            with path.open("rb") as content:
                member.size = os.fstat(content.fileno()).st_size
                archive.addfile(member, content)
            number += 1
    return number


def _files(path: Path, file: BinaryIO, lock: Lock) -> Iterator[tuple[str, IO[bytes]]]:
    """Every file with its name, and then the very end, because what was cut off is noticed there."""
    header, digest = _header(path, file)
    key = lock.open(header["lock"], path)
    chunks = _opened(path, file, key, bytes.fromhex(header["prefix"]), digest, header["chunk"])
    with tarfile.open(fileobj=io.BufferedReader(_Reader(chunks)), mode="r|") as archive:
        for member in archive:
            # A sparse file, small as it comes, unpacks to any size.
            content = archive.extractfile(member) if member.isfile() and not member.issparse() else None
            if content is None or refusal_of_name(member.name) is not None or "\0" in member.name:
                raise DataError(f"{path}: holds {member.name!r}, which is no plain file; it was not made by figment")
            yield member.name, content
    for _ in chunks:
        pass

"""Sealed datasets: what goes in comes out, and whoever changes a byte, or has another key, gets nothing."""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from figment.core.errors import DataError
from figment.data import keys, sealing
from figment.data.keys import KeyFile, Passphrase, PublicKey
from figment.data.sealing import CHUNK_BYTES, MAGIC, open_sealed, seal
from tests.commands import contents, done, figment
from tests.pictures import classes, write_folder

SEALED_CHUNK = CHUNK_BYTES + 16


@pytest.fixture
def cheap(monkeypatch):
    """Argon2id at its least cost: what it costs is tested by itself."""
    monkeypatch.setattr(keys, "_ARGON", {"iterations": 1, "lanes": 1, "memory_kib": 64})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path, KeyFile]:
    """A folder of three chunks and a bit, sealed: (folder, file, lock)."""
    root = tmp_path_factory.mktemp("sealed")
    folder = write_folder(root / "data", {"a/x.bin": os.urandom(3 * CHUNK_BYTES), "empty": b"", "b.txt": b"hello"})
    lock = KeyFile(root / "key")
    assert seal(folder, root / "data.sealed", lock) == 3
    return folder, root / "data.sealed", lock


def split(content: bytes) -> tuple[bytes, list[bytes]]:
    """(magic and header, sealed chunks)"""
    start = len(MAGIC) + 4 + struct.unpack(">I", content[len(MAGIC) : len(MAGIC) + 4])[0]
    return content[:start], [content[at : at + SEALED_CHUNK] for at in range(start, len(content), SEALED_CHUNK)]


def refused(
    path: Path, content: bytes, lock: keys.Lock, match: str = "was changed or cut off|locked with another"
) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=match):
        open_sealed(path, path.with_name("out"), lock)
    assert not path.with_name("out").exists() and not path.with_name("out.tmp").exists()


def test_what_is_sealed_is_opened(made, tmp_path):
    folder, sealed, lock = made
    assert open_sealed(sealed, tmp_path / "out", lock) == 3
    assert contents(tmp_path / "out") == contents(folder)
    assert b"hello" not in sealed.read_bytes() and b"b.txt" not in sealed.read_bytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.sampled_from([0, 1, 511, 512, 10_240, CHUNK_BYTES - 1024, CHUNK_BYTES, CHUNK_BYTES + 1]))
def test_any_size_comes_back(data, size, tmp_path_factory):
    root = tmp_path_factory.mktemp("size")
    size = max(0, size + data.draw(st.integers(-2, 2)))
    folder = write_folder(root / "data", {"x": os.urandom(size)})
    seal(folder, root / "sealed", KeyFile(root / "key"))
    open_sealed(root / "sealed", root / "out", KeyFile(root / "key"))
    assert contents(root / "out") == contents(folder)


def test_every_flipped_bit_is_noticed(made, tmp_path):
    _, sealed, lock = made
    content = sealed.read_bytes()
    header, _ = split(content)
    random = __import__("random").Random(0)
    places = [*range(0, len(header), 7), len(header), len(content) - 1]
    places += [random.randrange(len(header), len(content)) for _ in range(20)]
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << random.randrange(8)
        refused(tmp_path / "sealed", bytes(changed), lock, match="sealed")


def test_a_cut_is_noticed_wherever_it_is(made, tmp_path):
    _, sealed, lock = made
    header, chunks = split(sealed.read_bytes())
    for number in range(len(chunks)):  # at the borders of chunks, where no chunk is damaged
        refused(tmp_path / "sealed", header + b"".join(chunks[:number]), lock)
    for length in (len(header) - 1, len(header) + 5, len(header) + SEALED_CHUNK + 100):
        refused(tmp_path / "sealed", sealed.read_bytes()[:length], lock)
    refused(tmp_path / "sealed", sealed.read_bytes() + b"\0", lock)


def test_chunks_out_of_order_are_noticed(made, tmp_path):
    _, sealed, lock = made
    header, chunks = split(sealed.read_bytes())
    orders: list[Callable[[list[bytes]], list[bytes]]] = [
        lambda c: [c[1], c[0], *c[2:]],
        lambda c: [c[0], c[0], *c[1:]],
        lambda c: [c[0], *c[2:]],
        lambda c: c[1:],
        lambda c: [*c, c[-1]],
        lambda c: c[::-1],
    ]
    for order in orders:
        refused(tmp_path / "sealed", header + b"".join(order(chunks)), lock)


def test_chunks_of_another_file_are_noticed(made, tmp_path):
    folder, sealed, lock = made
    seal(folder, tmp_path / "other", lock)
    header, chunks = split(sealed.read_bytes())
    _, others = split((tmp_path / "other").read_bytes())
    refused(tmp_path / "sealed", header + others[0] + b"".join(chunks[1:]), lock)
    assert others != chunks  # the same folder, and yet another key and nonce


def test_another_key_opens_nothing(made, tmp_path, cheap):
    _, sealed, _ = made
    (tmp_path / "key").write_bytes(os.urandom(32))
    refused(tmp_path / "sealed", sealed.read_bytes(), KeyFile(tmp_path / "key"), match="locked with another key")
    refused(tmp_path / "sealed", sealed.read_bytes(), Passphrase("x"), match="was sealed with a key file: give --key")


def test_a_passphrase_opens_and_another_does_not(tmp_path, cheap):
    folder = write_folder(tmp_path / "data", {"x": b"hello"})
    seal(folder, tmp_path / "sealed", Passphrase("correct horse"))
    open_sealed(tmp_path / "sealed", tmp_path / "opened", Passphrase("correct horse"))
    assert contents(tmp_path / "opened") == contents(folder)
    refused(tmp_path / "copy", (tmp_path / "sealed").read_bytes(), Passphrase("correct hors"))


def test_a_passphrase_costs_64_megabytes_and_a_strangers_file_cannot_ask_for_more(tmp_path):
    header = Passphrase("x").close(bytes(32))
    assert (header["iterations"], header["memory_kib"]) == (3, 65536)
    for name, value in (("memory_kib", 1 << 30), ("iterations", 10**6), ("lanes", 0)):
        with pytest.raises(DataError, match="locked with another key"):
            Passphrase("x").open({**header, name: value}, tmp_path)


def test_a_file_for_a_public_key_is_opened_by_its_private_half_alone(tmp_path):
    folder = write_folder(tmp_path / "data", {"x": b"hello"})
    for name in ("alice", "bob"):
        private = rsa.generate_private_key(65537, 2048)
        (tmp_path / f"{name}.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / f"{name}-public.pem").write_bytes(public)
    done("data", "seal", folder, "--out", tmp_path / "sealed", "--to", tmp_path / "alice-public.pem")
    done("data", "open", tmp_path / "sealed", "--out", tmp_path / "opened", "--key", tmp_path / "alice.pem")
    assert contents(tmp_path / "opened") == contents(folder)
    content = (tmp_path / "sealed").read_bytes()
    refused(tmp_path / "copy", content, PublicKey(tmp_path / "bob.pem"))
    refused(tmp_path / "copy", content, PublicKey(tmp_path / "alice-public.pem"), match="is no private RSA key")


def test_a_key_that_cannot_wrap_is_refused(tmp_path):
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec.pem").write_bytes(curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "no.pem").write_bytes(b"hello")
    for name in ("ec.pem", "no.pem"):
        with pytest.raises(DataError, match="is no public RSA key of 2048 bits; give --to a PUBLIC"):
            PublicKey(tmp_path / name).close(bytes(32))


def test_a_dataset_is_sealed_without_its_cache_and_opened_by_the_command_line(tmp_path, monkeypatch, cheap):
    write_folder(tmp_path / "pictures", classes(3))
    done("data", "build", tmp_path / "pictures", "--out", tmp_path / "data")
    write_folder(tmp_path / "data/cache", {"x.uint8": b"pixels"})
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    done("data", "seal", tmp_path / "data", "--out", tmp_path / "sealed")
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    done("data", "open", tmp_path / "sealed", "--out", tmp_path / "opened")
    assert contents(tmp_path / "opened") == contents(tmp_path / "data", without=["cache"])
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    said = figment("data", "seal", tmp_path / "data", "--out", tmp_path / "again").complaint
    assert said == "no passphrase was given; type one, or give --key FILE"


def test_a_key_file_is_made_for_its_owner_alone_and_never_among_the_data(tmp_path):
    folder = write_folder(tmp_path / "data", {"x": b"hello"})
    done("data", "seal", folder, "--out", tmp_path / "sealed", "--key", tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    said = figment("data", "seal", folder, "--out", tmp_path / "again", "--key", folder / "key").complaint
    assert "would be sealed in with the data" in said
    assert "is there already" in figment("data", "seal", folder, "--out", tmp_path / "sealed", "--key", "k").complaint


def test_what_is_no_sealed_file_is_said_to_be_none(tmp_path, made):
    refused(tmp_path / "sealed", b"PK\x03\x04 hello", made[2], match="is no sealed file")
    refused(tmp_path / "sealed", MAGIC + b"\xff\xff\xff\xff{}", made[2])


def test_a_file_that_leads_out_of_its_folder_is_not_written(tmp_path, made, monkeypatch):
    """Even one that was sealed with the right key."""

    def pack(folder, file):
        import tarfile

        with tarfile.open(fileobj=file, mode="w|") as archive:
            member = tarfile.TarInfo("../evil")
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
        return 1

    monkeypatch.setattr(sealing, "_pack", pack)
    seal(write_folder(tmp_path / "data", {"x": b""}), tmp_path / "evil.sealed", made[2])
    refused(tmp_path / "copy", (tmp_path / "evil.sealed").read_bytes(), made[2], match="is no plain file")
    assert not (tmp_path / "evil").exists()

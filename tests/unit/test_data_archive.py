"""Archives: the same pictures as a folder, and none of the harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest

from figment.core.errors import DataError
from figment.core.types import Record, Rejected
from figment.data import members, tars, zips
from figment.data.sources import archive, folder
from tests.pictures import classes, png, write_folder, write_tar, write_zip

FILES = {f"train/{name}": content for name, content in classes(2).items()} | {
    "test/cat/0.png": png(7),
    "README.txt": b"",
}


def read(path) -> list[Record | Rejected]:
    return list(archive.records(archive.Config(str(path))))


def reasons(path) -> dict[str, str]:
    return {record.key: record.reason for record in read(path) if isinstance(record, Rejected)}


def facts(records) -> set:
    return {(record.key, record.split, record.label, record.image) for record in records}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_a_tar_gives_what_the_folder_gives(tmp_path, name):
    root = write_folder(tmp_path / "root", FILES)
    path = write_tar(tmp_path / name, FILES)
    assert facts(read(path)) == facts(folder.records(folder.Config(str(root))))
    assert archive.count(archive.Config(str(path))) is None


def test_a_zip_gives_what_the_folder_gives_in_the_same_order(tmp_path):
    root = write_folder(tmp_path / "root", FILES)
    path = write_zip(tmp_path / "a.zip", dict(reversed(FILES.items())))
    given = [(record.key, record.image) for record in read(path)]
    assert given == [(record.key, record.image) for record in folder.records(folder.Config(str(root)))]
    assert archive.count(archive.Config(str(path))) == len(given) == 5


def test_a_root_folder_changes_neither_split_nor_class(tmp_path):
    files = {f"./faces/{name}": content for name, content in FILES.items()}
    for path in (write_tar(tmp_path / "a.tar", files), write_zip(tmp_path / "a.zip", files)):
        assert {(record.split, record.label) for record in read(path)} == {
            ("train", "cat"),
            ("train", "dog"),
            ("test", "cat"),
        }


def test_content_decides_what_an_archive_is(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    path = path.rename(tmp_path / "a.tar.gz")
    assert len(read(path)) == 5


def test_backslashes_of_old_windows_tools_are_folders(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"train\\cat\\1.png": png(1)})
    (record,) = read(path)
    assert (record.key, record.split, record.label) == ("train/cat/1.png", "train", "cat")


def test_a_tar_of_the_oldest_kind_is_known(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"1.png": png(1)})
    content = bytearray(path.read_bytes())
    content[257:265] = bytes(8)  # no magic
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    path.write_bytes(content)
    assert [record.key for record in read(path)] == ["1.png"]


# Hostile members.


def test_paths_that_lead_out_are_refused(tmp_path):
    files = {"/etc/1.png": png(1), "a/../../2.png": png(2), "C:\\3.png": png(3), "../passwd": b"", "ok.png": png(4)}
    out = "its path leads out of the archive by '..'"
    expected = {"/etc/1.png": "its path is absolute", "a/../../2.png": out, "../passwd": out}
    path = write_zip(tmp_path / "a.zip", files)
    assert reasons(path) == {**expected, "C:/3.png": "its path is absolute"}
    assert archive.count(archive.Config(str(path))) == len(read(path)) == 5
    assert reasons(write_tar(tmp_path / "a.tar", files)) == {**expected, "C:\\3.png": "its path is absolute"}


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = write_tar(tmp_path / "a.tar", {"1.png": special("1.png", kind), "2.png": png(2)})
    assert reasons(path) == {"1.png": "is a link, a device or a sparse file, not a plain one"}
    assert len(read(path)) == 2


def test_links_in_a_zip_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        link = zipfile.ZipInfo("1.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    assert reasons(path) == {"1.png": "is a link or a device, not a file"}


def test_an_encrypted_member_is_refused_with_what_to_do(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.png": png(1)})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # flags in the member's own header
    content[content.index(b"PK\x01\x02") + 8] |= 1  # and in the table of contents
    path.write_bytes(content)
    assert reasons(path) == {"1.png": "is encrypted; unpack the archive with its password and give the folder"}


def test_large_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_MEMBER_BYTES", 2**20)
    files = {"1.png": os.urandom(2**20 + 1), "2.png": png(2)}
    for path in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tar.gz", files)):
        assert reasons(path) == {"1.png": "larger than 1 MiB"}


def test_a_zip_member_that_unpacks_like_a_bomb_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.png": bytes(2**23), "2.png": png(2)})
    assert reasons(path) == {"1.png": "unpacks to more than 500 times its size, like an archive bomb"}


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_a_tar_that_unpacks_like_a_bomb_is_not_read_further(tmp_path, name, monkeypatch):
    monkeypatch.setattr(tars, "RATIO_FROM_BYTES", 2**20)
    path = write_tar(tmp_path / name, {"1.png": png(1), "filler.bin": bytes(2**24), "2.png": png(2)})
    with pytest.raises(DataError, match=f"{name}: unpacks to far more than pictures do, like an archive bomb; refused"):
        read(path)


def test_a_tar_header_may_not_be_endless(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "MAX_HEADER_BYTES", 2**16)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as file:
        member = tarfile.TarInfo("1.png")
        member.pax_headers = {"comment": os.urandom(2**17).hex()}
        file.addfile(member)
    with pytest.raises(DataError, match="like an archive bomb"):
        read(path)


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    for module in (tars, zips):
        monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    with pytest.raises(DataError, match=r"a.zip: holds more than 3 members; split it into several archives"):
        read(write_zip(tmp_path / "a.zip", FILES))
    with pytest.raises(DataError, match=r"a.tar: holds more than 3 members; split it into several"):
        read(write_tar(tmp_path / "a.tar", FILES))


# Damage.


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
def test_a_tar_that_ends_in_the_middle_is_an_error(tmp_path, name):
    path = write_tar(tmp_path / name, {f"{place}.png": os.urandom(3000) for place in range(40)})
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(DataError, match=rf"{name}: is damaged after member \d+ .*; download or pack it again"):
        read(path)


def test_a_damaged_header_in_the_middle_of_a_tar_is_an_error(tmp_path):
    path = write_tar(tmp_path / "a.tar", {f"{place}.png": png(place) for place in range(4)})
    content = bytearray(path.read_bytes())
    content[content.index(b"2.png") + 150] ^= 0xFF  # in the checksum
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tar: is damaged after member 2"):
        read(path)


def test_a_damaged_zip_member_is_refused_alone(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("1.png", png(1))
        file.writestr("2.png", png(2))
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)
    assert reasons(path) == {"1.png": "cannot be unpacked: Bad CRC-32 for file '1.png'"}
    assert len(read(path)) == 2


def test_a_zip_that_ends_in_the_middle_is_an_error(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.zip: is damaged .*; download or pack it again"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"<!DOCTYPE html><title>Quota exceeded",
            "is a web page, not an archive: the download was refused; fetch it again",
        ),
        (b"hello", "is not an archive that figment reads; give one of .zip, .tar, .tar.gz"),
        (b"", "is not an archive that figment reads"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path, content, message):
    path = tmp_path / "faces.zip"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_an_archive_without_pictures_is_an_error(tmp_path, name):
    write = write_zip if name == "a.zip" else write_tar
    with pytest.raises(DataError, match=f"{name}: no pictures in it; give an archive of .jpg"):
        read(write(tmp_path / name, {"notes.txt": b"hello"}))


def test_an_empty_packed_file_is_an_error(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match=r"a\.tar\.gz: is damaged after member 0"):
        read(path)


def test_reading_can_stop_early_without_a_warning(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", FILES), write_tar(tmp_path / "a.tar.xz", FILES)):
        records = archive.records(archive.Config(str(path)))
        assert isinstance(next(records), Record)
        records.close()


def test_names_that_are_not_utf8_get_keys_that_are(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as file:
        member = tarfile.TarInfo("caf\xe9.png")
        member.size = len(png(1))
        file.addfile(member, io.BytesIO(png(1)))
    assert [record.key for record in read(path)] == ["caf\\xe9.png"]

"""Files that are damaged, cut off, or made to do harm: the build ends, in bounded memory, and loses no good picture.

Made from valid files of every format that is allowed, by mutations that are drawn from a seed; and by hand: bombs,
files that are two things at once, links, pipes, and archives that lead out of themselves.

FIGMENT_HOSTILE=10000 python -m pytest tests/e2e/test_hostile.py      the long form, some minutes
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figment.data.store import Store
from tests.pictures import encode, pixels, write_folder, write_tar

NUMBER = int(os.environ.get("FIGMENT_HOSTILE", "300"))
IS_LONG = NUMBER > 1000
MEMORY = 3 << 30  # bytes of address space, for the build and for each process that it starts
SECONDS = 60 + NUMBER / 20

GOOD = 40
KINDS: dict[str, Callable[[np.ndarray], bytes]] = {
    "baseline.jpg": lambda p: encode(p, "JPEG", quality=90),
    "progressive.jpg": lambda p: encode(p, "JPEG", quality=80, progressive=True),
    "grey.jpg": lambda p: encode(p[..., :1], "JPEG"),
    "cmyk.jpg": lambda p: encode(Image.fromarray(p).convert("CMYK"), "JPEG"),
    "rgb.png": encode,
    "grey.png": lambda p: encode(p[..., :1]),
    "palette.png": lambda p: encode(Image.fromarray(p).quantize(64)),
    "deep.png": lambda p: encode(Image.fromarray(p[..., 0].astype(np.uint16) * 257)),
    "alpha.png": lambda p: encode(Image.fromarray(p).convert("RGBA")),
    "lossy.webp": lambda p: encode(p, "WEBP"),
    "lossless.webp": lambda p: encode(p, "WEBP", lossless=True),
    "one.gif": lambda p: encode(Image.fromarray(p).quantize(64), "GIF"),
    "plain.bmp": lambda p: encode(p, "BMP"),
    "raw.tif": lambda p: encode(p, "TIFF"),
    "packed.tif": lambda p: encode(p, "TIFF", compression="tiff_deflate"),
}


# mutations


def cut(content: bytes, choose: random.Random) -> bytes:
    return content[: choose.randrange(len(content))]


def flip(content: bytes, choose: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(choose.choice((1, 3, 30))):
        data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    return bytes(data)


def flip_head(content: bytes, choose: random.Random) -> bytes:
    """Where sizes, depths and offsets stand."""
    data = bytearray(content)
    for _ in range(choose.choice((1, 2, 4))):
        data[choose.randrange(min(64, len(data)))] = choose.choice((0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)))
    return bytes(data)


def zero(content: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(content))
    length = choose.choice((1, 16, 64, 256))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def drop(content: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(content))
    return content[:start] + content[start + choose.choice((1, 7, 100)) :]


def repeat(content: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(content))
    part = content[start : start + choose.choice((4, 64, 512))]
    return content[:start] + part * choose.choice((2, 5)) + content[start:]


def insert(content: bytes, choose: random.Random) -> bytes:
    start = choose.randrange(len(content))
    return content[:start] + choose.randbytes(choose.choice((1, 8, 200))) + content[start:]


def append(content: bytes, choose: random.Random) -> bytes:
    return content + choose.randbytes(choose.choice((1, 100, 5000)))


def big_number(content: bytes, choose: random.Random) -> bytes:
    """A length, count or size that is far too large, in either order of bytes."""
    data = bytearray(content)
    place = choose.randrange(max(1, min(200, len(data)) - 4))
    value = choose.choice((0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 0x0000FFFF))
    data[place : place + 4] = struct.pack(choose.choice("<>") + "I", value)
    return bytes(data)


MUTATIONS = (cut, flip, flip_head, zero, drop, repeat, insert, append, big_number)


def mutated(number: int) -> dict[str, bytes]:
    """So many files, each made by one to three mutations of a valid one."""
    choose = random.Random(7)
    files: dict[str, bytes] = {}
    for place in range(number):
        kind = choose.choice(list(KINDS))
        content = KINDS[kind](pixels(place + 10_000, 24, 32))
        for mutate in choose.choices(MUTATIONS, k=choose.choice((1, 1, 2, 3))):
            content = mutate(content, choose) or b"\0"
        if choose.random() < 0.05:  # the head of one and the body of another
            other = KINDS[choose.choice(list(KINDS))](pixels(place, 24, 32))
            content = other[: choose.randrange(1, 60)] + content[choose.randrange(60) :]
        files[f"mutated/{place:05d}-{kind}"] = content
    return files


# by hand


def png_of(width: int, height: int, *chunks: bytes, colour: int = 2) -> bytes:
    """A PNG that claims a size, with whatever chunks."""
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + chunk(b"IEND", b"")


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zeros(number: int) -> bytes:
    return zlib.compress(bytes(number), 9)


class Trap:
    def __reduce__(self):
        return (os.system, ("touch trapped",))


def by_hand() -> dict[str, bytes]:
    picture = pixels(1, 24, 32)
    jpeg, png = encode(picture, "JPEG"), encode(picture)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../evil.png", png)
    gif = encode(Image.fromarray(picture).quantize(8), "GIF")
    frames = [Image.fromarray(pixels(seed, 8, 8)) for seed in range(3)]
    tiff = bytearray(encode(picture, "TIFF"))
    loop = struct.unpack("<I", tiff[4:8])[0]
    entries = struct.unpack("<H", tiff[loop : loop + 2])[0]
    tiff[loop + 2 + 12 * entries : loop + 6 + 12 * entries] = struct.pack("<I", loop)  # the next page is this one
    script = b"<html><script>alert(1)</script></html>"
    vast = zeros(64 << 20)
    files = {
        "bomb/claims.png": png_of(60_000, 60_000, chunk(b"IDAT", zeros(100_000))),
        "bomb/claims-most.png": png_of(0x7FFFFFFF, 0x7FFFFFFF, chunk(b"IDAT", zeros(10))),
        "bomb/nothing.png": png_of(0, 0, chunk(b"IDAT", zeros(10))),
        "bomb/short.png": png_of(9_000, 9_000, chunk(b"IDAT", zeros(1000))),
        "bomb/text.png": png_of(8, 8, chunk(b"zTXt", b"a\0\0" + vast), chunk(b"IDAT", zeros(200))),
        "bomb/profile.png": png_of(8, 8, chunk(b"iCCP", b"a\0\0" + vast), chunk(b"IDAT", zeros(200))),
        "bomb/claims.gif": b"GIF89a\xff\xff\xff\xff" + gif[10:],
        "bomb/claims.bmp": encode(picture, "BMP")[:18] + struct.pack("<ii", 60_000, 60_000) + bytes(200),
        "bomb/negative.bmp": encode(picture, "BMP")[:18] + struct.pack("<ii", -5, -(2**31)) + bytes(200),
        "bomb/claims.jpg": jpeg.replace(struct.pack(">HH", 24, 32), struct.pack(">HH", 65_500, 65_500)),
        "bomb/claims.webp": b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff\x2f\xff\xff\xff\xff" + bytes(50),
        "odd/loop.tif": bytes(tiff),
        "bomb/frames.gif": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "other/empty.png": b"",
        "other/page.png": script,
        "other/vector.png": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "other/script.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file",
        "other/program.png": b"\x7fELF" + bytes(200),
        "other/pickle.png": pickle.dumps(Trap()),
        "other/pickle.gif": b"GIF89a" + pickle.dumps(Trap()),
        "other/archive.png": packed.getvalue(),
        "other/text.tif": b"II*\0" + script,
        "other/psd.png": b"8BPS\0\1" + bytes(300),
        "other/name\n[31m.png": b"no picture",
    }
    if IS_LONG:
        rows = b"".join(b"\0" + bytes(3 * 9_400) for _ in range(200))
        body = zlib.compressobj(9)
        data = b"".join(body.compress(rows) for _ in range(47)) + body.flush()
        files["bomb/just-allowed.png"] = png_of(9_400, 9_400, chunk(b"IDAT", data))
    return files


def two_at_once() -> dict[str, bytes]:
    """Good pictures that are something else as well: it is the picture that counts, and nothing of the rest is kept."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("secret-inside.txt", b"secret-inside")
    comment = b"\xff\xfe" + struct.pack(">H", 30) + b"<script>secret-inside</script>"[:28]
    jpeg = encode(pixels(501, 24, 32), "JPEG")
    return {
        "good/zip-behind.png": encode(pixels(502, 24, 32)) + packed.getvalue(),
        "good/page-within.jpg": jpeg[:2] + comment + jpeg[2:],
        "good/zip-behind.gif": encode(Image.fromarray(pixels(503, 24, 32)).quantize(64), "GIF") + packed.getvalue(),
    }


def archives(folder: Path) -> list[Path]:
    """A zip and a tar with links, devices and names that lead elsewhere, and one good picture in each."""
    png = encode(pixels(900, 24, 32))
    odd: dict[str, bytes | tarfile.TarInfo] = {
        "ok.png": png,
        "../evil.png": png,
        "/evil.png": png,
        "a/../../e.png": png,
    }
    for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE)):
        member = tarfile.TarInfo(f"{name}.png")
        member.type, member.linkname = kind, "/etc/passwd"
        odd[member.name] = member
    path = folder / "odd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ok.png", encode(pixels(901, 24, 32)))
        archive.writestr("../evil.png", png)
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bomb.png", bytes(20 << 20))
    return [path, write_tar(folder / "odd.tar", odd)]


BUILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory}))
from figment.data.build import BuildConfig, build
if __name__ == "__main__":
    build(sys.argv[2:], sys.argv[1], BuildConfig(size="16", skip=("exact_duplicates", "near_duplicates")))
    peaks = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps(peaks))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Store, dict[str, bytes], list[int]]:
    """A dataset of all that, the files by their keys, and the peak of memory in KiB: of the build, of its workers."""
    root = tmp_path_factory.mktemp("hostile")
    kinds = list(KINDS.items())
    good = {f"good/{place:02d}-{kinds[place % len(kinds)][0]}": place for place in range(GOOD)}
    files = {key: KINDS[key.partition("-")[2]](pixels(place, 24, 32)) for key, place in good.items()}
    files |= two_at_once() | by_hand() | mutated(NUMBER)
    folder = write_folder(root / "pictures", files)
    os.mkfifo(folder / "good" / "pipe.png")
    (folder / "good" / "folder.png").mkdir()
    (folder / "good" / "round.png").symlink_to("round.png")
    (folder / "good" / "out.png").symlink_to("/dev/zero")
    script = root / "build.py"
    script.write_text(BUILD.format(memory=MEMORY))
    words = [sys.executable, script, root / "data", folder, *archives(root)]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, cwd=root, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return Store(root / "data"), files, json.loads(answer.stdout)


def test_the_build_ends_in_bounded_memory(built):
    _, _, peaks = built
    print(f"peak: {peaks[0] >> 10} MiB, of a worker {peaks[1] >> 10} MiB")
    assert max(peaks) < 3 << 19  # KiB: the largest picture that is allowed takes a gigabyte on its way


def test_no_good_picture_is_lost(built):
    store, files, _ = built
    kept = {key for split in store.counts for key in store.keys(split)}
    good = {f"pictures/{key}" for key in files if key.startswith("good/")}
    assert good <= kept
    assert {"odd.zip/ok.png", "odd.tar/ok.png"} <= kept
    assert not {key for key in kept if "evil" in key or key.startswith("pictures/other/")}


def test_each_file_is_kept_or_has_a_reason(built):
    store, files, _ = built
    refused = {one.key: one for one in store.rejected()}
    kept = {key for split in store.counts for key in store.keys(split)}
    missing = {f"pictures/{key}" for key in files} - kept - refused.keys()
    assert not missing, f"{len(missing)} are neither kept nor refused, such as {sorted(missing)[:3]}"
    assert all(one.reason and "\n" not in one.reason for one in refused.values())
    assert {key for key in files if key.startswith("bomb/")} <= {key.removeprefix("pictures/") for key in refused}
    mutants = [key for key in refused if key.startswith("pictures/mutated/")]
    reasons = Counter(refused[key].reason.partition(":")[0] for key in mutants)
    print(f"{len(mutants)} of {NUMBER} mutants refused: {reasons.most_common(8)}")
    assert len(mutants) > NUMBER / 2 and len(reasons) >= 3


def test_what_is_kept_is_a_picture_and_nothing_else(built):
    store, _, _ = built
    for split, count in store.counts.items():
        assert store.images(split).shape == (count, 16, 16, store.spec.channels)
    for shard in (store.path / "shards").glob("*.tar"):
        assert b"secret-inside" not in shard.read_bytes()
    assert not (store.path.parent / "trapped").exists()
    assert not [path for path in store.path.parent.rglob("*evil*")]

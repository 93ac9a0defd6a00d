"""Ways by which strangers' bytes come into a dataset: valid files of each kind, and what figment does with one.

A way is a function of a folder: it gives the contents of valid files, and a function that reads the content of one.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from figment.core import plugins
from figment.core.types import Record
from figment.data import sealing
from figment.data.build import BuildConfig, build
from figment.data.keys import KeyFile, Passphrase
from figment.data.sealed_store import SealedStore
from figment.data.steps import decode
from figment.data.store import Store
from figment.data.web_addresses import Gate, web_url
from figment.data.web_fetch import gunzip
from figment.data.web_pages import kind_of, read_page, read_sitemap
from figment.data.web_robots import header_words, objection, rules
from tests.e2e.test_hostile import KINDS, by_hand, two_at_once
from tests.pictures import pixels, png

Read = Callable[[bytes], object]
Way = Callable[[Path], tuple[list[bytes], Read]]

MOST_RECORDS = 40  # that are read of one file: a font has thousands of characters
URL = "https://example.org/a/"


def picture(folder: Path) -> tuple[list[bytes], Read]:
    """Picture files of every format, bombs among them, by the step that decodes them."""

    def read(content: bytes) -> None:
        for moving in ("refuse", "first"):
            decode.mend(Record(image=content, key="key"), decode.Config(moving=moving))

    made = [make(pixels(place, 24, 32)) for place, make in enumerate(KINDS.values())]
    return [*made, *by_hand().values(), *two_at_once().values()], read


def _of_source(name: str, examples: Callable[[Path], Iterable[bytes]], file: str = "file", **settings: Any) -> Way:
    """The way of a source that reads one file; pictures that it finds are decoded."""

    def way(folder: Path) -> tuple[list[bytes], Read]:
        module = plugins.load("sources", name)

        def read(content: bytes) -> None:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
            place = folder / file if "/" not in file else folder / file.partition("/")[0]
            for record in islice(module.records(module.Config(str(place), **settings)), MOST_RECORDS):
                if isinstance(record, Record):
                    decode.mend(record, decode.Config())

        return list(examples(folder)), read

    return way


def _archives(folder: Path) -> Iterator[bytes]:
    files = {"cat/1.png": png(1), "dog/2.png": png(2), "../out.png": png(3)}
    packed, plain = io.BytesIO(), _tar(files)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    yield packed.getvalue()
    yield plain
    yield from (pack(plain) for pack in (gzip.compress, bz2.compress, lzma.compress))


def _tar(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _shards(folder: Path) -> Iterator[bytes]:
    about = {"key": "cat/1", "label": "cat", "captions": ["a cat"], "attributes": {"age": 3.5}, "split": "train"}
    clip = {"frames": 2, "paired": False}
    for facts in (about, clip):
        yield _tar({"1.png": png(1), "1.json": json.dumps(facts).encode(), "2.png": png(2), "2.cls": b"dog"})


def _idx(folder: Path) -> Iterator[bytes]:
    content = struct.pack(">HBB3I", 0, 8, 3, 4, 8, 8) + bytes(range(256))
    yield from (content, gzip.compress(content))


def _cifar(folder: Path) -> Iterator[bytes]:
    rows = np.random.default_rng(0).integers(0, 256, (2, 3072), np.uint8)
    told = {b"data": rows, b"labels": [1, 0], b"filenames": [b"a.png", b"b.png"]}
    yield from (pickle.dumps(told, protocol) for protocol in (0, 1, 2, 3, 4))


def _cifar_archive(folder: Path) -> Iterator[bytes]:
    rows = bytes([1]) + bytes(3072)
    plain = _tar({"batches/batches.meta.txt": b"cat\ndog\n", "batches/data_batch_1.bin": rows * 2})
    yield from (gzip.compress(plain), lzma.compress(plain))


def _tables(folder: Path) -> Iterator[bytes]:
    (folder / "a.png").write_bytes(png(1))
    row = {"path": "a.png", "label": "cat", "split": "train", "captions": ["a"], "attributes": {"age": 3}, "width": 1}
    yield b"\n".join(json.dumps(row | {"label": label}).encode() for label in ("cat", "dog"))


def _csv(folder: Path) -> Iterator[bytes]:
    (folder / "a.png").write_bytes(png(1))
    yield b'path,label,age,caption\na.png,cat,3,"a cat, sitting"\na.png,dog,,\n'


def _parquet(folder: Path) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    captions, attributes = [["a"], ["b", "c"]], [{"age": 1.0}, {"age": None}]
    told = {"image": [png(1), png(2)], "label": ["cat", "dog"], "captions": captions, "attributes": attributes}
    for packing in ("none", "snappy"):
        pq.write_table(pa.table(told), folder / "made", compression=packing)
        yield (folder / "made").read_bytes()


def _coco(folder: Path) -> Iterator[bytes]:
    (folder / "coco" / "val").mkdir(parents=True)
    (folder / "coco" / "val" / "9.png").write_bytes(png(9, 32, 32))
    found = {"image_id": 9, "category_id": 2, "bbox": [2.0, 3.0, 10.0, 8.0], "area": 60.0, "iscrowd": 0}
    told: dict[str, Any] = {"images": [{"id": 9, "file_name": "9.png", "license": 4}], "annotations": [found, found]}
    yield json.dumps(told | {"licenses": [{"id": 4, "url": "x"}], "categories": [{"id": 2, "name": "cat"}]}).encode()


def _celeba(folder: Path) -> Iterator[bytes]:
    (folder / "celeba" / "img_align_celeba").mkdir(parents=True)
    (folder / "celeba" / "img_align_celeba" / "1.jpg").write_bytes(png(1))
    yield b"1\nSmiling Young\n1.jpg 1 -1\n"


def _scans(folder: Path) -> Iterator[bytes]:
    from pydicom.uid import ImplicitVRLittleEndian, RLELossless

    from tests.unit.test_data_dicom import RAMP, scan

    moving = np.stack([RAMP, RAMP // 2])
    for stored, elements in (
        (RAMP, {}),
        (RAMP, {"syntax": ImplicitVRLittleEndian, "WindowCenter": 40, "WindowWidth": 400}),
        (moving, {"syntax": RLELossless, "RescaleSlope": 2, "RescaleIntercept": -5}),
        (np.zeros((4, 4, 3), np.uint8), {}),
    ):
        yield scan(folder / "made.dcm", stored, **elements).read_bytes()  # type: ignore[arg-type]


def _fonts(folder: Path) -> Iterator[bytes]:
    from PIL import ImageFont

    found: Any = ImageFont.load_default(12)
    yield found.font_bytes


def _moving(folder: Path) -> Iterator[bytes]:
    from PIL import Image

    frames = [Image.fromarray(pixels(seed, 8, 8)) for seed in range(5)]
    for kind in ("GIF", "TIFF", "PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        yield buffer.getvalue()


def page(folder: Path) -> tuple[list[bytes], Read]:
    """Pages, sitemaps, robots.txt and headers, as the crawler reads them."""
    told = (
        b'<!doctype html><meta charset="latin-1"><base href="/b/"><meta name="robots" content="noai, nofollow">'
        b'<img src="a.png" srcset="a.png 1x, b.png 640w" alt="A cat"><a href="../c?x=1#d" rel="nofollow">c</a>'
        b'<a rel="license" href="http://creativecommons.org/licenses/by/4.0/">by</a><link rel=license href="//x.org">'
    )
    listed = b"<urlset><url><loc>https://example.org/a&amp;b</loc><image:loc><![CDATA[http://e.org/1.png]]></image:loc>"
    asked = b"User-agent: *\nDisallow: /a*b$\nAllow: /\nCrawl-delay: 2.5\nRequest-rate: 1/5s\nSitemap: /s.xml\n"
    headed = b"noai, figment: noindex, otherbot: none\nmax-snippet: 3\nhttps://user@example.org:81/%zz/../\xc3\xa9"

    def read(content: bytes) -> None:
        kind_of(content, "text/html")
        found = read_page(content, URL, content[:40].decode("latin-1"))
        read_sitemap(content)
        said = rules(200, content)
        said.allow(f"{URL}b?c=d")
        assert 0 <= said.delay < float("inf"), f"would wait for {said.delay} s"
        gate = Gate(resolve=lambda host, port: ["93.184.215.14"])
        for url in [*said.sitemaps, *found.links, *(url for url, _ in found.pictures)][:MOST_RECORDS]:
            if address := web_url(url, URL):
                gate.addresses(address)
        objection(header_words(httpx.Headers([(b"x-robots-tag", content[:200])])))
        gunzip(content, 1 << 20)

    return [
        told,
        listed,
        asked,
        headed,
        gzip.compress(listed),
        b"User-agent: *\nRequest-rate: 0/0\nCrawl-delay: 1e999",
    ], read


def _sealed(examples: Callable[[Path, KeyFile, Path], list[bytes]]) -> Way:
    """Sealed files, opened into a folder and read where they lie."""

    def way(folder: Path) -> tuple[list[bytes], Read]:
        lock, file = KeyFile(folder / "key"), folder / "file"

        def read(content: bytes) -> None:
            file.write_bytes(content)
            out = folder / "out"
            try:
                sealing.open_sealed(file, out, lock)
                SealedStore(file, lock).images("train")
            finally:
                shutil.rmtree(out, ignore_errors=True)

        return examples(folder, lock, file), read

    return way


def _sealed_datasets(folder: Path, lock: KeyFile, file: Path) -> list[bytes]:
    build(["shapes:12"], folder / "dataset", BuildConfig(size="16"))
    sealing.seal(folder / "dataset", file, lock)
    return [file.read_bytes()]


def sealed_tar(folder: Path) -> tuple[list[bytes], Read]:
    """What somebody who has the key may have put into a sealed file."""
    lock, file = KeyFile(folder / "key"), folder / "file"
    lock.close(bytes(32))

    def read(content: bytes) -> None:
        _seal_bytes(content, file, lock)
        out = folder / "out"
        try:
            sealing.open_sealed(file, out, lock)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    vast = tarfile.TarInfo("vast")
    vast.type, vast.size = tarfile.GNUTYPE_SPARSE, 0
    hole = bytearray(vast.tobuf(tarfile.GNU_FORMAT))
    hole[386:398], hole[398:410], hole[483:495] = b"00000000000\0", b"00000000000\0", b"77777777777\0"
    hole[148:156] = f"{sum(hole[:148]) + 8 * 32 + sum(hole[156:512]):06o}\0 ".encode()
    made = {"card.json": b"{}", "a/b": b"x" * 700, "é" * 60: b"y", "../z": b"w"}
    return [_tar(made), _tar(made, tarfile.GNU_FORMAT), bytes(hole) + bytes(1024)], read


def _seal_bytes(content: bytes, file: Path, lock: KeyFile) -> None:
    """Seal what need not be a tar."""
    key, prefix = bytes(32), bytes(7)
    header = json.dumps({"lock": lock.close(key), "prefix": prefix.hex(), "chunk": sealing.CHUNK_BYTES}).encode()
    cipher = sealing._cipher(key)
    digest = sealing.hashlib.sha256(header).digest()
    parts = [content[start : start + sealing.CHUNK_BYTES] for start in range(0, len(content), sealing.CHUNK_BYTES)] or [
        b""
    ]
    body = b"".join(
        cipher.encrypt(sealing._nonce(prefix, number, number == len(parts) - 1), part, digest)
        for number, part in enumerate(parts)
    )
    file.write_bytes(sealing.MAGIC + struct.pack(">I", len(header)) + header + body)


def sealed_header(folder: Path) -> tuple[list[bytes], Read]:
    """The header of a sealed file, which is read before anything can be verified."""
    file, secret = folder / "file", Passphrase("a secret")
    salt = {"kind": "passphrase", "salt": "00" * 16, "iterations": 1, "lanes": 1, "memory_kib": 64, "key": "00" * 40}
    header = json.dumps({"lock": salt, "prefix": "00" * 7, "chunk": sealing.CHUNK_BYTES}).encode()

    def read(content: bytes) -> None:
        file.write_bytes(sealing.MAGIC + struct.pack(">I", len(content)) + content + bytes(40))
        sealing.open_sealed(file, folder / "out", secret)

    return [header], read


def index(folder: Path) -> tuple[list[bytes], Read]:
    """The index of a dataset: an SQLite file."""
    build(["shapes:12"], folder / "dataset", BuildConfig(size="16"))
    file = folder / "dataset" / "index.sqlite"

    def read(content: bytes) -> None:
        for leftover in folder.glob("dataset/index.sqlite-*"):
            leftover.unlink()
        file.write_bytes(content)
        store = Store(folder / "dataset")
        for split in store.counts:
            store.images(split), store.labels(split), store.captions(split), store.attributes(split), store.keys(split)
        store.rejected()

    return [file.read_bytes()], read


WAYS: dict[str, Way] = {
    "archives": _of_source("archive", _archives),
    "shards": _of_source("webdataset", _shards),
    "IDX": _of_source("mnist", _idx, "idx/train-images-idx3-ubyte"),
    "CIFAR pickles": _of_source("cifar10", _cifar, "batches/data_batch_1"),
    "CIFAR archives": _of_source("cifar10", _cifar_archive, "cifar.tar.gz"),
    "manifests": _of_source("manifest", _tables, "table.jsonl"),
    "tables": _of_source("manifest", _csv, "table.csv"),
    "Parquet": _of_source("parquet", _parquet, "file.parquet"),
    "COCO": _of_source("coco", _coco, "coco/annotations/instances_val.json", crop_boxes=True),
    "CelebA": _of_source("celeba", _celeba, "celeba/list_attr_celeba.txt"),
    "DICOM": _of_source("dicom", _scans, "scan.dcm"),
    "fonts": _of_source("font", _fonts, "font.ttf", size=16),
    "animations": _of_source("frames", _moving, "moving.gif", length=2),
    "web pages": page,
    "sealed files": _sealed(_sealed_datasets),
    "sealed tars": sealed_tar,
    "sealed headers": sealed_header,
    "indices": index,
}

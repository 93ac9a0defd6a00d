"""DICOM: from stored values to grey, what is refused, and what is not told of patients."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.build import build
from figment.data.sources.dicom import Config, records, window
from figment.data.store import Store

RAMP = np.arange(-1000, 1000, 2000 / 256).astype(np.int16).reshape(16, 16)  # Hounsfield units


def scan(path: Path, stored: np.ndarray = RAMP, syntax: str = ExplicitVRLittleEndian, **elements: object) -> Path:
    """Write a file with these stored values, (H, W), (T, H, W) or (H, W, 3), and a patient's name."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = CTImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.PatientName, made.PatientID, made.PatientBirthDate, made.Modality = "Doe^Jane", "123-45", "19700101", "CT"
    is_colour = stored.ndim == 3 and stored.shape[-1] == 3
    made.Rows, made.Columns = stored.shape[:2] if is_colour else stored.shape[-2:]
    made.SamplesPerPixel = 3 if is_colour else 1
    made.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    if is_colour:
        made.PlanarConfiguration = 0
    elif stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    made.BitsAllocated = made.BitsStored = 8 * stored.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(stored.dtype.kind == "i")
    made.PixelData = stored.tobytes()
    for name, value in elements.items():
        setattr(made, name, value)
    if syntax == RLELossless:
        made.compress(RLELossless)
    elif UID(syntax).is_encapsulated:
        made.PixelData = encapsulate([made.PixelData])
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def read(path: Path, **settings: object) -> list[Record | Rejected]:
    return list(records(Config(str(path), **settings)))


def grey(path: Path, **settings: object) -> np.ndarray:
    (only,) = read(path, **settings)
    return only.image[..., 0]


# From stored values to grey.


def test_what_is_no_file_is_refused_by_its_name_and_never_waited_for(tmp_path):
    scan(tmp_path / "a.dcm")
    os.mkfifo(tmp_path / "b.dcm")
    os.mkfifo(tmp_path / "nameless")
    (tmp_path / "c.dcm").symlink_to("nowhere")
    _, *refused = read(tmp_path)
    assert [one.key for one in refused] == ["b.dcm", "c.dcm"]
    assert all("is no file but a link that leads nowhere" in one.reason for one in refused)


def test_the_window_of_the_standard():
    values = np.array([-1000.0, 0.0, 39.5, 239.5, 240.0, 1000.0])
    assert np.allclose(window(values, 40, 400), [0, (0 - 39.5) / 399 + 0.5, 0.5, 1, 1, 1])
    assert np.allclose(window(values, 40, 400, "LINEAR_EXACT"), [0, 0.4, 0.49875, 0.99875, 1, 1])
    assert np.allclose(window(np.array([40.0, 140.0]), 40, 400, "SIGMOID"), [0.5, 1 / (1 + np.exp(-1))])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, RLELossless])
def test_a_window_of_the_file_is_applied_to_hounsfield_units(tmp_path, syntax):
    stored = (RAMP + 1024).astype(np.uint16)
    file = scan(
        tmp_path / "a.dcm", stored, syntax, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400
    )
    assert np.array_equal(grey(file), np.rint(255 * window(RAMP, 40, 400)).astype(np.uint8))


def test_a_window_that_is_given_comes_first_and_of_several_the_first(tmp_path):
    file = scan(tmp_path / "a.dcm", WindowCenter=[40, 300], WindowWidth=[400, 1500])
    assert np.array_equal(grey(file), np.rint(255 * window(RAMP, 40, 400)))
    assert np.array_equal(grey(file, center=300.0, width=1500.0), np.rint(255 * window(RAMP, 300, 1500)))


def test_without_a_window_all_but_the_extremes_are_seen(tmp_path):
    stored = RAMP.copy()
    stored[0, 0] = 30000  # one hot pixel
    seen = grey(scan(tmp_path / "a.dcm", stored))
    assert (seen[0, 0], seen[0, 1], seen[-1, -1]) == (255, 0, 255)
    assert abs(int(seen[8, 0]) - 127) <= 2


def test_a_table_of_the_file_is_applied(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [256, 0, 8]
    table.add_new("LUTData", "US", list(range(255, -1, -1)))
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(grey(scan(tmp_path / "a.dcm", stored, VOILUTSequence=[table])), 255 - stored)


def test_monochrome1_is_turned_round(tmp_path):
    about = {"WindowCenter": 0, "WindowWidth": 2000}
    plain = grey(scan(tmp_path / "a.dcm", **about))
    assert np.array_equal(grey(scan(tmp_path / "b.dcm", PhotometricInterpretation="MONOCHROME1", **about)), 255 - plain)


def test_colour_stays_colour(tmp_path):
    stored = np.random.Generator(np.random.Philox(1)).integers(0, 256, (8, 9, 3), np.uint8)
    (only,) = read(scan(tmp_path / "a.dcm", stored))
    assert np.array_equal(only.image, stored)
    (wide,) = read(scan(tmp_path / "b.dcm", stored.astype(np.uint16) * 257))
    assert np.array_equal(wide.image, stored)


def test_a_palette_becomes_colours(tmp_path):
    stored = np.arange(16, dtype=np.uint8).reshape(4, 4)
    colours = {
        f"{name}PaletteColorLookupTable{what}": value
        for place, name in enumerate(("Red", "Green", "Blue"))
        for what, value in (
            ("Descriptor", [16, 0, 16]),
            ("Data", (np.arange(16, dtype=np.uint16) * (place + 1) * 1000).tobytes()),
        )
    }
    file = scan(tmp_path / "a.dcm", stored, PhotometricInterpretation="PALETTE COLOR", **colours)
    (only,) = read(file)
    assert np.array_equal(only.image, (stored[..., None].astype(int) * [1000, 2000, 3000]) >> 8)


# Files of several frames.


def test_frames_are_pictures_or_clips(tmp_path):
    stored = np.stack([RAMP, RAMP + 1, RAMP + 2, RAMP + 3, RAMP + 4])
    file = scan(tmp_path / "a.dcm", stored, WindowCenter=0, WindowWidth=2000)
    assert [one.key for one in read(file)] == [f"a.dcm@{number}" for number in range(5)]
    first, second = read(file, clip=2)
    assert (first.key, second.key, first.image.shape) == ("a.dcm@0", "a.dcm@2", (2, 16, 16, 1))
    assert np.array_equal(second.image[1, ..., 0], np.rint(255 * window(RAMP + 3, 0, 2000)))
    (only,) = read(file, clip=6)
    assert only.reason == "too few frames: 5, and a clip takes 6; --dicom.clip makes it shorter"


def test_what_is_said_of_a_frame_comes_before_what_is_said_of_all(tmp_path):
    def group(center: float) -> Dataset:
        inner, made = Dataset(), Dataset()
        inner.WindowCenter, inner.WindowWidth = center, 200
        made.FrameVOILUTSequence = [inner]
        return made

    file = scan(
        tmp_path / "a.dcm",
        np.stack([RAMP, RAMP]),
        SOPClassUID=EnhancedCTImageStorage,
        SharedFunctionalGroupsSequence=[group(0)],
        PerFrameFunctionalGroupsSequence=[Dataset(), group(500)],
    )
    first, second = read(file)
    assert np.array_equal(first.image[..., 0], np.rint(255 * window(RAMP, 0, 200)))
    assert np.array_equal(second.image[..., 0], np.rint(255 * window(RAMP, 500, 200)))


# Files and patients.


def test_a_folder_gives_classes_and_nothing_of_patients(tmp_path):
    scan(tmp_path / "scans/train/lung/1.dcm")
    scan(tmp_path / "scans/train/head/IM0001")  # as hospitals name them
    (tmp_path / "scans/train/head/notes.txt").write_text("no picture")
    head, lung = read(tmp_path / "scans")
    assert (head.key, head.label, head.split) == ("train/head/IM0001", "head", "train")
    assert (lung.key, lung.label) == ("train/lung/1.dcm", "lung")
    assert lung.origin == {"source": "scans", "modality": "CT", "sop_class": "CT Image Storage"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"syntax": JPEG2000Lossless}, "is stored as JPEG 2000 Image Compression (Lossless Only), which is not read"),
        ({"syntax": DeflatedExplicitVRLittleEndian}, "is stored as Deflated Explicit VR Little Endian"),
        ({"BurnedInAnnotation": "YES"}, "says that text is burnt into it, which may name a patient; --dicom.burned-in"),
        ({"Rows": 60000, "Columns": 60000}, "holds more than 512 MiB of pixels, or more than it says"),
        ({"Rows": 4, "Columns": 4, "PixelData": bytes(2**17)}, "or more than it says"),
        ({"Rows": 32}, "damaged: "),
    ],
)
def test_what_cannot_be_taken_says_why(tmp_path, change, reason):
    file = scan(tmp_path / "a.dcm", **change)
    (only,) = read(file)
    assert isinstance(only, Rejected) and reason in only.reason
    if "BurnedInAnnotation" in change:
        assert isinstance(read(file, burned_in=True)[0], Record)


def test_other_files_are_refused_one_by_one(tmp_path):
    scan(tmp_path / "a/1.dcm")
    (tmp_path / "a/2.dcm").write_bytes(b"no DICOM")
    cut = scan(tmp_path / "a/3.dcm").read_bytes()
    (tmp_path / "a/3.dcm").write_bytes(cut[:-100])
    report = scan(tmp_path / "a/4.dcm")
    without = pydicom.dcmread(report)
    del without.PixelData
    without.save_as(report)
    first, *others = read(tmp_path / "a")
    assert isinstance(first, Record)
    assert [one.key for one in others] == ["2.dcm", "3.dcm", "4.dcm"]
    assert [one.reason.partition(" ")[0] for one in others] == ["damaged:", "damaged:", "holds"]


def test_a_dataset_is_built_of_scans(tmp_path):
    for number in range(12):
        scan(
            tmp_path / f"scans/{'lung' if number % 2 else 'head'}/{number}.dcm",
            np.roll(RAMP, number),
            WindowCenter=0,
            WindowWidth=2000,
        )
    build([f"dicom:{tmp_path / 'scans'}"], tmp_path / "out")
    store = Store(tmp_path / "out")
    assert (store.spec.channels, store.spec.height, store.spec.classes) == (1, 16, ("head", "lung"))
    assert sum(store.counts.values()) == 12
    assert not any(b"Doe" in file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"argument": ""}, "as in dicom:scans"),
        ({"center": 40.0}, "--dicom.center and --dicom.width: give both"),
        ({"center": 40.0, "width": 0.0}, "--dicom.width 0: give a number at least 1"),
        ({"clip": -1}, "--dicom.clip -1"),
    ],
)
def test_settings_that_cannot_be_are_answered(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config(**{"argument": "scans", **settings})


def test_an_empty_folder_is_answered(tmp_path):
    with pytest.raises(DataError, match="no DICOM file in it"):
        read(tmp_path)

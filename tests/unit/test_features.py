"""Extractors: their rows stand alone, their names tell them apart, and what is published is done as published."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from figment.core import plugins
from figment.core.errors import CapabilityError, CheckpointError, ConfigError, DataError, MissingExtra
from figment.core.types import Classifies, Embeds, Extractor
from figment.evaluate.extract import sample_of
from figment.features import _resize, descriptors, inception, judge, pixels

RAMP = torch.linspace(-1, 1, 2 * 3 * 9 * 7).view(2, 3, 9, 7)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# What all have in common.


@pytest.fixture(params=["pixels", "descriptors"])
def extractor(request) -> Extractor:
    module = plugins.load("features", request.param)
    return module.load(module.Config(), None)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 23), (3, 1, 1)])
def test_a_row_depends_on_its_picture_alone(extractor, shape):
    images = noise(5, *shape)
    together = extractor.features(images)
    assert together.shape[0] == 5 and together.isfinite().all()
    torch.testing.assert_close(extractor.features(images[2:3]), together[2:3], rtol=0, atol=1e-6)


def test_an_extractor_is_an_extractor_and_says_who_it_is(extractor):
    assert isinstance(extractor, Extractor) and isinstance(extractor, Embeds)
    plugin = type(extractor).__module__.rpartition(".")[2]
    assert extractor.name.split(" ")[0] == plugin
    assert extractor.resize in extractor.name


def test_other_settings_are_another_extractor(digits):
    every = [
        pixels.load(pixels.Config(), None),
        pixels.load(pixels.Config(side=4), None),
        pixels.load(pixels.Config(), digits),
        descriptors.load(descriptors.Config(), None),
        descriptors.load(descriptors.Config(cells=2), None),
    ]
    assert len({one.digest for one in every}) == len({one.name for one in every}) == len(every)


@pytest.mark.parametrize("name", ["pixels", "descriptors"])
def test_an_argument_that_would_have_no_effect_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name}:x: takes no argument"):
        plugins.load("features", name).Config(argument="x")


# pixels


def test_pixels_of_a_dataset_are_standardised_by_its_own_figures(digits):
    images = torch.from_numpy(np.array(digits.images("train"))).movedim(-1, 1) / 127.5 - 1
    seen = pixels.load(pixels.Config(), digits).features(images)
    assert seen.shape == (len(images), 64)
    assert float(seen.mean()) == pytest.approx(0, abs=0.02)
    assert float(seen.std()) == pytest.approx(1, abs=0.02)


def test_large_pictures_are_reduced_to_the_side_by_averaging():
    images = noise(2, 3, 32, 16)
    assert torch.equal(pixels.Pixels(32, (0.0,), (1.0,)).features(images), images.flatten(1))
    halved = pixels.Pixels(16, (0.0,), (1.0,)).features(images)
    torch.testing.assert_close(halved, F.avg_pool2d(images, 2).flatten(1))


# descriptors


def stripes(angle: float) -> torch.Tensor:
    """(1, 1, 32, 32), waves that run in a direction, in degrees."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    turn = torch.deg2rad(torch.tensor(angle))
    return torch.sin((x * turn.cos() + y * turn.sin()) * 0.6)[None, None]


@pytest.mark.parametrize(("angle", "direction"), [(0, 0), (45, 2), (90, 4), (135, 6), (180, 0)])
def test_gradients_are_counted_in_the_direction_they_have(angle, direction):
    found = descriptors.oriented_gradients(stripes(angle), 4).view(8, 16).sum(1)
    assert int(found.argmax()) == direction
    assert float(found[direction]) > 0.7 * float(found.sum())


def test_gradients_do_not_change_with_contrast_or_brightness():
    dull = 0.1 * stripes(30) + 0.4
    torch.testing.assert_close(
        descriptors.oriented_gradients(dull, 4), descriptors.oriented_gradients(stripes(30), 4), rtol=0, atol=1e-5
    )


def test_a_turned_picture_has_the_same_binary_patterns():
    grey = noise(1, 1, 20, 20)
    turned = descriptors.binary_patterns(grey.rot90(1, (2, 3)))
    torch.testing.assert_close(descriptors.binary_patterns(grey), turned)
    assert descriptors.binary_patterns(torch.zeros(1, 1, 5, 5))[0, 8] == 1  # equal counts as brighter, all around


def test_a_value_histogram_is_one_of_shares():
    histogram = descriptors.value_histogram(noise(2, 3, 16, 16)).view(2, 3, 8)
    torch.testing.assert_close(histogram.sum(2), torch.ones(2, 3))
    assert descriptors.value_histogram(torch.full((1, 1, 4, 4), -1.0))[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert descriptors.value_histogram(torch.full((1, 1, 4, 4), 6 / 7))[0, -2:].tolist() == pytest.approx([0.5, 0.5])


def test_detail_is_found_at_the_scale_it_has():
    board = torch.ones(1, 1, 32, 32)
    board[..., ::2] = -1
    fine, *coarser = descriptors.detail(board)
    assert fine[0].tolist() == [1, 1]
    assert all(level.abs().max() == 0 for level in coarser)


# The resizes.


def test_bytes_are_whole_numbers_in_colour_on_white():
    levels = torch.arange(256.0).view(1, 1, 16, 16) / 127.5 - 1
    assert torch.equal(_resize.colour_bytes(levels), torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, -1, -1))
    transparent = torch.full((1, 4, 1, 1), -1.0)
    assert _resize.colour_bytes(transparent).flatten().tolist() == [255, 255, 255]


def test_tf1_resizes_without_half_pixel_centres():
    """Row i is read at i * 2 / 4 = 0, 0.5, 1, 1.5: the last two from the last row alone."""
    column = torch.tensor([0.0, 100.0]).view(1, 1, 2, 1).expand(1, 3, 2, 2)
    found = _resize.resized(column, 4, "tf1") * 128 + 128
    assert found[0, 0, :, 0].tolist() == pytest.approx([0, 50, 100, 100])
    torch_way = (_resize.resized(column, 4, "torch") + 1) * 127.5
    assert torch_way[0, 0, :, 0].tolist() == pytest.approx([0, 25, 75, 100], abs=1e-4)


def test_tf1_is_bilinear_interpolation_at_those_places():
    images = _resize.colour_bytes(RAMP)
    found = _resize.resized(images, 11, "tf1") * 128 + 128
    for row, column in [(0, 0), (3, 8), (10, 10), (7, 2)]:
        y, x = row * 9 / 11, column * 7 / 11
        top, left = int(y), int(x)
        below, right = min(top + 1, 8), min(left + 1, 6)
        upper = images[..., top, left] * (1 - x + left) + images[..., top, right] * (x - left)
        lower = images[..., below, left] * (1 - x + left) + images[..., below, right] * (x - left)
        torch.testing.assert_close(
            found[..., row, column], upper * (1 - y + top) + lower * (y - top), rtol=0, atol=1e-3
        )


@pytest.mark.parametrize("side", [20, 150, 400])
def test_clean_is_pillows_bicubic_in_floating_point(side):
    from PIL import Image

    pixel = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixel.astype(np.float32)).resize((299, 299), Image.Resampling.BICUBIC))
    found = _resize.bicubic(torch.from_numpy(pixel).float()[None, None], 299)[0, 0].numpy()
    assert np.abs(found - expected.clip(0, 255)).max() < 0.02


def test_all_resizes_agree_on_a_picture_of_that_size():
    images = torch.arange(256.0).view(1, 1, 16, 16).expand(1, 3, -1, -1)
    for how, scale in (("tf1", 128), ("clean", 128), ("torch", 127.5)):
        middle = 128 if scale == 128 else 127.5
        torch.testing.assert_close(_resize.resized(images, 16, how) * scale + middle, images, rtol=0, atol=1e-3)


# judge


def test_a_judge_that_is_not_trained_yet_is_told_how(digits, tmp_path):
    with pytest.raises(ConfigError, match="figment eval RUN"):
        judge.load(judge.Config(), _Elsewhere(digits, tmp_path))
    with pytest.raises(ConfigError, match="a folder of pictures has no judge of its own"):
        judge.load(judge.Config(), None)


class _Elsewhere:
    """A dataset as it is, but at a path without judges."""

    def __init__(self, store, path):
        self.spec, self.pixel_digest, self.label_digest = store.spec, store.pixel_digest, store.label_digest
        self.path = path


# inception: its weights


@pytest.mark.parametrize("named", ["argument", "environment"])
def test_only_the_published_weights_are_ever_unpickled(tmp_path, monkeypatch, named):
    file = tmp_path / inception.FILE
    file.write_bytes(b"\x80\x04cos\nsystem\n")
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("unpickled"))
    if named == "environment":
        monkeypatch.setenv(inception.VARIABLE, str(file))
    config = inception.Config(argument=str(file) if named == "argument" else "")
    with pytest.raises(DataError, match=r"its SHA-256 begins with [0-9a-f]{8}, not 6726825d; fetch it again"):
        inception.load(config, None)


def test_missing_weights_are_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv(inception.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"--features inception:FILE, or have it fetched, 96 MB: --features\.download"
    ):
        inception.load(inception.Config(), None)
    with pytest.raises(ConfigError, match="no such file"):
        inception.load(inception.Config(argument=str(tmp_path / "none.pth")), None)


def test_weights_are_downloaded_only_when_asked_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def refused(address, timeout):
        assert address == inception.ADDRESS
        raise inception.urllib.error.URLError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(inception.urllib.request, "urlopen", refused)
    with pytest.raises(ConfigError, match="no network; fetch it elsewhere"):
        inception.load(inception.Config(download=True), None)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_published_weights_in_the_cache_are_found_and_loaded(tmp_path, monkeypatch):
    """Random weights stand in for the published ones: their digest is made the expected one."""
    network = inception.InceptionNet()
    place = tmp_path / "torch/hub/checkpoints" / inception.FILE
    place.parent.mkdir(parents=True)
    weights = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    torch.save(weights, place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(inception, "DIGEST", hashlib.sha256(place.read_bytes()).hexdigest())
    loaded = inception.load(inception.Config(resize="clean"), None)
    assert torch.equal(loaded.network.fc.weight, network.fc.weight)
    assert loaded.name == f"inception {inception.DIGEST[:8]}, pool3, 2048, resize clean"
    assert isinstance(loaded, Classifies) and isinstance(loaded, Extractor)


# The hub.


@pytest.mark.parametrize("name", ["dino", "clip"])
def test_without_transformers_the_extra_is_named(name, monkeypatch):
    from figment.core import pretrained

    def missing(name):
        raise ModuleNotFoundError(name)

    module = plugins.load("features", name)
    monkeypatch.setattr(pretrained.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match=f"--features {name} needs the extra 'hub'"):
        module.load(module.Config(), None)


@pytest.fixture(scope="module")
def small_models(tmp_path_factory) -> Path:
    """Random models of both kinds, as transformers saves them."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**small, image_size=28)).save_pretrained(folder / "dino")
    config = transformers.CLIPVisionConfig(**small, intermediate_size=16, projection_dim=8, image_size=28)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder / "clip")
    return folder


@pytest.mark.parametrize(("name", "width", "settings"), [("dino", 16, {"size": 28}), ("clip", 8, {})])
def test_a_model_of_transformers_is_read_from_its_folder(small_models, name, width, settings):
    module = plugins.load("features", name)
    eyes = module.load(module.Config(argument=str(small_models / name), **settings), None)
    images = noise(3, 1, 9, 9)
    seen = eyes.features(images)
    assert seen.shape == (3, width) and seen.isfinite().all()
    torch.testing.assert_close(eyes.features(images[1:2]), seen[1:2], rtol=0, atol=1e-5)
    assert f"{name} {eyes.digest[:8]}" in eyes.name and "bicubic antialiased to 28" in eyes.name
    assert eyes.digest == module.load(module.Config(argument=str(small_models / name), **settings), None).digest


def test_the_length_of_clip_features_is_a_setting_that_the_name_tells(small_models):
    clip = plugins.load("features", "clip")
    images = noise(2, 3, 28, 28)
    unit, raw = (
        clip.load(clip.Config(argument=str(small_models / "clip"), normalize=choice), None) for choice in (True, False)
    )
    assert unit.features(images).norm(dim=1).tolist() == pytest.approx([1, 1], abs=1e-5)
    torch.testing.assert_close(F.normalize(raw.features(images)), unit.features(images))
    assert unit.name != raw.name


@pytest.mark.parametrize("name", ["dino", "clip"])
def test_a_model_that_is_not_here_is_not_fetched_unasked(name, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    module = plugins.load("features", name)
    with pytest.raises(CheckpointError, match=r"or have it fetched: --features\.download"):
        module.load(module.Config(argument=str(tmp_path / "nothing")), None)


# Extraction.


def test_a_run_without_features_is_no_judge():
    class Painter:
        family, model = "flow", object()

    with pytest.raises(CapabilityError, match="a 'flow' has no features"):
        judge.as_judge(Painter(), Path("run"), None)  # type: ignore[arg-type]


def test_a_judge_says_which_classes_its_logits_are_of(judged):
    own = judge.load(judge.Config(), judged)
    assert own.classes == judged.spec.classes
    plain = judge.Judge(torch.nn.Identity(), "contrastive", "digest", judged.spec)
    assert plain.classify is None and plain.classes == ()


def test_one_extraction_feeds_all_and_places_only_when_asked():
    class Eyes:
        looked = 0

        def features(self, images):
            self.looked += 1
            return images.flatten(1)[:, :3]

        def classify(self, images):
            return images.flatten(1)[:, :2]

        def spatial(self, images):
            return images.flatten(1)[:, :5]

    eyes, pictures = Eyes(), np.random.default_rng(0).integers(256, size=(70, 4, 4, 1), dtype=np.uint8)
    plain, full = sample_of(pictures, None, eyes), sample_of(pictures, None, eyes, spatial=True)
    assert plain.spatial is None and full.spatial is not None and full.logits is not None
    assert (full.features.shape, full.logits.shape, full.spatial.shape) == ((70, 3), (70, 2), (70, 5))
    np.testing.assert_array_equal(plain.features, full.features)
    assert eyes.looked == 4  # two chunks, twice

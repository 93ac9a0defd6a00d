"""Metrics of pictures in pairs and of a model's probabilities: closed forms, other libraries, refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from figment.core.errors import CheckpointError, DataError
from figment.core.images import to_float
from figment.core.types import Sample
from figment.losses import perceptual
from figment.metrics import bits_per_dim, lpips, ms_ssim, psnr, ssim
from tests.doubles import random_lpips

PAIRED = [psnr, ssim, ms_ssim, lpips]


def pictures(count, height, width, channels, seed=0):
    """Smooth ones and what noise made of them, uint8 (N, H, W, C)."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(30, 225, size=(count, channels, 5, 4)))
    smooth = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).movedim(1, 3).numpy()
    noisy = np.clip(0.8 * smooth + 15 + 12 * rng.normal(size=smooth.shape), 0, 255)
    return smooth.astype(np.uint8), noisy.astype(np.uint8)


def sample(images):
    return Sample(np.zeros((len(images), 1)), images=images)


def flat(value, *shape):
    return np.full(shape, value)


# Closed forms


def test_psnr_of_a_tenth_of_the_range_is_20_decibels():
    assert psnr.psnr(flat(0.5, 2, 4, 4, 1), flat(0.6, 2, 4, 4, 1), 1) == pytest.approx([20, 20], rel=1e-12)


def test_psnr_is_not_clamped_and_exact_pairs_are_infinite():
    first, second = flat(0.0, 2, 4, 4, 1), flat(0.0, 2, 4, 4, 1)
    second[1] = 10
    np.testing.assert_allclose(psnr.psnr(first, second, 1), [np.inf, -20])


def test_ssim_of_flat_pictures_is_its_luminance_factor():
    value = ssim.ssim(flat(0.5, 1, 11, 13, 1), flat(0.6, 1, 11, 13, 1), 1)[0]
    assert value == pytest.approx(0.9836092443861661, rel=1e-12)


def test_ms_ssim_of_flat_pictures_has_luminance_at_the_last_scale_only():
    value = ms_ssim.ms_ssim(flat(0.5, 1, 176, 176, 1), flat(0.6, 1, 176, 176, 1), 1)[0]
    assert value == pytest.approx(0.9836092443861661**0.1333, rel=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_like_itself(channels):
    first, _ = pictures(2, 176, 180, channels)
    assert ssim.ssim(first, first, 255) == pytest.approx([1, 1], abs=1e-12)
    assert ms_ssim.ms_ssim(first, first, 255) == pytest.approx([1, 1], abs=1e-12)


def test_only_the_width_of_the_range_matters():
    first, second = pictures(2, 20, 24, 3)
    for function in (psnr.psnr, ssim.ssim):
        np.testing.assert_allclose(function(first / 127.5, second / 127.5, 2), function(first, second, 255), rtol=1e-9)


def test_the_opposite_picture_has_no_multi_scale_similarity():
    """Its structure is negative, and a negative number has no such powers."""
    first, _ = pictures(1, 176, 176, 1)
    assert ms_ssim.ms_ssim(first, 255 - first, 255)[0] == 0


# Other libraries


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_agree_with_scikit_image(channels):
    oracle = pytest.importorskip("skimage.metrics")
    first, second = pictures(3, 33, 47, channels)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    similar = [
        oracle.structural_similarity(one.astype(float), other.astype(float), channel_axis=2, **options)
        for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(ssim.ssim(first, second, 255), similar, rtol=1e-9)
    ratios = [
        oracle.peak_signal_noise_ratio(one, other, data_range=255) for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(psnr.psnr(first, second, 255), ratios, rtol=1e-9)


def test_ms_ssim_agrees_with_scikit_image_scale_by_scale():
    """With a huge K1 the luminance factor of SSIM is 1, and contrast and structure remain."""
    oracle = pytest.importorskip("skimage.metrics").structural_similarity
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    (first,), (second,) = pictures(1, 190, 201, 1)
    x, y = (torch.from_numpy(one[None, None, :, :, 0].astype(float)) for one in (first, second))
    expected = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), start=1):
        expected *= oracle(x[0, 0].numpy(), y[0, 0].numpy(), K1=0.01 if scale == 5 else 1e9, **options) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    assert ms_ssim.ms_ssim(first[None], second[None], 255)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_ms_ssim_is_near_that_of_torchmetrics():
    """Which differs in the third decimal: it counts windows beyond the border at the last scale."""
    oracle = pytest.importorskip("torchmetrics.functional.image")
    first, second = pictures(2, 192, 192, 1)
    x, y = (torch.from_numpy(one).movedim(3, 1).double() for one in (first, second))
    expected = oracle.multiscale_structural_similarity_index_measure(x, y, data_range=255.0, reduction="none")
    np.testing.assert_allclose(ms_ssim.ms_ssim(first, second, 255), expected, atol=5e-3)


# LPIPS


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder with random weights under the published names, and their digests."""
    folder = tmp_path_factory.mktemp("weights")
    return folder, random_lpips(folder)


def by_hand(folder, first, second):
    """LPIPS of float32 (B, 3, H, W) in [-1, 1], in one line after the other and in float64."""
    net = {key: value.double() for key, value in torch.load(folder / perceptual.BACKBONE, weights_only=True).items()}
    heads = {key: value.double() for key, value in torch.load(folder / perceptual.HEADS, weights_only=True).items()}
    towers = []
    for images in (first.double(), second.double()):
        x = images - torch.tensor([-0.030, -0.088, -0.188]).double()[None, :, None, None]
        x = x / torch.tensor([0.458, 0.448, 0.450]).double()[None, :, None, None]
        one = F.conv2d(x, net["features.0.weight"], net["features.0.bias"], stride=4, padding=2).clamp(min=0)
        x = F.max_pool2d(one, kernel_size=3, stride=2)
        two = F.conv2d(x, net["features.3.weight"], net["features.3.bias"], padding=2).clamp(min=0)
        x = F.max_pool2d(two, kernel_size=3, stride=2)
        three = F.conv2d(x, net["features.6.weight"], net["features.6.bias"], padding=1).clamp(min=0)
        four = F.conv2d(three, net["features.8.weight"], net["features.8.bias"], padding=1).clamp(min=0)
        five = F.conv2d(four, net["features.10.weight"], net["features.10.bias"], padding=1).clamp(min=0)
        towers.append(
            [layer / (layer.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for layer in (one, two, three, four, five)]
        )
    total = torch.zeros(len(first), dtype=torch.float64)
    for i, (a, b) in enumerate(zip(*towers, strict=True)):
        weighted = (a - b).pow(2) * heads[f"lin{i}.model.1.weight"].view(1, -1, 1, 1)
        total += weighted.sum(1).mean((1, 2))
    return total


@pytest.mark.parametrize(("channels", "size"), [(3, 64), (1, 31)])
def test_lpips_agrees_with_a_forward_by_hand(weights, channels, size):
    folder, digests = weights
    first, second = pictures(20, size, size + 9, channels)
    network = perceptual.load_perceptual(folder, digests)
    expected = by_hand(folder, *(to_float(one).expand(-1, 3, -1, -1) for one in (first, second)))
    assert expected.min() > 0.01
    np.testing.assert_allclose(lpips.lpips(first, second, network), expected, rtol=1e-4)


def test_lpips_of_equal_pictures_is_0_and_symmetric(weights):
    folder, digests = weights
    first, second = pictures(2, 48, 48, 3)
    network = perceptual.load_perceptual(folder, digests)
    assert list(lpips.lpips(first, first, network)) == [0, 0]
    np.testing.assert_allclose(lpips.lpips(first, second, network), lpips.lpips(second, first, network), rtol=1e-6)


def test_lpips_has_finite_gradients_where_channels_are_silent(weights):
    folder, digests = weights
    network = perceptual.load_perceptual(folder, digests)
    network.features[0].bias.data.fill_(-1e3)  # the first ReLU gives 0 everywhere
    images = torch.zeros(1, 3, 40, 40, requires_grad=True)
    network(images, torch.ones(1, 3, 40, 40)).sum().backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_published_heads_have_the_digest_that_is_asked_for(weights, tmp_path):
    """torchmetrics ships that file: the keys and the digest are those of the world."""
    oracle = pytest.importorskip("torchmetrics.functional.image.lpips")
    shipped = Path(oracle.__file__).parent / "lpips_models/alex.pth"
    shutil.copy(shipped, tmp_path / perceptual.HEADS)
    shutil.copy(weights[0] / perceptual.BACKBONE, tmp_path)
    digests = {**perceptual.PUBLISHED, perceptual.BACKBONE: weights[1][perceptual.BACKBONE]}
    network = perceptual.load_perceptual(tmp_path, digests)
    assert all((head.weight >= 0).all() for head in network.heads)


def test_weights_that_are_not_the_published_ones_are_never_opened(weights, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled"))
    with pytest.raises(
        CheckpointError, match=r"alexnet-owt-7be5be79.pth: has the SHA-256 \w{16}\.\.\., expected 7be5be79"
    ):
        perceptual.load_perceptual(weights[0])


def test_weights_of_another_network_are_refused_in_one_line(weights, tmp_path):
    folder, digests = weights
    shutil.copy(folder / perceptual.BACKBONE, tmp_path / perceptual.BACKBONE)
    shutil.copy(folder / perceptual.BACKBONE, tmp_path / perceptual.HEADS)
    with pytest.raises(CheckpointError, match=r"do not hold an AlexNet and its five heads$"):
        perceptual.load_perceptual(tmp_path, dict.fromkeys(digests, digests[perceptual.BACKBONE]))


def test_lpips_without_weights_says_where_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("FIGMENT_LPIPS", str(tmp_path))
    first, second = (sample(one) for one in pictures(1, 40, 40, 3))
    with pytest.raises(
        DataError, match=r"FIGMENT_LPIPS names: .*cannot be read \(No such file.*fetch it from https://"
    ):
        lpips.score(real=first, fake=second)


def test_lpips_is_for_grey_and_rgb():
    first, second = (sample(one) for one in pictures(1, 40, 40, 4))
    with pytest.raises(DataError, match="these have 4 channels"):
        lpips.score(real=first, fake=second)


# What is asked of pairs


@pytest.mark.parametrize("metric", PAIRED)
def test_pictures_that_are_no_pairs_are_refused(metric):
    first, second = pictures(3, 176, 176, 1)
    with pytest.raises(DataError, match="given 3 of 176x176x1, 2 of 176x176x1; give as many of each"):
        metric.score(real=sample(first), fake=sample(second[:2]))
    with pytest.raises(DataError, match="compares pictures, and was given none"):
        metric.score(real=sample(first), fake=Sample(np.zeros((3, 1))))


@pytest.mark.parametrize(("metric", "smallest"), [(ssim, 11), (ms_ssim, 176), (lpips, 31)])
def test_pictures_that_are_too_small_are_refused_with_the_least_size(metric, smallest):
    first, second = pictures(2, smallest, smallest - 1, 1)
    with pytest.raises(DataError, match=f"at least {smallest}x{smallest}, these are {smallest}x{smallest - 1}x1"):
        metric.score(real=sample(first), fake=sample(second))


def test_exact_pairs_have_no_mean_psnr():
    first, second = pictures(3, 8, 8, 1)
    second[1] = first[1]
    with pytest.raises(DataError, match="1 of 3 pairs are equal to the last bit"):
        psnr.score(real=sample(first), fake=sample(second))


# Bits per dimension


def test_bits_are_those_of_the_real_pictures():
    real, fake = (Sample(np.zeros((3, 1)), bits=np.array(bits)) for bits in ([1.0, 2, 6], [9.0, 9, 9]))
    assert bits_per_dim.score(real=real, fake=fake) == {"bits_per_dim": 3}


@pytest.mark.parametrize(
    ("bits", "message"), [(None, "a model that can state"), (np.array([1, np.inf, np.nan]), "2 of 3 held-out pictures")]
)
def test_missing_or_infinite_bits_are_refused(bits, message):
    real = Sample(np.zeros((3, 1)), bits=bits)
    with pytest.raises(DataError, match=message):
        bits_per_dim.score(real=real, fake=real)

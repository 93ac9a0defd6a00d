"""What is wrong with a picture, estimated from the picture alone: noise, blur, range of grey, scratches.

Estimates are robust, that is, most of a picture may be something else than they assume; and they are no more than that.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from figment.core.images import to_uint8
from figment.data.pixels import to_channels

ENOUGH = 100  # values from which a median can be taken
SHARP = 0.6  # pixels: what an edge that was sampled well looks like, to `blur_width`


def grey_levels(image: Tensor) -> np.ndarray:
    """(1, C, H, W) in [-1, 1] -> its luma in levels, float32 (H, W) from 0 to 255."""
    return to_channels(to_uint8(image)[0], 1)[..., 0].astype(np.float32)


def noise_level(image: Tensor) -> float:
    """Standard deviation of the noise in each channel, in grey levels.

    Donoho and Johnstone 1994, section 4.1: the median of the finest diagonal wavelet details (Haar's) over 0.6745. At
    the ends of the range noise is cut off: what reaches them is left out, as long as enough remains.
    """
    levels = (image[0] + 1) * 127.5
    levels = levels[:, : levels.shape[1] // 2 * 2, : levels.shape[2] // 2 * 2]
    a, b, c, d = levels[:, ::2, ::2], levels[:, ::2, 1::2], levels[:, 1::2, ::2], levels[:, 1::2, 1::2]
    details = (a - b - c + d).abs() / 2
    four = torch.stack([a, b, c, d])
    inside = (four.amin(0) > 0) & (four.amax(0) < 255)
    details = details[inside] if inside.sum() >= ENOUGH else details.flatten()
    return float(details.median()) / 0.6745 if len(details) else 0.0


def blur_width(image: Tensor) -> float:
    """Standard deviation of the blur, in pixels; 0 where edges are as sharp as pixels allow.

    Zhuo and Sim 2011, equation 5: blurred once more by sigma_0, the slope at an edge falls to 1/R of what it was, where
    sigma = sigma_0 / sqrt(R^2 - 1). Taken at the steepest places, of which the sharper half decides.
    """
    sigma_0, grey = 1.0, cv2.GaussianBlur(grey_levels(image), (0, 0), 0.3)
    slopes = [_slope(grey), _slope(cv2.GaussianBlur(grey, (0, 0), sigma_0))]
    steep = slopes[0] >= np.quantile(slopes[0], 0.9)
    ratios = slopes[0][steep] / np.maximum(slopes[1][steep], 1e-3)
    ratio = np.quantile(ratios, 0.75)
    if slopes[0].max() < 4 or ratio <= 1.01:  # no edge to speak of
        return 0.0
    width = sigma_0 / (ratio**2 - 1) ** 0.5
    return float(max(0.0, width**2 - SHARP**2) ** 0.5)


def _slope(grey: np.ndarray) -> np.ndarray:
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def tone_range(image: Tensor, noise: float) -> tuple[float, float]:
    """The darkest and the lightest grey that matter, in [-1, 1]: what all but 1 in 100 pixels lie between.

    noise: in levels. A median over 3x3 leaves 0.42 of it, of which 1 in 100 pixels lies 2.3 times as far out: about as
    far as the noise is strong. That is taken off at both ends.
    """
    grey = cv2.medianBlur(grey_levels(image).astype(np.uint8), 3)
    low, high = np.quantile(grey, [0.01, 0.99])
    noise = min(noise, (high - low) / 4)
    return float(low + noise) / 127.5 - 1, float(high - noise) / 127.5 - 1


def scratches(image: Tensor, width: int, threshold: float) -> Tensor:
    """Where something thin, at most `width` pixels wide, stands out by more than `threshold` levels: 1 in (1, 1, H, W).

    What an opening or a closing with a square of one pixel more takes away (Serra 1982): the top-hat, white and black.
    """
    grey, square = grey_levels(image), np.ones((width + 1, width + 1), np.uint8)
    light = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, square)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, square)
    found = (np.maximum(light, dark) > threshold).astype(np.uint8)
    return torch.from_numpy(found).float()[None, None]

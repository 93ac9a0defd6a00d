"""Luminance, contrast and structure of two pictures, compared window by window: what SSIM is made of.

In a window with means m, variances v and covariance c (of the population), weighted by a Gaussian,

    SSIM = (2 m_x m_y + C_1) / (m_x^2 + m_y^2 + C_1) * (2 c + C_2) / (v_x + v_y + C_2),    C_i = (K_i range)^2

Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004),
equation 13, with their 11x11 window of standard deviation 1.5, K_1 = 0.01 and K_2 = 0.03. Only windows that lie inside
the picture count, as in the authors' code and scikit-image's.
"""

from __future__ import annotations

import cv2
import numpy as np

WINDOW = 11
_MARGIN = WINDOW // 2
_SIGMA = 1.5
_K_1, _K_2 = 0.01, 0.03
_WEIGHTS = np.exp(-0.5 * np.square(np.arange(WINDOW) - _MARGIN) / _SIGMA**2)
_WEIGHTS /= _WEIGHTS.sum()


def similarity_and_contrast(x: np.ndarray, y: np.ndarray, data_range: float) -> tuple[np.ndarray, np.ndarray]:
    """Of x, y (H, W, C) float64, at least WINDOW high and wide: means over the windows, (C,) each.

    The first is SSIM; the second its last factor alone, contrast and structure without luminance.
    """
    fields = np.concatenate([x, y, x * x, y * y, x * y], axis=2)
    blurred = cv2.sepFilter2D(fields, cv2.CV_64F, _WEIGHTS, _WEIGHTS)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    m_x, m_y, square_x, square_y, product = np.split(blurred, 5, axis=2)
    v_x, v_y, c = square_x - m_x * m_x, square_y - m_y * m_y, product - m_x * m_y
    c_1, c_2 = (_K_1 * data_range) ** 2, (_K_2 * data_range) ** 2
    contrast = (2 * c + c_2) / (v_x + v_y + c_2)
    luminance = (2 * m_x * m_y + c_1) / (m_x * m_x + m_y * m_y + c_1)
    return (luminance * contrast).mean(axis=(0, 1)), contrast.mean(axis=(0, 1))

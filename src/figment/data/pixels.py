"""The data room: pixels as uint8 (H, W, C), C = 1 grey, 3 RGB or 4 RGBA, and the ways between them and PNG."""

from __future__ import annotations

import hashlib
import io

import numpy as np


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (H, W, C) -> (H, W, channels).

    Colour becomes grey by the luma of ITU-R BT.601; what is transparent is laid on white; opaque alpha is 255.
    """
    if pixels.shape[2] == channels:
        return pixels
    if channels == 4:
        rgb = to_channels(pixels, 3)
        return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=2)
    if pixels.shape[2] == 4:
        return to_channels(_on_white(pixels), channels)
    return np.repeat(pixels, 3, axis=2) if channels == 3 else _luma(pixels)


def fewest_channels(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W, C) -> the same picture without alpha where all is opaque, and without colour where all is grey."""
    if pixels.shape[2] == 4:
        return pixels if (pixels[..., 3] < 255).any() else fewest_channels(pixels[..., :3])
    if pixels.shape[2] == 3:
        red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
        return pixels[..., :1] if (red == green).all() and (green == blue).all() else pixels
    return pixels


def _on_white(pixels: np.ndarray) -> np.ndarray:
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + 255 * (255 - alpha)  # at most 255 * 255: fits
    return ((mixed + 127) // 255).astype(np.uint8)


def _luma(pixels: np.ndarray) -> np.ndarray:
    """Rounded in the same fixed point as Pillow's, so that either way gives the same grey."""
    red, green, blue = (pixels[..., i : i + 1].astype(np.uint32) for i in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def digest(pixels: np.ndarray) -> str:
    """SHA-256 of the shape and the values: equal for equal pictures, whatever file they came in."""
    shape = ",".join(map(str, pixels.shape)).encode()
    return hashlib.sha256(shape + b":" + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, C) -> a PNG file with nothing in it but the pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def decode_png(content: bytes) -> np.ndarray:
    """What `encode_png` wrote -> uint8 (H, W, C).

    Raises ValueError where the bytes are no PNG.
    """
    import cv2

    # cv2 takes a quarter of Pillow's time, which counts when a whole dataset is decoded.
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if pixels is None:
        raise ValueError("not a PNG")
    if pixels.ndim == 2:
        return pixels[..., None]
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]

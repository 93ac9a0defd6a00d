"""The data room: pixels as uint8 (H, W, C), C = 1 grey, 3 RGB or 4 RGBA, and the ways between them and PNG.

A sequence, (T, H, W, C), is stored as a strip: one PNG with its frames below one another, first frame on top. Every
viewer shows it, a row of numbers says where it lies in a tar, and no frame can be lost: writers of animated PNG merge
equal frames. A pair is a strip of two.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np


def to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (..., H, W, C) -> (..., H, W, channels).

    Colour becomes grey by the luma of ITU-R BT.601; what is transparent is laid on white; opaque alpha is 255.
    """
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 4:
        rgb = to_channels(pixels, 3)
        return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1)
    if pixels.shape[-1] == 4:
        return to_channels(_on_white(pixels), channels)
    return np.repeat(pixels, 3, axis=-1) if channels == 3 else _luma(pixels)


def fewest_channels(pixels: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, C) -> the same without alpha where all is opaque, and without colour where all is grey."""
    if pixels.shape[-1] == 4:
        return pixels if (pixels[..., 3] < 255).any() else fewest_channels(pixels[..., :3])
    if pixels.shape[-1] == 3:
        some = pixels[..., ::8, ::8, :]  # which tell of nearly all pictures that they have colours
        return pixels[..., :1] if _is_grey(some) and _is_grey(pixels) else pixels
    return pixels


def _is_grey(pixels: np.ndarray) -> bool:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return bool((red == green).all() and (green == blue).all())


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


def shows(content: bytes, expected: str, frames: int = 1) -> bool:
    """Whether a file that `encode_png` wrote still shows the pixels of this digest."""
    try:
        return digest(decode_png(content, frames)) == expected
    except ValueError:
        return False


def encode_png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, C), or (T, H, W, C) as a strip -> a PNG file with nothing in it but the pixels."""
    from PIL import Image

    strip = pixels.reshape(-1, *pixels.shape[-2:])
    buffer = io.BytesIO()
    Image.fromarray(strip[..., 0] if strip.shape[2] == 1 else strip).save(buffer, "PNG")
    return buffer.getvalue()


def decode_png(content: bytes, frames: int = 1) -> np.ndarray:
    """What `encode_png` wrote -> uint8 (H, W, C), or (T, H, W, C) of a strip of several frames.

    Raises ValueError where the bytes are no PNG, or a strip of other frames.
    """
    import cv2

    # cv2 takes a quarter of Pillow's time, which counts when a whole dataset is decoded.
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if pixels is None:
        raise ValueError("not a PNG")
    height, width = pixels.shape[:2]
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return pixels if frames == 1 else pixels.reshape(frames, height // frames, width, -1)

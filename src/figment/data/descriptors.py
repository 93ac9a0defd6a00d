"""The data room: classical descriptors of what thumbnails look like, for comparing pictures where there is no model.

Edges by direction in 4 x 4 cells (Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection", with
8 directions), and the mean colours of the same cells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from figment.data.figures import THUMBNAIL
from figment.data.index import ACCEPTED, Index

DIRECTIONS, CELLS = 8, 4
SIZE = CELLS * CELLS * (DIRECTIONS + 3)

_SIDE = THUMBNAIL // CELLS
_FAINT = 0.05  # gradients in all, below which a picture has no edges worth their direction
_AT_ONCE = 1024


def descriptors(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (N, 16, 16, 3) -> float32 (N, SIZE): edges of length 1 at most, and colours, 0 to 1, relative to grey."""
    colours = thumbnails.astype(np.float32) / 255
    down, across = np.gradient(colours.mean(3), axis=(1, 2))
    place = np.arctan2(down, across) % np.pi * (DIRECTIONS / np.pi)  # a direction, whichever sign
    away = np.abs(place[..., None] - np.arange(DIRECTIONS, dtype=np.float32))
    shares = np.clip(1 - np.minimum(away, DIRECTIONS - away), 0, None)  # bins lie on a circle
    edges = _cells(shares * np.hypot(across, down)[..., None])
    edges /= np.sqrt(np.square(edges).sum(1, keepdims=True)) + _FAINT
    return np.concatenate([edges, (_cells(colours) - 0.5) / CELLS], 1, dtype=np.float32)


def _cells(values: np.ndarray) -> np.ndarray:
    """(N, 16, 16, K) -> (N, 4 * 4 * K): the mean of each cell."""
    number = len(values)
    return values.reshape(number, CELLS, _SIDE, CELLS, _SIDE, -1).mean((2, 4)).reshape(number, -1)


def widened(thumbnail: bytes) -> np.ndarray:
    """A thumbnail of the index as uint8 (16, 16, 3)."""
    pixels = np.frombuffer(thumbnail, np.uint8).reshape(THUMBNAIL, THUMBNAIL, -1)
    return np.broadcast_to(pixels, (THUMBNAIL, THUMBNAIL, 3))


def described(index: Index) -> tuple[list[str], np.ndarray]:
    """The keys of all accepted pictures with a thumbnail, and their descriptors, float32 (N, SIZE)."""
    number = index.value(f"select count(*) {ACCEPTED} and thumbnail is not null")
    keys: list[str] = []
    points = np.empty((number, SIZE), np.float32)
    for names, thumbnails in _batches(index):
        points[len(keys) : len(keys) + len(names)] = descriptors(thumbnails)
        keys += names
    return keys, points


def _batches(index: Index) -> Iterator[tuple[list[str], np.ndarray]]:
    cursor = index.connection.execute(f"select key, thumbnail {ACCEPTED} and thumbnail is not null order by id")
    while found := cursor.fetchmany(_AT_ONCE):
        yield [key for key, _ in found], np.stack([widened(thumbnail) for _, thumbnail in found])


def squared_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D) and (M, D) -> (N, M), Euclidean, squared."""
    products = points @ others.T
    distances = np.square(points).sum(1)[:, None] + np.square(others).sum(1) - 2 * products
    return np.maximum(distances, 0, out=distances)

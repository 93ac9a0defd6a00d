"""Distances to nearest neighbours, block by block: memory stays flat however many pictures there are.

The search uses |a - b|^2 = |a|^2 - 2 a.b + |b|^2, one matrix product a block, some forty times faster than differences.
In float64 it is wrong by about 1e-16 (|a|^2 + |b|^2), which matters only for copies and ties. Both are common in
picture sets, so what was found is measured again by differences, and balls are drawn with that error in mind.

Points may be float32: they become float64 block by block, since a second copy of them all is what does not fit.
Functions that take a `centre` subtract it as they do so. Distances stay; the error of the matrix form shrinks with the
distance from the origin.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

# Numbers in one block of distances: 64 MB of float64.
_BLOCK = 2**23

# Rows that are made float64 at a time: 64 MB at D = 2048.
_CHUNK = 4096

# Relative error that the matrix form may have: a hundred times what was seen at D = 2048.
_SLACK = 1e-12


def centred(first: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All of the (N, D) arrays, moved so that the mean of the first is 0; copies, for sets that fit twice."""
    centre = middle(first)
    return [array - centre for array in (first, *others)]


def middle(points: np.ndarray) -> np.ndarray:
    """(N, D) -> (D,), their mean in float64: the `centre` of the functions below."""
    return points.mean(axis=0, dtype=np.float64)


def squared_distances(
    points: np.ndarray, others: np.ndarray, *, centre: np.ndarray | float = 0.0
) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared Euclidean distances of (N, D) to (M, D), as (rows of points, (rows, M)), in the matrix form.

    A block may be overwritten by who receives it.
    """
    size = max(1, _BLOCK // len(others))
    other_norms = _squared_norms(others, centre)
    for start in range(0, len(points), size):
        rows = slice(start, min(start + size, len(points)))
        block = _at(points, rows, centre)
        squared = np.empty((len(block), len(others)))
        for columns in _chunks(len(others)):
            np.matmul(block, _at(others, columns, centre).T, out=squared[:, columns])
        squared *= -2
        squared += other_norms
        squared += np.square(block).sum(axis=1, keepdims=True)
        yield rows, np.maximum(squared, 0, out=squared)


def nearest(
    points: np.ndarray, others: np.ndarray, *, centre: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """(N, D), (M, D) -> (N,), which of `others` is nearest, and (N,), its squared distance; exactly 0 for a copy."""
    indices, squares = np.empty(len(points), dtype=np.int64), np.empty(len(points))
    for rows, squared in squared_distances(points, others, centre=centre):
        indices[rows] = squared.argmin(axis=1)
        squares[rows] = _by_differences(points, rows, others[indices[rows]])
    return indices, squares


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N,), Euclidean distance to the nearest of `others`; exactly 0 for a copy."""
    return np.sqrt(nearest(points, others)[1])


def neighbour_squares(points: np.ndarray, k: int, *, centre: np.ndarray | float = 0.0) -> np.ndarray:
    """(N, D) -> (N,), squared distance to the k-th nearest *other* point, by differences. Needs N > k >= 1."""
    assert len(points) > k >= 1, (len(points), k)
    squares = np.empty(len(points))
    for rows, squared in squared_distances(points, points, centre=centre):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        # torch, because numpy's partition takes five times as long
        found = torch.from_numpy(squared).topk(k, largest=False, sorted=False).indices.numpy()
        squares[rows] = np.max([_by_differences(points, rows, points[one]) for one in found.T], axis=0)
    return squares


def ball_radii(points: np.ndarray, k: int, *, closed: bool, centre: np.ndarray | float = 0.0) -> np.ndarray:
    """Squared radii (N,) of the balls about (N, D) points that reach to the k-th nearest *other* point.

    closed: whether the ball holds its surface. Either way a squared distance from `squared_distances`, about the same
    centre, is inside if it is `<=` the radius given here: the error of the matrix form is added to closed balls and
    taken off open ones. Needs N > k >= 1.
    """
    radii = neighbour_squares(points, k, centre=centre)
    slack = _SLACK * (_squared_norms(points, centre) + radii)
    return radii + slack if closed else np.nextafter(radii - slack, -np.inf)


def _by_differences(points: np.ndarray, rows: slice, partners: np.ndarray) -> np.ndarray:
    """Squared distances (rows,) of the points of `rows` to their partners (rows, D)."""
    return np.square(np.subtract(points[rows], partners, dtype=np.float64)).sum(axis=1)


def _squared_norms(points: np.ndarray, centre: np.ndarray | float) -> np.ndarray:
    return np.concatenate([np.square(_at(points, rows, centre)).sum(axis=1) for rows in _chunks(len(points))])


def _at(points: np.ndarray, rows: slice, centre: np.ndarray | float) -> np.ndarray:
    """Rows in float64, seen from the centre."""
    return np.subtract(points[rows], centre, dtype=np.float64)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))

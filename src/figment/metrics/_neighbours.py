"""Distances to nearest neighbours, block by block: memory stays flat however many pictures there are.

The search uses |a - b|^2 = |a|^2 - 2 a.b + |b|^2, one matrix product a block, some forty times faster than differences.
In float64 it is wrong by about 1e-16 (|a|^2 + |b|^2), which matters only for copies and ties. Both are common in
picture sets, so what was found is measured again by differences, and balls are drawn with that error in mind.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

# Numbers in one block of distances: 64 MB of float64.
_BLOCK = 2**23

# Relative error that the matrix form may have: a hundred times what was seen at D = 2048.
_SLACK = 1e-12


def centred(first: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """All of the (N, D) arrays, moved so that the mean of the first is 0.

    Distances stay; the error of the matrix form shrinks with the distance from the origin.
    """
    centre = first.mean(axis=0)
    return [array - centre for array in (first, *others)]


def squared_distances(points: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared Euclidean distances of (N, D) to (M, D), as (rows of points, (rows, M)), in the matrix form.

    A block may be overwritten by who receives it.
    """
    rows = max(1, _BLOCK // len(others))
    other_norms = np.square(others).sum(axis=1)
    for start in range(0, len(points), rows):
        block = points[start : start + rows]
        squared = block @ others.T
        squared *= -2
        squared += other_norms
        squared += np.square(block).sum(axis=1, keepdims=True)
        yield slice(start, start + len(block)), np.maximum(squared, 0, out=squared)


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N,), Euclidean distance to the nearest of `others`; exactly 0 for a copy."""
    nearest = np.concatenate([squared.argmin(axis=1) for _, squared in squared_distances(points, others)])
    return np.linalg.norm(points - others[nearest], axis=1)


def ball_radii(points: np.ndarray, k: int, *, closed: bool) -> np.ndarray:
    """Squared radii (N,) of the balls about (N, D) points that reach to the k-th nearest *other* point.

    closed: whether the ball holds its surface. Either way a squared distance from `squared_distances` is inside if it
    is `<=` the radius given here: the error of the matrix form is added to closed balls and taken off open ones.
    Needs N > k >= 1.
    """
    assert len(points) > k >= 1, (len(points), k)
    radii = np.empty(len(points))
    for rows, squared in squared_distances(points, points):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = np.inf
        # torch, because numpy's partition takes five times as long
        nearest = torch.from_numpy(squared).topk(k, largest=False, sorted=False).indices.numpy()
        radii[rows] = np.max([np.square(points[rows] - points[one]).sum(axis=1) for one in nearest.T], axis=0)
    slack = _SLACK * (np.square(points).sum(axis=1) + radii)
    return radii + slack if closed else np.nextafter(radii - slack, -np.inf)

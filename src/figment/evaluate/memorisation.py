"""Whether a generator copies its training pictures, blends pairs of them, or does neither.

Pictures are compared as thumbnails of at most SIDE pixels a side, where copies and blends show more clearly than in
features: a judge forgives what they look like. Two figures are taken of each picture x, t being the nearest training
picture:

- closeness, |x - t| over the mean distance from x to the NEIGHBOURS training pictures that come next, for x as it is,
  mirrored, or shifted by a pixel, whichever comes nearest. It is 0 for a copy, and near 1 where t is one of many alike:
  so plain pictures, near to all, are not accused. Carlini et al., "Extracting Training Data from Diffusion Models"
  (2023), section 5, take the same ratio.
- blend, the distance from x to the nearest line segment that joins one of the ANCHORS nearest training pictures to any
  other, over |x - t|. It is 0 for a weighted mean of two training pictures; noise about a copy points to no other
  picture, and leaves it near 1.

Held-out pictures show what is usual for pictures that the generator cannot have seen. A figure below HALF of their
median is suspicious. A generator is accused only where more of its pictures are suspicious than of held-out ones,
beyond what chance allows (Fisher's exact test): near duplicates in the data themselves accuse nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.evaluate.scores import wilson_interval

SIDE = 16
NEIGHBOURS = 20
ANCHORS = 10
HALF = 0.5
CHANCE = 1e-3  # how often a generator of unseen pictures may be accused, at most
SUSPECTS = 32

# Shifts are of one pixel in pictures of up to this size, and in proportion beyond.
_SHIFT_SIDE = 32

_ROWS = 512  # pictures whose distances to all training pictures are held at a time: 20 MB for 10,000 of those
_LEAST = 10


@dataclass(frozen=True)
class Share:
    """Share of generated pictures that are suspicious, with its 95% interval, and the share of held-out ones.

    p: how probable so many would be if generated pictures were as unseen as held-out ones.
    """

    value: float
    low: float
    high: float
    held_out: float
    p: float

    @property
    def is_sick(self) -> bool:
        return self.p < CHANCE


@dataclass(frozen=True)
class Suspect:
    """A generated picture and the training picture nearest to it, by their rows, with both figures.

    pair: the training pictures at the ends of the nearest segment. weight: how far it lies on the way to the second.
    """

    fake: int
    train: int
    closeness: float
    pair: tuple[int, int]
    weight: float
    blend: float


@dataclass(frozen=True)
class Verdict:
    """What a generator does, with the figures behind it. suspects: the worst SUSPECTS, the worst first."""

    name: Literal["copies", "interpolates", "healthy"]
    copies: Share
    blends: Share
    suspects: tuple[Suspect, ...]
    num_real: int
    num_fake: int
    num_train: int

    def __str__(self) -> str:
        shares = [(self.copies, "near copies of a training picture"), (self.blends, "blends of two training pictures")]
        said = [f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%}) are {what}" for share, what in shares]
        unseen = f"of unseen pictures {self.copies.held_out:.1%} and {self.blends.held_out:.1%}"
        return f"{self.name}: of {self.num_fake} generated pictures {said[0]}, {said[1]}; {unseen}"


@dataclass(frozen=True)
class _Figures:
    """Of n pictures: both figures, (n,); the nearest training picture, (n,); the segment's ends, (n, 2), and place."""

    closeness: np.ndarray
    train: np.ndarray
    blend: np.ndarray
    pair: np.ndarray
    weight: np.ndarray

    def suspect(self, row: int) -> Suspect:
        return Suspect(
            fake=row,
            train=int(self.train[row]),
            closeness=float(self.closeness[row]),
            pair=(int(self.pair[row, 0]), int(self.pair[row, 1])),
            weight=float(self.weight[row]),
            blend=float(self.blend[row]),
        )


def verdict(*, real: Sample, fake: Sample, train: Sample) -> Verdict:
    """real: held out of training; train: what the model learned from, all of it where there is room.

    Copies of training pictures that are not among `train` stay unseen, so the shares are then lower bounds.
    Raises DataError where a side has fewer than 10 pictures, no images, or images of another size.
    """
    real_images, fake_images, train_images = _images(real, fake, train)
    known = _Known(train_images)
    held_out, generated = known.figures(real_images), known.figures(fake_images)
    near = [one.closeness < HALF * np.median(held_out.closeness) for one in (held_out, generated)]
    between = [one.blend < HALF * np.median(held_out.blend) for one in (held_out, generated)]
    blends = _share(*between)
    copies = _share(*(a & ~b for a, b in zip(near, between, strict=True)))
    sick = [share for share in (copies, blends) if share.is_sick]
    worst = max(sick, key=lambda share: share.value, default=None)
    name = "healthy" if worst is None else "copies" if worst is copies else "interpolates"
    order = np.argsort(generated.blend if name == "interpolates" else generated.closeness, kind="stable")
    suspects = tuple(generated.suspect(int(row)) for row in order[:SUSPECTS])
    return Verdict(name, copies, blends, suspects, len(real), len(fake), len(train))


def chance_of(suspicious: int, count: int, suspicious_others: int, count_others: int) -> float:
    """Probability that of `count` pictures `suspicious` or more are among those that are suspicious of both groups.

    Fisher's exact test, one-sided: the groups are taken for one, cut at random.
    """
    from scipy.stats import hypergeom

    return float(hypergeom.sf(suspicious - 1, count + count_others, suspicious + suspicious_others, count))


def _share(held_out: np.ndarray, generated: np.ndarray) -> Share:
    """Which pictures of each side are suspicious, bool."""
    value = float(generated.mean())
    p = chance_of(int(generated.sum()), len(generated), int(held_out.sum()), len(held_out))
    return Share(value, *wilson_interval(value, len(generated)), float(held_out.mean()), p)


def _images(*samples: Sample) -> list[np.ndarray]:
    images = [sample.images for sample in samples]
    if any(one is None or len(one) < _LEAST for one in images):
        counts = ", ".join(str(0 if one is None else len(one)) for one in images)
        raise DataError(
            f"memorisation: needs at least {_LEAST} held-out, generated and training pictures and was given {counts}"
        )
    if len({one.shape[1:] for one in images if one is not None}) > 1:
        raise DataError("memorisation: held-out, generated and training pictures differ in size; make them one size")
    return [one for one in images if one is not None]


class _Known:
    """Training pictures as points, once each, about their mean."""

    def __init__(self, images: np.ndarray):
        points = torch.cat([_thumbnails(block) for block in _blocks(images)])
        first: dict[bytes, int] = {}
        for row, point in enumerate(points.numpy()):
            first.setdefault(point.tobytes(), row)
        self.rows = np.array(list(first.values()))
        if len(first) < _LEAST:
            raise DataError(
                f"memorisation: needs at least {_LEAST} different training pictures and was given {len(first)}"
            )
        self.centre = points.mean(0)
        self.points = points[self.rows] - self.centre
        self.norms = self.points.square().sum(1)

    def figures(self, images: np.ndarray) -> _Figures:
        """uint8 (N, H, W, C)"""
        parts = zip(*(self._block(block) for block in _blocks(images)), strict=True)
        closeness, train, blend, pair, weight = (np.concatenate(part) for part in parts)
        return _Figures(closeness, self.rows[train], blend, self.rows[pair], weight)

    def _block(self, images: Tensor) -> tuple[np.ndarray, ...]:
        distances, near = self._nearest(self._nearest_view(images))
        closeness = distances[:, 0] / distances[:, 1:].mean(1)
        plain = _thumbnails(images) - self.centre
        smallest, anchors = (found[:, :ANCHORS] for found in self._nearest(plain))
        residual, pair, weight = self._segments(plain, anchors)
        blend = torch.where(smallest[:, 0] > 0, residual / smallest[:, 0], 1.0)
        return tuple(one.numpy() for one in (closeness, near[:, 0], blend, pair, weight))

    def _nearest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The NEIGHBOURS + 1 points nearest to x (b, P): distances, rising, and which, (b, NEIGHBOURS + 1) each."""
        near = self._squares(x).topk(min(NEIGHBOURS + 1, len(self.points)), largest=False).indices
        distances, order = (self.points[near] - x[:, None]).norm(dim=2).sort(dim=1)  # by differences: 0 for a copy
        return distances, near.gather(1, order)

    def _nearest_view(self, images: Tensor) -> Tensor:
        """Of each picture the view that comes nearest to a training picture, (b, P)."""
        views = torch.stack([_thumbnails(view) - self.centre for view in _views(images)])
        best = torch.stack([self._squares(view).amin(1) for view in views]).argmin(0)
        return views[best, torch.arange(len(images))]

    def _squares(self, x: Tensor) -> Tensor:
        """(b, P) -> (b, n)"""
        return torch.addmm(self.norms, x, self.points.T, alpha=-2).add_(x.square().sum(1, keepdim=True)).clamp_(min=0)

    def _segments(self, x: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Distance of x (b, P) to the nearest segment that begins at one of its anchors (b, a); its ends; the place."""
        inner = x @ self.points.T
        found = []
        for anchor in anchors.T:
            start = self.points[anchor]
            across = start @ self.points.T
            lengths = (self.norms - 2 * across + self.norms[anchor, None]).clamp_(min=1e-9)  # squared, (b, n)
            along = inner - across + (self.norms[anchor] - (x * start).sum(1))[:, None]  # (x - a).(t - a)
            saved = along.clamp_(min=0).minimum(lengths).square_().div_(lengths)  # of the squared distance, (b, n)
            found.append(torch.stack([anchor, saved.scatter_(1, anchor[:, None], 0).argmax(1)], 1))
        pairs = torch.stack(found)  # (a, b, 2)
        residuals, places = _to_segment(x, self.points[pairs[..., 0]], self.points[pairs[..., 1]])
        best, column = residuals.argmin(0), torch.arange(len(x))
        return residuals[best, column], pairs[best, column], places[best, column]


def _to_segment(x: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of points (..., P) to segments, and the place of the nearest point on each, 0 to 1; by differences."""
    way = end - start
    place = (((x - start) * way).sum(-1) / way.square().sum(-1).clamp(min=1e-12)).clamp(0, 1)
    return (x - start - place[..., None] * way).norm(dim=-1), place


def _blocks(images: np.ndarray) -> Iterator[Tensor]:
    return (torch.tensor(images[low : low + _ROWS]) for low in range(0, len(images), _ROWS))


def _thumbnails(images: Tensor) -> Tensor:
    """uint8 (N, H, W, C) -> (N, P) in [0, 1], means of areas: at most SIDE x SIDE."""
    pixels = images.movedim(3, 1).float() / 255
    height, width = (min(SIDE, length) for length in pixels.shape[2:])
    return F.adaptive_avg_pool2d(pixels, (height, width)).flatten(1)


def _views(images: Tensor) -> Iterator[Tensor]:
    """uint8 (N, H, W, C) as they are, mirrored, and shifted in eight directions, the border repeated."""
    height, width = images.shape[1:3]
    step = max(1, min(height, width) // _SHIFT_SIDE)
    yield images
    yield images.flip(2)
    for down in (-step, 0, step):
        for right in (-step, 0, step):
            if down or right:
                rows = (torch.arange(height) + down).clamp(0, height - 1)
                columns = (torch.arange(width) + right).clamp(0, width - 1)
                yield images[:, rows][:, :, columns]

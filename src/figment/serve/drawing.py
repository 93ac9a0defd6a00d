"""In the process of the models: rows of what is asked become pictures, PNG bytes with their recipe inside.

A row is {seed, label, caption} and maybe {to, t}, a place on the way to another seed's picture, or {plane}, a place in
the principal plane of styles. Rows of many requests are drawn as one batch; row i depends on row i alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, Protocol

import torch
from torch import Tensor

from figment.core.checkpoint import LoadedModel
from figment.core.config import to_json
from figment.core.images import encode_png, to_uint8
from figment.core.noise import noise
from figment.core.types import Condition, Encodes
from figment.data.captions import encode_captions
from figment.evaluate.extract import asked_spec
from figment.samplers import Sampling
from figment.version import VERSION

Rows = Sequence[Mapping[str, Any]]

_STYLES = 512  # styles whose spread the principal plane is found from


class Watcher(Protocol):
    """Whoever looks on while pictures are drawn."""

    def step(self, done: int, total: int, clean: Tensor | None) -> None:
        """After every look at the network: steps so far, and its estimate of the clean pictures (B, C, H, W).

        Raises whatever shall end the drawing.
        """


@torch.no_grad()
def draw(loaded: LoadedModel, rows: Rows, settings: Any, watcher: Watcher) -> list[bytes]:
    """The pictures of the rows, each a PNG with the recipe from which `figment sample --again` draws it once more."""
    condition = condition_of(loaded, rows)
    with watched(loaded.model, settings, watcher, len(rows)):
        if "plane" in rows[0]:
            images = _in_plane(loaded.model, rows, condition)
        else:
            images = loaded.model.generate(_noise(loaded.model, rows), condition, settings)  # type: ignore[operator]
    recipes = [recipe_of(loaded, row, settings) for row in rows]
    return [encode_png(picture, recipe) for picture, recipe in zip(to_uint8(images), recipes, strict=True)]


def condition_of(loaded: LoadedModel, rows: Rows) -> Condition | None:
    """What the rows ask for; None for a model that cannot be asked for anything."""
    spec = asked_spec(loaded)
    captions = encode_captions([row["caption"] for row in rows], spec.caption_bytes).copy()
    if not spec.classes and not spec.caption_bytes:
        return None
    return Condition(
        labels=torch.tensor([row["label"] for row in rows]) if spec.classes else None,
        captions=torch.from_numpy(captions) if spec.caption_bytes else None,
    )


def recipe_of(loaded: LoadedModel, row: Mapping[str, Any], settings: Any) -> dict[str, Any] | None:
    """What makes a row's picture again; None for one between the seeds."""
    if "to" in row or "plane" in row:
        return None
    classes, captions = asked_spec(loaded).classes, [row["caption"]] if row["caption"] else []
    name = classes[row["label"]] if row["label"] >= 0 else ""
    order = {"num": 1, "label": name or "none", "seed": row["seed"], "captions": captions}
    facts = {"figment": VERSION, "run": loaded.digest, "family": loaded.family, "seed": row["seed"], "label": name}
    facts |= {"captions": captions} if captions else {}
    return facts | {"of": order, "settings": to_json(settings) if settings is not None else {}}


@contextmanager
def watched(model: Any, settings: Any, watcher: Watcher, count: int) -> Iterator[None]:
    """Let somebody look on while a model that denoises draws `count` pictures or changes some."""
    if not hasattr(model, "denoise"):
        watcher.step(0, 1, None)
        yield
        return
    own = model.denoise
    total = settings.steps if isinstance(settings, Sampling) else 0
    levels = settings.sigmas(model) if total else torch.zeros(0)

    @wraps(own)
    def denoise(noisy: Tensor, sigma: Tensor, *rest: Any, **named: Any) -> Tensor:
        clean = own(noisy, sigma, *rest, **named)
        done = int((levels > float(sigma.max())).sum())
        watcher.step(done, total, clean[:count])  # guidance asks twice in one batch, first what is wanted
        return clean

    model.denoise = denoise
    try:
        yield
    finally:
        del model.denoise


def as_seen(model: Any, clean: Tensor) -> Tensor:
    """An estimate of clean pictures, or of their latents, as pictures (B, C, H, W)."""
    return model.decode(clean) if isinstance(model, Encodes) else clean


def _noise(model: Any, rows: Rows) -> Tensor:
    """(B, *noise_shape): each row's own, or a place on the arc between two."""
    start = noise([row["seed"] for row in rows], model)
    if "to" not in rows[0]:
        return start
    end = noise([row["to"] for row in rows], model)
    return torch.stack([_arc(a, b, float(row["t"])) for a, b, row in zip(start, end, rows, strict=True)])


def _arc(start: Tensor, end: Tensor, t: float) -> Tensor:
    """Between two noises on the arc around the origin, so that what lies between is as long as they are: slerp."""
    if t in (0.0, 1.0):
        return end if t else start
    cosine = (start * end).sum() / (start.norm() * end.norm())
    angle = cosine.clamp(-1, 1).acos()
    if angle.sin() < 1e-4:
        return torch.lerp(start, end, t)
    return (((1 - t) * angle).sin() * start + (t * angle).sin() * end) / angle.sin()


def _in_plane(model: Any, rows: Rows, condition: Condition | None) -> Tensor:
    """Pictures of styles moved along their two principal directions, in standard deviations (Härkönen et al. 2020)."""
    w = model.map(noise([row["seed"] for row in rows], model), condition)
    directions = _principal(model)
    place = torch.tensor([row["plane"] for row in rows], dtype=w.dtype)
    return model.synthesize(w + (place @ directions.flatten(1)).view_as(w))


@lru_cache(maxsize=16)
def _principal(model: Any) -> Tensor:
    """The two directions in which styles vary most, each one standard deviation long: (2, *style)."""
    styles = model.map(noise(range(_STYLES), model), None)
    flat = styles.flatten(1)
    _, deviations, directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    lengths = deviations[:2, None] / (_STYLES - 1) ** 0.5
    return (directions[:2] * lengths).view(2, *styles.shape[1:])

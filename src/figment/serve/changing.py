"""In the process of the models: an edit asked over HTTP becomes pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from figment import edits
from figment.core import plugins
from figment.core.checkpoint import LoadedModel
from figment.core.config import from_json, to_json
from figment.core.images import encode_png, to_uint8
from figment.evaluate.opening import Given, finished, open_image, open_mask
from figment.serve.drawing import Watcher, condition_of, watched
from figment.version import VERSION

Piece = tuple[dict[str, Any], bytes]


def change(
    loaded: LoadedModel, asked: Mapping[str, Any], blobs: Sequence[bytes], settings: Any, watcher: Watcher
) -> tuple[list[Piece], dict[str, float]]:
    """Do an edit: every picture of the answer, told apart by {kind, place, seed, suffix}, and its figures.

    asked: {edit, config, rows, num_images, has_mask, has_style}. blobs: the files of the images, the mask, the style.

    Raises FigmentError where the edit cannot be done.
    """
    module = plugins.load("edits", asked["edit"])
    config = from_json(module.Config, asked["config"], "config")
    request, given, recipe = _request(loaded, asked, list(blobs), settings, partial(watcher.step, clean=None))
    edits.require(asked["edit"], loaded.model, request)
    with watched(loaded.model, settings, watcher, len(request.seeds)):
        answer = module.edit(loaded.model, request, config)
    recipe |= {"figment": VERSION, "edit": asked["edit"], "config": to_json(config)}
    pictures = {"picture": finished(answer, given)}
    pictures |= {name: to_uint8(images) for name, images in answer.extras.items()}
    pieces = []
    for kind, all_pixels in pictures.items():
        for place, pixels in enumerate(all_pixels):
            seed = request.seeds[min(place, len(request.seeds) - 1)]  # an extra may be one for all seeds
            facts = {"kind": kind, "place": place, "seed": seed, "suffix": "png"}
            own = {"seed": seed} | ({} if kind == "picture" else {"extra": kind})
            pieces.append((facts, encode_png(np.ascontiguousarray(pixels), recipe | own)))
    if answer.file is not None:
        facts = {"kind": "file", "place": 0, "seed": request.seeds[0], "suffix": answer.suffix.removeprefix(".")}
        pieces.append((facts, answer.file))
    return pieces, {name: float(value) for name, value in answer.figures.items()}


def _request(
    loaded: LoadedModel, asked: Mapping[str, Any], blobs: list[bytes], settings: Any, tell: Callable[[int, int], None]
) -> tuple[edits.Request, list[Given], dict[str, Any]]:
    """What an edit is given, the pictures as they were opened, and the part of the recipe that says all this."""
    channels = loaded.spec.channels
    given = [open_image(blobs.pop(0), "image", channels) for _ in range(asked["num_images"])]
    recipe: dict[str, Any] = {"run": loaded.digest, "family": loaded.family, "images": [one.digest for one in given]}
    mask = style = None
    if asked["has_mask"]:
        height, width = given[0].image.shape[2:]
        mask, recipe["mask"] = open_mask(blobs.pop(0), "mask", (height, width))
    if asked["has_style"]:
        opened = open_image(blobs.pop(0), "style", channels)
        style, recipe["style"] = opened.image, opened.digest
    recipe |= {"settings": to_json(settings)} if settings is not None else {}
    rows = asked["rows"]
    is_open = all(row["label"] < 0 and not row["caption"] for row in rows)
    condition = None if is_open else condition_of(loaded, rows)
    seeds, images = tuple(row["seed"] for row in rows), tuple(one.image for one in given)
    return edits.Request(loaded.spec, images, mask, style, condition, seeds, settings, tell), given, recipe

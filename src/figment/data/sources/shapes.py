"""Drawn figures with exact captions in English and Chinese, still or moving, as many as wanted: `shapes:10000`.

Part of the data room. One figure, or two side by side or one above the other: "a small red circle left of a blue
square". Every caption is true, in either order and language; label: the shape of the first figure; attributes: how many
figures there are of each colour, shape and size; origin: what was drawn, as JSON. A picture follows from (seed, number)
alone. `figment.data.shapes_reader` reads such pictures back, generated ones too.

With `--shapes.hold-out 0.1` a tenth of all combinations of colour, shape and place never occurs in train or val; each
picture in test has one at least: what a model draws when it is asked for those, it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from figment.core.config import check_range
from figment.core.errors import ConfigError, did_you_mean
from figment.core.types import Record
from figment.data.shapes_drawing import draw
from figment.data.shapes_scene import COLOURS, INVERSE, MOTIONS, SHAPES, SIZES, Figure, Scene, captions_of

USUAL_NUMBER = 10_000
MAX_NUMBER = 100_000_000

BACKGROUNDS = {
    "cream": (250, 244, 230),
    "sky": (228, 240, 250),
    "mint": (229, 245, 234),
    "blush": (252, 234, 232),
    "lilac": (240, 235, 250),
}

MARGIN = 0.03  # between a figure and the border, as a share of the side, as all lengths here
GAP = 0.08  # between two figures
SHIFT = 0.1  # of a figure of two, across the line on which they lie
TRAVEL = 0.3  # of a moving figure, from the first frame to the last
PLACES = ("centre", "left", "right", "top", "bottom")
ORIGIN = {"source": "figment shapes", "licence": "CC0-1.0"}


@dataclass(frozen=True)
class Config:
    """What is drawn."""

    argument: str = ""
    """How many pictures; 10000 where it is not said."""
    size: int = 32
    """Side of the pictures, in pixels."""
    frames: int = 1
    """Frames of a sequence in which one figure moves, grows or shrinks; 1 draws stills."""
    figures: int = 2
    """Most figures in a picture: 1, or 2 in every other one."""
    only: tuple[str, ...] = ()
    """Shapes to draw, such as circle and square; all where none is named."""
    hold_out: float = 0.0
    """Share of the combinations of colour, shape and place that only test pictures have."""
    seed: int = 0
    """Everything random follows from it."""

    def __post_init__(self):
        if self.argument and not (self.argument.isascii() and self.argument.isdigit() and self.number):
            raise ConfigError(f"shapes:{self.argument}: give how many pictures to draw, as in shapes:10000")
        check_range("shapes", self.number, 1, MAX_NUMBER)
        check_range("shapes.size", self.size, 16, 1024)
        check_range("shapes.frames", self.frames, 1, 256)
        check_range("shapes.figures", self.figures, 1, 2)
        if unknown := next((shape for shape in self.only if shape not in SHAPES), None):
            raise ConfigError(f"--shapes.only {unknown}: no such shape{did_you_mean(unknown, SHAPES)}")
        check_range("shapes.hold_out", self.hold_out, 0, 0.5)
        check_range("shapes.seed", self.seed, 0, 2**63)

    @property
    def number(self) -> int:
        return int(self.argument or USUAL_NUMBER)


def records(config: Config) -> Iterator[Record]:
    """The pictures in order: image uint8 (size, size, 3) or (frames, size, size, 3), keys "000000", "000001", ..."""
    for number in range(config.number):
        yield record(config, number)


def count(config: Config) -> int:
    """How many records there will be."""
    return config.number


def record(config: Config, number: int) -> Record:
    """The picture of one number, which is the same in a dataset of any size."""
    random = _generator(config.seed, number)
    scene, places = _scene(random, config)
    background = str(random.choice(list(BACKGROUNDS)))
    times = np.linspace(-0.5, 0.5, config.frames) if config.frames > 1 else [0.0]
    frames = [
        draw([_at(figure, time) for figure in scene.figures], BACKGROUNDS[background], config.size) for time in times
    ]
    drawn = {"background": background, "relation": scene.relation, "figures": [asdict(one) for one in scene.figures]}
    return Record(
        image=np.stack(frames) if config.frames > 1 else frames[0],
        key=f"{number:06d}",
        label=scene.figures[0].shape,
        split=_split(config, number, scene, places),
        attributes=attributes_of(scene),
        captions=captions_of(scene),
        origin={**ORIGIN, "drawn": json.dumps(drawn)},
    )


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], np.uint64)))


def attributes_of(scene: Scene) -> dict[str, float]:
    """How many figures of a scene have each colour, shape and size; size "" is called medium."""
    said = [word for one in scene.figures for word in (one.colour, one.shape, one.size or "medium")]
    names = (*COLOURS, *SHAPES, *(size or "medium" for size in SIZES))
    return {"figures": float(len(scene.figures)), **{name: float(said.count(name)) for name in names}}


def held_out(config: Config) -> frozenset[tuple[str, str, str]]:
    """The combinations of (colour, shape, place) that only test pictures have."""
    return _held_out(config.seed, config.hold_out)


@lru_cache(maxsize=8)
def _held_out(seed: int, share: float) -> frozenset[tuple[str, str, str]]:
    """By turns over the colours, then the shapes, so that each of them keeps about as many as any other."""
    every = list(product(COLOURS, SHAPES, PLACES))
    order = _generator(seed, 2**64 - 1).permutation(len(every))
    seen: dict[tuple[str, str], int] = {}
    turn = {}
    for place in order:
        colour, shape, _ = every[place]
        seen[colour, shape] = seen.get((colour, shape), 0) + 1
        turn[place] = seen[colour, shape]
    fair = sorted(order, key=lambda place: turn[place])  # stable: within a turn the order is random
    return frozenset(every[place] for place in fair[: round(share * len(every))])


def _split(config: Config, number: int, scene: Scene, places: tuple[str, ...]) -> str | None:
    """With held-out combinations a tenth of the rest is val; without any, the split step decides."""
    if not config.hold_out:
        return None
    combinations = {(one.colour, one.shape, place) for one, place in zip(scene.figures, places, strict=True)}
    return "test" if combinations & held_out(config) else "val" if number % 10 == 0 else "train"


def _scene(random: np.random.Generator, config: Config) -> tuple[Scene, tuple[str, ...]]:
    """A scene, and the place of each of its figures."""
    if config.figures == 1 or random.random() < 0.5:
        motion = str(random.choice(list(MOTIONS))) if config.frames > 1 else ""
        return Scene((_single(random, config.only, motion),)), ("centre",)
    relation = str(random.choice(list(INVERSE)))
    first, second = _two(random, config.only, relation)
    if config.frames > 1:  # across the line between them, so that the relation holds in every frame
        across = ("moving up", "moving down") if relation.endswith("of") else ("moving left", "moving right")
        first = replace(first, motion=str(random.choice(across)))
    places = {"left of": ("left", "right"), "above": ("top", "bottom")}
    pair = places.get(relation) or places[INVERSE[relation]][::-1]
    return Scene((first, second), relation), pair


def _looks(random: np.random.Generator, only: tuple[str, ...]) -> Figure:
    """A figure that is nowhere yet."""
    size = str(random.choice(list(SIZES)))
    _, low, high = SIZES[size]
    radius = float(random.uniform(low, high))
    return Figure(str(random.choice(list(COLOURS))), str(random.choice(list(only or SHAPES))), size, 0.5, 0.5, radius)


def _single(random: np.random.Generator, only: tuple[str, ...], motion: str) -> Figure:
    figure = _looks(random, only)
    if motion in ("growing", "shrinking"):
        figure = replace(figure, size="", radius=(SIZES["small"][1] + SIZES["large"][2]) / 2)
    x, y = (float(value) for value in random.uniform(0.5 - SHIFT, 0.5 + SHIFT, 2))
    return replace(figure, x=x, y=y, motion=motion)


def _two(random: np.random.Generator, only: tuple[str, ...], relation: str) -> tuple[Figure, Figure]:
    """Two figures that differ in colour or shape, the first `relation` the second, neither touching anything."""
    first, second = _looks(random, only), _looks(random, only)
    while (first.colour, first.shape) == (second.colour, second.shape):
        second = _looks(random, only)
    before, after = (first, second) if relation in ("left of", "above") else (second, first)
    room = 1 - 2 * (MARGIN + before.radius + after.radius) - GAP
    low, high = (float(value) for value in np.sort(random.uniform(0, max(0.0, room), 2)))
    along = {before: MARGIN + before.radius + low, after: 1 - MARGIN - after.radius - (room - high)}
    across = {one: float(random.uniform(0.5 - SHIFT, 0.5 + SHIFT)) for one in (before, after)}
    x, y = (along, across) if relation.endswith("of") else (across, along)
    return tuple(replace(one, x=x[one], y=y[one]) for one in (first, second))  # type: ignore[return-value]


def _at(figure: Figure, time: float) -> Figure:
    """A figure at a time from -0.5, the first frame, to 0.5, the last."""
    right, down = {"moving right": (1, 0), "moving left": (-1, 0), "moving down": (0, 1), "moving up": (0, -1)}.get(
        figure.motion, (0, 0)
    )
    growth = {"growing": 1, "shrinking": -1}.get(figure.motion, 0) * (SIZES["large"][2] - SIZES["small"][1])
    return replace(
        figure,
        x=figure.x + right * TRAVEL * time,
        y=figure.y + down * TRAVEL * time,
        radius=figure.radius + growth * time,
    )

"""The data room: what a picture of drawn figures shows, and every sentence about it that is true, in two languages."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = {
    "red": ("红色", (219, 58, 52)),
    "yellow": ("黄色", (247, 201, 72)),
    "green": ("绿色", (58, 153, 88)),
    "blue": ("蓝色", (47, 112, 208)),
    "purple": ("紫色", (140, 76, 176)),
    "black": ("黑色", (42, 44, 52)),
}
"""Chinese name and sRGB."""

SHAPES = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "五角星",
    "heart": "心形",
    "ring": "圆环",
    "cross": "十字",
    "diamond": "菱形",
}

SIZES = {"small": ("小", 0.12, 0.126), "": ("", 0.16, 0.168), "large": ("大", 0.205, 0.215)}
"""Chinese name, smallest and largest radius as a share of the picture's side; the middle size is not mentioned."""

RELATIONS = {"left of": "左边", "right of": "右边", "above": "上面", "below": "下面"}
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

MOTIONS = {
    "moving left": "向左移动",
    "moving right": "向右移动",
    "moving up": "向上移动",
    "moving down": "向下移动",
    "growing": "变大",
    "shrinking": "变小",
}


@dataclass(frozen=True)
class Figure:
    """One figure. x, y: its centre, and radius: half the side of its box, as shares of the picture's side.

    shape: of SHAPES, or "" where it fits none. motion: of MOTIONS, or "" where it rests.
    """

    colour: str
    shape: str
    size: str
    x: float
    y: float
    radius: float
    motion: str = ""


@dataclass(frozen=True)
class Scene:
    """What a picture shows. relation: of the first figure to the second; "" unless there are two."""

    figures: tuple[Figure, ...]
    relation: str = ""


def captions_of(scene: Scene) -> tuple[str, ...]:
    """Every caption that is true of a scene of one or two figures, English before Chinese; of others none.

    >>> circle = Figure("red", "circle", "small", 0.2, 0.5, 0.12)
    >>> square = Figure("blue", "square", "", 0.7, 0.5, 0.16)
    >>> captions_of(Scene((circle, square), "left of"))[0]
    'a small red circle left of a blue square'
    >>> captions_of(Scene((circle, square), "left of"))[3]
    '一个蓝色正方形在一个小的红色圆形的右边'
    """
    if not scene.figures or not all(figure.shape and figure.colour for figure in scene.figures):
        return ()
    if len(scene.figures) == 1:
        return _english(scene.figures[0]), _chinese(scene.figures[0])
    if len(scene.figures) != 2 or not scene.relation:
        return ()
    (first, second), relation = scene.figures, scene.relation
    ways = ((first, relation, second), (second, INVERSE[relation], first))
    english = [f"{_english(one)}{',' * bool(one.motion)} {how} {_english(other)}" for one, how, other in ways]
    chinese = [f"{_chinese(one)}在{_chinese(other)}的{RELATIONS[how]}" for one, how, other in ways]
    return *english, *chinese


def _english(figure: Figure) -> str:
    return " ".join(word for word in ("a", figure.size, figure.colour, figure.shape, figure.motion) if word)


def _chinese(figure: Figure) -> str:
    motion = f"{MOTIONS[figure.motion]}的" if figure.motion else ""
    size = f"{SIZES[figure.size][0]}的" if figure.size else ""
    return f"一个{motion}{size}{COLOURS[figure.colour][0]}{SHAPES[figure.shape]}"

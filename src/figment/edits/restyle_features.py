"""Give a picture the texture of another one, as a judge sees it: its pixels are changed until the statistics agree.

    min_x  style(x, s) + content |F(x) - F(c)|^2 / |F(c)|^2          F: what the judge's middle stage sees

gram: in each stage, the products of all pairs of features, averaged over places (Gatys et al. 2016, equations 3 to 5).
sliced: in each stage, the whole distribution of features, compared along random directions (Heitz et al. 2021).
Both pictures are looked at from several distances, that is, at half the size and a quarter too, so that a judge of
small pictures sees broad strokes as well. Before, the picture is given the mean and spread of the style's colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.edits import Answer, Request
from figment.edits._colours import with_colours_of
from figment.edits._seeing import Look, eyes_of

NEEDS = ()
INPUTS = ("image", "style")

LR = 0.03  # of Adam's first step, in units of [-1, 1]
DISTANCES = 3  # from which pictures are looked at, each twice the one before
SMALLEST = 32  # pixels of the shorter side, seen from the farthest


@dataclass(frozen=True)
class Config:
    """Through whose eyes, and what counts."""

    judge: str = ""
    """The classifier or contrastive run that looks at both pictures."""
    statistics: Literal["gram", "sliced"] = "gram"
    """What is to agree: products of pairs of features, or their whole distribution."""
    content: float = 0.1
    """Weight of what the picture shows, against the style."""
    steps: int = 200
    """Of the optimisation."""
    recolor: bool = True
    """Give the picture the style's colours first."""

    def __post_init__(self):
        check_range("edit.content", self.content, 0, 1e6)
        check_range("edit.steps", self.steps, 1, 100_000)


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture at its own size, (N, C, H, W), the same for every seed."""
    if not config.judge:
        raise ConfigError(
            "restyle_features: through whose eyes? give --edit.judge RUN, a classifier or contrastive run"
        )
    image, style = request.images[0], request.style
    assert style is not None, "require() has asked for it"
    if image.shape[1] != style.shape[1]:
        raise ConfigError(
            f"--style: has {style.shape[1]} channels, the picture {image.shape[1]}; give two in colour or two in grey"
        )
    count = min(_distances(image), _distances(style))
    look = partial(_from_afar, eyes_of(config.judge, image.shape[1]), count)
    start = with_colours_of(image, style) if config.recolor else image
    unlike = {"gram": gram_distance, "sliced": sliced_distance}[config.statistics]
    with torch.no_grad():
        wanted, before = look(style), look(image)

    def style_distance(seen: list[Tensor]) -> Tensor:
        return sum((unlike(mine, theirs) for mine, theirs in zip(seen, wanted, strict=True)), torch.zeros(())) / count

    drawn = _optimised(start, look, style_distance, len(wanted) // count // 2, config, request)
    with torch.no_grad():
        figures = {"style_distance": float(style_distance(look(drawn)))}
        figures |= {"style_distance_before": float(style_distance(before))}
    return Answer(drawn.repeat(len(request.seeds), 1, 1, 1), figures=figures)


def _distances(image: Tensor) -> int:
    """From how many distances a picture can be looked at."""
    side = min(image.shape[-2:])
    return 1 + sum(side >= SMALLEST * 2**halvings for halvings in range(1, DISTANCES))


def _from_afar(look: Look, count: int, images: Tensor) -> list[Tensor]:
    """What is seen of pictures from `count` distances, the nearest first."""
    return [stage for halvings in range(count) for stage in look(F.avg_pool2d(images, 2**halvings))]


def _optimised(
    image: Tensor,
    look: Look,
    style_distance: Callable[[list[Tensor]], Tensor],
    middle: int,
    config: Config,
    request: Request,
) -> Tensor:
    """The picture changed until its style agrees, and what stage `middle` sees of it as far as that counts."""
    with torch.no_grad():
        content = look(image)[middle]
    power = content.square().mean().clamp_min(1e-8)
    with torch.enable_grad():
        drawn = image.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([drawn], lr=LR)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
        for step in range(config.steps):
            seen = look(drawn)
            kept = (seen[middle] - content).square().mean() / power
            optimizer.zero_grad()
            (style_distance(seen) + config.content * kept).backward()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                drawn.clamp_(-1, 1)
            request.progress(step + 1, config.steps)
    return drawn.detach()


def gram_distance(seen: Tensor, wanted: Tensor) -> Tensor:
    """Of two sets of features (1, D, h, w), each of its own size: squared, as a share of the second's square."""
    mine, theirs = (part.flatten(2)[0] @ part.flatten(2)[0].T / part[0, 0].numel() for part in (seen, wanted))
    return (mine - theirs).square().sum() / theirs.square().sum().clamp_min(1e-12)


def sliced_distance(seen: Tensor, wanted: Tensor) -> Tensor:
    """As above, by the sorted projections on as many random directions as there are features."""
    width = seen.shape[1]
    across = F.normalize(torch.randn(width, width, generator=torch.Generator().manual_seed(0)), dim=1)
    mine, theirs = ((across @ part.flatten(2)[0]).sort(1).values[None] for part in (seen, wanted))
    theirs = F.interpolate(theirs, mine.shape[-1], mode="linear", align_corners=True)
    return (mine - theirs).square().mean() / theirs.square().mean().clamp_min(1e-12)

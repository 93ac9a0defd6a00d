"""Samplers: what a step costs beside the network, against diffusers' schedulers; and how errors fall with steps.

    python benchmarks/run.py samplers       speed, side by side
    python benchmarks/samplers.py           orders of convergence: a table, and docs/pictures/samplers.svg

The network of the comparison is one multiplication, so that only the samplers' own work is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from figment.core import plugins
from figment.pages.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, Axis
from figment.samplers import karras_sigmas
from figment.samplers._exact import Gaussian, Points, path_error, spread_error

PICTURE = Path(__file__).parents[1] / "docs/pictures/samplers.svg"
BATCH, STEPS = 64, 18
COUNTS = (4, 8, 16, 32, 64, 128, 256)  # evaluations of the network

# Title, sampler, its settings, and the order that theory gives it.
PATHS = (
    ("euler, ddim", "euler", {}, 1),
    ("heun", "heun", {}, 2),
    ("dpmpp_2m", "dpmpp_2m", {}, 2),
    ("unipc 2", "unipc", {}, 3),
    ("unipc 3", "unipc", {"order": 3}, 4),
)
SPREADS = (
    ("ancestral", "ancestral", {}, 1),
    ("ddim, eta 0.5", "ddim", {"eta": 0.5}, 1),
    ("dpmpp_2m_sde", "dpmpp_2m_sde", {}, 2),
    ("heun, churn 10", "heun", {"churn": 10.0}, 2),
)
COLOURS = ("#7a8699", "#c2571a", "#1f7a5c", "#2f6fd0", "#8a3fb0")


def contenders() -> dict[str, Callable[[], int]]:
    noise = torch.randn(BATCH, 3, 32, 32)
    sigmas = karras_sigmas(STEPS, 0.02, 80.0)

    kind = {"prediction_type": "sample", "use_karras_sigmas": True}
    schedulers = DPMSolverMultistepScheduler(**kind), UniPCMultistepScheduler(**kind)

    def ours() -> int:
        for name in ("dpmpp_2m", "unipc"):
            for _ in plugins.load("samplers", name).sample(lambda noisy, sigma: noisy * 0.5, noise, sigmas):
                pass
        return 2 * BATCH

    def theirs() -> int:
        for scheduler in schedulers:
            scheduler.set_timesteps(STEPS)
            state = noise
            for timestep in scheduler.timesteps:
                state = scheduler.step(state * 0.5, timestep, state, return_dict=False)[0]
        return 2 * BATCH

    return {"figment dpmpp_2m and unipc": ours, "diffusers DPMSolverMultistep and UniPCMultistep": theirs}


def main() -> None:
    rows, lines = [], {}
    for kind, error, data, ways in (
        ("path", path_error, Points(), PATHS),
        ("spread", spread_error, Gaussian(), SPREADS),
    ):
        for title, name, settings, order in ways:
            asked = plugins.constant("samplers", name, "EVALUATIONS_PER_STEP")
            assert isinstance(asked, int)
            errors = {count: error(data, name, count // asked, **settings) for count in COUNTS}
            found = math.log2(errors[COUNTS[-2]] / errors[COUNTS[-1]])
            rows.append(f"| {title} | {kind} | {order} | {found:.2f} | {errors[16]:.1e} |")
            if kind == "path":
                lines[f"{title}, order {found:.2f}"] = list(errors.items())
    print(
        "| sampler | error of | order in theory | measured | error at 16 evaluations |", "|-|-|-|-|-|", *rows, sep="\n"
    )
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(_svg(lines), encoding="utf-8")


def _svg(lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Errors over evaluations, both by their logarithm, as an SVG that follows the reader's theme."""
    values = [value for line in lines.values() for _, value in line]
    x = Axis(COUNTS[0], COUNTS[-1], LEFT, RIGHT, log=True)
    y = Axis(min(values) / 2, max(values) * 2, BOTTOM, TOP, log=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {RIGHT + 135} {HEIGHT}" font-size="10" '
        'font-family="system-ui, sans-serif" role="img">',
        "<title>Error of each sampler over evaluations of the network, and its measured order</title>",
        "<style>text{fill:#333}line{stroke:#8886}@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>",
    ]
    for place, text in y.ticks():
        parts.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{place}" y2="{place}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place + 3}" text-anchor="end">{text}</text>')
    for count in COUNTS:
        parts.append(f'<text x="{x(count)}" y="{BOTTOM + 14}" text-anchor="middle">{count}</text>')
    parts.append(
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">evaluations of the network</text>'
    )
    below = HEIGHT  # titles stand beside the ends of their lines, from the lowest up, no two on each other
    parts.append(f'<text x="{LEFT}" y="{TOP - 4}">largest error</text>')
    for colour, (title, line) in reversed(list(zip(COLOURS, lines.items(), strict=True))):
        places = " ".join(f"{x(count)},{y(value)}" for count, value in line)
        parts.append(f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>')
        below = min(y(line[-1][1]) + 3, below - 12)
        parts.append(f'<text x="{RIGHT + 8}" y="{below}" style="fill:{colour}">{title}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()

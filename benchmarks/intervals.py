"""How often the 95% intervals of scores hold the true value, over repeated draws from known distributions.

    python benchmarks/intervals.py [--repeats 200] [CASE ...]

Every case knows its true value: in closed form, from a million draws, or, where a score has no limit but depends on the
counts (precision, coverage), as the mean over all repeats. Deterministic; what it prints is in docs/metrics.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from figment.core.types import Sample
from figment.evaluate.scores import Score, Sides, score_sample

Draw = Callable[[np.random.Generator], Sides]


@dataclass(frozen=True)
class Case:
    """A score of known truth. draw: fresh real and generated pictures; truth: None for the mean over repeats."""

    metric: str
    key: str
    draw: Draw
    truth: float | None


@dataclass(frozen=True)
class Coverage:
    """share: of intervals that hold the truth; warned: of repeats that come with a warning about this score."""

    share: float
    below: float
    above: float
    truth: float
    mean: float
    warned: float


def coverage(case: Case, repeats: int = 200, draws: int = 200) -> Coverage:
    """Score fresh samples `repeats` times; below and above: the shares of intervals that lie so."""
    results = [_scored(case, seed, draws) for seed in range(repeats)]
    scores = [score for score, _ in results]
    mean = float(np.mean([score.value for score in scores]))
    truth = mean if case.truth is None else case.truth
    below, above = np.mean([(score.high < truth, score.low > truth) for score in scores], axis=0)
    return Coverage(
        float(1 - below - above), float(below), float(above), truth, mean, float(np.mean([w for _, w in results]))
    )


def _scored(case: Case, seed: int, draws: int) -> tuple[Score, bool]:
    sides = case.draw(np.random.default_rng([seed, 1]))
    names = {"extractor": "known", "reference_digest": "known"}
    scores, warnings = score_sample(sides, [case.metric], **names, seed=seed, draws=draws)
    return scores[case.key], any(line.startswith(f"{case.key}:") for line in warnings)


def gaussians(width: int, num: int, shift: float = 0.2, scale: float = 1.0) -> Draw:
    """Unit Gaussians against others, `shift` away in every direction and `scale` times as wide."""

    def draw(rng: np.random.Generator) -> Sides:
        real, fake = rng.normal(size=(num, width)), scale * rng.normal(size=(num, width)) + shift
        return Sides(Sample(real), Sample(fake))

    return draw


def unseen(width: int, num_real: int, num_fake: int, num_train: int = 1400) -> Draw:
    """Held-out, generated and training pictures, all unit Gaussians: nothing is copied."""

    def draw(rng: np.random.Generator) -> Sides:
        real, fake, train = (Sample(rng.normal(size=(num, width))) for num in (num_real, num_fake, num_train))
        return Sides(real, fake, train)

    return draw


def kid_of_shift(width: int, shift: float) -> float:
    """Between unit Gaussians: differences of first, second and third moments, with the kernel's weights."""
    square = width * shift**2
    third = square**3 + 6 * square**2 + 3 * square * (width + 2)
    return 3 * square / width + 3 * square**2 / width**2 + third / width**3


def mmd_of_shift(width: int, shift: float, sigma: float = 10.0) -> float:
    """Between unit Gaussians: the difference of two of them is a Gaussian of variance 2."""
    same = (1 + 2 / sigma**2) ** (-width / 2)
    return 2000 * same * (1 - np.exp(-width * shift**2 / (2 * (sigma**2 + 2))))


def answers(num: int, num_classes: int = 10) -> Draw:
    """Logits of a judge that is right, unsure or wrong; labels are right four times in five."""

    def draw(rng: np.random.Generator) -> Sides:
        seen = rng.integers(num_classes, size=num)
        logits = rng.normal(size=(num, num_classes)) + 4 * np.eye(num_classes)[seen]
        guess = logits.argmax(axis=1)
        labels = np.where(rng.random(num) < 0.8, guess, (guess + 1) % num_classes)
        fake = Sample(np.zeros((num, 1)), logits=logits, labels=labels)
        return Sides(fake, fake)

    return draw


def inception_truth(num: int = 1_000_000) -> float:
    """exp of the mean divergence, from as many draws that its own error is a thousandth of an interval's width."""
    logits = answers(num)(np.random.default_rng(0)).fake.logits
    assert logits is not None
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    marginal = p.mean(axis=0)
    return float(np.exp((p * np.log(p)).sum(axis=1).mean() - (marginal * np.log(marginal)).sum()))


def wide(width: int, shift: float, scale: float) -> float:
    """Fréchet distance of N(0, I) and N(shift, scale^2 I)."""
    return width * (shift**2 + (scale - 1) ** 2)


def cases() -> dict[str, Case]:
    found = {}
    for width in (4, 8, 16):
        found[f"fd, D={width}"] = Case("fd", "fd", gaussians(width, 1000), wide(width, 0.2, 1))
    found |= {
        "fd, D=16, wider": Case("fd", "fd", gaussians(16, 1000, 0.2, 1.3), wide(16, 0.2, 1.3)),
        "fd, D=16, N=100": Case("fd", "fd", gaussians(16, 100), wide(16, 0.2, 1)),
        "fd, D=48, N=60": Case("fd", "fd", gaussians(48, 60), wide(48, 0.2, 1)),
        "fd, D=32": Case("fd", "fd", gaussians(32, 1000), wide(32, 0.2, 1)),
        "fd, D=16, equal": Case("fd", "fd", gaussians(16, 1000, 0), 0),
    }
    for width, num in ((16, 1000), (16, 100), (32, 1000), (48, 60)):
        case = Case("fd_infinite", "fd_infinite_both", gaussians(width, num), wide(width, 0.2, 1))
        found[f"fd_infinite_both, D={width}, N={num}"] = case
    found |= {
        "kid, D=8": Case("kid", "kid", gaussians(8, 1000), kid_of_shift(8, 0.2)),
        "kid, D=64": Case("kid", "kid", gaussians(64, 1000), kid_of_shift(64, 0.2)),
        "kid, D=8, equal": Case("kid", "kid", gaussians(8, 1000, 0), 0),
        "mmd, D=8": Case("mmd", "mmd", gaussians(8, 1000), mmd_of_shift(8, 0.2)),
        "mmd, D=8, wider apart": Case("mmd", "mmd", gaussians(8, 1000, 2), mmd_of_shift(8, 2)),
        "accuracy": Case("accuracy", "accuracy", answers(500), 0.8),
        "inception_score": Case("inception_score", "inception_score", answers(500), inception_truth()),
    }
    for real, fake in ((180, 1400), (1000, 1000), (50, 500)):
        for key, truth in (("nearest", 1.0), ("novel", 0.99)):
            found[f"{key}, {real} and {fake}"] = Case("nearest", key, unseen(16, real, fake), truth)
    for name, keys in {
        "precision_recall": ("precision", "recall"),
        "density_coverage": ("density", "coverage"),
    }.items():
        found |= {f"{key}, D={d}": Case(name, key, gaussians(d, 400), None) for key in keys for d in (2, 16)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="those whose name begins so")
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    print(f"{'case':<32}{'holds':>8}{'below':>8}{'above':>8}{'truth':>10}{'mean':>10}{'warned':>8}")
    for name, case in cases().items():
        if not options.cases or name.startswith(tuple(options.cases)):
            one = coverage(case, options.repeats)
            shares = f"{one.share:>8.1%}{one.below:>8.1%}{one.above:>8.1%}"
            print(f"{name:<32}{shares}{one.truth:>10.4g}{one.mean:>10.4g}{one.warned:>8.0%}", flush=True)


if __name__ == "__main__":
    main()

"""Metrics of the same features: figment's against torchmetrics' and against the scipy.linalg.sqrtm form of the FID.

torchmetrics gets an identity for its network, so that nothing but the statistic is timed. Where it does other work for
the same purpose, the contender says so.

    python benchmarks/run.py metrics
    python benchmarks/metrics.py [--pictures 50000] [METRIC ...]     memory of each metric above its float32 features

The second runs each metric in a process of its own and writes `results/metrics_memory.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from figment.core import plugins
from figment.core.types import Sample
from figment.metrics import fd, inception_score, kid, mifid
from figment.metrics._frechet import Gaussian, distance

COUNT, WIDTH, NUM_CLASSES = 1000, 512, 10
WIDE = 2048  # features of the original Inception network
RESULTS = Path(__file__).parent / "results" / "metrics_memory.json"
MEMORY_OF = ("fd", "kid", "mmd", "precision_recall", "density_coverage", "authenticity", "mifid")


def contenders() -> dict[str, Callable[[], int]]:
    return _of_gaussians() | _of_features()


def _of_gaussians() -> dict[str, Callable[[], int]]:
    """The distance itself, from means and covariances of 2048 features and 10,000 pictures; "pictures": distances."""
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(2, WIDE, WIDE)) / np.sqrt(WIDE)
    statistics = [
        (z.mean(axis=0), np.cov(z, rowvar=False)) for z in (rng.normal(size=(5000, WIDE)) @ one for one in mix)
    ]
    (mean_1, covariance_1), (mean_2, covariance_2) = statistics
    reference = Gaussian.from_covariance(mean_1, covariance_1)

    def ours() -> int:
        distance(Gaussian.from_covariance(mean_1, covariance_1), Gaussian.from_covariance(mean_2, covariance_2))
        return 1

    def with_known_factor() -> int:
        distance(reference, Gaussian.from_covariance(mean_2, covariance_2))
        return 1

    def by_sqrtm() -> int:
        root = sqrtm(covariance_1 @ covariance_2)
        shift = mean_1 - mean_2
        float(shift @ shift + np.trace(covariance_1) + np.trace(covariance_2) - 2 * np.trace(root.real))
        return 1

    return {
        "fd D=2048: figment": ours,
        "fd D=2048: scipy sqrtm": by_sqrtm,
        "fd D=2048: figment, factor of the reference known": with_known_factor,
    }


def _samples() -> tuple[Sample, Sample]:
    rng = np.random.default_rng(1)
    real, fake = rng.standard_normal((2, COUNT, WIDTH), dtype=np.float32)
    return Sample(real), Sample(fake, logits=3 * rng.standard_normal((COUNT, NUM_CLASSES), dtype=np.float32))


def _of_features() -> dict[str, Callable[[], int]]:
    real, fake = _samples()

    def ours(metric: ModuleType, **more: Sample) -> Callable[[], int]:
        return lambda: len(metric.score(real=real, fake=fake, **more)) and COUNT

    def subsets() -> int:
        return (
            len(kid.subset_values(real.features, fake.features, np.random.default_rng(0), num=10, size=500)) and COUNT
        )

    theirs = _of_torchmetrics(real, fake)
    return {
        "fd: figment": ours(fd),
        "fd: torchmetrics": theirs["fd"],
        "kid: figment, 10 subsets of 500": subsets,
        "kid: torchmetrics, 10 subsets of 500": theirs["kid"],
        "kid: figment, exact": ours(kid),
        "inception_score: figment": ours(inception_score),
        "inception_score: torchmetrics": theirs["inception_score"],
        "mifid: figment": ours(mifid, train=real),
        "mifid: torchmetrics": theirs["mifid"],
    }


def _of_torchmetrics(real: Sample, fake: Sample) -> dict[str, Callable[[], int]]:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance
    from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

    warnings.filterwarnings("ignore", module="torchmetrics")

    class Identity(torch.nn.Identity):
        num_features = WIDTH

    def of_two(make: Callable[..., Any], **settings: int) -> Callable[[], int]:
        def work() -> int:
            metric = make(feature=Identity(), **settings)
            metric.update(torch.from_numpy(real.features), real=True)
            metric.update(torch.from_numpy(fake.features), real=False)
            metric.compute()
            return COUNT

        return work

    def inception() -> int:
        metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
        metric.update(torch.from_numpy(fake.logits))
        metric.compute()
        return COUNT

    return {
        "fd": of_two(FrechetInceptionDistance),
        "kid": of_two(KernelInceptionDistance, subsets=10, subset_size=500),
        "inception_score": inception,
        "mifid": of_two(MemorizationInformedFrechetInceptionDistance),
    }


def memory(name: str, count: int) -> dict[str, float]:
    """Peak resident memory of one metric above that of its features, in MB, and its seconds, in this process."""
    metric, rng = plugins.load("metrics", name), np.random.default_rng(0)
    sides = ("real", "fake", "train") if "train" in metric.NEEDS else ("real", "fake")
    samples = {side: Sample(rng.standard_normal((count, WIDE), dtype=np.float32)) for side in sides}
    before, started = _peak_mb(), time.perf_counter()
    metric.score(**samples)
    return {"above_features_mb": round(_peak_mb() - before), "seconds": round(time.perf_counter() - started)}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="*", default=MEMORY_OF)
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--here", action="store_true", help="in this process, and print it only")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(memory(options.metrics[0], options.pictures)))
        return
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in options.metrics:
        command = [sys.executable, __file__, name, "--pictures", str(options.pictures), "--here"]
        found = subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout
        title = f"{name} of {options.pictures} x {WIDE}"
        results[title] = {**json.loads(found), "date": date.today().isoformat()}
        print(title, results[title], flush=True)
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

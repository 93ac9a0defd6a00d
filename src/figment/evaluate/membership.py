"""Membership inference: can one tell from the model which pictures it was trained on?

Each picture gets a number that is lower the better the model knows it: the error of denoising it, of rebuilding it,
the bits it needs, or the loss of naming it. An attacker who knew where to draw the line would find some share of the
training pictures (true positives) while accusing some share of unseen ones (false positives). Few false accusations
are what counts (Carlini et al., "Membership Inference Attacks From First Principles", 2022, section 2): an attack
that is right about one picture in a thousand is an attack. A private model keeps true positives at the level of false
ones.

The line is drawn by the unseen pictures themselves, and of a thousand one or two decide where. So whether more is found
than chance explains is asked by ranks alone, in three exact or nearly exact tests: Mann and Whitney's over all
pictures, and for each share of false positives how many training pictures come before the unseen one at the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.checkpoint import LoadedModel
from figment.core.errors import CapabilityError, DataError
from figment.core.noise import mix
from figment.core.types import Batch, Classifies, Denoises, Encodes, Progress, Scores, silent
from figment.data.batches import Batches
from figment.data.store import Store, spread_rows
from figment.evaluate.extract import CHUNK

SIGMAS = (0.2, 0.5, 1.0, 2.0)  # where a picture is recognised: below, all are easy, above, none
DRAWS = 4  # of noise at each
FALSE_POSITIVES = (0.001, 0.01)
RESAMPLES = 500
LEAST = 50

# A model that knows nothing is accused once in forty audits at most, by one of three tests or another.
CHANCE = 0.025 / (1 + len(FALSE_POSITIVES))

Signal = Callable[[Any, Batch, int], Tensor]


@dataclass(frozen=True)
class Caught:
    """Share of the training pictures that are found, with its 95% interval, where `false_positives` are accused.

    The interval allows for the line as well: where it should be, the unseen pictures tell only roughly. p: how probable
    so many would be if training pictures were as unseen as the others.
    """

    false_positives: float
    value: float
    low: float
    high: float
    p: float

    @property
    def is_more_than_chance(self) -> bool:
        return self.p < CHANCE


@dataclass(frozen=True)
class Audit:
    """What an attacker learns. signal: the number that pictures are told apart by. auc: the probability that a training
    picture looks more known than an unseen one, 0.5 where nothing leaks, with its 95% interval; auc_p: how probable one
    so high would be if nothing did."""

    signal: str
    auc: float
    auc_low: float
    auc_high: float
    auc_p: float
    caught: tuple[Caught, ...]
    num_train: int
    num_unseen: int
    most_exposed: tuple[int, ...]

    @property
    def leaks(self) -> bool:
        """Whether more is found than chance explains, by any of the three tests."""
        return self.auc_p < CHANCE or any(one.is_more_than_chance for one in self.caught)


def audit(loaded: LoadedModel, store: Store, num: int, seed: int, progress: Progress = silent) -> Audit:
    """Attack a model with up to `num` training pictures and as many unseen ones, evenly spread over their splits.

    most_exposed: rows of the training split, the best known first. Raises CapabilityError where the model says nothing
    of a given picture, DataError where too few are held out.
    """
    name, signal = signal_of(loaded)
    held_out = store.counts.get(store.held_out, 0)
    count = min(num, held_out, store.counts.get("train", 0))
    if count < LEAST:
        raise DataError(
            f"{store.path}: an audit needs {LEAST} unseen pictures and has {held_out}; hold some out with: "
            f"figment data split {store.path} --val 0.1; then train anew, for a run of before has seen them"
        )
    sides = []
    for place, split in enumerate(("train", store.held_out)):
        batches = Batches(store, split, CHUNK)
        rows = spread_rows(len(batches), count)
        told = _offset(progress, place * count, 2 * count)
        sides.append((rows, known(loaded.model, signal, batches, rows, seed, told)))
    (rows, members), (_, others) = sides
    exposed = rows[np.argsort(members, kind="stable")[:32]]
    return measured(name, members, others, tuple(int(row) for row in exposed))


def signal_of(loaded: LoadedModel) -> tuple[str, Signal]:
    """The attack that a model allows, strongest first."""
    model = loaded.model
    if isinstance(model, Denoises):
        return "denoising error", _denoising
    if isinstance(model, Scores):
        return "bits per dimension", _bits
    if isinstance(model, Encodes):
        return "reconstruction error", _rebuilding
    if isinstance(model, Classifies):
        return "cross-entropy", _naming
    raise CapabilityError(
        f"a '{loaded.family}' says nothing of a given picture, so there is nothing to audit; 'figment compare' shows "
        "whether it draws copies"
    )


@torch.no_grad()
def known(
    model: Any, signal: Signal, batches: Batches, rows: np.ndarray, seed: int, progress: Progress = silent
) -> np.ndarray:
    """How well the model knows each of these pictures, (N,): lower is better known. Each is judged alone."""
    parts = []
    for low in range(0, len(rows), CHUNK):
        parts.append(signal(model, batches.take(rows[low : low + CHUNK]), seed).double().numpy())
        progress(min(low + CHUNK, len(rows)), len(rows))
    return np.concatenate(parts)


def measured(signal: str, members: np.ndarray, others: np.ndarray, exposed: tuple[int, ...] = ()) -> Audit:
    """The audit that follows from how well training pictures (N,) and unseen ones (M,) are known."""
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(0)
    auc = _auc(members, others)
    draws = [_auc(rng.choice(members, len(members)), rng.choice(others, len(others))) for _ in range(RESAMPLES)]
    low, high = np.quantile(draws, [0.025, 0.975])
    p = float(mannwhitneyu(members, others, alternative="less").pvalue)
    caught = tuple(_caught(members, others, share) for share in FALSE_POSITIVES)
    return Audit(signal, auc, float(low), float(high), p, caught, len(members), len(others), exposed)


def _auc(members: np.ndarray, others: np.ndarray) -> float:
    """Mann and Whitney: how often a member's number lies below another picture's; ties count half."""
    ordered = np.sort(others)
    above = len(others) - np.searchsorted(ordered, members, side="right")
    equal = np.searchsorted(ordered, members, side="right") - np.searchsorted(ordered, members, side="left")
    return float((above + equal / 2).mean() / len(others))


def _caught(members: np.ndarray, others: np.ndarray, share: float) -> Caught:
    """With the line drawn below all but this share of the unseen pictures, rounded down: none where there are few."""
    ordered = np.sort(others)
    place = int(share * len(ordered))
    hits = int((members < ordered[place]).sum())
    p = chance_of(hits, len(members), place, len(ordered))
    return Caught(share, hits / len(members), *_caught_interval(members, ordered, share), p)


def chance_of(hits: int, num_members: int, place: int, num_others: int) -> float:
    """Probability that `hits` members or more come before the unseen picture that `place` others come before.

    Exact where members and others are alike, whatever their numbers are distributed like: one shuffled row of them.
    """
    from scipy.stats import nhypergeom

    return float(nhypergeom.sf(hits - 1, num_members + num_others, num_members, place + 1))


def _caught_interval(members: np.ndarray, ordered: np.ndarray, share: float) -> tuple[float, float]:
    """95% interval for the share of members below the line that truly has this share of all unseen pictures below it.

    ordered: the unseen pictures. From one that lies below that line, but for 2.5%, to one that lies above it, by the
    binomial distribution; in either the end of Clopper and Pearson's interval (1934). Rather too wide: of 400 it held
    the truth 397 times and more. Where there are too few pictures to be sure of a side, that end is 0 or 1.
    """
    from scipy.stats import beta, binom

    error, count, total = 0.05 / 2, len(ordered), len(members)
    below = int(binom.ppf(error, count, share))  # so many lie below the line, or more
    above = int(binom.isf(error, count, share)) + 1
    low, high = 0.0, 1.0
    if below and (hits := int((members < ordered[below - 1]).sum())):
        low = float(beta.ppf(error, hits, total - hits + 1))
    if above <= count and (hits := int((members < ordered[above - 1]).sum())) < total:
        high = float(beta.isf(error, hits + 1, total - hits))
    return low, high


def _denoising(model: Any, batch: Batch, seed: int) -> Tensor:
    """Mean squared error in units of the noise, over noise levels and draws that all pictures share."""
    x, total = batch.images, torch.zeros(len(batch))
    clean = model.encode(x) if hasattr(model, "encode") else x  # a latent model denoises latents
    for draw in range(DRAWS):
        source = torch.Generator().manual_seed(mix(seed, draw))
        n = torch.randn(clean.shape[1:], generator=source).expand_as(clean)
        for sigma in SIGMAS:
            level = torch.full((len(x),), sigma)
            error = (model.denoise(clean + sigma * n, level, batch.condition) - clean).square().flatten(1).mean(1)
            total += error / sigma**2
    return total / (DRAWS * len(SIGMAS))


def _bits(model: Any, batch: Batch, seed: int) -> Tensor:
    torch.manual_seed(mix(seed))  # of bounds that draw
    return model.bits_per_dim(batch.images, batch.condition)


def _rebuilding(model: Any, batch: Batch, seed: int) -> Tensor:
    return (model.decode(model.encode(batch.images)) - batch.images).square().flatten(1).mean(1)


def _naming(model: Any, batch: Batch, seed: int) -> Tensor:
    assert batch.condition.labels is not None
    return F.cross_entropy(model.classify(batch.images), batch.condition.labels, reduction="none")


def _offset(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)

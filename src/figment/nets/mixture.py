"""A mixture of Gaussians over vectors, fitted while they still change: what a plain autoencoder needs to draw.

    p(x | y) = sum_k p(k | y) N(x; mu_k, W_k W_k' + s_k^2 I)          mixture of probabilistic PCA (Tipping and Bishop
                                                                      1999, section 3), x = mu_k + W_k z + s_k e
    S <- S + g_t (S(batch) - S),   g_t = (t + 2)^-0.6                 stepwise EM (Cappe and Moulines 2009, equation 13)

Only the expected sufficient statistics S are kept, as buffers. They are sums, so averaging a model averages them too.
After every step z is measured anew so that its mean is 0 and its covariance I: plain EM would need thousands of steps
to find out how long W_k is (parameter expansion, Liu, Rubin and Wu 1998).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RANK = 16
LARGEST_STEP = 0.05  # a single batch may not decide: it has only a few vectors for each component
OTHERS = 0.02  # of a class's own share, what it first gives each component of another class
STARVED = 0.2  # of the mean share: a component that has less begins again at a vector of the batch


class Parameters(NamedTuple):
    """loadings W (K, D, R), means (K, D) and noise variances (K,)"""

    loadings: Tensor
    means: Tensor
    variances: Tensor


class Mixture(nn.Module):
    """Mixture over vectors of D numbers; `observe` learns from a batch, `draw` makes new ones.

    floor: least variance in any direction. classes: each has shares of its own, p(k | y), of the same components.

    With q the responsibility of k, averaged over vectors: shares: q by class, (classes + 1, K), the last row of those
    without a label; first: q x (z, 1)', (K, D, R + 1); power: q |x|^2, (K,).
    """

    shares: Tensor
    first: Tensor
    power: Tensor
    batches: Tensor

    def __init__(self, dimensions: int, components: int, classes: int, *, floor: float):
        super().__init__()
        self.dimensions, self.components, self.classes, self.floor = dimensions, components, classes, floor
        self.rank = max(1, min(RANK, dimensions // 2))
        self.register_buffer("shares", self._even_shares())
        self.register_buffer("first", torch.empty(components, dimensions, self.rank + 1))
        self.register_buffer("power", torch.empty(components))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        self._place(torch.randn(components, dimensions), torch.tensor(1.0), torch.ones(components).bool())

    def _even_shares(self) -> Tensor:
        """Equal shares of the components, whose classes take turns: (classes + 1, K)."""
        every = torch.arange(self.components)
        shares = torch.full((self.classes + 1, self.components), OTHERS)
        shares[every % max(1, self.classes), every] = 1.0
        return shares / shares.sum()

    def _place(self, means: Tensor, variance: Tensor, where: Tensor) -> None:
        """Begin the components anew for which `where` (K,) is true: round ones, of this variance, around `means`."""
        shares = torch.where(where, self._even_shares().to(means), self.shares)
        mass = shares.sum(0)
        loadings = 0.1 * variance.sqrt() * torch.randn(*means.shape, self.rank).to(means)
        first = mass[:, None, None] * torch.cat([loadings, means[..., None]], 2)
        power = mass * (self.dimensions * variance + loadings.square().sum((1, 2)) + means.square().sum(1))
        self.shares.copy_(shares)
        self.first.copy_(torch.where(where[:, None, None], first, self.first))
        self.power.copy_(torch.where(where, power, self.power))

    def parameters_now(self) -> Parameters:
        """What the statistics imply, as E[z] = 0 and E[z z'] = I; the variance is what is left."""
        mass = self.shares.sum(0)
        joint = self.first / mass[:, None, None]
        variances = (self.power / mass - joint.square().sum((1, 2))) / self.dimensions
        return Parameters(joint[..., :-1], joint[..., -1], variances.clamp_min(self.floor))

    def log_shares(self, labels: Tensor | None, count: int) -> Tensor:
        """log p(k | y) for labels (B,), -1 = not given, or for `count` rows without: (B, K)"""
        rows = torch.cat([self.shares[: self.classes], self.shares.sum(0, keepdim=True)])
        if labels is None:
            labels = torch.full((count,), -1, device=self.shares.device)
        return (rows / rows.sum(1, keepdim=True)).clamp_min(1e-12).log()[labels]

    def expectations(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """For vectors (B, D) under every component: log N_k(x) (B, K), mean (B, K, R) and covariance (K, R, R) of z."""
        loadings, means, variances = self.parameters_now()
        noise = variances[:, None, None] * torch.eye(self.rank, device=vectors.device)
        inner = loadings.mT @ loadings + noise  # M of Tipping and Bishop 1999, equation 26
        factor = torch.linalg.cholesky(inner)
        seen = torch.einsum("bd,kdr->bkr", vectors, loadings) - (loadings.mT @ means[..., None])[..., 0]
        z = torch.cholesky_solve(seen.permute(1, 2, 0), factor).permute(2, 0, 1)
        distance = torch.cdist(vectors, means, compute_mode="donot_use_mm_for_euclid_dist").square()
        mahalanobis = (distance - (seen * z).sum(2)) / variances
        spare = self.dimensions - self.rank
        log_volume = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1) + spare * variances.log()
        log_density = -0.5 * (mahalanobis + log_volume + self.dimensions * math.log(2 * math.pi))
        return log_density, z, variances[:, None, None] * torch.cholesky_inverse(factor)

    @torch.no_grad()
    def observe(self, vectors: Tensor, labels: Tensor | None = None) -> None:
        """One step of stepwise EM on vectors (B, D), of classes (B,) or -1; the first batch sets the means."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.float()
            if int(self.batches) == 0:
                spread = vectors.var(0, correction=0).mean().clamp_min(self.floor)  # one vector alone has none
                self._place(self._starts(vectors, labels), spread, self.power > 0)
            step = min(LARGEST_STEP, (int(self.batches) + 2) ** -0.6)
            found, second = self._statistics(vectors, labels)
            known = torch.eye(self.rank + 1).to(vectors) * self.shares.sum(0)[:, None, None]
            second = known.lerp(second / len(vectors), step)
            for name, sums in found.items():
                getattr(self, name).lerp_(sums / len(vectors), step)
            self._standardize(second)
            self._feed(self._starts(vectors, labels))
            self.batches += 1

    def _statistics(self, vectors: Tensor, labels: Tensor | None) -> tuple[dict[str, Tensor], Tensor]:
        """Sums over a batch for the buffers of these names, and that of q (z, 1) (z, 1)', (K, R + 1, R + 1)."""
        log_density, z, covariance = self.expectations(vectors)
        q = (self.log_shares(labels, len(vectors)) + log_density).softmax(1)
        with_one = F.pad(z, (0, 1), value=1.0)
        second = torch.einsum("bk,bkr,bks->krs", q, with_one, with_one)
        second = second + F.pad(q.sum(0)[:, None, None] * covariance, (0, 1, 0, 1))
        rows = torch.full((len(vectors),), -1, device=q.device) if labels is None else labels
        by_class = F.one_hot(rows % (self.classes + 1), self.classes + 1).to(q).T @ q
        first = torch.einsum("bk,bd,bkr->kdr", q, vectors, with_one)
        return {"shares": by_class, "first": first, "power": q.T @ vectors.square().sum(1)}, second

    def _standardize(self, second: Tensor) -> None:
        """Change `first` to a z of mean 0 and covariance I, where `second` is q (z, 1) (z, 1)' of the z it is in."""
        mass = second[:, -1, -1]
        joint = torch.linalg.solve(second, self.first.mT).mT  # x = joint (z, 1) + rest
        mean = second[:, :-1, -1] / mass[:, None]
        covariance = second[:, :-1, :-1] / mass[:, None, None] - mean[:, :, None] * mean[:, None]
        loadings = joint[..., :-1] @ torch.linalg.cholesky(covariance)
        means = joint[..., -1] + (joint[..., :-1] @ mean[..., None])[..., 0]
        self.first.copy_(mass[:, None, None] * torch.cat([loadings, means[..., None]], 2))

    def _feed(self, starts: Tensor) -> None:
        """Let components that explain little begin again at `starts` (K, D), as wide as the others are on the whole."""
        mass, variances = self.shares.sum(0), self.parameters_now().variances
        wide = (mass @ variances) / mass.sum()
        self._place(starts, wide, mass < STARVED / self.components)

    def _starts(self, vectors: Tensor, labels: Tensor | None) -> Tensor:
        """A vector for each component, of its own class where there is one: (K, D)"""
        order = torch.randperm(len(vectors)).to(vectors.device)
        if labels is not None and self.classes:
            own = torch.arange(self.components, device=order.device) % self.classes
            # Each component's own class first, in the random order; then the one that is its turn in that class.
            ranked = order[(labels[order][None] != own[:, None]).to(torch.uint8).sort(dim=1, stable=True).indices]
            turn = torch.arange(self.components, device=order.device) // self.classes
            return vectors[ranked.gather(1, (turn % len(order))[:, None])[:, 0]]
        return vectors[order[torch.arange(self.components) % len(order)]]

    def noise_shape(self) -> tuple[int]:
        """Numbers that a draw is made of: one for the component, then z, then e."""
        return (1 + self.rank + self.dimensions,)

    def draw(self, noise: Tensor, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Standard normal (B, 1 + R + D) -> vectors (B, D) of the classes (B,), -1 = any."""
        loadings, means, variances = self.parameters_now()
        chosen, z, e = noise.split([1, self.rank, self.dimensions], 1)
        cumulative = self.log_shares(labels, len(noise)).double().softmax(1).cumsum(1)
        k = (cumulative < torch.special.ndtr(chosen.double())).sum(1).clamp_max(self.components - 1)
        inside = (loadings[k] @ z[..., None])[..., 0]
        return means[k] + temperature * (inside + variances[k, None].sqrt() * e)

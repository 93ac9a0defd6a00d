"""Operators of edits against their definitions: adjoint, pseudo-inverse, dense matrices, other people's filters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from figment.edits._operators import NEAR, BlockMean, Blur, Grey, Identity, Mask, Operator, agreeing

KINDS = ("identity", "mask", "block_mean", "grey", "blur")


def operator_of(kind: str, height: int, width: int, seed: int) -> tuple[Operator, tuple[int, ...]]:
    """An operator, and the shape of the pictures that it is for."""
    chance = torch.Generator().manual_seed(seed)
    factor = 2 + seed % 7
    known = (torch.rand(1, 1, height, width, generator=chance) < 0.4).double()
    return {
        "identity": (Identity(), (2, 1, height, width)),
        "mask": (Mask(known), (2, 3, height, width)),
        "block_mean": (BlockMean(factor), (2, 1, factor * (height // 8), factor * (width // 8))),
        "grey": (Grey(), (2, 3, height, width)),
        "blur": (Blur(height, width, 0.5 + seed % 5), (2, 1, height, width)),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
@given(height=st.integers(8, 300), width=st.integers(8, 300), seed=st.integers(0, 99))
@settings(max_examples=6, deadline=None, derandomize=True)
def test_the_adjoint_and_the_pseudo_inverse_are_what_they_are_called(kind, height, width, seed):
    operator, shape = operator_of(kind, height, width, seed)
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=chance, dtype=torch.float64)
    measured = operator.forward(x)
    y = torch.randn(measured.shape, generator=chance, dtype=torch.float64)
    torch.testing.assert_close((measured * y).sum(), (x * operator.adjoint(y)).sum(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(operator.forward(operator.pull(measured)), measured, rtol=0, atol=1e-8)


@pytest.mark.parametrize("ratio", [0.0, 0.3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pull_is_that_of_the_dense_matrix(kind, ratio):
    operator, (_, *shape) = operator_of(kind, 16, 8, 5)  # a slight blur, which a dense matrix can still be inverted for
    size = int(np.prod(shape))
    basis = torch.eye(size, dtype=torch.float64).view(size, *shape)
    matrix = operator.forward(basis).flatten(1).T
    y = torch.randn(len(matrix), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = matrix.T @ torch.linalg.pinv(matrix @ matrix.T + ratio * torch.eye(len(matrix)), rtol=1e-10) @ y
    found = operator.pull(y.view(1, *operator.forward(basis[:1]).shape[1:]), ratio)
    torch.testing.assert_close(found.flatten(), wanted.flatten(), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "sigma"), [((8, 31), 0.7), ((40, 25), 1.7), ((9, 300), 4.0)])
def test_the_blur_is_scipys(size, sigma):
    picture = np.random.Generator(np.random.Philox(0)).normal(size=size)
    wanted = ndimage.gaussian_filter(picture, sigma, mode="reflect", truncate=4.0)
    found = Blur(*size, sigma).forward(torch.from_numpy(picture)[None, None])[0, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_made_to_agree_within_the_range_of_pictures(kind):
    """Most of the truth lies at the ends of the range, and the guess beyond them."""
    operator, shape = operator_of(kind, 24, 32, 1)
    chance = torch.Generator().manual_seed(1)
    truth = (3 * torch.randn(shape, generator=chance)).clamp(-1, 1)
    measured, guess = operator.forward(truth), truth + torch.randn(shape, generator=chance)
    found = agreeing(operator, guess, measured)
    assert found.abs().max() <= 1
    assert (operator.forward(found) - measured).abs().max() < (NEAR if kind == "blur" else 1e-5)
    torch.testing.assert_close(agreeing(operator, truth, measured), truth, rtol=0, atol=1e-3)

"""The machine under the mathematics: device, precision, layout, and the only place that seeds globally."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from figment.core.noise import mix
from figment.core.types import Batch

Precision = Literal["float32", "bfloat16"]
Layout = Literal["contiguous", "channels_last"]
Kernel = Literal["math", "flash"]


@dataclass(frozen=True)
class Engine:
    """Where and how numbers are computed; chosen once for a run, and part of its config."""

    device: str = "cpu"
    precision: Precision = "float32"
    layout: Layout = "contiguous"
    attention: Kernel = "math"
    threads: int = 0
    """Most threads of the processor; 0: as many as torch takes by itself."""

    def place(self, module: nn.Module) -> nn.Module:
        """The module on this device, its convolution weights in this layout."""
        return module.to(self.device).to(memory_format=self._memory_format)  # type: ignore[call-overload]

    def put(self, batch: Batch) -> Batch:
        """The batch on this device, its images in this layout."""
        return batch.map(self._put)

    def _put(self, part: Tensor) -> Tensor:
        if part.ndim == 4:
            return part.to(self.device, non_blocking=True, memory_format=self._memory_format)
        return part.to(self.device, non_blocking=True)

    @property
    def _memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.layout == "channels_last" else torch.contiguous_format

    @contextlib.contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The forward pass in this precision, with this attention kernel. Weights and sums stay in float32."""
        kernels = [SDPBackend.MATH] if self.attention == "math" else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
        half = self.precision == "bfloat16"
        with torch.autocast(self.device, torch.bfloat16, enabled=half), sdpa_kernel(kernels):
            yield

    @contextlib.contextmanager
    def threading(self) -> Iterator[None]:
        """No more threads than this engine's inside."""
        before = torch.get_num_threads()
        torch.set_num_threads(min(self.threads or before, before))
        try:
            yield
        finally:
            torch.set_num_threads(before)


def default_device() -> str:
    """The accelerator where there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def seed_slice(seed: int, step: int, slice_index: int) -> None:
    """Reseed torch for one slice of one step: what a loss draws depends on these three numbers alone."""
    torch.manual_seed(mix(seed, step, slice_index))


_share = 1.0


@contextlib.contextmanager
def slice_of(share: float) -> Iterator[None]:
    """Inside, losses see a slice with this share of the step's images."""
    global _share  # noqa: PLW0603  like torch's generator: a loss has no other way to know
    before, _share = _share, share
    try:
        yield
    finally:
        _share = before


def whole_batch(count: int) -> int:
    """Images in all slices of the step, where this one has `count`: progress is counted in those."""
    return round(count / _share)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside, and leave the surrounding stream of random numbers as it was."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(mix(seed))
        yield

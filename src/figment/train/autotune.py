"""What this machine is fast at: precision, layout, attention kernel and threads, measured on the run's own model.

bfloat16 is several times faster on processors with AMX and slower on ones without AVX-512; channels_last helps some
norms and ruins others; two threads are slower than one where a neighbour keeps a core busy. So a few steps of each are
timed at the start, their gradients compared with float32's, and the choice is written into the run's config.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from figment.core import ranks
from figment.core.config import TrainConfig, to_json, write_json
from figment.core.engine import Engine, Kernel, Layout, Precision, default_device, seed_slice, seeded
from figment.core.objective import Objective
from figment.core.types import Batch
from figment.nets.attention import Attention
from figment.version import VERSION

IMAGES = 32
LEAST_COSINE = 0.98


def choose_engine(build: Callable[[], Objective], config: TrainConfig, batch: Batch, identity: object) -> Engine:
    """The fastest engine whose gradients agree with float32's.

    identity: JSON values that tell this model and batch from others; the choice is remembered under them, but for the
    number of threads, which depends on what else the machine does at the moment.
    """
    best = _arithmetic(build, config, batch, identity)
    counts = _thread_counts() if best.device == "cpu" else [0]
    if len(counts) == 1:
        return best
    return _fastest([replace(best, threads=count) for count in counts], build, batch[:IMAGES])


def _arithmetic(build: Callable[[], Objective], config: TrainConfig, batch: Batch, identity: object) -> Engine:
    """The fastest precision, layout and kernel, measured now or remembered."""
    attends = any(isinstance(module, Attention) for module in build().modules())
    layouts, kernels = _candidates(config, attends)
    if len(layouts) == len(kernels) == 1:
        return replace(layouts[0], attention=kernels[0])
    key = [VERSION, identity, _cpu(), _accelerator(), torch.__version__, torch.get_num_threads(), to_json(config)]
    memory = _memory_file(hashlib.sha256(json.dumps(key).encode()).hexdigest())
    if memory.exists():
        return Engine(**json.loads(memory.read_text(encoding="utf-8")))
    best = _fastest(layouts, build, batch[:IMAGES])
    if len(kernels) > 1:
        best = _fastest([replace(best, attention=kernel) for kernel in kernels], build, batch[:IMAGES])
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, asdict(best))
    except OSError:
        pass  # a home that cannot be written costs the next run a few seconds, no more
    return best


def _candidates(config: TrainConfig, attends: bool) -> tuple[list[Engine], list[Kernel]]:
    """Engines of every precision and layout in question, float32 and contiguous first, and the attention kernels."""
    precisions: list[Precision] = ["float32", "bfloat16"] if config.precision == "auto" else [config.precision]
    layouts: list[Layout] = ["contiguous", "channels_last"] if config.layout == "auto" else [config.layout]
    kernels: list[Kernel] = ["math", "flash"] if config.attention == "auto" else [config.attention]
    device = default_device()
    engines = [Engine(device, precision, layout, kernels[0]) for precision in precisions for layout in layouts]
    return engines, kernels if attends else kernels[:1]


def _thread_counts() -> list[int]:
    """Numbers of threads in question, 0 for all; among ranks the cores are shared out already."""
    most = torch.get_num_threads()
    if most == 1 or ranks.are_announced():
        return [0]
    return [0, *sorted({1, most // 2})]


def _fastest(candidates: list[Engine], build: Callable[[], Objective], batch: Batch) -> Engine:
    """The quickest of the candidates whose gradients point where the first one's do."""
    reference: list[Tensor] = []
    best, best_seconds = candidates[0], float("inf")
    for engine in candidates:
        seconds, gradients = _trial(engine, build, batch)
        reference = reference or gradients
        if seconds < best_seconds and _cosine(gradients, reference) >= LEAST_COSINE:
            best, best_seconds = engine, seconds
    return best


def _trial(engine: Engine, build: Callable[[], Objective], batch: Batch) -> tuple[float, list[Tensor]]:
    """Seconds of the quicker of the last two of three passes, and the gradients of the first."""
    with seeded(0), engine.threading():
        objective = build()
        objective.skip_to(objective.stages()[-1])
        engine.place(objective)
        phase = objective.phases()[0]
        placed, gradients, seconds = engine.put(batch), [], float("inf")
        for repeat in range(3):
            started = time.perf_counter()
            seed_slice(0, 0, 0)
            objective.zero_grad(set_to_none=True)
            with engine.arithmetic():
                loss = phase.loss(placed)
            torch.stack([term.float() for term in loss.terms.values()]).sum().backward()
            if repeat == 0:
                gradients = [p.grad.flatten().clone() for p in objective.parameters() if p.grad is not None]
            else:
                seconds = min(seconds, time.perf_counter() - started)
    return seconds, gradients


def _cosine(first: list[Tensor], second: list[Tensor]) -> float:
    """Cosine of the angle between two gradients; 0 where either is not finite."""
    a, b = torch.cat(first).double(), torch.cat(second).double()
    return float((a @ b / (a.norm() * b.norm()).clamp_min(1e-30)).nan_to_num(0.0))


def _memory_file(digest: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "figment" / "autotune" / f"{digest}.json"


def _accelerator() -> str:
    """The accelerator's own name, empty where there is none."""
    return "" if default_device() == "cpu" else torch.cuda.get_device_name()


def _cpu() -> str:
    """The processor's own name and abilities, where the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line for line in lines if line.startswith("model name")), platform.machine())

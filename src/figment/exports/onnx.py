"""ONNX: the run as graphs for any runtime, with a short script that draws with them and needs no figment.

A family of one step becomes one graph, noise to pictures. A denoiser becomes a graph that is followed by the script's
sampler over the run's own noise levels; one of latents brings its decoder along. Each graph is compared with the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.exports import Run, _graphs
from figment.exports._graphs import Following


@dataclass(frozen=True)
class Config(Following):
    """How a denoiser is followed."""


def export(run: Run, out: Path, config: Config) -> dict[str, Any]:
    """Write the graphs, what they are, and the script.

    Raises CapabilityError for a model that draws nothing or cannot be written as a graph.
    """
    return _graphs.write_folder(run, out, config.steps, config.guidance)

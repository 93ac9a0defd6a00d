"""int8: the graphs of `onnx` with weights of eight bits, a quarter of the size, and products of whole numbers.

Weights are rounded once, each output channel to its own scale; what flows between layers is rounded while it runs
(dynamic quantisation, by onnxruntime). What that does to size, time and pictures is measured and told: a small model on
a processor without such instructions may become slower.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from figment.exports import Run, _graphs
from figment.exports._graphs import Following

TIMED = 5


@dataclass(frozen=True)
class Config(Following):
    """How a denoiser is followed, and what is rounded."""

    convolutions: bool = True
    """Round convolutions too; without them only products of matrices are."""


def export(run: Run, out: Path, config: Config) -> dict[str, Any]:
    """Write the graphs with eight-bit weights, beside the script that draws with them.

    Raises CapabilityError for a model that draws nothing or cannot be written as a graph.
    """
    with tempfile.TemporaryDirectory() as exact:
        facts = _graphs.write_folder(run, Path(exact), config.steps, config.guidance)
        shutil.copytree(exact, out, dirs_exist_ok=True)
        kinds = ["MatMul", "Gemm"] + (["Conv"] if config.convolutions else [])
        for name in facts["graphs"]:
            _quantize(Path(exact) / f"{name}.onnx", out / f"{name}.onnx", kinds)
        graph = _graphs.graphs_of(run.loaded)[0]
        before, after = (Path(folder) / f"{graph.name}.onnx" for folder in (exact, out))
        return {"graphs": facts["graphs"], **_compared(graph, before, after)}


def _quantize(exact: Path, rounded: Path, kinds: list[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(exact, rounded, op_types_to_quantize=kinds, per_channel=True, weight_type=QuantType.QUInt8)


def _compared(graph: _graphs.Graph, before: Path, after: Path) -> dict[str, float]:
    """Bytes, milliseconds and answers of both graphs; psnr_db is of the rounded one's answers, in [-1, 1] pictures."""
    exact, rounded = _graphs.session(before), _graphs.session(after)
    error = _graphs.answer(exact, graph.inputs) - _graphs.answer(rounded, graph.inputs)
    return {
        "bytes_before": before.stat().st_size,
        "bytes_after": after.stat().st_size,
        "milliseconds_before": _milliseconds(exact, graph),
        "milliseconds_after": _milliseconds(rounded, graph),
        "psnr_db": float(10 * np.log10(4 / max(np.square(error).mean(), 1e-12))),
    }


def _milliseconds(session: Any, graph: _graphs.Graph) -> float:
    """The quickest of some answers."""
    times = []
    for _ in range(TIMED):
        started = time.perf_counter()
        _graphs.answer(session, graph.inputs)
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)

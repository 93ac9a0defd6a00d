"""A run's model as graphs of ONNX: tensors in, tensors out, any number of rows."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from figment.core.checkpoint import LoadedModel
from figment.core.errors import CapabilityError, CheckpointError, MissingExtra
from figment.core.noise import noise
from figment.core.types import Condition, Denoises, Encodes, Generates, ImageSpec
from figment.exports import Run, _standalone
from figment.nets.embeddings import KINDS, told_spec

FACTS = "graphs.json"
SCRIPT = "draw.py"
ROWS = 3  # of the example that a graph is traced with and compared on
CLOSE = 1e-3  # in [-1, 1] pictures, far below a grey level


@dataclass(frozen=True)
class Following:
    """How a denoiser is followed from noise to picture: what the targets that write graphs can be told."""

    steps: int = 18
    """Steps of the sampler that the script takes."""
    guidance: float | None = None
    """How strongly the condition is followed; that of the run where it is not given."""


class Denoiser(nn.Module):
    """denoise(noisy, sigma, ...) with the condition's parts as plain tensors, in the order of `parts`."""

    named = 2  # arguments of forward before the condition's parts

    def __init__(self, model: Any, parts: tuple[str, ...]):
        super().__init__()
        self.model, self.parts = model, parts

    def forward(self, noisy: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        return self.model.denoise(noisy, sigma, Condition(**dict(zip(self.parts, condition, strict=True))))


class Drawer(nn.Module):
    """generate(noise, ...), likewise."""

    named = 1

    def __init__(self, model: Any, parts: tuple[str, ...]):
        super().__init__()
        self.model, self.parts = model, parts

    def forward(self, noise: Tensor, *condition: Tensor) -> Tensor:
        return self.model.generate(noise, Condition(**dict(zip(self.parts, condition, strict=True))))


class Decoder(nn.Module):
    """decode(latents)"""

    named = 1

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        return self.model.decode(latents)


@dataclass(frozen=True)
class Graph:
    """A module with an example of its inputs, by name, whose first axis may have any length."""

    name: str
    module: Denoiser | Drawer | Decoder
    inputs: Mapping[str, Tensor]
    output: str


def write_folder(run: Run, out: Path, steps: int, guidance: float | None) -> dict[str, Any]:
    """Write the graphs of a run, what they are, and a script that draws with them; returns what is worth telling.

    steps, guidance: of the script's sampler, where the model denoises; None is the run's own guidance.
    Raises CapabilityError for a model that draws nothing or cannot be written as a graph.
    """
    loaded, model = run.loaded, run.loaded.model
    graphs = graphs_of(loaded)
    out.mkdir(parents=True, exist_ok=True)
    differences = {graph.name: write(graph, out / f"{graph.name}.onnx") for graph in graphs}
    spec = told_spec(loaded.spec, getattr(loaded.settings, "told", KINDS))
    facts: dict[str, Any] = {
        "graphs": {graph.name: f"{graph.name}.onnx" for graph in graphs},
        "noise": list(model.noise_shape()),  # type: ignore[operator]
        "classes": list(spec.classes),
        "attributes": list(spec.attributes),
        "caption_bytes": spec.caption_bytes,
        "run": loaded.digest,
        "family": loaded.family,
    }
    if is_followed(loaded):
        sampling = loaded.sampling or loaded.sampling_type()
        strength = sampling.guidance if guidance is None else guidance
        levels = type(sampling)(steps=steps, guidance=strength).sigmas(model)
        facts |= {"sigmas": levels.tolist(), "guidance": strength}
    (out / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.copy(_standalone.__file__, out / SCRIPT)
    sizes = {f"{name}_bytes": (out / f"{name}.onnx").stat().st_size for name in differences}
    return {"graphs": sorted(differences), "largest_difference": max(differences.values()), **sizes}


def graphs_of(loaded: LoadedModel) -> list[Graph]:
    """The graphs that a run is drawn with: a denoiser (and a decoder, where it denoises latents), or a generator.

    Raises CapabilityError for a model that draws nothing.
    """
    model: Any = loaded.model
    if not isinstance(model, Generates):
        raise CapabilityError(f"a '{loaded.family}' draws no pictures; export a run that generates, such as flow")
    asked = example_condition(told_spec(loaded.spec, getattr(loaded.settings, "told", KINDS)))
    start = noise(range(ROWS), model)
    if not is_followed(loaded):
        return [Graph("generator", Drawer(model, tuple(asked)), {"noise": start, **asked}, "images")]
    denoiser: Any = model
    sigma = torch.linspace(denoiser.sigma_min, min(denoiser.sigma_max, 10.0), ROWS)
    inputs = {"noisy": start * sigma.view(-1, *[1] * (start.ndim - 1)), "sigma": sigma, **asked}
    graphs = [Graph("denoiser", Denoiser(model, tuple(asked)), inputs, "clean")]
    if isinstance(model, Encodes):
        graphs.append(Graph("decoder", Decoder(model), {"latents": start}, "images"))
    return graphs


def is_followed(loaded: LoadedModel) -> bool:
    """Whether a sampler leads from noise to picture, one evaluation of the denoiser after the other."""
    sampling = loaded.sampling_type
    return isinstance(loaded.model, Denoises) and hasattr(sampling, "sampler")


def example_condition(spec: ImageSpec) -> dict[str, Tensor]:
    """A part for all that a model of this spec can be asked for; the last row leaves everything open."""
    parts: dict[str, Tensor] = {}
    if spec.classes:
        parts["labels"] = torch.arange(ROWS) % spec.num_classes
        parts["labels"][-1] = -1
    if spec.attributes:
        parts["attributes"] = torch.zeros(ROWS, len(spec.attributes)).index_fill(0, torch.tensor([ROWS - 1]), np.nan)
    if spec.caption_bytes:
        parts["captions"] = torch.full((ROWS, spec.caption_bytes), 97, dtype=torch.uint8)
        parts["captions"][-1] = 0
    return parts


@torch.no_grad()
def write(graph: Graph, file: Path) -> float:
    """Write an ONNX file; returns the largest difference between what it and the model answer.

    Raises CapabilityError where a model cannot be written as a graph, CheckpointError where the two answer differently.
    """
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("--to onnx", "export") from None
    rows = {0: torch.export.Dim("rows", min=1)}
    parts = (len(graph.inputs) - graph.module.named) * (rows,)
    shapes = (*graph.module.named * (rows,), *([] if isinstance(graph.module, Decoder) else [parts]))
    example = tuple(graph.inputs.values())
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.module.eval(),
                example,
                dynamo=True,
                input_names=list(graph.inputs),
                output_names=[graph.output],
                dynamic_shapes=shapes,
                optimize=True,
            )
            assert program is not None
            program.save(file, external_data=False)
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        said = str(error).partition("\n")[0]
        raise CapabilityError(
            f"{graph.name}: cannot be written as a graph ({said}); --to hub carries any run"
        ) from None
    expected = graph.module(*example).numpy()
    difference = float(np.abs(answer(session(file), graph.inputs) - expected).max())
    if difference > CLOSE:
        raise CheckpointError(f"{file}: differs from the run by {difference:.2g}; nothing was exported")
    return difference


def session(file: Path) -> Any:
    """A graph ready to run on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def answer(graph: Any, inputs: Mapping[str, Tensor]) -> np.ndarray:
    """What a session answers to these inputs."""
    return graph.run(None, {name: part.numpy() for name, part in inputs.items()})[0]

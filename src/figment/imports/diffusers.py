"""diffusers: a folder that `DiffusionPipeline.save_pretrained` wrote draws, edits, scores and serves as a run does.

    figment sample diffusers:PATH --out samples.png

The pipeline is seen as a denoiser, so figment's samplers and edits run on it; of its own scheduler only the schedule is
kept: how noisy a picture is at which time. It may consist of a UNet2DModel (DDPM, DDIM, with or without classes), of a
DiTTransformer2DModel with an AutoencoderKL, or of a UNet2DConditionModel with those and a text encoder, as Stable
Diffusion does. Nothing is downloaded. Weights come from safetensors alone, and what is no class of diffusers or of
transformers is refused: pickles and code of other people's do not run.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import diffusers
import safetensors
import torch
import transformers

from figment.core.checkpoint import LoadedModel
from figment.core.config import from_json, read_json
from figment.core.errors import CapabilityError, CheckpointError, ConfigError
from figment.core.pretrained import silence
from figment.core.types import ImageSpec
from figment.imports._pipelines import Asked, AskedInWords, LatentPipelineModel, PipelineModel, Schedule
from figment.samplers import RANGES, Sampling

__all__ = ["Sampling", "load"]

INDEX = "model_index.json"
FACTS = "figment.json"  # what `figment export --to diffusers` adds: the names of classes, tuned settings
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
BYTES_A_TOKEN = 4  # of a caption
MOST_TOKENS = 512
WRONG = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError)

IDLE = {"scheduler", "safety_checker", "feature_extractor", "image_encoder"}  # parts that no denoiser is made of
NEEDED = {
    "UNet2DModel": {"unet"},
    "DiTTransformer2DModel": {"transformer", "vae"},
    "UNet2DConditionModel": {"unet", "vae", "text_encoder", "tokenizer"},
}


def load(folder: Path) -> LoadedModel:
    """The pipeline in a folder, in float32, on the CPU.

    Raises CheckpointError for what is no such folder, is damaged, or would run code of its own, CapabilityError for a
    pipeline that cannot be followed.
    """
    try:
        index = dict(read_json(folder / INDEX))
        facts = read_json(folder / FACTS) if (folder / FACTS).exists() else {}
    except (ConfigError, TypeError, ValueError) as error:
        raise CheckpointError(f"{error}; give a folder that a pipeline of diffusers was saved in") from None
    _refuse_code(folder, index)
    _refuse_pickles(folder, index)
    pipeline = _opened(folder, index)
    try:
        model = _model(pipeline, index, facts)
    except CapabilityError as error:
        raise CapabilityError(f"{folder}: {error}") from None
    model.eval().requires_grad_(False)
    sampling = _sampling(pipeline, model, facts)
    return LoadedModel(model, "diffusers", None, model.spec, _digest(folder, index), {}, sampling, room="imports")


def _parts(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The library and the class of every part that there is."""
    named = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: tuple(value) for name, value in named.items() if value != [None, None] and name[0] != "_"}


def _refuse_code(folder: Path, index: dict[str, Any]) -> None:
    """Raise CheckpointError where a class is none that comes with diffusers or transformers."""
    name = index.get("_class_name")
    is_known = isinstance(name, str) and hasattr(diffusers, name)
    foreign = [] if is_known else [str(name)]
    for library, kind in _parts(index).values():
        own = library in ("diffusers", "transformers") or hasattr(diffusers.pipelines, str(library))
        foreign += [] if own else [f"{library}.{kind}"]
    for config in sorted(folder.glob("*/*config.json")):
        if '"auto_map"' in config.read_text("utf-8", "replace"):  # to a class in a file beside it
            foreign.append(f"what {config.parent.name}/{config.name} maps to")
    if foreign:
        raise CheckpointError(
            f"{folder / INDEX}: {foreign[0]} is no class of diffusers {diffusers.__version__}, and code from a folder "
            "is not run; give a pipeline of diffusers' own parts"
        )


def _refuse_pickles(folder: Path, index: dict[str, Any]) -> None:
    """Raise CheckpointError for a part whose weights can only be had by unpickling them, which runs code."""
    for name in sorted(_parts(index).keys() - {"scheduler"}):
        files = sorted((folder / name).glob("*"))
        pickles = [file for file in files if file.suffix in PICKLES]
        if pickles and not any(file.suffix == ".safetensors" for file in files):
            raise CheckpointError(
                f"{pickles[0]}: is a pickle, which can run code; save the pipeline with safe_serialization=True"
            )


def _opened(folder: Path, index: dict[str, Any]) -> Any:
    """The pipeline, as diffusers opens it.

    Raises CheckpointError with what it says where it does not.
    """
    idle = {name: None for name in IDLE - {"scheduler"} if name in index}
    options = {"requires_safety_checker": False} if "requires_safety_checker" in index else {}
    try:
        with silence(diffusers, transformers):
            return diffusers.DiffusionPipeline.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                low_cpu_mem_usage=False,
                torch_dtype=torch.float32,
                **idle,
                **options,
            )
    except (*WRONG, safetensors.SafetensorError) as error:
        said = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{folder}: diffusers does not open it ({said}); save the pipeline anew") from None


def _model(pipeline: Any, index: dict[str, Any], facts: dict[str, Any]) -> PipelineModel:
    """The parts of a pipeline as a model.

    Raises CapabilityError for parts that cannot be followed.
    """
    parts = {name: part for name, part in pipeline.components.items() if part is not None}
    net: Any = parts.get("unet", parts.get("transformer"))
    needed = NEEDED.get(type(net).__name__)
    if needed is None or parts.keys() - IDLE != needed:
        raise CapabilityError(
            f"a {type(pipeline).__name__} is none that figment can follow; give one of a UNet2DModel, of a "
            "DiTTransformer2DModel and a vae, or of a UNet2DConditionModel, a vae, a text_encoder and a tokenizer"
        )
    config, schedule = net.config, Schedule(parts["scheduler"])
    size = config.sample_size
    if size is None:
        raise CapabilityError("its network does not say how large its pictures are (sample_size)")
    height, width = size if isinstance(size, list | tuple) else (size, size)
    latent, vae = (config.in_channels, height, width), parts.get("vae")
    classes, captions = (), 0
    if "tokenizer" in parts:
        _refuse_more_inputs(config, vae)
        encoder = parts["text_encoder"]
        tokens = getattr(encoder.config, "max_position_embeddings", MOST_TOKENS)
        captions = BYTES_A_TOKEN * tokens
        asked: Any = AskedInWords(net, parts["tokenizer"], encoder, tokens)
    else:
        classes, unknown = _classes(config, index, facts)
        asked = Asked(net, len(classes), unknown)
    if vae is None:
        return PipelineModel(asked, schedule, ImageSpec(*latent, classes=classes))
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    spec = ImageSpec(vae.config.out_channels, scale * height, scale * width, classes=classes, caption_bytes=captions)
    return LatentPipelineModel(asked, schedule, spec, vae, latent)


def _refuse_more_inputs(config: Any, vae: Any) -> None:
    """Raise CapabilityError for a text network that is to be told more than a picture, a time and words."""
    more = [name for name in ("addition_embed_type", "class_embed_type", "time_cond_proj_dim") if config.get(name)]
    more += ["in_channels"] if config.in_channels != vae.config.latent_channels else []
    if more:
        raise CapabilityError(f"its unet wants more than latents, a time and words ({more[0]}); give a plain one")


def _classes(config: Any, index: dict[str, Any], facts: dict[str, Any]) -> tuple[tuple[str, ...], int | None]:
    """The names of the classes, and the number that stands for none of them, None where there is none."""
    if "num_embeds_ada_norm" in config:  # a DiT, which has learnt to do without as the number after the last one
        num, unknown = config.num_embeds_ada_norm, config.num_embeds_ada_norm
        names = {int(place): name for place, name in (index.get("id2label") or {}).items()}
    else:
        num, names = config.get("num_class_embeds") or 0, dict(enumerate(facts.get("classes", ())))
        unknown = len(names) if names and num > len(names) else None
        num = min(num, len(names) or num)
    told = [names.get(place, str(place)) for place in range(num)]
    twice = {name for name in told if told.count(name) > 1}
    return tuple(f"{name} ({place})" if name in twice else name for place, name in enumerate(told)), unknown


def _sampling(pipeline: Any, model: PipelineModel, facts: dict[str, Any]) -> Sampling | None:
    """The settings that came along, else the guidance that the pipeline itself would draw with."""
    if facts.get("sampling"):
        return from_json(Sampling, facts["sampling"], FACTS)
    usual = inspect.signature(type(pipeline).__call__).parameters.get("guidance_scale")
    if model.spec.classes and model.asked.unknown is None:
        return Sampling(guidance=1.0)
    return Sampling(guidance=min(float(usual.default), RANGES["guidance"][1])) if usual else None


def _digest(folder: Path, index: dict[str, Any]) -> str:
    """SHA-256 of all that the model is made from."""
    whole, parts = hashlib.sha256(), sorted(_parts(index).keys() - IDLE | {"scheduler"})
    files = [folder / INDEX, folder / FACTS, *(file for part in parts for file in sorted((folder / part).glob("*")))]
    for file in (file for file in files if file.suffix in (".json", ".safetensors", ".txt") and file.exists()):
        with file.open("rb") as content:
            own = hashlib.file_digest(content, "sha256").hexdigest()
        whole.update(f"{file.relative_to(folder).as_posix()} {own}\n".encode())
    return whole.hexdigest()

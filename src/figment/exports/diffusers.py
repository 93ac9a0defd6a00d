"""diffusers: a folder that `DiffusionPipeline.from_pretrained` opens, made of diffusers' own parts and of safetensors.

    from diffusers import DiffusionPipeline
    pictures = DiffusionPipeline.from_pretrained("exported")(batch_size=8, num_inference_steps=18).images

For a `flow` or a `ddpm` that was trained with `--family.net unet2d`, the network that diffusers has too, its weights
one to one. Without classes it becomes a DDPMPipeline; with classes a ConsistencyModelPipeline, the one that hands
`class_labels` to such a network: the number after the last class leaves it open, and it knows no guidance. A flow is
drawn by DPM-Solver++, a ddpm by DDIM. `diffusers:FOLDER` is the same run again for figment, guidance and all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from figment.core.checkpoint import LoadedModel, load_model
from figment.core.config import to_json
from figment.core.errors import CapabilityError, CheckpointError
from figment.exports import Run, _graphs
from figment.nets.embeddings import told_spec
from figment.nets.unet2d import TIMES, UNet2d

FACTS = "figment.json"
CLOSE = 1e-4  # in [-1, 1] pictures

NOT_THERE = {  # what networks of figment's have and those of diffusers lack
    "UNet": "norms over the channels of a pixel, and a way past them",
    "TokenNet": "a way past the norms, and other positions; its own DiT draws codes of an AutoencoderKL, no pictures",
    "ModulatedMlp": "no convolutions",
}
TARGETS = {"noise": "epsilon", "velocity": "v_prediction", "image": "sample"}
BETAS = {
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "linear": {"beta_schedule": "linear", "beta_start": 0.1 / TIMES, "beta_end": 20 / TIMES},
}


@dataclass(frozen=True)
class Config:
    """There is nothing to set."""


def export(run: Run, out: Path, config: Config) -> dict[str, Any]:
    """Write the folder; `largest_difference` is that of a denoised picture, before and after, in [-1, 1].

    Raises CapabilityError for a run that diffusers cannot express, CheckpointError where the two answer differently.
    """
    loaded = run.loaded
    _refuse_inexpressible(loaded)
    classes = told_spec(loaded.spec, loaded.settings.told).classes
    kind = diffusers.ConsistencyModelPipeline if classes else diffusers.DDPMPipeline
    pipeline = kind(unet=_unet(loaded, len(classes)), scheduler=_scheduler(loaded))
    pipeline.save_pretrained(out, safe_serialization=True)
    facts = {"run": loaded.digest, "family": loaded.family, "classes": list(classes)}
    facts |= {"sampling": to_json(loaded.sampling) if loaded.sampling else None}
    (out / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    difference = _difference(loaded, load_model(Path(f"diffusers:{out}")))
    if not difference <= CLOSE:
        raise CheckpointError(f"{out}: differs from the run by {difference:.2g}; do not use it")
    return {"pipeline": kind.__name__, "largest_difference": difference}


def _refuse_inexpressible(loaded: LoadedModel) -> None:
    """Raise CapabilityError, naming what is different and what to train, for a run that diffusers has no parts for."""
    advice = "train a flow or a ddpm with --family.net unet2d"
    if loaded.family not in ("flow", "ddpm"):
        raise CapabilityError(f"a '{loaded.family}' is drawn as no pipeline of diffusers draws; {advice}")
    net: Any = loaded.model.net.net  # type: ignore[union-attr]
    if not isinstance(net, UNet2d):
        lacks = NOT_THERE.get(type(net).__name__, "another build")
        raise CapabilityError(f"this '{loaded.family}' has a network that diffusers lacks ({lacks}); {advice}")
    settings, spec = loaded.settings, told_spec(loaded.spec, loaded.settings.told)
    height, width = spec.height, spec.width
    steps = getattr(settings, "steps", TIMES)
    reasons = {
        "captions or attributes, which its UNet2DModel is not told; train with --family.told labels": bool(
            spec.caption_bytes or spec.attributes
        ),
        f"{height}x{width} pictures, whose sides {net.multiple} does not divide; resize them with --size": bool(
            height % net.multiple or width % net.multiple
        ),
        "classes of pictures that are not square; train without them": bool(spec.classes) and height != width,
        f"{steps} steps; train with --family.steps {TIMES}": steps != TIMES,
        "learnt variances; train without --family.learn-variance": getattr(settings, "learn_variance", False),
    }
    for reason, is_so in reasons.items():
        if is_so:
            raise CapabilityError(f"diffusers has no pipeline for {reason}")


def _unet(loaded: LoadedModel, num_classes: int) -> Any:
    """The network as diffusers' own; one class more stands for none in particular."""
    backbone: Any = loaded.model.net
    net, (height, width) = backbone.net, (loaded.spec.height, loaded.spec.width)
    kinds = ["Attn" if attends else "" for attends in net.attends]
    unet = diffusers.UNet2DModel(
        sample_size=height if height == width else (height, width),
        in_channels=loaded.spec.channels,
        out_channels=loaded.spec.channels,
        down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
        up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
        block_out_channels=net.widths,
        layers_per_block=net.depth,
        attention_head_dim=net.widths[0],
        norm_num_groups=net.groups,
        attn_norm_num_groups=net.groups,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=net.condition_width,
        num_class_embeds=num_classes + 1 if num_classes else None,
    )
    weights = dict(net.state_dict())
    weights |= {f"time_embedding.{name}": value for name, value in backbone.times[0].state_dict().items()}
    weights |= {"class_embedding.weight": backbone.condition.labels.weight} if num_classes else {}
    unet.load_state_dict(weights)
    return unet.eval()


def _scheduler(loaded: LoadedModel) -> Any:
    if loaded.family == "flow":
        return diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    target: Any = TARGETS[loaded.settings.target]
    betas: Any = BETAS[loaded.settings.schedule]
    return diffusers.DDIMScheduler(prediction_type=target, clip_sample=True, timestep_spacing="trailing", **betas)


@torch.no_grad()
def _difference(before: LoadedModel, after: LoadedModel) -> float:
    """The largest difference of what two models take the same noisy pictures for."""
    graph, same = (_graphs.graphs_of(loaded)[0] for loaded in (before, after))
    inputs = tuple(graph.inputs.values())
    return float((graph.module(*inputs) - same.module(*inputs)).abs().max())

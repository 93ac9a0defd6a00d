"""Tiny pipelines of diffusers, made on the spot, whose weights are random."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from figment.core.engine import seeded

LETTERS = "abcdefghijklmnopqrstuvwxyz"
BLOCKS = {"block_out_channels": (8, 16), "norm_num_groups": 8, "layers_per_block": 1}
LABELS = {0: "tench, Tinca tinca", 1: "crane", 2: "crane"}


def ddpm(folder: Path, scheduler: Any = None, **config: Any) -> Path:
    """Pictures of 8x8x1 by a UNet2DModel."""
    import diffusers

    blocks = {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    with seeded(1):
        unet = diffusers.UNet2DModel(sample_size=8, in_channels=1, out_channels=1, **BLOCKS, **blocks, **config)
    kind = diffusers.ConsistencyModelPipeline if "num_class_embeds" in config else diffusers.DDPMPipeline
    return _saved(kind(unet=unet, scheduler=scheduler or _unclipped()), folder)


def dit(folder: Path) -> Path:
    """Pictures of 8x8x1 of a thousand classes, latents of 4x4x4, with learnt variances."""
    import diffusers

    with seeded(2):
        heads = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "patch_size": 2}
        transformer = diffusers.DiTTransformer2DModel(in_channels=4, out_channels=8, sample_size=4, **heads)
    _saved(diffusers.DiTPipeline(transformer=transformer, vae=_vae(), scheduler=_unclipped()), folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"id2label": LABELS}))
    return folder


def stable(folder: Path, **config: Any) -> Path:
    """Pictures of 8x8x1 by captions, latents of 4x4x4, made as Stable Diffusion is."""
    import diffusers
    import transformers

    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], model_max_length=8
    )
    ends = {"bos_token_id": len(words) - 2, "eos_token_id": len(words) - 1, "pad_token_id": len(words) - 1}
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    blocks = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    with seeded(3):
        encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(vocab_size=len(words), max_position_embeddings=8, **sizes, **ends)
        )
        unet = diffusers.UNet2DConditionModel(
            sample_size=4, cross_attention_dim=16, attention_head_dim=4, **BLOCKS, **blocks, **config
        )
    none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    parts = {"vae": _vae(), "text_encoder": encoder, "tokenizer": tokenizer, "unet": unet, "scheduler": _unclipped()}
    return _saved(diffusers.StableDiffusionPipeline(**parts, **none), folder)


def quantized(folder: Path) -> Path:
    """Pictures of 8x8x1, latents of a VQModel."""
    import diffusers

    sides = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vqvae = diffusers.VQModel(in_channels=1, out_channels=1, latent_channels=1, num_vq_embeddings=8, **BLOCKS, **sides)
    unet = diffusers.UNet2DModel.from_pretrained(ddpm(folder / "ddpm") / "unet")
    return _saved(diffusers.LDMPipeline(vqvae=vqvae, unet=unet, scheduler=_unclipped()), folder)


KINDS: dict[str, Callable[[Path], Path]] = {"ddpm": ddpm, "dit": dit, "stable": stable}


def _unclipped() -> Any:
    import diffusers

    return diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=False, steps_offset=1)


def _vae() -> Any:
    import diffusers

    sides = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    with seeded(4):
        return diffusers.AutoencoderKL(in_channels=1, out_channels=1, latent_channels=4, **BLOCKS, **sides)


def _saved(pipeline: Any, folder: Path) -> Path:
    _shake(pipeline)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


@torch.no_grad()
def _shake(pipeline: Any) -> None:
    """Weights that begin at zero, as a DiT's gates do, would leave its blocks untested."""
    with seeded(5):
        for part in pipeline.components.values():
            for weights in getattr(part, "parameters", list)():
                weights.add_(0.05 * torch.randn_like(weights))

"""Models of the transformers library as eyes."""

from __future__ import annotations

from torch import nn

from figment.core.pretrained import reading


def pretrained(feature: str, kind: str, place: str, *, download: bool) -> nn.Module:
    """The model of class `kind` in `place`, a folder or a name on the hub, ready to look.

    Raises MissingExtra without transformers, CheckpointError where there is no such model or it may not be fetched.
    """
    advice = f"give {feature}:FOLDER" + ("" if download else ", or have it fetched: --features.download")
    with reading(f"--features {feature}", place, advice) as transformers:
        model = getattr(transformers, kind).from_pretrained(
            place, local_files_only=not download, trust_remote_code=False, use_safetensors=True
        )
    return model.float().eval().requires_grad_(False)

"""Captions as a trained text encoder understands them: CLIP's, T5's, BERT's or another of the transformers library.

It is read once, when training starts, and travels inside the run from then on: its architecture in the config, weights
and tokenizer in the model's state. It is never trained; a linear layer is, which brings what it says to the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from figment.core.errors import CapabilityError, CheckpointError
from figment.core.pretrained import digest_of, reading, silence, transformers_for
from figment.nets.attention import Text
from figment.nets.text import LOUDNESS

HUB = "hub:"
ADVICE = "give hub:NAME, or a folder that a text encoder and its fast tokenizer were saved in"
REMEMBERED = 2**30  # bytes of what was read


@dataclass(frozen=True)
class TextModel:
    """How a text encoder is built, and which one it is.

    settings: the config of transformers. tokenizer_bytes: length of its tokenizer.json. sha256: of weights and
    tokenizer.
    """

    settings: Mapping[str, Any]
    tokenizer_bytes: int
    sha256: str

    def build(self, flag: str) -> Any:
        """The transformer, with initial weights.

        Raises MissingExtra, naming the flag that needs it, without transformers.
        """
        transformers = transformers_for(flag)
        config = transformers.AutoConfig.for_model(**self.settings)
        with silence(transformers):
            # Eager: what a caption means must not depend on the attention kernel that a run has chosen.
            model = transformers.AutoModelForTextEncoding.from_config(config, attn_implementation="eager")
        return _words_alone(model)


@dataclass(frozen=True)
class Found:
    """A text encoder as it was read: its facts, weights by name, and its tokenizer.json."""

    facts: TextModel
    weights: Mapping[str, Tensor]
    tokenizer: bytes


def read_text_model(text: str) -> Found:
    """The encoder that `--family.text` names: a folder, or hub:NAME, which is fetched where it is not here.

    Raises MissingExtra without transformers, CheckpointError where there is no whole model, CapabilityError for one
    that encodes no text.
    """
    name = text.removeprefix(HUB)
    if name != text:
        with suppress(CheckpointError):
            return _found(text, name, download=False)
    elif not Path(name).is_dir():
        raise CheckpointError(f"--family.text {text}: no such folder; {ADVICE}")
    return _found(text, name, download=name != text)


def _found(text: str, name: str, *, download: bool) -> Found:
    flag, options = f"--family.text {text}", {"local_files_only": not download}
    with reading(flag, name, ADVICE) as transformers:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False, **options)
        config = getattr(config, "text_config", config)  # CLIP has a half for pictures, too
        if type(config) not in transformers.MODEL_FOR_TEXT_ENCODING_MAPPING:
            raise CapabilityError(f"{flag}: a '{config.model_type}' encodes no text; give one such as CLIP, T5 or BERT")
        tokenizer = Path(transformers.utils.cached_file(name, "tokenizer.json", **options)).read_bytes()
        if _splitter(tokenizer, config).get_vocab_size() > config.vocab_size:
            raise ValueError("its tokenizer is of another model, with more tokens")
        model, told = transformers.AutoModelForTextEncoding.from_pretrained(
            name, config=config, trust_remote_code=False, use_safetensors=True, output_loading_info=True, **options
        )
        if missing := [name for name in told["missing_keys"] if not name.startswith("pooler.")]:
            raise ValueError(f"{len(missing)} of its weights are missing, such as {min(missing)}")
    model = _words_alone(model)
    digest = hashlib.sha256(digest_of(model).encode() + tokenizer).hexdigest()
    return Found(TextModel(json.loads(config.to_json_string()), len(tokenizer), digest), model.state_dict(), tokenizer)


def _words_alone(model: Any) -> Any:
    """A transformer in float32, without the layer behind it that makes one vector of a text, which many models lack."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.float()


def _splitter(tokenizer: bytes, config: Any) -> Any:
    """What makes tokens of a text, as many as the transformer has places for.

    Raises ValueError for a file that is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        splitter = Tokenizer.from_str(tokenizer.decode())
    except Exception as error:  # which is the only kind that it knows
        raise ValueError(f"tokenizer.json: {error}") from None
    splitter.no_padding()
    splitter.no_truncation()
    if places := getattr(config, "max_position_embeddings", None):
        splitter.enable_truncation(places)
    return splitter


class FrozenEncoder(nn.Module):
    """A caption in UTF-8 -> (T, D) float32 on the CPU, what a trained transformer says of each token; empty for none.

    Every caption is read alone and in float32, so that it means the same in any batch and after a resume, to the last
    bit; and so it need be read only once.
    """

    frozen = True
    tokenizer: Tensor

    def __init__(self, place: str, facts: TextModel):
        super().__init__()
        self.place, self.facts = place, facts
        self.transformer = facts.build(f"--family.text {place}")
        self.register_buffer("tokenizer", torch.zeros(facts.tokenizer_bytes, dtype=torch.uint8))
        self.requires_grad_(False).eval()
        self.forget()
        self.register_load_state_dict_post_hook(lambda module, keys: module.forget())

    @property
    def width(self) -> int:
        return self.transformer.config.hidden_size

    def train(self, mode: bool = True) -> FrozenEncoder:
        return super().train(False)

    def begin(self) -> None:
        found = read_text_model(self.place)
        if found.facts != self.facts:
            raise CheckpointError(
                f"--family.text {self.place}: was changed since this run was begun; give --fresh to begin again"
            )
        self.transformer.load_state_dict(found.weights)
        self.tokenizer.copy_(torch.frombuffer(bytearray(found.tokenizer), dtype=torch.uint8))
        self.forget()

    def forget(self) -> None:
        """Forget what was read, with the weights that it was read with."""
        self.known: dict[bytes, Tensor] = {}
        self.room, self.splitter = REMEMBERED, None

    def forward(self, caption: bytes) -> Tensor:
        hidden = self.known.get(caption)
        if hidden is None:
            hidden = self._read(caption)
            if hidden.nbytes > self.room:
                self.forget()
            self.known[caption] = hidden
            self.room -= hidden.nbytes
        return hidden

    @torch.no_grad()
    def _read(self, caption: bytes) -> Tensor:
        device = self.tokenizer.device
        self.splitter = self.splitter or _splitter(self.tokenizer.cpu().numpy().tobytes(), self.transformer.config)
        tokens = self.splitter.encode(caption.decode("utf-8", "replace")).ids if caption else []
        if not tokens:
            return torch.zeros(0, self.width)
        with torch.autocast(device.type, enabled=False):
            return self.transformer(input_ids=torch.tensor([tokens], device=device)).last_hidden_state[0].cpu()


class PretrainedText(nn.Module):
    """Captions (B, L) uint8, padded with 0 -> Text of a trained encoder's tokens, and before them one for the whole.

    A row of zeros is a caption that is not given: nothing is left of it but that first token, a learnt vector.
    """

    def __init__(self, place: str, facts: TextModel, width: int):
        super().__init__()
        self.encoder = FrozenEncoder(place, facts)
        self.words = nn.Linear(self.encoder.width, width)
        self.whole = nn.Parameter(LOUDNESS * torch.randn(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, captions: Tensor) -> Text:
        with torch._C._DisableFuncTorch():  # MeanFlow differentiates around this; what is remembered outlives that
            read = [self.encoder(row.tobytes().rstrip(b"\0")) for row in captions.cpu().numpy()]
        words = self.words(pad_sequence(read, batch_first=True).to(captions.device))
        tokens = torch.cat([self.whole.to(words).expand(len(words), 1, -1), words], dim=1)
        lengths = torch.tensor([len(one) for one in read], device=captions.device)
        mask = torch.arange(tokens.shape[1], device=captions.device) <= lengths[:, None]
        return Text(self.norm(tokens), mask)

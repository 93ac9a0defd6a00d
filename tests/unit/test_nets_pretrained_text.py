"""Captions read by a trained encoder of transformers: never trained itself, and part of the run from its first step."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from figment.core import plugins, pretrained
from figment.core.checkpoint import load_model
from figment.core.config import TrainConfig
from figment.core.engine import seeded
from figment.core.errors import ConfigError, FigmentError, MissingExtra
from figment.core.types import Batch, Condition, ImageSpec
from figment.nets import pretrained_text
from figment.nets.backbone import BackboneConfig
from figment.nets.embeddings import ConditionEmbedding
from figment.nets.pretrained_text import PretrainedText, read_text_model
from figment.testing import tiny_settings
from figment.train.trainer import Trainer
from tests.commands import QUICK, contents, done, figment, trained

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SPEC = ImageSpec(1, 8, 8, classes=("0", "1"), caption_bytes=32)
WORDS = ["[UNK]", "<s>", "</s>", "a", "small", "large", "red", "green", "blue", "circle", "square", "triangle", "above"]
SMALL = {"vocab_size": len(WORDS), "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16}
CLIP = SMALL | {"intermediate_size": 16, "max_position_embeddings": 9, "bos_token_id": 1, "eos_token_id": 2}
T5 = {"vocab_size": len(WORDS), "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}


def save(folder: Path, model) -> str:
    """A model beside a tokenizer of whole words between a first and a last token."""
    place = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(place, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    ends = [("<s>", 1), ("</s>", 2)]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, str]:
    """Random models, as transformers saves them."""
    place, eyes = tmp_path_factory.mktemp("encoders"), {"patch_size": 14, "image_size": 28, **SMALL}
    with seeded(0):
        models = {
            "clip": transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP)),
            "whole clip": transformers.CLIPModel(transformers.CLIPConfig(text_config=CLIP, vision_config=eyes)),
            "t5": transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, decoder_start_token_id=0)),
            "roberta": transformers.RobertaForMaskedLM(transformers.RobertaConfig(**CLIP | {"pad_token_id": 0})),
            "few words": transformers.CLIPTextModel(transformers.CLIPTextConfig(**CLIP | {"vocab_size": 9})),
            "eyes": transformers.Dinov2Model(transformers.Dinov2Config(**eyes)),
        }
    return {name: save(place / name, model) for name, model in models.items()}


def rows(*texts: str) -> Tensor:
    return torch.tensor([list(text.encode().ljust(32, b"\0")) for text in texts], dtype=torch.uint8)


def reader(place: str) -> PretrainedText:
    with seeded(0):
        made = PretrainedText(place, read_text_model(place).facts, 64)
    made.encoder.begin()
    return made


@pytest.mark.parametrize(
    ("name", "kind"),
    [("clip", "CLIPTextModel"), ("whole clip", "CLIPTextModel"), ("t5", "T5EncoderModel"), ("roberta", "RobertaModel")],
)
def test_it_says_what_transformers_says_of_each_caption_alone(saved, name, kind):
    told = getattr(transformers, kind).from_pretrained(saved[name])
    numbers = torch.tensor([[1, 3, 6, 9, 2]])
    with torch.no_grad():
        expected = told(input_ids=numbers).last_hidden_state[0]
    encoder = reader(saved[name]).encoder
    torch.testing.assert_close(encoder(b"a red circle"), expected, rtol=0, atol=1e-6)
    assert encoder(b"").shape == (0, 16)


def test_what_is_too_long_is_cut_and_keeps_its_end(saved):
    long, cut = (reader(saved["clip"]).encoder(b" ".join([b"red"] * count)) for count in (30, 7))
    assert long.shape == (9, 16) and torch.equal(long, cut)


def test_a_caption_means_the_same_in_any_batch_and_read_again(saved, monkeypatch):
    remembering, texts = reader(saved["t5"]), ("a red circle", "", "blue", "a red square above a circle")
    together = remembering(rows(*texts))
    assert together.mask.sum(1).tolist() == [6, 1, 4, 9]
    monkeypatch.setattr(pretrained_text, "REMEMBERED", 0)
    forgetting = reader(saved["t5"])
    for row, text in enumerate(texts):
        alone = forgetting(rows(text))
        there = alone.mask.shape[1]
        torch.testing.assert_close(alone.tokens[0], together.tokens[row, :there], rtol=0, atol=1e-5)
        assert torch.equal(forgetting.encoder(text.encode()), remembering.encoder(text.encode()))
    assert len(remembering.encoder.known) == 4 and len(forgetting.encoder.known) == 1
    assert torch.equal(forgetting(rows(*texts)).tokens, together.tokens)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(forgetting.encoder(b"blue"), remembering.encoder(b"blue"))


def test_other_weights_forget_what_was_read(saved):
    text = reader(saved["t5"])
    before = text(rows("blue")).tokens
    text.load_state_dict(
        {name: 2 * part if part.is_floating_point() else part for name, part in text.state_dict().items()}
    )
    assert not torch.equal(text.encoder(b"blue"), before) and len(text.encoder.known) == 1


def test_a_caption_that_is_not_given_is_a_learnt_vector(saved):
    with seeded(0):
        embedding = ConditionEmbedding(SPEC, 128, reader(saved["clip"]))
    assert torch.equal(embedding(None, 2), embedding(Condition(captions=rows("", "")), 2))
    embedding(None, 2).sum().backward()
    assert embedding.text.whole.grad.any()


BACKBONES = [
    name for name in plugins.names("families") if issubclass(plugins.load("families", name).Config, BackboneConfig)
]


@pytest.mark.parametrize("name", BACKBONES)
def test_every_family_of_backbones_trains_around_it(saved, tmp_path, name):
    """In slices; and MeanFlow differentiates around it."""
    module = plugins.load("families", name)
    config = replace(tiny_settings(name, SPEC, tmp_path), text=saved["clip"])
    with seeded(0):
        objective = module.build(config, SPEC)
    objective.begin()
    encoder = objective.model.net.condition.text.encoder
    start = {key: value.clone() for key, value in objective.model.net.state_dict().items()}
    train = TrainConfig(batch_size=4, slices=2, schedule="constant", warmup=0)
    trainer = Trainer(objective, train, steps=5)
    trainer.ema.model.load_state_dict(objective.model.state_dict())
    batch = Batch(torch.zeros(4, *SPEC.shape), Condition(torch.zeros(4).long(), captions=rows(*["a red circle"] * 4)))
    for _ in trainer.run(lambda step: batch):
        pass
    ends = [net.state_dict() for net in (objective.model.net, trainer.ema.model.net)]
    for key, value in start.items():
        is_frozen = key.startswith("condition.text.encoder.")
        assert all(torch.equal(end[key], value) for end in ends) or not is_frozen, key
    assert not torch.equal(ends[0]["condition.text.words.weight"], start["condition.text.words.weight"])
    assert not any(part.training for part in encoder.modules())
    moved = {id(parameter) for group in trainer.parameters.values() for parameter in group}
    assert moved.isdisjoint(map(id, encoder.parameters()))


# On the command line.


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("data") / "shapes"
    done("data", "build", "shapes:40", "--out", place, "--shapes.size", 16)
    return place


def test_a_run_carries_its_encoder(saved, shapes, tmp_path):
    """The folder is gone after the first training: the run resumes to the last bit, draws and is exported."""
    text = shutil.copytree(saved["clip"], tmp_path / "text")
    command = ("train", "flow", "--data", shapes, *QUICK, "--steps", 3, "--train.save-every", 1, "--family.text", text)
    done(*command, "--out", tmp_path / "whole")
    weights = load_model(tmp_path / "whole").model.net.condition.text.encoder.transformer.state_dict()
    read = read_text_model(str(text)).weights
    assert weights.keys() == read.keys() and all(torch.equal(weights[name], read[name]) for name in read)
    assert str(text) not in json.dumps(load_model(tmp_path / "whole").settings.text_model.settings)

    killed = shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(killed / "checkpoints/00000003")
    shutil.rmtree(killed / "model")
    shutil.rmtree(text)
    done(*command, "--out", killed)
    assert trained(killed) == trained(tmp_path / "whole")
    done("export", killed, "--to", "hub", "--out", tmp_path / "exported")
    asked = ("--caption", "a red circle", "--num", 2, "--sampling.steps", 2)
    for run in ("killed", "exported"):
        done("sample", tmp_path / run, *asked, "--out", tmp_path / f"{run} drawn")
    assert len(contents(tmp_path / "killed drawn")) == len(contents(tmp_path / "exported drawn")) == 2
    refused = figment("export", killed, "--to", "onnx", "--out", tmp_path / "graphs").complaint
    assert "cannot be written as a graph" in refused and "--to hub carries any run" in refused


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "nowhere",
            "no such folder; give hub:NAME, or a folder that a text encoder and its fast tokenizer were saved in",
        ),
        ("eyes", "a 'dinov2' encodes no text; give one such as CLIP, T5 or BERT"),
        ("few words", "its tokenizer is of another model, with more tokens"),
        ("no tokenizer", "tokenizer.json"),
        ("damaged", "no model in"),
        ("half", "of its weights are missing, such as"),
    ],
)
def test_what_is_no_text_encoder_is_told_in_one_line(saved, shapes, tmp_path, name, told):
    folder = tmp_path / name
    shutil.copytree(saved.get(name, saved["clip"]), folder)
    if name == "nowhere":
        shutil.rmtree(folder)
    elif name == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif name == "damaged":
        (folder / "model.safetensors").write_bytes(b"nothing")
    elif name == "half":
        from safetensors.torch import load_file, save_file

        kept = dict(list(load_file(folder / "model.safetensors").items())[1:])
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    asked = ("train", "flow", "--data", shapes, *QUICK, "--steps", 1, "--out", tmp_path / "run")
    complaint = figment(*asked, "--family.text", folder).complaint
    assert complaint.startswith(f"--family.text {folder}: ") and told in complaint
    assert not (tmp_path / "run").exists()


def test_without_captions_it_has_no_effect(saved, digits, tmp_path):
    asked = ("train", "flow", "--data", digits.path, *QUICK, "--steps", 1, "--out", tmp_path / "run")
    complaint = figment(*asked, "--family.text", saved["clip"]).complaint
    assert complaint.startswith(f"--family.text {saved['clip']}: has no effect, the network is told of no captions")
    flow = plugins.load("families", "flow")
    with pytest.raises(ConfigError, match="has no effect"):
        flow.build(flow.Config(text=saved["clip"], told=("labels",)), SPEC)


def test_without_transformers_the_extra_is_named(saved, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(pretrained.importlib, "import_module", missing)
    with pytest.raises(MissingExtra, match="clip needs the extra 'hub'"):
        read_text_model(saved["clip"])


def test_an_encoder_that_was_changed_before_training_began_is_refused(saved, tmp_path):
    place = shutil.copytree(saved["t5"], tmp_path / "t5")
    text = PretrainedText(str(place), read_text_model(str(place)).facts, 64)
    with seeded(1):
        save(place, transformers.T5EncoderModel(transformers.T5Config(**T5)))
    with pytest.raises(FigmentError, match="was changed since this run was begun; give --fresh to begin again"):
        text.encoder.begin()

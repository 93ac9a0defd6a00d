"""The conformance suite: what every plugin must do, figment's own and other people's.

    from figment.testing import check_family
    check_family("vae", tmp_path)          # raises AssertionError, saying what failed

`figment check NAME` runs the same from the command line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from figment.core import plugins
from figment.core.checkpoint import load_model, write_model
from figment.core.config import Augment, from_json, to_json
from figment.core.engine import Engine, seeded
from figment.core.errors import DataError, FigmentError
from figment.core.images import to_float, write_png
from figment.core.noise import following, noise
from figment.core.types import Condition, Encodes, Extractor, Generates, ImageSpec, Sample, Translates, capabilities
from figment.data.build import BuildConfig, build
from figment.data.store import Store
from figment.samplers._exact import Gaussian
from figment.train.fit import fit
from figment.train.run import DataPin, RunConfig, open_run

# Sizes that a family must take or refuse in one line: square, odd, with alpha, without labels, tiny.
SPECS = (
    ImageSpec(1, 8, 8, classes=tuple("0123456789")),
    ImageSpec(1, 17, 23),
    ImageSpec(4, 16, 12, classes=("cat", "dog")),
    ImageSpec(3, 32, 32, classes=("cat",), attributes=("age",)),
)
FRAMES = 4  # of the clips, for families that take those


def digits_store(folder: Path) -> Store:
    """scikit-learn's digits as a dataset in `folder`; made once."""
    return build(["digits:"], folder / "digits", BuildConfig())


def store_for(name: str, folder: Path) -> Store:
    """A dataset that a family can learn from: the digits, in pairs with their negatives where it takes those, or drawn
    figures that move where it takes clips."""
    if _takes("pairs", name):
        return _pairs_store(folder)
    if not _takes("frames", name):
        return digits_store(folder)
    moving = {"shapes": {"frames": FRAMES, "size": 16, "figures": 1}}
    return build(["shapes:100"], folder / "clips", BuildConfig(sources=moving))


def specs_for(name: str) -> tuple[ImageSpec, ...]:
    """The sizes that a family must take or refuse."""
    if _takes("pairs", name):
        return tuple(replace(spec, paired=True) for spec in SPECS)
    return tuple(replace(spec, frames=FRAMES) for spec in SPECS) if _takes("frames", name) else SPECS


def _takes(what: str, name: str) -> bool:
    return what in (plugins.constant("families", name, "TAKES") or ())  # type: ignore[operator]


def _pairs_store(folder: Path) -> Store:
    pictures = digits_store(folder).images("train")[:200]
    for half, change in (("given", np.array), ("drawn", lambda picture: 255 - picture)):
        for number, picture in enumerate(pictures):
            write_png(folder / "halves" / half / f"{number}.png", change(picture), {})
    return build([f"pairs:{folder / 'halves'}"], folder / "pairs", BuildConfig(sources={"pairs": {"given": "given"}}))


def tiny_settings(name: str, spec: ImageSpec, folder: Path) -> Any:
    """A family's tiny preset; settings that name a run of another family name one that is made in `folder`.

    The family says which those are, each with a family that will do: RUNS = {"teacher": "flow"}.
    """
    module = plugins.load("families", name)
    runs = {setting: str(_tiny_run(family, spec, folder)) for setting, family in getattr(module, "RUNS", {}).items()}
    return replace(module.Config.preset("tiny"), **runs)


def _tiny_run(family: str, spec: ImageSpec, folder: Path) -> Path:
    """A run on these pictures: a little trained on the digits, else as it begins."""
    run = folder / f"{family}-{spec.channels}x{spec.height}x{spec.width}-{len(spec.classes)}"
    if (run / "model").exists():
        return run
    store = digits_store(folder)
    if store.spec == spec:
        _train(family, store, run, steps=40, engine=Engine())
    else:
        settings = tiny_settings(family, spec, folder)
        with seeded(0):
            model = plugins.load("families", family).build(settings, spec).model
        write_model(run / "model", model.state_dict(), family, settings, spec, {})
    return run


def checks_of(kind: str) -> dict[str, Callable[[str, Path], None]]:
    """The checks for one kind of plugin, by name; each takes (plugin name, an empty folder)."""
    return {"has a docstring": check_docstring, "survives JSON": check_json} | {
        "families": {
            "builds for every shape": check_family_builds,
            "learns digits": check_family_learns,
            "resumes bit-exactly": check_family_resumes,
            "generates each row alone": check_family_rows,
        },
        "samplers": {"solves a Gaussian exactly": check_sampler},
        "features": {"sees each picture alone": check_features},
        "metrics": {"tells real from noise": check_metric},
        "sources": {"has the contract's signature": check_source},
        "steps": {"has the contract's signature": check_step},
    }.get(kind, {})


def check_family(name: str, folder: Path) -> None:
    """All checks of a family; raises AssertionError with what failed."""
    for check in checks_of("families").values():
        check(f"families/{name}" if check in (check_docstring, check_json) else name, folder)


def check_docstring(kind_and_name: str, folder: Path) -> None:
    """`kind/name`: the module says in its first line what it is."""
    kind, name = kind_and_name.split("/")
    assert plugins.summary(kind, name), f"{name}.py needs a docstring whose first line says what it is"
    for setting in plugins.settings(kind, name):
        assert setting.help, f"{name}.Config.{setting.name} needs a string below it that says what it does"


def check_json(kind_and_name: str, folder: Path) -> None:
    """`kind/name`: the settings survive JSON, and an unknown key is refused."""
    kind, name = kind_and_name.split("/")
    module = plugins.load(kind, name)
    for config in _configs(module):
        assert from_json(type(config), to_json(config)) == config, f"{config} does not survive JSON"
        _refuses(lambda config=config: from_json(type(config), {"no_such_setting": 1}), "an unknown setting")


def _configs(module: Any) -> Iterator[Any]:
    for name in ("Config", "Sampling"):
        if hasattr(module, name):
            try:
                yield getattr(module, name)()
            except FigmentError:  # a source that must be told where its pictures are
                yield getattr(module, name)(argument="somewhere")
    if hasattr(getattr(module, "Config", None), "preset"):
        for scale in ("tiny", "small", "base"):
            yield module.Config.preset(scale)


def check_family_builds(name: str, folder: Path) -> None:
    """Every shape is built, and gives pictures or features of the right size, or is refused with a FigmentError."""
    module = plugins.load("families", name)
    for spec in specs_for(name):
        try:
            with seeded(0):
                objective = module.build(tiny_settings(name, spec, folder), spec)
        except FigmentError:
            continue
        model = objective.model.eval()
        assert capabilities(model), f"{name}: the model has no capability at all"
        for phase in objective.phases():
            for part in phase.updates:
                assert list(objective.get_submodule(part).parameters()), f"phase {phase.name} updates no weights"
        images = torch.zeros(3, *([spec.frames] if spec.frames > 1 else []), *spec.shape)
        with torch.no_grad():
            if isinstance(model, Generates):
                drawn = model.generate(noise([0, 1, 2], model), _condition(spec, 3))
                assert drawn.shape == images.shape, f"generate gave {tuple(drawn.shape)} for {spec}"
                assert drawn.abs().max() <= 1, "generate left [-1, 1]"
            if isinstance(model, Translates):
                assert model.translate(images).shape == images.shape, "translate(x) changed the shape"
            if isinstance(model, Encodes):
                assert model.decode(model.encode(images)).shape == images.shape, "decode(encode(x)) changed the shape"


def check_family_learns(name: str, folder: Path) -> None:
    """A short training on real digits stays finite, and lowers the loss of a family that has just one."""
    store = store_for(name, folder)
    losses = _train(name, store, folder / "learns", steps=60)
    assert np.isfinite(losses).all()
    if _objective(name, store.spec, folder).has_validation:
        assert np.mean(losses[-10:]) < 0.97 * np.mean(losses[:3]), f"the loss went from {losses[0]} to {losses[-1]}"


def check_family_resumes(name: str, folder: Path) -> None:
    """Stopped after 5 of 12 steps and taken up by a fresh trainer, a run ends with the same bits, loaded ones too."""
    store = store_for(name, folder)
    _train(name, store, folder / "whole", steps=12)
    _train(name, store, folder / "parts", steps=12, stop_after=5)
    torch.manual_seed(999)  # whatever else was drawn in between must not matter
    _train(name, store, folder / "parts", steps=12)
    whole, parts = (load_file(folder / run / "model" / "model.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for key in whole:
        assert torch.equal(whole[key], parts[key]), f"{key} differs after a resume"
    loaded = load_model(folder / "whole").model.state_dict()
    assert all(torch.equal(loaded[key], whole[key]) for key in loaded), "the loaded model differs from the saved one"


def check_family_rows(name: str, folder: Path) -> None:
    """A picture of a seed is the same alone and in a batch, within one grey level."""
    spec = specs_for(name)[0]
    model = _objective(name, spec, folder).model.eval()
    for parameter in model.parameters():  # weights that start at 0 would hide a mixture of rows
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
    condition = _condition(spec, 4)
    if isinstance(model, Translates):
        check_translation_rows(model, torch.rand(4, *spec.shape, generator=torch.Generator().manual_seed(2)) * 2 - 1)
    if not isinstance(model, Generates):
        return
    with torch.no_grad():
        together = model.generate(noise(range(4), model), condition)
        apart = torch.cat([model.generate(noise([row], model), condition[row : row + 1]) for row in range(4)])
    assert (together - apart).abs().max() <= 2 / 255, "a picture depends on what else is in its batch"
    assert together.std(0).max() > 0, "all seeds give the same picture"


@torch.no_grad()
def check_translation_rows(model: Translates, images: Tensor) -> None:
    together, apart = model.translate(images), torch.cat([model.translate(image[None]) for image in images])
    assert (together - apart).abs().max() <= 2 / 255, "a translation depends on what else is in its batch"


def check_sampler(name: str, folder: Path) -> None:
    """With the exact denoiser of a Gaussian the pictures have its mean and spread, and each row is made alone."""
    data = Gaussian()
    sigmas = torch.cat([torch.logspace(2, -3, 200), torch.zeros(1)])
    source = torch.Generator().manual_seed(0)

    def drawn(noise: Tensor, noise_at: Callable[[int], Tensor]) -> list[Tensor]:
        return list(plugins.load("samplers", name).sample(data.denoise, noise, sigmas, noise_at=noise_at))

    start = torch.randn(4096, 1, 1, 1, generator=source)
    states = drawn(start, lambda step: torch.randn(start.shape, generator=source))
    assert len(states) == len(sigmas) - 1, f"{len(states)} states of {len(sigmas) - 1} steps; yield one after each"
    mean, spread = float(states[-1].mean()), float(states[-1].std())
    assert abs(mean - data.mean) < 0.03, f"mean {mean:.3f}, expected {data.mean}"
    assert abs(spread - data.spread) < 0.03, f"spread {spread:.3f}, expected {data.spread}"
    apart = drawn(start[2:3], following(start[2:3]))[-1] - drawn(start[:4], following(start[:4]))[-1][2:3]
    assert apart.abs().max() < 1e-5, "a picture depends on what else is in its batch, or on more than its noise"


def check_features(name: str, folder: Path) -> None:
    """Features are finite, as wide for every picture, and of a row alone; or what is missing is told in one line."""
    module, store = plugins.load("features", name), digits_store(folder)
    try:
        extractor = module.load(module.Config(), store)
    except FigmentError as error:  # weights that are not here
        assert "\n" not in str(error), "an error message is one line"
        return
    assert isinstance(extractor, Extractor), "an extractor has name, digest, resize and features(images)"
    assert extractor.name.split()[0].rstrip(",") == name, "the name begins with the plugin's own"
    images = to_float(np.array(store.images("train")[:5]))
    with torch.no_grad():
        together, alone = extractor.features(images), extractor.features(images[2:3])
    assert together.shape[0] == 5 and together.ndim == 2 and together.isfinite().all()
    assert torch.allclose(together[2:3], alone, atol=1e-4), "a picture's features depend on the others"


def check_metric(name: str, folder: Path) -> None:
    """Pure, finite, keyword-only, and better for real pictures than for noise in the direction it claims.

    Noise here is poor in every way: far off, all alike, and nothing of what was asked for. A metric with FILES needs
    published weights; without them it must say so.
    """
    module = plugins.load("metrics", name)
    assert isinstance(module.HIGHER_IS_BETTER, bool), "HIGHER_IS_BETTER must be True or False"
    rng = np.random.default_rng(0)
    count = 8 if "paired" in module.NEEDS else 300
    shown = rng.integers(40, 216, size=(8, 176, 176, 1))

    def sample(shift: float) -> Sample:
        labels = np.arange(count) % 4
        features = (4 * np.eye(8)[labels] if shift == 0 else 0) + shift + rng.normal(size=(count, 8)) / (1 + shift)
        logits = 6 * np.eye(4)[labels] * (shift == 0) + rng.normal(size=(count, 4)) * (0.5 + shift)
        images = (shown + rng.normal(size=shown.shape) * (1 + 5 * shift)).clip(0, 255).astype(np.uint8)
        return Sample(
            features,
            logits=logits,
            labels=labels,
            images=images if "paired" in module.NEEDS else None,
            spatial=features[:, ::-1],
            bits=rng.uniform(2, 4, size=count),
        )

    sides = {"real": sample(0.0)} | ({"train": sample(0.0)} if "train" in module.NEEDS else {})
    good, bad = sample(0.0), sample(5.0)
    before = good.features.copy()
    if hasattr(module, "FILES"):
        try:
            module.score(**sides, fake=good)
        except DataError as error:
            assert any(file in str(error) for file in module.FILES), f"does not say which file it needs: {error}"
            return
    scores, worse = module.score(**sides, fake=good), module.score(**sides, fake=bad)
    assert np.array_equal(before, good.features), "score changed its arguments"
    assert all(np.isfinite(list(scores.values()))), f"not finite: {scores}"
    first = next(iter(scores))
    # Distances to the training set have no better end on this task, and bits are of real pictures.
    if not {"train", "bits"} & set(module.NEEDS):
        assert (scores[first] > worse[first]) == module.HIGHER_IS_BETTER, f"{first}: {scores[first]} and {worse[first]}"


def check_source(name: str, folder: Path) -> None:
    module = plugins.load("sources", name)
    assert list(inspect.signature(module.records).parameters) == ["config"], "records(config) is the contract"


def check_step(name: str, folder: Path) -> None:
    module = plugins.load("steps", name)
    function, first = ("select", "index") if getattr(module, "GLOBAL", False) else ("mend", "record")
    found = list(inspect.signature(getattr(module, function)).parameters)
    assert found == [first, "config"], f"{function}({first}, config) is the contract, not {found}"


def _condition(spec: ImageSpec, count: int) -> Condition:
    labels = torch.arange(count) % spec.num_classes if spec.classes else None
    return Condition(labels=labels)


def _objective(name: str, spec: ImageSpec, folder: Path) -> Any:
    with seeded(0):
        return plugins.load("families", name).build(tiny_settings(name, spec, folder), spec)


BRITTLE = Engine(precision="bfloat16", layout="channels_last")  # where a resume breaks first


def _train(
    name: str, store: Store, folder: Path, *, steps: int, stop_after: int = 0, engine: Engine = BRITTLE
) -> list[float]:
    """Train with everything on that could break a resume; returns the first phase's loss of every step."""
    module = plugins.load("families", name)
    augment = Augment(crop=1, noise=0.05)
    train = replace(module.TRAIN, batch_size=32, slices=2, augment=augment, patience=0, sample_every=0, log_every=1)
    asked = RunConfig(
        family=name,
        settings=tiny_settings(name, store.spec, store.path.parent),
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=train,
        steps=steps,
        engine=engine,
    )
    losses: list[float] = []
    try:
        run = open_run(folder, asked)
        for report in fit(folder, run, store, warn=_fail, stopping=lambda: len(losses) == stop_after > 0):
            losses.append(next(value for key, value in report.values.items() if key.endswith("/loss")))
    except KeyboardInterrupt:
        assert stop_after, "interrupted"
    return losses


def _fail(text: str) -> None:
    raise AssertionError(f"a healthy run warned: {text}")


def _refuses(action: Callable[[], object], what: str) -> None:
    try:
        action()
    except FigmentError as error:
        assert "\n" not in str(error), "an error message is one line"
    else:
        raise AssertionError(f"{what} was accepted")

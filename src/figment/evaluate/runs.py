"""Score a generator, or a folder of anyone's pictures: what is drawn, through the same eyes as the real pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from figment.core import plugins, ranks
from figment.core.checkpoint import LoadedModel
from figment.core.config import to_json
from figment.core.errors import CapabilityError, DataError
from figment.core.images import to_uint8
from figment.core.noise import mix
from figment.core.types import (
    Classifies,
    Condition,
    Denoises,
    Encodes,
    Extractor,
    Generates,
    ImageSpec,
    Progress,
    Sample,
    Scores,
    Translates,
    silent,
)
from figment.data.store import Store, spread_rows
from figment.evaluate.cache import array_digest, remembered, remembered_json
from figment.evaluate.classification import classification
from figment.evaluate.extract import (
    CHUNK,
    Eyes,
    asked_spec,
    bits_of,
    drawn,
    gathered,
    own_rows,
    rebuilt,
    sample_of,
)
from figment.evaluate.passport import extractor_facts
from figment.evaluate.published import score_against
from figment.evaluate.reference import Pictures, Reference, reference_of
from figment.evaluate.scores import Sides, score_sample

__all__ = [
    "Drawn",
    "Reference",
    "Yardstick",
    "classify_held_out",
    "doubts_about",
    "draw",
    "reference_of",
    "require_classes",
    "require_fit",
    "score",
    "show",
]


MOST_BITS = 1000  # pictures whose probability is computed
MOST_NOISE = 1000  # pictures of noise: a ceiling is a landmark, and published extractors take long


ALL = "all"  # in place of metrics: every one that fits

_NAMING = {"logits", "labels"}  # what a metric needs that asks whether a class was seen


@dataclass(frozen=True)
class Yardstick:
    """What every run of one comparison is measured with.

    metrics: none means the usual ones that fit, ALL every one. num: of generated pictures, at most as many as there are
    training pictures, to set the floor. seed: of the pictures, of what they are asked to show, and of resampling.
    statistics: a file that takes the place of the real pictures.
    """

    reference: Reference
    eyes: Eyes
    spec: ImageSpec
    metrics: tuple[str, ...] = ()
    num: int = 2000
    seed: int = 0
    statistics: Path | None = None

    @property
    def num_fake(self) -> int:
        train = self.reference.train
        return self.num if train is None else min(self.num, len(train))


@dataclass(frozen=True)
class Drawn:
    """The generated side of a score, with the model that drew it, or None for a folder of pictures."""

    fake: Sample
    model: Any = None
    digest: str = ""
    doubts: Sequence[str] = ()


def require_fit(loaded: LoadedModel, path: Path, store: Store) -> None:
    """Raise DataError where a run was trained on pictures of another kind than the dataset has.

    That is of another size, other classes or, where it is asked for them, other attributes, or captions.
    """
    require_spec(loaded, path, store.spec)


def require_spec(loaded: LoadedModel, path: Path, theirs: ImageSpec) -> None:
    """The same for the spec of a dataset or a folder."""
    mine = loaded.spec
    is_other = (mine.shape, mine.frames) != (theirs.shape, theirs.frames)
    if is_other or bool(mine.classes) > bool(theirs.classes):
        raise DataError(f"{path}: was trained on {mine}, the dataset has {theirs}; give a dataset of the same kind")
    if mine.classes and mine.classes != theirs.classes:
        raise DataError(
            f"{path}: was trained on the classes {_some(mine.classes)}, the dataset has {_some(theirs.classes)}; "
            "give a dataset of the same classes"
        )
    if not isinstance(loaded.model, Generates):
        return  # it is asked for nothing
    asked = asked_spec(loaded)
    if asked.attributes and asked.attributes != theirs.attributes:
        raise DataError(
            f"{path}: was trained on the attributes {_some(asked.attributes)}, the dataset has "
            f"{_some(theirs.attributes) or 'none'}; give a dataset of the same attributes"
        )
    if asked.caption_bytes and not theirs.caption_bytes:
        raise DataError(f"{path}: was trained on captions, the dataset has none; give a dataset with captions")


def doubts_about(loaded: LoadedModel, store: Store) -> list[str]:
    """A warning where a run was trained on other pictures than the dataset has now, by the digests of both.

    A run that pins none, as a private one, is not doubted.
    """
    if not is_of_others(loaded, store):
        return []
    return [
        f"the run was trained on other pictures than {store.path} has now, so held-out ones may be training pictures "
        "of it; train anew, or score on the dataset as it was, unless the two have no picture in common"
    ]


def is_of_others(loaded: LoadedModel, store: Store) -> bool:
    """Whether a run pins the digest of other pictures, or other splits, than those of the dataset."""
    pinned = loaded.facts.get("data", {}).get("pixel_digest", store.pixel_digest)
    return pinned != store.pixel_digest


def require_classes(metrics: Sequence[str], extractor: Extractor, classes: Sequence[str]) -> None:
    """Raise DataError where a metric that is named compares labels of `classes` with an extractor's other classes."""
    if getattr(extractor, "classify", None) is None or _tells(extractor, classes):
        return
    for name in metrics:
        if name != ALL and _needs(name) >= _NAMING:
            raise DataError(
                f"{name}: compares labels with the classes that '{extractor.name}' tells apart, and those are not the "
                "dataset's; leave it out, or give --judge a classifier of the dataset's classes"
            )


def _tells(extractor: Extractor, classes: Sequence[str]) -> bool:
    """Whether an extractor's logits are of these classes, in their order."""
    return tuple(getattr(extractor, "classes", ())) == tuple(classes)


def _needs(metric: str) -> frozenset[str]:
    return frozenset(plugins.constant("metrics", metric, "NEEDS", ()))  # type: ignore[call-overload]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def asked_of(spec: ImageSpec, reference: Reference, num: int, seed: int) -> Condition:
    """What to ask a run of this spec for: what the held-out pictures show, in random order, each about as often.

    So classes, attributes and captions are as frequent as among those. Without any of them, nothing is asked for.
    """
    rng, count = np.random.default_rng(mix(seed, 1)), len(reference.real)
    rows = np.concatenate([rng.permutation(count) for _ in range(-(-num // count))])[:num]
    known = reference.asked
    return Condition(
        labels=known.labels if spec.classes else None,
        attributes=known.attributes if spec.attributes else None,
        captions=known.captions if spec.caption_bytes else None,
    )[torch.from_numpy(rows)]


def draw(loaded: LoadedModel, yardstick: Yardstick, progress: Progress = silent) -> Drawn:
    """Generated pictures through the extractor; those that were drawn before are not drawn again.

    Raises CapabilityError where the model draws no pictures.
    """
    if isinstance(loaded.model, Translates):
        return _translated(loaded, yardstick, progress)
    if not isinstance(loaded.model, Generates):
        if isinstance(loaded.model, Encodes) and yardstick.metrics in ((), (ALL,)) and not yardstick.statistics:
            return undrawn(loaded, yardstick)  # what it rebuilds is compared
        instead = "; leave --reference out" if yardstick.statistics else "; leave --metrics out, or give psnr"
        instead = instead if isinstance(loaded.model, Encodes) else ""
        raise CapabilityError(f"a '{loaded.family}' draws no pictures to score{instead}")
    num = yardstick.num_fake
    asked = asked_of(asked_spec(loaded), yardstick.reference, num, yardstick.seed)
    parts = [None if part is None else part.numpy() for part in (asked.labels, asked.attributes, asked.captions)]
    seeds = [mix(yardstick.seed, index) for index in range(num)]
    sampling = to_json(loaded.sampling) if loaded.sampling else None
    key = {"model": loaded.digest, "sampling": sampling, "seeds": [yardstick.seed, num], "asked": array_digest(*parts)}

    def pictures() -> Sample:
        pixels = drawn(loaded.model, seeds, asked, loaded.sampling, progress=progress)
        return Sample(np.zeros((num, 0), np.float32), images=pixels)

    pixels = remembered(yardstick.eyes.cache, key, pictures).images
    assert pixels is not None
    return Drawn(_seen(yardstick, pixels, parts[0], key), loaded.model, loaded.digest)


def _translated(loaded: LoadedModel, yardstick: Yardstick, progress: Progress) -> Drawn:
    """What a model makes of the given halves of the real pairs, in their order.

    Raises DataError where the real pictures have no other halves.
    """
    given, model = yardstick.reference.asked.image, loaded.model
    if given is None:
        raise DataError(
            f"a '{loaded.family}' is scored on pairs, which this dataset has none of; look at what it does with: "
            "figment edit translate RUN IMAGE --out FILE.png"
        )

    @torch.no_grad()
    def pictures() -> Sample:
        mine = given[own_rows(len(given))]
        chunks = (to_uint8(model.translate(part)) for part in mine.split(CHUNK) if len(part))  # type: ignore[operator]
        return Sample(np.zeros((len(given), 0), np.float32), images=gathered(chunks, progress, len(mine)))

    key = {"model": loaded.digest, "given": array_digest(given.numpy())}
    pixels = remembered(yardstick.eyes.cache, key, pictures).images
    assert pixels is not None
    return Drawn(_seen(yardstick, pixels, yardstick.reference.real.labels, key), model, loaded.digest)


def _seen(yardstick: Yardstick, pixels: np.ndarray, labels: np.ndarray | None, key: Mapping[str, Any]) -> Sample:
    """Drawn pictures through the eyes of the first rank, for all."""
    return ranks.decided(lambda: yardstick.eyes.see(pixels, labels, key))


def are_of_real_pictures(metrics: Sequence[str]) -> bool:
    """Whether all of some metrics ask a model about real pictures, so that none need be drawn, nor seen by a judge."""
    needs = [_needs(name) for name in metrics if name != ALL]
    return len(needs) == len(metrics) > 0 and all({"bits", "paired"} & one for one in needs)


def undrawn(loaded: LoadedModel, yardstick: Yardstick) -> Drawn:
    """A run of which nothing need be drawn."""
    real = yardstick.reference.real
    return Drawn(real[:0], loaded.model, loaded.digest)


def show(pictures: Pictures, yardstick: Yardstick, progress: Progress = silent) -> Drawn:
    """Anyone's pictures through the extractor: as many as would be generated, evenly spread over the folder."""
    pictures = pictures.spread(yardstick.num_fake)
    key = {"pictures": array_digest(pictures.pixels)}
    labels = pictures.places(yardstick.spec.classes) if yardstick.spec.classes else None
    fake = yardstick.eyes.see(pictures.pixels, labels, key, progress)
    doubts = []
    if pictures.is_lossy != yardstick.reference.is_lossy:
        sides = ("the pictures", "the real ones") if pictures.is_lossy else ("the real pictures", "the others")
        doubts = [f"{sides[0]} are of a lossy format (JPEG), {sides[1]} are not: a score sees the difference"]
    return Drawn(fake, doubts=doubts)


def default_metrics(yardstick: Yardstick, model: Any = None, *, every: bool = False) -> tuple[str, ...]:
    """The usual metrics that there is something for; every: those too that are computed ON_REQUEST.

    Two kinds must be named: those of pairs, which compare rebuilt pictures, unless rebuilding is all that a model does;
    and bits of a model that denoises, since an ODE with gradients takes ten times as long as drawing. What compares
    labels with logits is left out where those are of other classes.
    """
    if isinstance(model, Encodes) and not isinstance(model, Generates):
        side = min(yardstick.spec.height, yardstick.spec.width)
        return ("psnr", "ssim") if side >= plugins.load("metrics", "ssim").SMALLEST else ("psnr",)
    reference, extractor = yardstick.reference, yardstick.eyes.extractor
    met = {
        "images": True,
        "train": reference.train is not None,
        "labels": reference.real.labels is not None,
        "logits": getattr(extractor, "classify", None) is not None,
        "spatial": getattr(extractor, "spatial", None) is not None,
        "bits": isinstance(model, Scores) and not isinstance(model, Denoises),
    }
    unfit = {need for need in _NAMING if not _tells(extractor, yardstick.spec.classes)}
    needs = {name: _needs(name) for name in plugins.names("metrics")}
    fitting = [name for name, each in needs.items() if all(map(met.get, each)) and not (unfit and each >= unfit)]
    return tuple(name for name in fitting if every or not plugins.constant("metrics", name, "ON_REQUEST"))


def score(
    drawn: Drawn, yardstick: Yardstick, progress: Progress = silent
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The JSON scores of one generator, and warnings; what is known already is not computed again.

    progress: told of pictures whose probability is computed.
    """
    reference, eyes = yardstick.reference, yardstick.eyes
    if yardstick.statistics:
        noise = noise_for(drawn.fake, yardstick)
        found, told = score_against(yardstick.statistics, drawn.fake, noise, eyes.extractor, yardstick.seed)
        return {name: asdict(value) for name, value in found.items()}, [*drawn.doubts, *_copies(drawn.fake), *told]
    metrics = yardstick.metrics
    if metrics in ((), (ALL,)):
        metrics = default_metrics(yardstick, drawn.model, every=bool(metrics))
    key = {
        "real": reference.key,
        "fake": array_digest(drawn.fake.images, drawn.fake.labels),
        "model": drawn.digest,
        "extractor": [eyes.extractor.name, eyes.extractor.digest],
        "metrics": [[name, plugins.source_digest("metrics", name)] for name in metrics],
        "seed": yardstick.seed,
    }
    known = remembered_json(eyes.cache, key, lambda: _scored(drawn, yardstick, metrics, progress), keep=_is_whole)
    return known["scores"], [*reference.doubts, *drawn.doubts, *_copies(drawn.fake), *known["warnings"]]


def _is_whole(answer: Mapping[str, Any]) -> bool:
    """Whether no metric was left out, for what is missing now, such as a file of weights, may be there next time."""
    return not any(" is left out: " in told for told in answer["warnings"])


def _scored(drawn: Drawn, yardstick: Yardstick, metrics: Sequence[str], progress: Progress) -> dict[str, Any]:
    """Each metric gets the sides that it needs: pairs and probabilities are made only for those that ask for them."""
    reference, extractor = yardstick.reference, yardstick.eyes.extractor
    kinds: dict[str, list[str]] = {"": [], "paired": [], "bits": []}
    for name in metrics:
        needs = plugins.load("metrics", name).NEEDS
        kinds[next((kind for kind in ("paired", "bits") if kind in needs), "")].append(name)
    makes = {
        "": lambda: Sides(reference.real, drawn.fake, reference.train, noise_for(drawn.fake, yardstick)),
        "paired": lambda: _pairs(drawn, yardstick),
        "bits": lambda: Sides(_with_bits(drawn, reference.real, progress), drawn.fake),
    }
    scores, warnings = {}, []
    for kind, names in kinds.items():
        if not names:
            continue
        found, told = score_sample(
            makes[kind](),
            names,
            extractor=extractor.name,
            reference_digest=reference.digest,
            facts=extractor_facts(extractor),
            seed=yardstick.seed,
        )
        scores |= found
        warnings += told
    return {"scores": {name: asdict(value) for name, value in scores.items()}, "warnings": warnings}


def noise_for(fake: Sample, yardstick: Yardstick) -> Sample:
    """As many pictures of uniform noise as there are generated ones, but at most MOST_NOISE, with their labels."""
    assert fake.images is not None
    rng = np.random.default_rng(mix(yardstick.seed, 2))
    pixels = rng.integers(256, size=fake.images[:MOST_NOISE].shape, dtype=np.uint8)
    labels = None if fake.labels is None else fake.labels[:MOST_NOISE]
    return yardstick.eyes.see(pixels, labels, {"noise": [yardstick.seed, *pixels.shape]})


def _with_bits(drawn: Drawn, real: Sample, progress: Progress) -> Sample:
    """Up to MOST_BITS real pictures with what the model makes of their probability, where it can tell."""
    if not isinstance(drawn.model, Scores):
        return real
    real = real[spread_rows(len(real), MOST_BITS)]
    assert real.images is not None
    return replace(real, bits=bits_of(drawn.model, real.images, real.labels, progress))


def _pairs(drawn: Drawn, yardstick: Yardstick) -> Sides:
    """The real pictures, each beside what the model rebuilds of it.

    Raises CapabilityError where it rebuilds none.
    """
    if isinstance(drawn.model, Translates):
        return Sides(yardstick.reference.real, drawn.fake)
    if not isinstance(drawn.model, Encodes):
        raise CapabilityError(
            "psnr, ssim and the like compare pictures with rebuilt ones: give a run that encodes, such as vae"
        )
    real = yardstick.reference.real
    assert real.images is not None
    return Sides(real, sample_of(rebuilt(drawn.model, real.images), real.labels, yardstick.eyes.extractor))


def _copies(fake: Sample) -> list[str]:
    assert fake.images is not None
    twice = len(fake) - len({picture.tobytes() for picture in fake.images})
    return [f"{twice} of {len(fake)} generated pictures are exact copies of others"] if twice else []


def classify_held_out(loaded: LoadedModel, store: Store) -> dict[str, Any]:
    """How well a classifier names the classes of held-out pictures.

    Raises CapabilityError where the model is none, DataError where no held-out picture has a label.
    """
    if not isinstance(loaded.model, Classifies):
        raise CapabilityError(
            f"a '{loaded.family}' neither draws pictures nor classifies them: there is nothing to score"
        )
    labels = store.labels(store.held_out)
    known = labels >= 0
    if not known.any():
        raise DataError(
            f"{store.path}: none of its held-out pictures has a label to compare with; label some in the studio: "
            f"figment serve --data {store.path}"
        )
    pixels = np.asarray(store.images(store.held_out)[known])
    sample = sample_of(pixels, labels[known], loaded.model)  # type: ignore[arg-type]
    assert sample.logits is not None
    return classification(sample.logits, labels[known], store.spec.classes)

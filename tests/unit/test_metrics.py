"""What every metric promises, whichever it is: its constants, keywords, purity, and what it makes of broken input."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Sample
from tests.doubles import random_lpips

NAMES = plugins.names("metrics")
PARTS = {"logits", "labels", "images", "train", "spatial", "bits", "paired"}
MEANS = [name for name in NAMES if hasattr(plugins.load("metrics", name), "items")]
OF_FEATURES = [
    name for name in NAMES if not {"logits", "images", "spatial", "bits"} & {*plugins.load("metrics", name).NEEDS}
]
BLIND_TO_A_SHIFT = [name for name in OF_FEATURES if name not in ("kid", "mifid")]


def samples(metric, counts=(40, 50, 60), seed=0):
    rng = np.random.default_rng(seed)
    counts = (4, 4, 4) if "paired" in metric.NEEDS else counts
    sides = {
        name: Sample(
            rng.normal(size=(count, 6)).astype(np.float32),
            logits=rng.normal(size=(count, 3)).astype(np.float32),
            labels=rng.integers(3, size=count),
            images=rng.integers(256, size=(count, 176, 176, 1), dtype=np.uint8) if "images" in metric.NEEDS else None,
            spatial=rng.normal(size=(count, 9)).astype(np.float32),
            bits=rng.uniform(1, 8, size=count).astype(np.float32),
        )
        for name, count in zip(("real", "fake", "train"), counts, strict=True)
    }
    return sides if "train" in metric.NEEDS else {name: sides[name] for name in ("real", "fake")}


@pytest.fixture(autouse=True, scope="module")
def _weights(tmp_path_factory):
    """LPIPS finds weights, if random ones."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("figment.losses.perceptual.PUBLISHED", random_lpips(folder))
        patch.setenv("FIGMENT_LPIPS", str(folder))
        yield


@pytest.fixture(params=NAMES)
def metric(request):
    return plugins.load("metrics", request.param)


def test_says_what_it_is(metric):
    assert isinstance(metric.HIGHER_IS_BETTER, bool)
    assert isinstance(metric.NEEDS, tuple)
    assert set(metric.NEEDS) <= PARTS
    assert isinstance(metric.PROTOCOL, str)


def test_real_and_fake_cannot_be_swapped_by_mistake(metric):
    kinds = {argument.kind for argument in inspect.signature(metric.score).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_scores_are_finite_floats_and_arguments_stay_as_they_were(metric):
    sides = samples(metric)
    before = {name: side.features.copy() for name, side in sides.items()}
    values = metric.score(**sides)
    assert values
    assert all(type(value) is float and np.isfinite(value) for value in values.values())
    for name, side in sides.items():
        np.testing.assert_array_equal(side.features, before[name])


def test_order_of_the_pictures_does_not_matter(metric):
    sides, rng = samples(metric), np.random.default_rng(1)
    orders = {name: rng.permutation(len(side)) for name, side in sides.items()}
    orders["fake"] = orders["real"] if "paired" in metric.NEEDS else orders["fake"]
    shuffled = {name: side[orders[name]] for name, side in sides.items()}
    assert metric.score(**shuffled) == pytest.approx(metric.score(**sides), rel=1e-9)


@pytest.mark.parametrize("metric", MEANS, indirect=True)
def test_the_score_is_the_mean_of_its_items(metric):
    sides = samples(metric)
    assert {name: items.mean() for name, items in metric.items(**sides).items()} == metric.score(**sides)


@pytest.mark.parametrize("metric", BLIND_TO_A_SHIFT, indirect=True)
def test_features_far_from_zero_lose_nothing(metric):
    """In float32 arithmetic their differences would be gone."""
    near = {name: replace(side, features=side.features.astype(np.float64)) for name, side in samples(metric).items()}
    far = {name: replace(side, features=side.features + 2.0**13) for name, side in near.items()}
    assert metric.score(**far) == pytest.approx(metric.score(**near), rel=1e-6)


@pytest.mark.parametrize("damage", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("metric", OF_FEATURES, indirect=True)
def test_broken_features_are_refused_with_their_number(metric, damage):
    sides = samples(metric)
    features = sides["fake"].features.astype(np.float64)
    features[[3, 7, 9], 2] = damage
    with pytest.raises(DataError, match="features of 3 of 50 generated pictures are not finite numbers"):
        metric.score(**(sides | {"fake": replace(sides["fake"], features=features)}))


@pytest.mark.parametrize("metric", OF_FEATURES, indirect=True)
def test_features_of_two_extractors_are_refused(metric):
    sides = samples(metric)
    with pytest.raises(DataError, match=r"real 6, generated 4|generated 4, training 6"):
        metric.score(**(sides | {"fake": replace(sides["fake"], features=np.zeros((50, 4)))}))

"""The Inception network against a second one, written straight down from the paper and its TensorFlow graph.

The second has no classes: one function, one line a convolution, names and shapes taken from the published weights.
Random weights, with statistics of BatchNorm that are not those of a fresh network, go into both.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.features import inception
from figment.features._inception_net import InceptionNet

SIZE = 139  # two 8 x 8 steps fewer than 299, and every block still has a few places


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """A state dict as the published one: convolutions without bias, and BatchNorm with all four of its figures."""
    generator = torch.Generator().manual_seed(0)
    state = {name: value for name, value in InceptionNet().state_dict().items() if "num_batches" not in name}
    for name, value in state.items():
        drawn = torch.randn(value.shape, generator=generator)
        if name.endswith("conv.weight"):
            state[name] = drawn * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = 0.5 + torch.rand(value.shape, generator=generator)
        elif name.startswith("fc"):
            state[name] = 0.02 * drawn
        else:
            state[name] = 0.1 * drawn
    return state


class Reference:
    """Every block as TensorFlow's graph has it: `take` convolves, normalises and cuts at 0."""

    def __init__(self, weights: dict[str, Tensor]):
        self.weights = weights

    def take(self, x: Tensor, name: str, stride=1, padding=(0, 0)) -> Tensor:
        x = F.conv2d(x, self.weights[f"{name}.conv.weight"], None, stride, padding)
        mean, variance, scale, shift = (
            self.weights[f"{name}.bn.{part}"].view(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (variance + 0.001).sqrt() * scale + shift).clamp_min(0)

    @staticmethod
    def average(x: Tensor) -> Tensor:
        """Sums over 3 x 3 divided by how many of the nine lie inside."""
        kernel = torch.ones(x.shape[1], 1, 3, 3)
        total = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
        return total / F.conv2d(torch.ones_like(x), kernel, padding=1, groups=x.shape[1])

    def stem(self, x: Tensor) -> Tensor:
        x = self.take(x, "Conv2d_1a_3x3", stride=2)
        x = self.take(x, "Conv2d_2a_3x3")
        x = self.take(x, "Conv2d_2b_3x3", padding=(1, 1))
        x = F.max_pool2d(x, 3, 2)
        x = self.take(x, "Conv2d_3b_1x1")
        x = self.take(x, "Conv2d_4a_3x3")
        return F.max_pool2d(x, 3, 2)

    def mixed_5(self, x: Tensor, at: str) -> Tensor:
        one = self.take(x, f"{at}.branch1x1")
        five = self.take(self.take(x, f"{at}.branch5x5_1"), f"{at}.branch5x5_2", padding=(2, 2))
        three = self.take(x, f"{at}.branch3x3dbl_1")
        three = self.take(three, f"{at}.branch3x3dbl_2", padding=(1, 1))
        three = self.take(three, f"{at}.branch3x3dbl_3", padding=(1, 1))
        pool = self.take(self.average(x), f"{at}.branch_pool")
        return torch.cat((one, five, three, pool), 1)

    def mixed_6a(self, x: Tensor, at: str = "Mixed_6a") -> Tensor:
        three = self.take(x, f"{at}.branch3x3", stride=2)
        double = self.take(x, f"{at}.branch3x3dbl_1")
        double = self.take(double, f"{at}.branch3x3dbl_2", padding=(1, 1))
        double = self.take(double, f"{at}.branch3x3dbl_3", stride=2)
        return torch.cat((three, double, F.max_pool2d(x, 3, 2)), 1)

    def mixed_6(self, x: Tensor, at: str) -> Tensor:
        one = self.take(x, f"{at}.branch1x1")
        seven = self.take(x, f"{at}.branch7x7_1")
        seven = self.take(seven, f"{at}.branch7x7_2", padding=(0, 3))
        seven = self.take(seven, f"{at}.branch7x7_3", padding=(3, 0))
        double = self.take(x, f"{at}.branch7x7dbl_1")
        double = self.take(double, f"{at}.branch7x7dbl_2", padding=(3, 0))
        double = self.take(double, f"{at}.branch7x7dbl_3", padding=(0, 3))
        double = self.take(double, f"{at}.branch7x7dbl_4", padding=(3, 0))
        double = self.take(double, f"{at}.branch7x7dbl_5", padding=(0, 3))
        pool = self.take(self.average(x), f"{at}.branch_pool")
        return torch.cat((one, seven, double, pool), 1)

    def mixed_7a(self, x: Tensor, at: str = "Mixed_7a") -> Tensor:
        three = self.take(self.take(x, f"{at}.branch3x3_1"), f"{at}.branch3x3_2", stride=2)
        seven = self.take(x, f"{at}.branch7x7x3_1")
        seven = self.take(seven, f"{at}.branch7x7x3_2", padding=(0, 3))
        seven = self.take(seven, f"{at}.branch7x7x3_3", padding=(3, 0))
        seven = self.take(seven, f"{at}.branch7x7x3_4", stride=2)
        return torch.cat((three, seven, F.max_pool2d(x, 3, 2)), 1)

    def mixed_7(self, x: Tensor, at: str, pooled: Tensor) -> Tensor:
        one = self.take(x, f"{at}.branch1x1")
        three = self.take(x, f"{at}.branch3x3_1")
        across = self.take(three, f"{at}.branch3x3_2a", padding=(0, 1))
        down = self.take(three, f"{at}.branch3x3_2b", padding=(1, 0))
        double = self.take(x, f"{at}.branch3x3dbl_1")
        double = self.take(double, f"{at}.branch3x3dbl_2", padding=(1, 1))
        double_across = self.take(double, f"{at}.branch3x3dbl_3a", padding=(0, 1))
        double_down = self.take(double, f"{at}.branch3x3dbl_3b", padding=(1, 0))
        pool = self.take(pooled, f"{at}.branch_pool")
        return torch.cat((one, across, down, double_across, double_down, pool), 1)

    def blocks(self, x: Tensor) -> dict[str, Tensor]:
        """What each block gives, by its name; the last one's mean is the features."""
        given = {}
        x = given["stem"] = self.stem(x)
        for at in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = given[at] = self.mixed_5(x, at)
        x = given["Mixed_6a"] = self.mixed_6a(x)
        for at in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = given[at] = self.mixed_6(x, at)
        x = given["Mixed_7a"] = self.mixed_7a(x)
        x = given["Mixed_7b"] = self.mixed_7(x, "Mixed_7b", self.average(x))
        given["Mixed_7c"] = self.mixed_7(x, "Mixed_7c", F.max_pool2d(x, 3, 1, 1))
        return given


@pytest.fixture(scope="module")
def network(weights) -> InceptionNet:
    return inception.network_of(dict(weights))


@pytest.fixture(scope="module")
def both(weights, network) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]:
    """What each block gives in figment's network and in the reference; features and places of figment's."""
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seen: dict[str, Tensor] = {}
    hooks = [
        part.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output.clone()}))
        for name, part in network.named_children()
    ]
    with torch.no_grad():
        features, places = network(images)
        expected = Reference(weights).blocks(images)
    for hook in hooks:
        hook.remove()
    seen["stem"] = F.max_pool2d(seen["Conv2d_4a_3x3"], 3, 2)
    return seen, expected, features, places


BLOCKS = ["stem", *(f"Mixed_{n}" for n in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"))]


@pytest.mark.parametrize("block", BLOCKS)
def test_each_block_gives_what_an_independent_one_gives(both, block):
    seen, expected, *_ = both
    scale = expected[block].abs().max()
    assert scale > 0
    torch.testing.assert_close(seen[block] / scale, expected[block] / scale, rtol=0, atol=1e-5)


def test_the_features_agree_to_a_ten_thousandth(both):
    _, expected, features, _ = both
    reference = expected["Mixed_7c"].mean((2, 3))
    assert features.shape == (2, 2048)
    assert reference.std() > 0.01
    assert (features - reference).abs().max() <= 1e-4 * reference.abs().max()


def test_the_blocks_would_differ_with_the_pools_or_the_epsilon_of_torchvision(both, weights):
    """So that agreement above means something: each of the three known differences shows in the features."""
    _, expected, *_ = both

    class Padded(Reference):
        @staticmethod
        def average(x):
            return F.avg_pool2d(x, 3, 1, 1)

    x = expected["Mixed_5b"]
    last = expected["Mixed_7b"]
    reference = Reference(weights)
    with torch.no_grad():
        padded = Padded(weights).mixed_5(x, "Mixed_5c")
        averaged = reference.mixed_7(last, "Mixed_7c", reference.average(last))
    assert (padded - expected["Mixed_5c"]).abs().max() > 1e-2
    assert (averaged - expected["Mixed_7c"]).abs().max() > 1e-2


def test_places_are_the_first_seven_channels_of_the_sixth_mixed_block(both, weights):
    _, expected, _, places = both
    with torch.no_grad():
        one = Reference(weights).take(expected["Mixed_6c"], "Mixed_6d.branch1x1")
    assert (places - one[:, :7].flatten(1)).abs().max() <= 1e-5 * one.abs().max()


def test_there_are_2048_features_1008_classes_and_2023_places_of_any_picture(network):
    eyes = inception.Inception(network, "0" * 64, "tf1")
    grey = torch.zeros(1, 1, 8, 8)
    with torch.no_grad():
        features, logits, places = eyes.features(grey), eyes.classify(grey), eyes.spatial(grey)
    assert (features.shape, logits.shape, places.shape) == ((1, 2048), (1, 1008), (1, 2023))
    torch.testing.assert_close(logits, features @ network.fc.weight.T)  # without the bias


def test_the_network_looks_once_at_each_chunk_of_pictures(network, monkeypatch):
    looked = []
    eyes = inception.Inception(network, "0" * 64, "tf1")
    monkeypatch.setattr(inception, "resized", lambda pixels, size, how: looked.append(how) or torch.zeros(1, 3, 75, 75))
    first, second = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    for images in (first, second):
        eyes.features(images), eyes.classify(images), eyes.spatial(images)
    assert looked == ["tf1", "tf1"]


def test_the_names_are_those_of_the_published_file():
    names = {name for name in InceptionNet().state_dict() if "num_batches" not in name}
    assert len(names) == 94 * 5 + 2  # 94 convolutions with BatchNorm, and fc
    some = {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6a.branch3x3.conv.weight": (384, 288, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6c.branch7x7dbl_4.conv.weight": (160, 160, 7, 1),
        "Mixed_6e.branch_pool.conv.weight": (192, 768, 1, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3dbl_1.conv.weight": (448, 1280, 1, 1),
        "Mixed_7c.branch3x3_2b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1008, 2048),
        "fc.bias": (1008,),
    }
    state = InceptionNet().state_dict()
    assert {name: tuple(state[name].shape) for name in some} == some

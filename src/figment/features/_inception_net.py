"""The Inception network of 2015 that FID is defined in, with names that fit its published PyTorch weights.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), as it was trained for TensorFlow,
which differs from torchvision's in what matters here: average pools leave out the padding, the last block takes the
maximum where the one before takes the average, and BatchNorm adds 1e-3 to the variance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, CLASSES = 2048, 1008
SPATIAL_CHANNELS = 7


class Conv(nn.Module):
    """Convolution without bias, BatchNorm, ReLU."""

    def __init__(self, before: int, after: int, kernel: int | tuple[int, int], **options: int | tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, bias=False, **options)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(images)), inplace=True)


def average(images: Tensor) -> Tensor:
    """Mean over 3 x 3, the padding left out."""
    return F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)


class Small(nn.Module):
    """35 x 35: 1 x 1, 5 x 5 and two 3 x 3 branches. `pool`: channels of the pooled branch."""

    def __init__(self, before: int, pool: int):
        super().__init__()
        self.branch1x1 = Conv(before, 64, 1)
        self.branch5x5_1 = Conv(before, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(before, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(before, pool, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        five = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(average(x))], 1)


class ShrinkTo17(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, before: int):
        super().__init__()
        self.branch3x3 = Conv(before, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(before, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class Factored(nn.Module):
    """17 x 17: 7 x 7 convolutions as 1 x 7 and 7 x 1. `inner`: channels between them."""

    def __init__(self, before: int, inner: int):
        super().__init__()
        wide, tall = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = Conv(before, 192, 1)
        self.branch7x7_1 = Conv(before, inner, 1)
        self.branch7x7_2 = Conv(inner, inner, **wide)
        self.branch7x7_3 = Conv(inner, 192, **tall)
        self.branch7x7dbl_1 = Conv(before, inner, 1)
        self.branch7x7dbl_2 = Conv(inner, inner, **tall)
        self.branch7x7dbl_3 = Conv(inner, inner, **wide)
        self.branch7x7dbl_4 = Conv(inner, inner, **tall)
        self.branch7x7dbl_5 = Conv(inner, 192, **wide)
        self.branch_pool = Conv(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(average(x))], 1)


class ShrinkTo8(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, before: int):
        super().__init__()
        self.branch3x3_1 = Conv(before, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(before, 192, 1)
        self.branch7x7x3_2 = Conv(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Conv(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        three = self.branch3x3_2(self.branch3x3_1(x))
        return torch.cat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class Wide(nn.Module):
    """8 x 8: 3 x 3 convolutions split into 1 x 3 beside 3 x 1. `is_last`: pools by maximum."""

    def __init__(self, before: int, *, is_last: bool):
        super().__init__()
        self.is_last = is_last
        self.branch1x1 = Conv(before, 320, 1)
        self.branch3x3_1 = Conv(before, 384, 1)
        self.branch3x3_2a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Conv(before, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Conv(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.is_last else average(x)
        parts = [self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three)]
        parts += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)]
        return torch.cat(parts, 1)


class InceptionNet(nn.Module):
    """(B, 3, 299, 299), about [-1, 1] -> features and, beside them, the start of the sixth mixed block."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = Small(192, 32), Small(256, 64), Small(288, 64)
        self.Mixed_6a = ShrinkTo17(288)
        self.Mixed_6b, self.Mixed_6c = Factored(768, 128), Factored(768, 160)
        self.Mixed_6d, self.Mixed_6e = Factored(768, 160), Factored(768, 192)
        self.Mixed_7a = ShrinkTo8(768)
        self.Mixed_7b, self.Mixed_7c = Wide(1280, is_last=False), Wide(2048, is_last=True)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, 2048), `pool_3` in TensorFlow; and (B, 2023), the first 7 channels of its `mixed_6/conv`."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        places = self.Mixed_6d.branch1x1(x)[:, :SPATIAL_CHANNELS].flatten(1)
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        return self.Mixed_7c(self.Mixed_7b(x)).mean((2, 3)), places

    def logits(self, features: Tensor) -> Tensor:
        """(B, 2048) -> (B, 1008): the matrix product alone, as the Inception score was first computed, without bias."""
        return features @ self.fc.weight.T

"""Classifier: a residual CNN that names the class of a picture; its features are the eyes behind every offline score.

    loss = cross-entropy against labels smoothed by `label_smoothing` (Szegedy et al. 2016, section 7)

Pictures without a label count as 0: the mean goes over all pictures, so that it is the same however a batch is cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Augment, Scale, TrainConfig, check_range
from figment.core.errors import DataError
from figment.core.objective import Objective
from figment.core.types import Batch, ImageSpec, Loss
from figment.nets.resnet import Norm, ResNetTrunk

TRAIN = TrainConfig(
    batch_size=256,
    lr=3e-3,
    weight_decay=0.05,
    warmup=0.2,
    augment=Augment(crop=2),
    ema_half_life=5_000,
)


@dataclass(frozen=True)
class Config:
    """Size of the network, and what keeps it from learning by heart."""

    width: int = 32
    """Channels of the first stage; the later ones have twice, then four times as many."""
    label_smoothing: float = 0.1
    """Share of certainty that is spread over the other classes."""
    dropout: float = 0.0
    """Share of features hidden before the last layer."""
    norm: Norm = "batch"
    """Over what activations are normalised: group looks at each picture alone, as --train.privacy.epsilon needs."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 512)
        check_range("family.label_smoothing", self.label_smoothing, 0, 0.9)
        check_range("family.dropout", self.dropout, 0, 0.9)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=64)}[scale]


class ClassifierModel(nn.Module):
    """Trunk and linear head, with the faces Classifies and Embeds."""

    def __init__(self, trunk: ResNetTrunk, num_classes: int, dropout: float):
        super().__init__()
        self.trunk, self.dropout = trunk, nn.Dropout(dropout)
        self.head = nn.Linear(trunk.width, num_classes)

    def features(self, images: Tensor) -> Tensor:
        return self.trunk(images)

    def classify(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.trunk(images))).float()


class ClassifierObjective(Objective[ClassifierModel]):
    def __init__(self, model: ClassifierModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        labels = batch.condition.labels
        assert labels is not None, "build() has refused datasets without classes"
        logits = self.model.classify(batch.images)
        known = labels >= 0
        entropy = F.cross_entropy(
            logits, labels, ignore_index=-1, label_smoothing=self.config.label_smoothing, reduction="sum"
        )
        accuracy = ((logits.argmax(1) == labels) & known).float().sum() / known.sum().clamp_min(1)
        return Loss({"cross_entropy": entropy / len(labels)}, {"accuracy": accuracy})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A classifier for the classes of this spec.

    Raises DataError where there are fewer than two.
    """
    if spec.num_classes < 2:
        raise DataError(
            f"a classifier needs two classes or more, this dataset has {spec.num_classes}; "
            "put each class into a folder of its own, or train 'contrastive'"
        )
    widths = (config.width, 2 * config.width, 4 * config.width)
    trunk = ResNetTrunk(spec.channels, (spec.height, spec.width), widths, config.norm)
    return ClassifierObjective(ClassifierModel(trunk, spec.num_classes, config.dropout), config)

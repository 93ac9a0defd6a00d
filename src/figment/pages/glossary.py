"""What each metric says, in one plain sentence, and which direction is better."""

from __future__ import annotations

from typing import NamedTuple


class Meaning(NamedTuple):
    """higher_is_better: None where neither direction is. is_share: lies in [0, 1] by definition."""

    title: str
    sentence: str
    higher_is_better: bool | None = None
    is_share: bool = False


_FRECHET = (
    "How far the generated pictures, as a whole, lie from the real ones: looks and variety in one number. "
    "At 0 the two cannot be told apart."
)

GLOSSARY = {
    "fd": Meaning("Fréchet distance", _FRECHET, False),
    "fid": Meaning("Fréchet Inception distance", _FRECHET, False),
    "fd_infinite": Meaning(
        "Fréchet distance, extrapolated",
        "The Fréchet distance that endlessly many generated pictures would have.",
        False,
    ),
    "fd_infinite_both": Meaning(
        "Fréchet distance, extrapolated twice",
        "The Fréchet distance that endlessly many generated and real pictures would have; chance can take it below 0.",
        False,
    ),
    "class_fd": Meaning(
        "Fréchet distance, mean of classes", "The Fréchet distance within each class, averaged.", False
    ),
    "class_fd_worst": Meaning("Fréchet distance, worst class", "That of the class it is largest for.", False),
    "spatial_fd": Meaning(
        "Fréchet distance of places", "The Fréchet distance of what lies where: sees wrong arrangements.", False
    ),
    "mifid": Meaning(
        "Fréchet distance, copies punished", "The Fréchet distance, raised for pictures near to training ones.", False
    ),
    "mmd": Meaning(
        "Mean discrepancy",
        "How far the generated pictures, as a whole, lie from the real ones, whatever the shape of the crowd.",
        False,
    ),
    "authenticity": Meaning(
        "Authenticity",
        "Share of generated pictures that are no closer to a training picture than its own neighbours are.",
        True,
        True,
    ),
    "kid": Meaning(
        "Kernel distance",
        "Like the Fréchet distance, but fair to small samples. Around 0 the two cannot be told apart; "
        "chance can take it below.",
        False,
    ),
    "precision": Meaning(
        "Precision", "Share of generated pictures that lie among the real ones: do they look real?", True, True
    ),
    "recall": Meaning(
        "Recall", "Share of real pictures that lie among the generated ones: is the whole variety there?", True, True
    ),
    "density": Meaning(
        "Density", "How thickly real pictures surround the generated ones. A perfect generator has about 1.", True
    ),
    "coverage": Meaning(
        "Coverage", "Share of real pictures that have a generated one close by: is any kind missing?", True, True
    ),
    "inception_score": Meaning(
        "Inception score",
        "High when each picture is clearly of one class and all classes appear: from 1 up to the number of classes. "
        "It cannot see copies.",
        True,
    ),
    "accuracy": Meaning(
        "Accuracy", "Share of pictures that the classifier puts into the class they are meant to show.", True, True
    ),
    "cas": Meaning(
        "Classifier accuracy score",
        "Share of real pictures that a classifier names rightly that has seen generated ones only.",
        True,
        True,
    ),
    "cas_reverse": Meaning(
        "Classifier accuracy score, reversed",
        "Share of generated pictures that a classifier names rightly that has seen real ones only.",
        True,
        True,
    ),
    "class_diversity": Meaning(
        "Diversity within classes",
        "How far pictures of one class lie from each other: 1, as far as real ones; 0, one picture per class.",
        True,
    ),
    "macro_f1": Meaning("F1, mean of classes", "Balance of precision and recall of each class.", True, True),
    "calibration_error": Meaning(
        "Calibration error", "How far the classifier's confidence is from how often it is right.", False, True
    ),
    "nearest": Meaning(
        "Distance to the training pictures",
        "How far generated pictures lie from the nearest training picture: 1, as far as unseen real ones; 0, copies.",
        True,
    ),
    "novel": Meaning(
        "Novelty",
        "Share of generated pictures that are no near copy of a training picture. Unseen real ones have 0.99.",
        True,
        True,
    ),
    "bits_per_dim": Meaning(
        "Bits per dimension", "Bits that the model needs for one colour value of a held-out picture.", False
    ),
    "psnr": Meaning("Peak signal-to-noise ratio", "How exactly pictures are rebuilt, in decibels.", True),
    "ssim": Meaning("Structural similarity", "How well the structure of rebuilt pictures is kept; 1 is exact.", True),
    "ms_ssim": Meaning(
        "Structural similarity, five scales", "How well rebuilt pictures keep structure, from near and from afar.", True
    ),
    "lpips": Meaning("Perceptual distance", "How different rebuilt pictures look to a network; 0 is the same.", False),
}

UNKNOWN = Meaning("", "")

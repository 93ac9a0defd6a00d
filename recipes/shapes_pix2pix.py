"""Colour from grey, learnt from pairs: drawn figures that pix2pix has not seen, each beside what it makes of it.

cost      169 s of training on one CPU core
score     psnr 27.9, ssim 0.951
command   figment train pix2pix --data shapes-pairs --out pix2pix --steps 1500
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """One dataset twice, in colour and in grey, read again as pairs."""
    return Run(
        commands=(
            "figment data build shapes:3000 --shapes.figures 1 --split.val 0 --out colour",
            "figment data build shapes:3000 --shapes.figures 1 --decode.mode grey --split.val 0 --out grey",
            "figment data export colour --to folder --out pairs/colour",
            "figment data export grey --to folder --out pairs/grey",
            "figment data build pairs:pairs --pairs.given grey --out shapes-pairs",
            "figment train pix2pix --data shapes-pairs --out pix2pix --steps 1500",
            "figment eval pix2pix --data shapes-pairs --metrics psnr ssim",
        ),
        picture="pix2pix-shapes.png",
        found="pix2pix/samples/00001500.png",
    )

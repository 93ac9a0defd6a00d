"""Figures that move, continued: held-out clips, a row each, of which the first four frames were shown.

cost      285 s of training on one CPU core
score     none
command   figment train frame_rnn --data moving --out frame_rnn --steps 1000
"""

from __future__ import annotations

from recipes.run import Run


def recipe() -> Run:
    """The frames that follow stand in the same row."""
    return Run(
        commands=(
            "figment data build shapes:2000 --shapes.frames 8 --out moving",
            "figment train frame_rnn --data moving --out frame_rnn --steps 1000",
        ),
        picture="frame_rnn-shapes.png",
        found="frame_rnn/samples/00001000.png",
    )

"""Draw pictures with the graphs in this folder. Needs numpy, onnxruntime and pillow, and nothing else.

    python draw.py --num 8 --label cat --out pictures

The denoiser is followed from noise to picture by DPM-Solver++ (2M) (Lu et al. 2022, algorithm 2) over the noise levels
in graphs.json, with classifier-free guidance (Ho and Salimans 2022, equation 6). A generator answers in one pass.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=8)
    parser.add_argument("--label", default="", help="a class in graphs.json; classes take turns where none is named")
    parser.add_argument("--caption", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    asked = parser.parse_args()
    from PIL import Image

    facts = json.loads((HERE / "graphs.json").read_text(encoding="utf-8"))
    rows = [np.random.default_rng(asked.seed + row).standard_normal(facts["noise"]) for row in range(asked.num)]
    images = draw(HERE, np.stack(rows).astype(np.float32), condition(facts, asked.num, asked.label, asked.caption))
    asked.out.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(images):
        Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
            asked.out / f"{asked.seed + row}.png"
        )


def condition(facts: dict[str, Any], num: int, label: str = "", caption: str = "") -> dict[str, np.ndarray]:
    """What each picture is asked to show, by the graphs' names for it; what is not said is left open."""
    classes, parts = facts["classes"], {}
    if classes:
        turns = [classes.index(label)] if label else range(len(classes))
        parts["labels"] = np.array([turns[row % len(turns)] for row in range(num)], np.int64)
    if facts["attributes"]:
        parts["attributes"] = np.full((num, len(facts["attributes"])), np.nan, np.float32)
    if facts["caption_bytes"]:
        said = np.frombuffer(caption.encode()[: facts["caption_bytes"]], np.uint8)
        parts["captions"] = np.tile(np.pad(said, (0, facts["caption_bytes"] - len(said))), (num, 1))
    return parts


def draw(folder: Path, noise: np.ndarray, asked: dict[str, np.ndarray]) -> np.ndarray:
    """Pictures of standard normal noise (N, ...), float32: uint8 (N, H, W, C)."""
    facts = json.loads((folder / "graphs.json").read_text(encoding="utf-8"))
    if "generator" in facts["graphs"]:
        images = _run(folder / facts["graphs"]["generator"], noise=noise, **asked)
    else:
        images = solve(folder / facts["graphs"]["denoiser"], noise, asked, facts["sigmas"], facts["guidance"])
    if "decoder" in facts["graphs"]:
        images = _run(folder / facts["graphs"]["decoder"], latents=images)
    return ((images.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8).transpose(0, 2, 3, 1)


def solve(
    graph: Path, noise: np.ndarray, asked: dict[str, np.ndarray], sigmas: list[float], guidance: float
) -> np.ndarray:
    """From noise to the clean picture, or to its latents."""
    state, before, h_before = noise * np.float32(sigmas[0]), None, 0.0
    free = {name: np.full_like(part, NOT_GIVEN[name]) for name, part in asked.items()}

    def denoise(noisy: np.ndarray, sigma: float) -> np.ndarray:
        levels = np.full(len(noisy), sigma, np.float32)
        clean = _run(graph, noisy=noisy, sigma=levels, **asked)
        if guidance == 1 or not asked:
            return clean
        open_ = _run(graph, noisy=noisy, sigma=levels, **free)
        return open_ + np.float32(guidance) * (clean - open_)

    for sigma, after in itertools.pairwise(sigmas):
        clean = denoise(state, sigma)
        if after == 0:
            return clean
        h = float(np.log(sigma / after))
        guess = clean if before is None else clean + (clean - before) * np.float32(h / (2 * h_before))
        state = state * np.float32(after / sigma) + guess * np.float32(1 - after / sigma)
        before, h_before = clean, h
    return state


NOT_GIVEN = {"labels": -1, "attributes": np.nan, "captions": 0}

_SESSIONS: dict[Path, Any] = {}


def _run(graph: Path, **inputs: np.ndarray) -> np.ndarray:
    import onnxruntime

    if graph not in _SESSIONS:
        _SESSIONS[graph] = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    known = {one.name for one in _SESSIONS[graph].get_inputs()}
    return _SESSIONS[graph].run(None, {name: part for name, part in inputs.items() if name in known})[0]


if __name__ == "__main__":
    main()

"""A training step of a U-Net of about 6 million parameters on pictures of 32x32x3: figment's against two peers'.

    python benchmarks/run.py steps

The peers are diffusers' UNet2DModel (the loop of its training tutorial) and denoising-diffusion-pytorch's Unet (of its
README, with the optimizer of its Trainer): each as documented, in float32, and once more compiled, in bfloat16 and
channels_last. figment's is the step of `figment train flow --family.width 72`, average and checks included, on the
engine that it chooses for this machine; once more with --train.compile. "Its convolutions" are those of figment's
network alone, forwards and backwards at the shapes of the step: a ratio to them is the share of the machine's rate of
convolution that the whole step reaches. All get the same pictures, so that nothing but the step is timed; `loader`
times the way to it.

The first run compiles for some minutes; torch keeps what it has compiled. denoising-diffusion-pytorch imports packages
that have no build for this PyTorch or serve its Trainer alone: it lies in build/peers, without them.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core import plugins
from figment.core.engine import Engine, seeded
from figment.core.types import Batch, Condition, ImageSpec
from figment.train.autotune import choose_engine
from figment.train.trainer import Trainer

BATCH, SIZE = 16, 32
PEERS = Path(__file__).parents[1] / "build" / "peers"
PINNED = ("denoising-diffusion-pytorch==2.3.4", "einops==0.8.1")
ABSENT = {
    "torchvision": SimpleNamespace(transforms=None, utils=None),
    "accelerate": SimpleNamespace(Accelerator=None),
    "ema_pytorch": SimpleNamespace(EMA=None),
}

Step = Callable[[], int]
LossOf = Callable[[nn.Module, Tensor], Tensor]


def contenders() -> dict[str, Step]:
    with seeded(0):
        images = torch.randn(BATCH, 3, SIZE, SIZE).clamp(-1, 1)
    peers = {"diffusers": diffusers(), "denoising-diffusion-pytorch": lucidrains()}
    for name, make in peers.items():
        print(f"steps: {name}: {parameters(make()[0]):.2f} million parameters")
    documented = {f"{name}, float32": step_of(*make(), images) for name, make in peers.items()}
    compiled = {f"{name}, compiled, bfloat16": compiled_step_of(*make(), images) for name, make in peers.items()}
    alone = {
        f"its convolutions, {str(precision).removeprefix('torch.')}": convolutions(images, precision)
        for precision in (torch.float32, torch.bfloat16)
    }
    ours = {"figment": figments(images), "figment, compiled": figments(images, compile=True)}
    return ours | documented | compiled | alone


def build_flow() -> nn.Module:
    flow = plugins.load("families", "flow")
    with seeded(0):
        return flow.build(replace(flow.Config(), width=72), ImageSpec(3, SIZE, SIZE))


def figments(images: Tensor, *, compile: bool = False) -> Step:
    train, batch = replace(plugins.load("families", "flow").TRAIN, compile=compile), Batch(images, Condition())
    engine = choose_engine(build_flow, replace(train, compile=False), batch, ["benchmark", "steps"])
    objective = build_flow()
    if not compile:
        print(f"steps: figment computes in {engine.precision}, {engine.layout}, {engine.attention} attention")
        print(f"steps: figment: {parameters(objective):.2f} million parameters")
    steps = Trainer(objective, train, steps=10**6, engine=engine).run(lambda step: batch)

    def step() -> int:
        with engine.threading():
            next(steps)
        return BATCH

    return step


def diffusers() -> Callable[[], tuple[nn.Module, torch.optim.Optimizer, LossOf]]:
    """The tutorial's loop: noise prediction, AdamW at 1e-4, gradients clipped at 1."""
    from diffusers import DDPMScheduler, UNet2DModel

    scheduler = DDPMScheduler(num_train_timesteps=1000)

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        n, t = torch.randn_like(images), torch.randint(0, 1000, (len(images),))
        return F.mse_loss(model(scheduler.add_noise(images, n, t), t, return_dict=False)[0], n)

    def make() -> tuple[nn.Module, torch.optim.Optimizer, LossOf]:
        model = UNet2DModel(
            sample_size=SIZE,
            in_channels=3,
            out_channels=3,
            layers_per_block=2,
            block_out_channels=(64, 128, 128),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )
        return model, torch.optim.AdamW(model.parameters(), lr=1e-4), loss

    return make


def lucidrains() -> Callable[[], tuple[nn.Module, torch.optim.Optimizer, LossOf]]:
    """The README's model, narrower, in its GaussianDiffusion; Adam as its Trainer has it, gradients clipped at 1."""
    package = installed("denoising_diffusion_pytorch")

    def loss(model: nn.Module, images: Tensor) -> Tensor:
        return model((images + 1) / 2)  # which it takes in [0, 1]

    def make() -> tuple[nn.Module, torch.optim.Optimizer, LossOf]:
        unet = package.Unet(dim=48, dim_mults=(1, 2, 4), flash_attn=True)
        model = package.GaussianDiffusion(unet, image_size=SIZE, timesteps=1000)
        return model, torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99)), loss

    return make


def installed(name: str) -> ModuleType:
    """The peer's package, fetched if need be, with nothing in place of what it imports and does not need here."""
    if not (PEERS / name).is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PEERS), *PINNED]
        subprocess.run(command, check=True)
    sys.path.append(str(PEERS))
    sys.modules.update(ABSENT)  # type: ignore[arg-type]
    try:
        return __import__(name)
    finally:
        for absent in ABSENT:
            del sys.modules[absent]


def step_of(model: nn.Module, optimizer: torch.optim.Optimizer, loss: LossOf, images: Tensor) -> Step:
    model.train()

    def step() -> int:
        value = loss(model, images)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert value.item() > 0  # which both log
        return BATCH

    return step


def compiled_step_of(model: nn.Module, optimizer: torch.optim.Optimizer, loss: LossOf, images: Tensor) -> Step:
    """The same, by torch.compile, in bfloat16 and channels_last: what one could make of it."""
    warnings.filterwarnings("ignore", module="torch")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    compiled = torch.compile(model.forward)

    def in_bfloat16(model: nn.Module, images: Tensor) -> Tensor:
        model.forward = compiled
        with torch.autocast("cpu", torch.bfloat16):
            return loss(model, images)

    return step_of(model, optimizer, in_bfloat16, images.to(memory_format=torch.channels_last))


def convolutions(images: Tensor, precision: torch.dtype) -> Step:
    """Every convolution of figment's network, forwards and backwards at the shapes of its step, and nothing else."""
    objective = Engine(layout="channels_last").place(build_flow())
    layers: list[tuple[nn.Conv2d, tuple[int, ...]]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        layers.append((layer, tuple(given[0].shape)))  # type: ignore[arg-type]

    for module in objective.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        objective.loss(Batch(images, Condition()))  # type: ignore[operator]
    works = [partial(both_ways, layer.to(precision), precision, shape) for layer, shape in layers]

    def step() -> int:
        for work in works:
            work()
        return BATCH

    return step


def both_ways(layer: nn.Conv2d, precision: torch.dtype, shape: tuple[int, ...]) -> None:
    given = torch.ones(shape, dtype=precision).to(memory_format=torch.channels_last).requires_grad_()
    answer = F.conv2d(given, layer.weight, layer.bias, layer.stride, layer.padding)
    answer.backward(answer.detach())
    layer.zero_grad()


def parameters(module: nn.Module) -> float:
    """In millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6

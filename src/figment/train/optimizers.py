"""The rule that turns gradients into steps."""

from __future__ import annotations

import torch
from torch import nn

from figment.core.config import TrainConfig
from figment.core.types import PhaseOptimizer


def make_optimizer(
    parameters: list[nn.Parameter], config: TrainConfig, override: PhaseOptimizer, device: str
) -> torch.optim.Optimizer:
    """The run's optimizer over `parameters`; weight decay spares biases, gains and other vectors."""
    lr = override.lr or config.lr
    betas = override.betas or (config.beta1, config.beta2)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay, "peak_lr": lr},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "peak_lr": lr},
    ]
    groups = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=betas[0], nesterov=betas[0] > 0)
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, alpha=betas[1], foreach=True)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, betas=betas, fused=device in ("cpu", "cuda"))

"""The rule that turns gradients into steps, and what it remembers between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from figment.core import ranks
from figment.core.config import TrainConfig
from figment.core.types import PhaseOptimizer


def make_optimizer(
    parameters: list[nn.Parameter], config: TrainConfig, override: PhaseOptimizer, device: str
) -> Optimizer:
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


def take_step(optimizer: Optimizer, config: TrainConfig, norm: float, lr_factor: float) -> None:
    """Clip the gradients, whose norm this is, draw weights towards 0 where l1 is asked for, and move the weights."""
    parameters = _owned(optimizer)
    if config.clip_norm:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, min(1.0, config.clip_norm / (norm + 1e-12)))
    if config.l1:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach().sign(), alpha=config.l1)
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * lr_factor
    optimizer.step()


def moments(optimizers: Iterable[Optimizer]) -> dict[str, Tensor]:
    """All that the optimizers remember, by "optimizer.weight.name", numbers and a name; all ranks ask at once."""
    found: dict[str, Tensor] = {}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if value is not None:  # SGD without momentum stores None
                    found[f"{number}.{index}.{name}"] = ranks.kept(torch.as_tensor(value))
    return found


def load_moments(optimizers: Iterable[Optimizer], found: Mapping[str, Tensor]) -> None:
    """The inverse of `moments`."""
    for number, optimizer in enumerate(optimizers):
        states: dict[int, dict[str, Tensor]] = {}
        owned = _owned(optimizer)
        for key, tensor in found.items():
            owner, index, name = key.split(".", 2)
            if int(owner) == number:
                states.setdefault(int(index), {})[name] = _laid_out_as(owned[int(index)], tensor)
        optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def _owned(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _laid_out_as(parameter: Tensor, moment: Tensor) -> Tensor:
    """A moment in its parameter's memory order: fused optimizers walk through both at once, whatever their strides.

    Files hold tensors in plain order, channels_last weights are in another.
    """
    if moment.shape != parameter.shape:
        return moment
    return torch.empty_like(parameter).copy_(ranks.cut_like(moment, parameter))

"""Where memory is too short: what counts as that, what a training does about it, and what everybody is told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from figment.cli._main import OUT_OF_MEMORY, told
from figment.core.errors import is_out_of_memory
from figment.core.types import Batch, Loss
from figment.data.headers import Unreadable, refuse_short_memory
from figment.families.vae import VaeObjective
from tests.commands import QUICK, done, figment, trained

TRAIN = ("--steps", 4, "--train.save-every", 2, *QUICK)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_memory_that_is_used_up_is_the_users_to_mend(error):
    assert is_out_of_memory(error) and told(error) == (2, OUT_OF_MEMORY)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("not enough memory")])
def test_other_errors_stay_what_they_are(error):
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)):
        told(error)


def test_torch_says_so_in_words_that_are_known():
    with pytest.raises(RuntimeError) as found:
        torch.empty(2**55)
    assert is_out_of_memory(found.value)


def test_a_picture_that_memory_is_too_short_for_is_not_called_damaged():
    with pytest.raises(Unreadable, match="takes more memory than there is"), refuse_short_memory():
        raise MemoryError


def short_where(is_short: Callable[[Batch], bool], patch: pytest.MonkeyPatch) -> None:
    """Memory is too short for some batches of a vae."""
    loss = VaeObjective.loss

    def short(self: VaeObjective, batch: Batch) -> Loss:
        if is_short(batch):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(self, batch)

    patch.setattr(VaeObjective, "loss", short)


def test_a_first_step_that_is_too_large_is_begun_again_in_more_slices(digits, tmp_path, monkeypatch):
    words = ("train", "vae", "--data", digits.path, *TRAIN, "--train.validate-every", 0)
    done(*words, "--out", tmp_path / "asked", "--train.slices", 4)
    with monkeypatch.context() as patch:
        short_where(lambda batch: len(batch) > 4, patch)
        answer = done(*words, "--out", tmp_path / "short")
    assert "it is computed in 4 slices, now and for good, as with --train.slices 4" in answer.err
    assert trained(tmp_path / "short") == trained(tmp_path / "asked")
    assert json.loads((tmp_path / "short" / "config.json").read_text())["slices"] == 4
    done(*words, "--out", tmp_path / "short", "--steps", 5)  # it goes on, and is the same run


def test_not_even_one_picture_at_a_time(digits, tmp_path, monkeypatch):
    short_where(lambda batch: True, monkeypatch)
    refused = figment("train", "vae", "--data", digits.path, "--out", tmp_path / "run", *TRAIN)
    assert refused.complaint == "memory is too short for one picture at a time; give a smaller --scale"


def test_memory_that_runs_out_later_costs_what_came_after_the_checkpoint(digits, tmp_path, monkeypatch):
    words = ("train", "vae", "--data", digits.path, *TRAIN, "--train.validate-every", 0)
    done(*words, "--out", tmp_path / "whole")
    seen = 0

    def third(batch: Batch) -> bool:
        nonlocal seen
        seen += 1
        return seen > 3

    with monkeypatch.context() as patch:
        short_where(third, patch)
        assert figment(*words, "--out", tmp_path / "run").complaint == OUT_OF_MEMORY
    assert (tmp_path / "run" / "checkpoints" / "00000002").is_dir()
    done(*words, "--out", tmp_path / "run")
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")

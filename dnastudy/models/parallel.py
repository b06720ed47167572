"""Several processes that train one model, started by ``torchrun``: each computes a share of every step's rows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed, nn

from dnastudy.models.neural import pick_device


def rank() -> int:
    """This process's number; 0 without torchrun. The first one alone writes, prints and validates."""
    return int(os.environ["RANK"]) if distributed.is_torchelastic_launched() else 0


def world_size() -> int:
    """How many processes train together; 1 without torchrun."""
    return int(os.environ["WORLD_SIZE"]) if distributed.is_torchelastic_launched() else 1


def own_device(device: str | torch.device | None) -> torch.device:
    """The device asked for (see :func:`dnastudy.models.neural.pick_device`); of several GPUs, this process's own."""
    device = pick_device(device)
    if device.type == "cuda" and device.index is None and world_size() > 1:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connect the processes: by NCCL on GPUs, by Gloo on CPUs. Alone, do nothing."""
    if world_size() == 1:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def pieces(drawn: tuple[Tensor, Tensor], rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's share of a step's inputs and targets, ``rows`` rows at a time; there may be none."""
    mine = [part.tensor_split(world_size())[rank()] for part in drawn]
    if len(mine[0]):
        yield from zip(*(part.split(rows) for part in mine), strict=True)


def all_reduce(parameters: Sequence[nn.Parameter], numbers: Tensor) -> Tensor:
    """Add up over all processes, in one message: gradients, in place, and ``numbers`` (float32 [n]), returned."""
    if world_size() == 1:
        return numbers
    gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
    everything = torch.cat([numbers, *(one.flatten() for one in gradients)])
    distributed.all_reduce(everything)
    pieces = everything.split([len(numbers), *(one.numel() for one in gradients)])
    for parameter, piece in zip(parameters, pieces[1:], strict=True):
        parameter.grad = piece.view_as(parameter)
    return pieces[0]


def broadcast(number: float, device: torch.device) -> float:
    """The first process's number, which the others wait for."""
    if world_size() == 1:
        return number
    message = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.broadcast(message, 0)
    return message.item()

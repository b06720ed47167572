"""How a model is trained: the settings, checked one by one, and the learning rate of each step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass

from dnastudy.files import InputError, nearest
from dnastudy.models.base import check_value

_CHOICES = {
    "precision": ("auto", "fp32", "bf16"),
    "sampling": ("windows", "genes"),
    "schedule": ("cosine", "constant"),
    "keep": ("best", "last"),
}
_MAY_BE_ZERO = ("epochs", "train_bases", "warmup", "validate_every", "patience", "seed")
# What makes a step cheaper or safer but teaches nothing else: a run may go on with another value.
_INCIDENTAL = ("accumulate", "checkpoint_every", "compile")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. Lengths in bases (of a BERT in tokens), the learning rate per step, no budget in seconds.

    The comments are what ``dnastudy train --help`` says.
    """

    steps: int = 1000  # optimiser steps
    epochs: int = 0  # if not 0, passes over the training genes instead of steps
    batch: int = 16  # windows or genes in a step, of all processes together
    accumulate: int = 1  # pieces that a step is computed in, to need less memory
    sampling: str = "windows"  # windows: stretches at random; genes: each whole gene once an epoch (if many are short)
    window: int = 256  # length of a window, or where a gene is cut
    end: bool = True  # learn the end of genes too
    masked: float = 0.15  # bert: share of tokens to restore
    reverse_complement: bool = False  # read each row on either strand, at random
    train_bases: int = 0  # if not 0, train on a random subset of the genes with so many bases
    learning_rate: float = 2e-3  # peak rate
    warmup: int = 60  # steps of linear rise to it
    schedule: str = "cosine"  # cosine or constant after that
    final: float = 0.05  # end of the cosine, as a share of the peak
    weight_decay: float = 0.01  # AdamW's; with 0 it is Adam
    clip: float = 1.0  # greatest norm of the gradient; 0: any
    validate_every: int = 100  # steps between looks at the validation genes; 0: an epoch
    validation_windows: int = 256  # windows looked at
    patience: int = 0  # if not 0, stop after so many looks without a better one
    keep: str = "best"  # weights kept at the end: best or last
    checkpoint_every: int = 200  # steps between checkpoints
    precision: str = "auto"  # fp32, bf16, or auto: bf16 where the machine computes it faster
    compile: bool = False  # compile the model (slow to start)
    seed: int = 0  # of the weights, the rows and the dropout

    def __post_init__(self) -> None:
        vars(self).update(checked("training", vars(self), _defaults(), _MAY_BE_ZERO))
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(f"training: {name} {value!r}; {nearest(value, known)}")
        if not 0 < self.masked < 1:
            raise InputError(f"training: masked = {self.masked}; expected a share between 0 and 1, such as 0.15")

    @staticmethod
    def from_dict(values: dict) -> TrainingConfig:
        """Make one from a mapping; an unknown key raises :class:`InputError` with the nearest right one."""
        return TrainingConfig(**checked("training", values, _defaults(), _MAY_BE_ZERO))

    def identity(self) -> dict:
        """The settings that decide what is learnt; a run that goes on must have the same."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in _INCIDENTAL}

    def in_steps(self, source: object) -> TrainingConfig:
        """The same with ``epochs`` and ``validate_every=0`` turned into steps by ``source.epoch_steps``."""
        if not self.epochs and self.validate_every:
            return self
        epoch = getattr(source, "epoch_steps", None)
        if epoch is None:
            raise InputError("training: this source has no epochs; give steps, and validate_every of 1 or more")
        steps = self.epochs * epoch or self.steps
        return dataclasses.replace(self, steps=steps, validate_every=self.validate_every or epoch)


def _defaults() -> dict[str, object]:
    return {field.name: field.default for field in dataclasses.fields(TrainingConfig)}


def checked(what: str, values: dict, defaults: dict, may_be_zero: Collection[str] = ()) -> dict:
    """Values of settings as Python's own, of their defaults' types; a name that isn't known raises :class:`InputError`.

    A whole number that isn't in ``may_be_zero`` is 1 or more.
    """
    found = {}
    for name, value in values.items():
        if name not in defaults:
            raise InputError(f"{what}: {name!r} is no setting of it; {nearest(name, defaults)}")
        least = int(isinstance(defaults[name], int) and name not in may_be_zero)
        found[name] = check_value(f"{what}: {name}", value, defaults[name], least=least)
    return found


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Rate of a step (counted from 0): a linear rise, then level, or half a cosine down to ``final`` of the peak."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * (config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2)

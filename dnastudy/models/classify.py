"""A classifier of whole sequences on a pre-trained model: fine-tune it, and predict with it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor, nn

from dnastudy.files import InputError, write_json
from dnastudy.models.batches import GeneBatches
from dnastudy.models.checkpoint import in_units
from dnastudy.models.neural import IGNORED, Linear, NeuralModel
from dnastudy.models.parallel import rank
from dnastudy.models.pooled import embed, opposite, padded, piece_ids, summed_states
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import train
from dnastudy.tokens.tokenizer import PAD


def new_head(trunk: NeuralModel, outputs: int) -> Linear:
    """A linear layer on a model's states, to be learnt anew."""
    head = Linear(trunk.config["width"], outputs)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


class SequenceClassifier(NeuralModel):
    """A copy of a model without its head, and a linear layer on the mean of its states over a sequence's tokens.

    To `train` it is a model that fills in one symbol, the class, at the first position. ``seed``: of the layer.
    """

    kind = "classifier"
    causal = False

    def __init__(
        self, trunk: NeuralModel, classes: int, *, dropout: float = 0.0, head_rate: float = 10.0, seed: int = 0
    ):
        super().__init__()
        if not isinstance(trunk, NeuralModel):
            raise InputError(f"a {trunk.kind} model has no weights to fine-tune; expected an lstm, gru, gpt or bert")
        if classes < 2:
            raise InputError(f"{classes} classes of sequences; expected two or more to tell apart")
        self.trunk = copy.deepcopy(trunk)
        for part in ("head",) if trunk.causal else ("transform", "bias"):
            delattr(self.trunk, part)
        self.classes, self.head_rate = classes, head_rate
        self.config = {"kind": self.kind, "trunk": trunk.config, "classes": classes}
        self.config |= {"dropout": dropout, "head_rate": head_rate}
        self.context = trunk.context
        self.dropout = nn.Dropout(dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = new_head(trunk, classes)
        self.to(trunk.device)

    @property
    def scored(self) -> tuple[int, ...]:
        """The classes."""
        return tuple(range(self.classes))

    def times(self, parameter: nn.Parameter) -> float:
        """How many times faster than the rest a weight is to learn."""
        return self.head_rate if parameter is self.head.weight else 1.0

    def forward(self, ids: Tensor, wanted: Tensor | None = None) -> tuple[Tensor, None]:
        """Logits of the classes, float32 [rows, pieces, positions, classes], the same at all positions; and no state.

        ``ids`` (int64 [rows, pieces, positions]) are those of `piece_ids`, padded; with ``wanted`` (bool) [n, classes].
        """
        there = ids[..., 0] != PAD  # every piece begins with CLS, but those that pad a row
        pieces = ids[there]
        total, tokens = (
            part.new_zeros(*there.shape, part.shape[1]).masked_scatter(there[..., None], part).sum(1)
            for part in summed_states(self.trunk.hidden(pieces), pieces)
        )
        with torch.autocast(ids.device.type, enabled=False):
            logits = self.head(self.dropout(total / tokens))
        logits = logits[:, None, None].expand(-1, *ids.shape[1:], -1)
        return (logits if wanted is None else logits[wanted]), None


class _Parts:
    """Inputs (0) or targets (1) of labelled rows: each part that they are split into is padded by itself."""

    def __init__(self, rows: list[np.ndarray], labels: np.ndarray, which: int):
        self.rows, self.labels, self.which = rows, labels, which

    def split(self, count: int) -> Iterator[Tensor]:
        """So many rows at a time, int64 [rows, pieces, positions]."""
        for part in (slice(first, first + count) for first in range(0, len(self.rows), count)):
            yield _labelled(self.rows[part], self.labels[part])[self.which]


class LabelSource:
    """Labelled sequences in batches of like length in bases; the label is the only target, at the first CLS."""

    unit = "sequence"

    def __init__(
        self,
        trunk: NeuralModel,
        codes: Sequence[np.ndarray],
        labels: np.ndarray,
        config: TrainingConfig,
        *,
        validation: tuple[Sequence[np.ndarray], np.ndarray],
    ):
        strands = [codes, opposite(codes)] if config.reverse_complement else [codes]
        self._strands = [piece_ids(trunk, strand) for strand in strands]
        self._labels, self._seed = np.asarray(labels, dtype=np.int64), config.seed
        # By bases and not by tokens: a batch by tokens would hold what is alike, and so of one class.
        self._batches = GeneBatches(np.array([len(one) for one in codes]), config.batch)
        self.epoch_steps = len(self._batches)
        held_out, wanted = piece_ids(trunk, validation[0]), np.asarray(validation[1], dtype=np.int64)
        longest_first = np.argsort([-one.size for one in held_out], kind="stable")
        self._validation = [held_out[number] for number in longest_first], wanted[longest_first]
        self.longest = max(one.shape[1] for rows in (*self._strands, held_out) for one in rows)
        self._identity = {
            "start": _digest(one.detach().cpu().contiguous().numpy() for one in trunk.state_dict().values()),
            "train": _digest([*(one for rows in self._strands for one in rows), self._labels]),
            "validation": _digest([*held_out, wanted]),
        }

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and targets of a step, int64 [rows, pieces, positions]."""
        chosen = self._batches.at(step, self._seed)
        strands = np.random.default_rng([self._seed, step]).integers(len(self._strands), size=len(chosen))
        rows = [self._strands[strand][number] for strand, number in zip(strands, chosen, strict=True)]
        return _labelled(rows, self._labels[chosen])

    def validation(self) -> tuple[_Parts, _Parts]:
        """Input ids and targets of all sequences to validate on, the longest first, to be split as tensors are."""
        return _Parts(*self._validation, 0), _Parts(*self._validation, 1)

    def identity(self) -> dict[str, str]:
        """SHA-256 of the ids with the labels, and of the weights that fine-tuning starts from."""
        return self._identity

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many sequences are read."""
        return len(inputs)


def fine_tune(
    classifier: SequenceClassifier,
    codes: Sequence[np.ndarray],
    labels: np.ndarray,
    out: str | Path,
    settings: TrainingConfig | None = None,
    *,
    validation: tuple[Sequence[np.ndarray], np.ndarray],
    device: str | torch.device | None = None,
    progress: bool | TextIO = False,
) -> list[dict]:
    """Fine-tune a classifier in place, end to end; an interrupted call goes on from its last checkpoint.

    ``out`` then holds ``history.json``, which is returned: the rows of `dnastudy.models.training.train`, of sequences.
    A batch of sequences longer than the context takes more memory, which ``accumulate`` mends.
    """
    labels = _checked(codes, labels, classifier.classes, "to learn from")
    held_out = _checked(*validation, classifier.classes, "to validate on")
    if absent := set(range(classifier.classes)) - set(labels.tolist()):
        raise InputError(f"no sequence of class {min(absent)} to learn from; give some, or leave the class out")
    settings = settings or TrainingConfig()
    source = LabelSource(classifier.trunk, codes, labels, settings, validation=(validation[0], held_out))
    settings = dataclasses.replace(settings, sampling="genes", window=source.longest)
    history = in_units(train(classifier, source, out, settings, device=device, progress=progress), source.unit)
    if rank() == 0:
        write_json(Path(out) / "history.json", history)
        shutil.rmtree(Path(out) / "checkpoint", ignore_errors=True)
    return history


def predict(
    classifier: SequenceClassifier,
    codes: Sequence[np.ndarray],
    *,
    reverse_complement: bool = False,
    precision: str = "fp32",
) -> np.ndarray:
    """Probability of each class, float32 [n, classes]."""
    if reverse_complement:
        strands = codes, opposite(codes)
        return np.mean([predict(classifier, strand, precision=precision) for strand in strands], axis=0)
    states = torch.from_numpy(embed(classifier.trunk, codes, precision=precision)).to(classifier.device)
    with classifier.evaluating():
        return classifier.head(states).softmax(-1).cpu().numpy()


def _labelled(rows: list[np.ndarray], labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Rows as inputs, and targets that hold the labels at the first position of the first piece."""
    inputs = padded(rows)
    targets = torch.full_like(inputs, IGNORED)
    targets[:, 0, 0] = torch.from_numpy(labels)
    return inputs, targets


def _checked(codes: Sequence[np.ndarray], labels: np.ndarray, classes: int, what: str) -> np.ndarray:
    """Labels as int64 [n], each of a class."""
    labels = np.asarray(labels, dtype=np.int64)
    if len(labels) != len(codes) or not len(labels):
        raise InputError(f"{len(labels):,} labels of {len(codes):,} sequences {what}; expected one each, and some")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"labels {what} from {labels.min()} to {labels.max()}; expected 0 to {classes - 1}")
    return labels


def _digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays one after the other, with their shapes."""
    digest = hashlib.sha256()
    for one in arrays:
        digest.update(repr(one.shape).encode() + np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()

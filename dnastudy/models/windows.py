"""Read a corpus folder with numpy alone, and cut the windows that a model is trained and validated on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError, sha256
from dnastudy.models.neural import IGNORED, inputs_and_targets
from dnastudy.tokens.tokenizer import PAD

TRAIN, VALIDATION = 0, 1
FILES = ("codes.npy", "offsets.npy", "split.npy")


class Genes:
    """A corpus's ``codes`` (uint8, memory-mapped), ``offsets`` (int64 [n + 1]), ``split`` (uint8 [n]).

    Raises
    ------
    InputError
        When a file is missing or doesn't fit the others.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        for name in FILES:
            if not (self.folder / name).is_file():
                raise InputError(
                    f"{self.folder / name}: missing; expected a corpus folder, as gene extraction writes it"
                )
        try:
            self.codes = np.load(self.folder / "codes.npy", mmap_mode="r", allow_pickle=False)
            self.offsets = np.load(self.folder / "offsets.npy", allow_pickle=False)
            self.split = np.load(self.folder / "split.npy", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise InputError(f"{self.folder}: an array is not readable ({error}); extract the corpus again") from None
        if len(self.offsets) != len(self.split) + 1 or self.offsets[-1] != len(self.codes):
            raise InputError(
                f"{self.folder}: {len(self.codes)} bases, {len(self.offsets)} offsets ending at "
                f"{self.offsets[-1]} and {len(self.split)} split marks don't belong together; "
                "extract the corpus again"
            )

    def spans(self, split: int) -> np.ndarray:
        """Start and end in ``codes`` of each gene of a split, int64 [n, 2]; InputError if there is none."""
        chosen = np.flatnonzero(self.split == split)
        spans = np.stack([self.offsets[chosen], self.offsets[chosen + 1]], axis=1)
        spans = spans[spans[:, 1] > spans[:, 0]]
        if len(spans) == 0:
            name = ("training", "validation", "test")[split]
            raise InputError(f"{self.folder}: no {name} genes (split.npy holds no {split}); extract it with a split")
        return spans

    def digest(self) -> dict[str, str]:
        """SHA-256 of each file."""
        return {name: sha256(self.folder / name) for name in FILES}


def cut_windows(genes: Genes, spans: np.ndarray, count: int, length: int, seed: list[int]) -> tuple[Tensor, Tensor]:
    """Draw windows at random from genes chosen in proportion to their length.

    A gene counts as its bases and an end symbol. Each window begins with the start symbol wherever it lies;
    one that reaches the gene's end has the end symbol for its last target; a shorter gene is taken whole.

    Parameters
    ----------
    spans
        int64 [n, 2], the genes to draw from.
    seed
        Numbers that decide the windows, and they alone: for training, the run's seed and the step.

    Returns
    -------
    Input ids and target ids, int64 [count, length], padded with PAD and ``IGNORED``.
    """
    random = np.random.default_rng(seed)
    ends = np.cumsum(spans[:, 1] - spans[:, 0])
    chosen = np.searchsorted(ends, random.integers(ends[-1], size=count), side="right")
    place = random.random(count)
    inputs = np.full((count, length), PAD, dtype=np.int64)
    targets = np.full((count, length), IGNORED, dtype=np.int64)
    for row, (start, end) in enumerate(spans[chosen]):
        first = start + int(place[row] * max(1, end + 1 - start - length + 1))
        codes = np.asarray(genes.codes[first : min(first + length, end)])
        some_inputs, some_targets = inputs_and_targets(codes, end=len(codes) < length)
        inputs[row, : len(some_inputs)] = some_inputs
        targets[row, : len(some_targets)] = some_targets
    return torch.from_numpy(inputs), torch.from_numpy(targets)

"""Cut the windows that a model is trained and validated on from a corpus."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.models.neural import IGNORED, inputs_and_targets
from dnastudy.tokens.tokenizer import PAD


def cut_windows(corpus: Corpus, split: str, count: int, length: int, seed: list[int]) -> tuple[Tensor, Tensor]:
    """Draw windows at random from genes chosen in proportion to their length.

    A gene counts as its bases and an end symbol. Each window begins with the start symbol wherever it lies;
    one that reaches the gene's end has the end symbol for its last target; a shorter gene is taken whole.

    Parameters
    ----------
    corpus, split
        The genes to draw from.
    seed
        Numbers that decide the windows, and they alone: for training, the run's seed and the step.

    Returns
    -------
    Input ids and target ids, int64 [count, length], padded with PAD and ``IGNORED``.

    Raises
    ------
    InputError
        When the split holds no genes.
    """
    spans = corpus.spans(split)
    if not len(spans):
        raise InputError(f"{corpus.folder}: no {split} genes; extract it with a {split} split")
    random = np.random.default_rng(seed)
    ends = np.cumsum(spans[:, 1] - spans[:, 0])
    chosen = np.searchsorted(ends, random.integers(ends[-1], size=count), side="right")
    place = random.random(count)
    inputs = np.full((count, length), PAD, dtype=np.int64)
    targets = np.full((count, length), IGNORED, dtype=np.int64)
    for row, (start, end) in enumerate(spans[chosen]):
        first = start + int(place[row] * max(1, end + 1 - start - length + 1))
        codes = np.asarray(corpus.all_codes[first : min(first + length, end)])
        some_inputs, some_targets = inputs_and_targets(codes, end=len(codes) < length)
        inputs[row, : len(some_inputs)] = some_inputs
        targets[row, : len(some_targets)] = some_targets
    return torch.from_numpy(inputs), torch.from_numpy(targets)

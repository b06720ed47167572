"""What a masked model is trained on: windows of tokens between CLS and SEP, some of them masked or replaced."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.genes.fasta import reverse_complement
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.windows import TokenWindows, digests, training_spans
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, PAD, SEP, UNK, Tokenizer

# As GROVER was trained (Sanabria et al. 2024, Methods).
WHOLE = 0.5  # share of windows that are as long as fits
SHORTEST = 20  # tokens; the other windows have from so many to as many as fit
MASKED = 0.8  # of the tokens to restore; a random token stands for each of the others


class MaskedWindows(TokenWindows):
    """Masked windows of tokens (see :func:`masked_windows`).

    Of the training settings ``batch``, ``window`` (in tokens, CLS and SEP included), ``masked``,
    ``reverse_complement``, ``validation_windows`` and ``seed`` are used.

    Raises
    ------
    InputError
        When no token fits into a window, or as `TokenWindows` says.
    """

    cost = "validation_masked_bits_per_base"

    def __init__(self, tokenizer: Tokenizer, config: TrainingConfig):
        super().__init__(tokenizer, config)
        if config.window < 3:
            raise InputError(f"training: window {config.window}; expected 3 or more: CLS, a token and SEP")

    def cut(self, ids: np.ndarray, spans: np.ndarray, count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        """Masked windows: see :func:`masked_windows`."""
        config, vocabulary = self.config, len(self.tokenizer)
        return masked_windows(ids, spans, count, config.window, seed, masked=config.masked, vocabulary=vocabulary)

    def per_window(self, sizes: np.ndarray) -> float:
        """Tokens that a window has in the mean, drawn from stretches of so many (int64 [n])."""
        most = self.config.window - 2
        some = np.arange(min(SHORTEST, most), most + 1)
        fitting = np.searchsorted(some, sizes, side="right")
        whole = np.concatenate([[0], np.cumsum(some)])[fitting] + (len(some) - fitting) * sizes
        return float(np.average(WHOLE * np.minimum(most, sizes) + (1 - WHOLE) * whole / len(some), weights=sizes))

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are read, masked or not."""
        return int(((inputs >= MASK) | (inputs == UNK)).sum())


class MaskedSource(MaskedWindows):
    """A corpus's training genes as masked windows: genes are made into tokens whole, and cut between tokens.

    ``train_bases`` is used too.

    Raises
    ------
    InputError
        When a split holds no genes, or as `MaskedWindows` says.
    """

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, config: TrainingConfig):
        super().__init__(tokenizer, config)
        held_out = tokenised(corpus, corpus.spans("validation"), tokenizer)
        spans = training_spans(corpus, config.train_bases, config.seed)
        train = tokenised(corpus, spans, tokenizer, both_strands=config.reverse_complement)
        self.take(train, held_out, digests(corpus))


def tokenised(
    corpus: Corpus, spans: np.ndarray, tokenizer: Tokenizer, *, both_strands: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of genes end to end (int32), and where each gene's begin and end (int64, [genes, 2]).

    With ``both_strands`` each gene follows a second time, read from its other end.
    """
    codes = [np.asarray(corpus.all_codes[start:end]) for start, end in spans]
    if both_strands:
        codes += [reverse_complement(one) for one in codes]
    ids = [tokenizer.encode(one) for one in codes]
    edges = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return np.concatenate(ids), np.stack([edges[:-1], edges[1:]], axis=1)


def masked_windows(
    ids: np.ndarray,
    spans: np.ndarray,
    count: int,
    length: int,
    seed: list[int],
    *,
    masked: float,
    vocabulary: int,
) -> tuple[Tensor, Tensor]:
    """Draw windows at random from genes chosen in proportion to their tokens, with tokens to restore.

    Half of the windows have as many tokens as fit between CLS and SEP, the others 20 or more; a shorter gene is
    taken whole. Each token but UNK is to be restored with probability ``masked``: it is the target, and in its place
    stands MASK, or one time in five a random token.

    Parameters
    ----------
    ids, spans
        Tokens of all genes, and where each gene's begin and end (see :func:`tokenised`).
    length
        Positions of a window, CLS and SEP included.
    seed
        Numbers that decide all of it.
    vocabulary
        How many tokens the tokenizer has.

    Returns
    -------
    Input ids and target ids, int64 [count, length], padded with PAD and ``IGNORED``.
    """
    random = np.random.default_rng(seed)
    most = length - 2
    sizes = spans[:, 1] - spans[:, 0]
    reach = np.cumsum(sizes)
    chosen = np.searchsorted(reach, random.integers(reach[-1], size=count), side="right")
    some = random.integers(min(SHORTEST, most), most + 1, size=count)
    tokens = np.minimum(np.where(random.random(count) < WHOLE, most, some), sizes[chosen])
    first = spans[chosen, 0] + random.integers(sizes[chosen] - tokens + 1)
    places = np.arange(most)
    inside = places < tokens[:, None]
    found = np.where(inside, ids[np.where(inside, first[:, None] + places, 0)], PAD)
    wanted = (found >= FIRST_BASE) & (random.random(found.shape) < masked)
    replaced = random.integers(FIRST_BASE, vocabulary, size=found.shape)
    shown = np.where(random.random(found.shape) < MASKED, MASK, replaced)
    inputs = np.full((count, length), PAD, dtype=np.int64)
    inputs[:, 0] = CLS
    inputs[:, 1:-1] = np.where(wanted, shown, found)
    inputs[np.arange(count), tokens + 1] = SEP
    targets = np.full_like(inputs, IGNORED)
    targets[:, 1:-1][wanted] = found[wanted]
    return torch.from_numpy(inputs), torch.from_numpy(targets)

"""What a masked model is trained on: windows of tokens between CLS and SEP, some of them masked or replaced."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.genes.fasta import reverse_complement
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.windows import VALIDATION_SEED, digests, training_spans
from dnastudy.tokens.kmer import OverlappingKmerTokenizer
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, PAD, SEP, UNK, Tokenizer

# As GROVER was trained (Sanabria et al. 2024, Methods).
WHOLE = 0.5  # share of windows that are as long as fits
SHORTEST = 20  # tokens; the other windows have from so many to as many as fit
MASKED = 0.8  # of the tokens to restore; a random token stands for each of the others


class MaskedSource:
    """A corpus's training genes as masked windows of tokens, each a function of the settings and the step alone.

    Genes are made into tokens whole, and windows cut between tokens. Of the training settings ``batch``,
    ``window`` (in tokens, CLS and SEP included), ``masked``, ``reverse_complement``, ``train_bases``,
    ``validation_windows`` and ``seed`` are used.

    Attributes
    ----------
    epoch_steps : int
        Steps that see as many tokens as there are.

    Raises
    ------
    InputError
        When a split holds no genes, no token fits into a window, whole genes are asked for, or tokens overlap.
    """

    unit = "token"

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, config: TrainingConfig):
        if config.sampling == "genes":
            raise InputError("training: sampling 'genes'; a masked model is trained on windows, leave sampling out")
        if config.window < 3:
            raise InputError(f"training: window {config.window}; expected 3 or more: CLS, a token and SEP")
        if isinstance(tokenizer, OverlappingKmerTokenizer):
            raise InputError(
                "training: overlapping k-mers; a masked one can be read off its neighbours, take other tokens"
            )
        self.corpus, self.tokenizer, self.config = corpus, tokenizer, config
        self._held_out = corpus.spans("validation")
        spans = training_spans(corpus, config.train_bases, config.seed)
        self._genes = tokenised(corpus, spans, tokenizer, both_strands=config.reverse_complement)
        self.epoch_steps = -(-len(self._genes[0]) // (config.batch * (config.window - 2)))

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and target ids of a step, int64 [batch, window]; see :func:`masked_windows`."""
        return self._windows(self._genes, self.config.batch, [self.config.seed, step])

    def validation(self) -> tuple[Tensor, Tensor]:
        """Windows of the validation genes, the same whatever the run's seed or batch."""
        genes = tokenised(self.corpus, self._held_out, self.tokenizer)
        return self._windows(genes, self.config.validation_windows, [VALIDATION_SEED])

    def identity(self) -> dict[str, str]:
        """SHA-256 of the corpus (see :func:`dnastudy.models.windows.digests`) and of the vocabulary."""
        vocabulary = type(self.tokenizer).__name__, self.tokenizer.tokens, self.tokenizer.merges
        return digests(self.corpus) | {"tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()}

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are read, masked or not."""
        return int(((inputs >= MASK) | (inputs == UNK)).sum())

    def in_tokens(self, history: list[dict]) -> list[dict]:
        """The rows of `train`, which calls tokens bases, under their own names.

        ``validation_masked_bits_per_base`` stands beside bits per token: the same bits, over the bases of the
        tokens that were to be restored.
        """
        _, targets = self.validation()
        bases = self.tokenizer.lengths[targets[targets != IGNORED].numpy()].mean().item()
        return [
            {name.replace("base", "token"): value for name, value in row.items()}
            | {"validation_masked_bits_per_base": row["validation_bits_per_base"] / bases}
            for row in history
        ]

    def _windows(self, genes: tuple[np.ndarray, np.ndarray], count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        config, vocabulary = self.config, len(self.tokenizer)
        return masked_windows(*genes, count, config.window, seed, masked=config.masked, vocabulary=vocabulary)


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

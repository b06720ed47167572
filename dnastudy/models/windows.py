"""What a model of DNA is trained and validated on: windows or whole genes of a corpus, as batches of ids."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.kmer import OverlappingKmerTokenizer
from dnastudy.tokens.tokenizer import BASE_TO_ID, CLS, FIRST_BASE, PAD, SEP, Tokenizer

VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared
_OUTSIDE = 5  # the code of a position that no base fills
_INPUTS = np.array([*BASE_TO_ID, PAD], dtype=np.int64)
_TARGETS = np.array([*BASE_TO_ID[:4], IGNORED, IGNORED], dtype=np.int64)
_COMPLEMENT = np.array([3, 2, 1, 0, 4, _OUTSIDE], dtype=np.uint8)
_WASTE = 0.1  # the greatest share of padding in a batch of genes
_ALIKE = 1.04  # genes whose lengths differ by no more than this factor change places between epochs
_COUNTED = 2**22  # tokens counted at once


class CorpusSource:
    """A corpus's training genes in batches, each a function of the settings and the step alone.

    Attributes
    ----------
    spans : int64 [genes, 2]
        The training genes used (see :func:`training_spans`).
    epoch_steps : int
        Steps that see each gene once; with windows, steps that see as many bases as there are.

    Raises
    ------
    InputError
        When the training or the validation split holds no genes.
    """

    def __init__(self, corpus: Corpus, config: TrainingConfig):
        corpus.indices("validation")
        self.corpus, self.config = corpus, config
        self.spans = training_spans(corpus, config.train_bases, config.seed)
        self._codes = np.asarray(corpus.all_codes)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])
        sizes = self.spans[:, 1] - self.spans[:, 0]
        if config.sampling == "genes":
            self._batches = GeneBatches(np.minimum(sizes + config.end, config.window), config.batch)
            self.epoch_steps = len(self._batches)
        else:
            self.epoch_steps = -(-int(sizes.sum()) // (config.batch * config.window))

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and target ids of a step, int64 [rows, positions]."""
        config = self.config
        options = {"end": config.end, "reverse_complement": config.reverse_complement}
        if config.sampling == "windows":
            place = [config.seed, step]
            return cut_windows(self._codes, self.spans, config.batch, config.window, place, **options)
        epoch, number = divmod(step, self.epoch_steps)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches.shuffled([config.seed, epoch])
        spans = self.spans[self._epoch[1][number]]
        sizes = np.minimum(spans[:, 1] - spans[:, 0], config.window)
        random = np.random.default_rng([config.seed, step])
        return _cut(self._codes, spans, np.zeros_like(sizes), sizes, config.window, random, **options)

    def validation(self) -> tuple[Tensor, Tensor]:
        """The validation windows (see :func:`validation_set`), or with whole genes each validation gene once."""
        if self.config.sampling == "windows":
            return validation_set(self.corpus, self.config)
        spans = self.corpus.spans("validation")
        sizes = np.minimum(spans[:, 1] - spans[:, 0], self.config.window)
        longest_first = np.argsort(-sizes, kind="stable")
        spans, sizes = spans[longest_first], sizes[longest_first]
        nothing = np.random.default_rng(0)  # neither strand nor place is drawn
        options = {"end": False, "reverse_complement": False}
        return _cut(self._codes, spans, np.zeros_like(sizes), sizes, self.config.window, nothing, **options)

    def identity(self) -> dict[str, str]:
        """SHA-256 of the corpus: see :func:`digests`."""
        return digests(self.corpus)

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many bases A C G T are among the targets."""
        return int((targets >= FIRST_BASE).sum())


class GeneBatches:
    """Genes of similar length side by side: at most a tenth of a batch is padding.

    Sorted by length, genes fill a batch until it has ``batch`` rows or a longer row would leave too much
    padding. Where the batches are cut depends on the lengths alone, so that each epoch has as many; which of
    the genes of nearly equal length share one, and the order of the batches, differ by epoch.

    Parameters
    ----------
    lengths
        Positions that each gene takes, [genes].
    batch
        Rows in a batch, at most.
    """

    def __init__(self, lengths: np.ndarray, batch: int):
        self._bin = -np.floor(np.log(np.maximum(lengths, 1)) / np.log(_ALIKE)).astype(np.int64)  # longest first
        order = np.lexsort((-lengths, self._bin))
        _, first, bin_of = np.unique(self._bin[order], return_index=True, return_inverse=True)
        # Whichever genes of a bin come together, none is longer or shorter than these.
        longest = np.maximum.reduceat(lengths[order], first)[bin_of].tolist()
        shortest = np.minimum.reduceat(lengths[order], first)[bin_of].tolist()
        self._edges: list[int] = []
        start, filled = 0, 0
        for place, least in enumerate(shortest):
            filled += least
            rows = place + 1 - start
            if rows > 1 and (rows > batch or filled < (1 - _WASTE) * rows * longest[start]):
                self._edges.append(place)
                start, filled = place, least

    def __len__(self) -> int:
        return len(self._edges) + 1

    def shuffled(self, seed: list[int]) -> list[np.ndarray]:
        """The batches of an epoch, in its order: numbers of genes."""
        random = np.random.default_rng(seed)
        order = np.lexsort((random.random(len(self._bin)), self._bin))
        batches = np.split(order, self._edges)
        return [batches[number] for number in random.permutation(len(batches))]


class TokenWindows:
    """Windows of tokens, each a function of the settings and the step alone: what all sources of them share.

    A subclass calls :meth:`take` with its tokens, and has ``cost``, ``cut(ids, spans, count, seed)`` and
    ``per_window(sizes)``: what a token's bits over its bases are called, windows drawn from spans of tokens, and the
    tokens that such a window has in the mean.

    Attributes
    ----------
    bases_per_token : float
        Mean length of the training tokens.
    epoch_steps : int
        Steps that see as many tokens as there are.

    Raises
    ------
    InputError
        When whole genes are asked for, tokens overlap, or no base to learn from is known.
    """

    unit = "token"

    def __init__(self, tokenizer: Tokenizer, config: TrainingConfig):
        if config.sampling == "genes":
            raise InputError("training: sampling 'genes'; tokens are learnt in windows, leave sampling out")
        if isinstance(tokenizer, OverlappingKmerTokenizer):
            raise InputError("training: overlapping k-mers; each can be read off its neighbours, take other tokens")
        self.tokenizer, self.config = tokenizer, config

    def take(
        self, train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], identity: dict
    ) -> None:
        """Take the tokens to learn from and those held out, each with the spans (int64 [n, 2]) to draw from."""
        self._train, self._held_out, self._identity = train, held_out, identity
        ids, spans = train
        parts = (ids[start : start + _COUNTED] for start in range(0, len(ids), _COUNTED))
        counts = sum(np.bincount(part, minlength=len(self.tokenizer)) for part in parts)[FIRST_BASE:]
        if not counts.any():
            raise InputError("training: no A, C, G or T among the bases to learn from; give known sequence")
        self.bases_per_token = float(np.average(self.tokenizer.lengths[FIRST_BASE:], weights=counts))
        sizes = spans[:, 1] - spans[:, 0]
        self._per_step = self.config.batch * self.per_window(sizes)
        self.epoch_steps = math.ceil(sizes.sum() / self._per_step)

    def steps_for(self, bases: float) -> int:
        """Steps that see so many bases."""
        return math.ceil(bases / (self._per_step * self.bases_per_token))

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and target ids of a step, int64 [batch, window]."""
        return self.cut(*self._train, self.config.batch, [self.config.seed, step])

    def validation(self) -> tuple[Tensor, Tensor]:
        """Windows of what is held out, the same whatever the run's seed or batch."""
        return self.cut(*self._held_out, self.config.validation_windows, [VALIDATION_SEED])

    def identity(self) -> dict[str, str]:
        """SHA-256 of the bases and of the vocabulary."""
        vocabulary = type(self.tokenizer).__name__, self.tokenizer.tokens, self.tokenizer.merges
        return self._identity | {"tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()}

    def in_tokens(self, history: list[dict]) -> list[dict]:
        """The rows of `train`, which calls tokens bases, under their own names.

        ``cost`` stands beside bits per token: the same bits, over the bases of the tokens that they are of.
        """
        bases = self.bases_per_target()
        return [
            {name.replace("base", "token"): value for name, value in row.items()}
            | {self.cost: row["validation_bits_per_base"] / bases}
            for row in history
        ]

    def bases_per_target(self) -> float:
        """Mean length of the validation windows' targets."""
        _, targets = self.validation()
        return self.tokenizer.lengths[targets[targets != IGNORED].numpy()].mean().item()


def digests(corpus: Corpus) -> dict[str, str]:
    """SHA-256 of the files that training reads, by name."""
    return {name: corpus.info["files"][name] for name in ("codes.npy", "offsets.npy", "split.npy")}


def training_spans(corpus: Corpus, bases: int = 0, seed: int = 0) -> np.ndarray:
    """Where the training genes used begin and end in ``all_codes``; int64 [genes, 2], in corpus order.

    Parameters
    ----------
    bases
        0: all of them. Else genes in a random order until there are so many bases, the last gene cut short;
        a larger subset of the same seed holds the smaller one.

    Raises
    ------
    InputError
        When there are no training genes, or fewer bases than asked for.
    """
    spans = corpus.spans("train")
    if not bases:
        return spans
    spans = np.random.default_rng(seed).permutation(spans)
    reach = np.cumsum(spans[:, 1] - spans[:, 0])
    if bases > reach[-1]:
        raise InputError(f"training: train_bases {bases:,}; the training genes have {reach[-1]:,} (0 takes them all)")
    last = int(np.searchsorted(reach, bases))
    spans = spans[: last + 1]
    spans[last, 1] -= reach[last] - bases
    return spans[np.argsort(spans[:, 0])]


def validation_set(corpus: Corpus, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Input ids and target ids of the validation windows: the same whatever the model, its batch or its seed.

    Bases are the only targets. Shorter windows come last.
    """
    spans, count = corpus.spans("validation"), config.validation_windows
    inputs, targets = cut_windows(corpus.all_codes, spans, count, config.window, [VALIDATION_SEED])
    order = torch.argsort((inputs == PAD).sum(1), stable=True)
    return inputs[order], targets.masked_fill(targets == SEP, IGNORED)[order]


def cut_windows(
    codes: np.ndarray,
    spans: np.ndarray,
    count: int,
    length: int,
    seed: list[int],
    *,
    end: bool = True,
    reverse_complement: bool = False,
) -> tuple[Tensor, Tensor]:
    """Draw windows at random from genes chosen in proportion to their length.

    Each window begins with the start symbol wherever it lies; one that reaches the gene's end has the end
    symbol for its last target; a shorter gene is taken whole.

    Parameters
    ----------
    codes, spans
        All base codes (uint8, [bases]), and where the genes to draw from begin and end (int64, [genes, 2]).
    seed
        Numbers that decide the windows, and they alone: for training, the run's seed and the step.
    end
        Whether the end symbol is a target.
    reverse_complement
        Whether half of the windows, at random, are cut from the opposite strand.

    Returns
    -------
    Input ids and target ids, int64 [count, length], padded with PAD and ``IGNORED``.
    """
    random = np.random.default_rng(seed)
    sizes = spans[:, 1] - spans[:, 0]
    reach = np.cumsum(sizes)
    chosen = np.searchsorted(reach, random.integers(reach[-1], size=count), side="right")
    sizes = sizes[chosen]
    offsets = (random.random(count) * np.maximum(1, sizes + end - length + 1)).astype(np.int64)
    bases = np.minimum(length, sizes - offsets)
    options = {"end": end, "reverse_complement": reverse_complement}
    inputs, targets = _cut(codes, spans[chosen], offsets, bases, length, random, **options)
    missing = length - inputs.shape[1]
    padded = torch.nn.functional.pad
    return padded(inputs, (0, missing), value=PAD), padded(targets, (0, missing), value=IGNORED)


def _cut(
    codes: np.ndarray,
    spans: np.ndarray,
    offsets: np.ndarray,
    bases: np.ndarray,
    length: int,
    random: np.random.Generator,
    *,
    end: bool,
    reverse_complement: bool,
) -> tuple[Tensor, Tensor]:
    """Rows of ``bases`` bases from ``offsets`` on in genes, padded to the longest; with room, the end symbol."""
    backwards = random.integers(2, size=len(spans)) > 0 if reverse_complement else np.zeros(len(spans), dtype=bool)
    first = np.where(backwards, spans[:, 1] - 1 - offsets, spans[:, 0] + offsets)
    ends = end & (bases < length)
    places = np.arange(int((bases + ends).max()))
    at = first[:, None] + np.where(backwards, -1, 1)[:, None] * places
    inside = places < bases[:, None]
    found = np.where(inside, codes[np.where(inside, at, 0)], np.uint8(_OUTSIDE))
    found[backwards] = _COMPLEMENT[found[backwards]]
    targets = _TARGETS[found]
    targets[ends, bases[ends]] = SEP
    inputs = np.full_like(targets, CLS)
    inputs[:, 1:] = _INPUTS[found[:, :-1]]
    return torch.from_numpy(inputs), torch.from_numpy(targets)

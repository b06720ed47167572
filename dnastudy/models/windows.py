"""What a model of DNA is trained and validated on: windows or whole genes of a corpus, as batches of ids."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.tokenizer import BASE_TO_ID, CLS, FIRST_BASE, PAD, SEP

VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared
_OUTSIDE = 5  # the code of a position that no base fills
_INPUTS = np.array([*BASE_TO_ID, PAD], dtype=np.int64)
_TARGETS = np.array([*BASE_TO_ID[:4], IGNORED, IGNORED], dtype=np.int64)
_COMPLEMENT = np.array([3, 2, 1, 0, 4, _OUTSIDE], dtype=np.uint8)
_WASTE = 0.1  # the greatest share of padding in a batch of genes
_ALIKE = 1.04  # genes whose lengths differ by no more than this factor change places between epochs


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

"""What a model of single bases is trained and validated on: windows or whole genes of a corpus, as batches of ids."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.genes.corpus import Corpus
from dnastudy.models.neural import IGNORED, NeuralModel
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.ids import BASE_TO_ID, CLS, FIRST_BASE, PAD, SEP

VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared
_OUTSIDE = 5  # the code of a position that no base fills
_INPUTS = np.array([*BASE_TO_ID, PAD], dtype=np.int64)
_TARGETS = np.array([*BASE_TO_ID[:4], IGNORED, IGNORED], dtype=np.int64)
_COMPLEMENT = np.array([3, 2, 1, 0, 4, _OUTSIDE], dtype=np.uint8)
_WASTE = 0.1  # the greatest share of padding in a batch of genes
_ALIKE = 1.04  # genes whose lengths differ by no more than this factor change places between epochs


class CorpusSource:
    """A corpus's training genes in batches, each a function of the settings and the step alone."""

    def __init__(self, corpus: Corpus, config: TrainingConfig):
        corpus.indices("validation")  # refuses a corpus that has none
        self.corpus, self.config = corpus, config
        self.spans = training_spans(corpus, config.train_bases, config.seed)
        self._codes = np.asarray(corpus.all_codes)
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
        seed = [config.seed, step]
        if config.sampling == "windows":
            return cut_windows(self._codes, self.spans, config.batch, config.window, seed, **options)
        return self._whole(self.spans[self._batches.at(step, config.seed)], np.random.default_rng(seed), **options)

    def validation(self) -> tuple[Tensor, Tensor]:
        """The validation windows (see :func:`validation_set`), or with whole genes each validation gene once."""
        if self.config.sampling == "windows":
            return validation_set(self.corpus, self.config)
        spans = self.corpus.spans("validation")
        longest_first = np.argsort(-np.minimum(spans[:, 1] - spans[:, 0], self.config.window), kind="stable")
        nothing = np.random.default_rng(0)  # neither strand nor place is drawn
        return self._whole(spans[longest_first], nothing, end=False, reverse_complement=False)

    def _whole(self, spans: np.ndarray, random: np.random.Generator, **options: bool) -> tuple[Tensor, Tensor]:
        window = self.config.window
        sizes = np.minimum(spans[:, 1] - spans[:, 0], window)
        return _cut(self._codes, spans, np.zeros_like(sizes), sizes, window, random, **options)

    def identity(self) -> dict[str, str]:
        """SHA-256 of the corpus's files."""
        return digests(self.corpus)

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many bases A C G T are among the targets."""
        return int((targets >= FIRST_BASE).sum())


class GeneBatches:
    """Genes of similar length side by side: at most a tenth of a batch is padding.

    Where the batches are cut depends on the lengths alone, so that each epoch has as many; which of the genes of
    nearly equal length share one, and the order of the batches, differ by epoch.
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
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def __len__(self) -> int:
        return len(self._edges) + 1

    def shuffled(self, seed: list[int]) -> list[np.ndarray]:
        """The batches of an epoch, in its order: numbers of genes."""
        random = np.random.default_rng(seed)
        order = np.lexsort((random.random(len(self._bin)), self._bin))
        batches = np.split(order, self._edges)
        return [batches[number] for number in random.permutation(len(batches))]

    def at(self, step: int, seed: int) -> np.ndarray:
        """The batch of a step."""
        epoch, number = divmod(step, len(self))
        if self._epoch[0] != epoch:
            self._epoch = epoch, self.shuffled([seed, epoch])
        return self._epoch[1][number]


def digests(corpus: Corpus) -> dict[str, str]:
    """SHA-256 of the files that training reads, by name."""
    return {name: corpus.info["files"][name] for name in ("codes.npy", "offsets.npy", "split.npy")}


def training_spans(corpus: Corpus, bases: int = 0, seed: int = 0) -> np.ndarray:
    """Where the training genes used begin and end in ``all_codes``; int64 [genes, 2], in corpus order."""
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
    """Ids and targets (bases alone) of the validation windows, the same for any model, batch or seed; shorter last."""
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
    """Windows drawn at random from genes in proportion to their length; a gene shorter than a window is taken whole.

    Each begins with the start symbol wherever it lies; one that reaches the gene's end has the end symbol for its
    last target.
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
    inputs = functional.pad(inputs, (0, missing), value=PAD)
    return inputs, functional.pad(targets, (0, missing), value=IGNORED)


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


@torch.no_grad()
def bits_per_symbol(model: NeuralModel, inputs: Tensor, targets: Tensor, rows: int) -> float:
    """Bits per target (int64 [n, ..., positions]), ``rows`` at a time, of probabilities over ``model.scored`` alone."""
    model.eval()
    scored = torch.tensor(model.scored, device=model.device)
    nats, count = 0.0, 0
    for some_inputs, some_targets in zip(inputs.split(rows), targets.split(rows), strict=True):
        known = some_targets != IGNORED
        if not known.any():
            continue
        looked_at = known if model.causal else some_inputs != PAD
        there = (slice(None), *(slice(int(places.max()) + 1) for places in looked_at.nonzero(as_tuple=True)[1:]))
        known, wanted = known[there].to(model.device), some_targets[there].to(model.device)
        logits, _ = model(some_inputs[there].to(model.device))
        place = torch.searchsorted(scored, wanted[known])
        nats += functional.cross_entropy(logits[known][:, scored].float(), place, reduction="sum").item()
        count += len(place)
    model.train()
    if count == 0:
        raise InputError("the validation windows hold no A, C, G or T; give more validation_windows or genes")
    return nats / count / math.log(2)

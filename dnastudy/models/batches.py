"""What a model of DNA is trained and validated on: windows or whole genes of a corpus, as batches of ids."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, reverse_complement
from dnastudy.genes.corpus import Corpus
from dnastudy.genes.intervals import runs
from dnastudy.models.neural import IGNORED, NeuralModel
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.ids import BASE_TO_ID, CLS, FIRST_BASE, MASK, PAD, SEP, UNK
from dnastudy.tokens.tokenizer import Tokenizer

VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared
_OUTSIDE = 5  # the code of a position that no base fills
_INPUTS = np.array([*BASE_TO_ID, PAD], dtype=np.int64)
_TARGETS = np.array([*BASE_TO_ID[:4], IGNORED, IGNORED], dtype=np.int64)
_COMPLEMENT = np.array([3, 2, 1, 0, 4, _OUTSIDE], dtype=np.uint8)
_WASTE = 0.1  # the greatest share of padding in a batch of genes
_ALIKE = 1.04  # genes whose lengths differ by no more than this factor change places between epochs
_COUNTED = 2**22  # tokens counted at once
# As GROVER was trained (Sanabria et al. 2024, Methods).
WHOLE = 0.5  # share of windows that are as long as fits
SHORTEST = 20  # tokens; the other windows have from so many to as many as fit
MASKED = 0.8  # of the tokens to restore; a random token stands for each of the others
HELD_BACK = 0.05  # share of the known bases to validate on, where nothing else is given


class CorpusSource:
    """A corpus's training genes in batches, each a function of the settings and the step alone."""

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
    """

    unit = "token"

    def __init__(self, tokenizer: Tokenizer, config: TrainingConfig):
        if config.sampling == "genes":
            raise InputError("training: sampling 'genes'; tokens are learnt in windows, leave sampling out")
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


class MaskedWindows(TokenWindows):
    """Masked windows of tokens (see :func:`masked_windows`).

    Of the training settings ``batch``, ``window`` (in tokens, CLS and SEP included), ``masked``,
    ``reverse_complement``, ``validation_windows`` and ``seed`` are used.
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


class TokenSource(TokenWindows):
    """Windows of the tokens of contigs, for a causal model to learn the next token.

    Contigs are made into tokens whole. Windows lie in runs of known tokens, at places all equally likely. Of the
    training settings ``batch``, ``window`` (in tokens), ``reverse_complement``, ``validation_windows`` and ``seed``
    are used.
    """

    cost = "validation_bits_per_base"

    def __init__(
        self,
        codes: np.ndarray,
        tokenizer: Tokenizer,
        config: TrainingConfig,
        *,
        validation: np.ndarray | None = None,
    ):
        super().__init__(tokenizer, config)
        self.take(*contig_tokens(codes, validation, tokenizer, config, least=config.window))

    def cut(self, ids: np.ndarray, spans: np.ndarray, count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        """Draw windows: CLS and all tokens but the last as inputs, the tokens as targets; int64 [count, window]."""
        window = self.config.window
        places = spans[:, 1] - spans[:, 0] - window + 1
        reach = np.cumsum(places)
        drawn = np.random.default_rng(seed).integers(reach[-1], size=count)
        run = np.searchsorted(reach, drawn, side="right")
        first = spans[run, 0] + drawn - (reach - places)[run]
        targets = ids[first[:, None] + np.arange(window)].astype(np.int64)
        inputs = np.concatenate([np.full((count, 1), CLS), targets[:, :-1]], axis=1)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def per_window(self, sizes: np.ndarray) -> float:
        """Tokens of a window."""
        return self.config.window

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are learnt from."""
        return int((targets != IGNORED).sum())


class MaskedTokenSource(MaskedWindows):
    """Masked windows of the tokens of contigs, which BERT learns to fill in; a shorter run of known tokens is one.

    Parameters and errors are those of `TokenSource`.
    """

    def __init__(
        self,
        codes: np.ndarray,
        tokenizer: Tokenizer,
        config: TrainingConfig,
        *,
        validation: np.ndarray | None = None,
    ):
        super().__init__(tokenizer, config)
        self.take(*contig_tokens(codes, validation, tokenizer, config, least=1))


def masked_bits(model: NeuralModel, source: MaskedTokenSource) -> tuple[float, float]:
    """Bits per masked token of the validation windows, and per base of those tokens."""
    with model.evaluating():
        bits = bits_per_symbol(model, *source.validation(), source.config.batch)
    return bits, bits / source.bases_per_target()


def contig_tokens(
    codes: np.ndarray, validation: np.ndarray | None, tokenizer: Tokenizer, config: TrainingConfig, *, least: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], dict[str, str]]:
    """Tokens to learn from and to validate on, each with the runs of known ones; and SHA-256 of the bases.

    Tokens are in the smallest unsigned type that holds them, runs int64 [n, 2], and no run is shorter than ``least``.
    """
    held_out = "sequence to validate on"
    if validation is None:
        held_out = "last twentieth of the sequence, which is held back to validate on"
        codes, validation = np.split(codes, [end_of_training(codes)])
    strands = [codes, reverse_complement(codes)] if config.reverse_complement else [codes]
    identity = {"train": codes, "validation": validation}
    return (
        _in_runs(strands, tokenizer, least, "sequence to learn from"),
        _in_runs([validation], tokenizer, least, held_out),
        {name: hashlib.sha256(np.ascontiguousarray(part)).hexdigest() for name, part in identity.items()},
    )


def end_of_training(codes: np.ndarray) -> int:
    """Where the last twentieth of the known bases begins, which is held back to validate on."""
    starts, ends = runs(codes < UNKNOWN, np.array([0, len(codes)]))
    reach = np.cumsum(ends - starts)
    if not len(reach):
        return 0
    learnt = int((1 - HELD_BACK) * reach[-1])
    last = np.searchsorted(reach, learnt)
    return int(ends[last] - (reach[last] - learnt))


def _in_runs(strands: list[np.ndarray], tokenizer: Tokenizer, least: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of sequences in a row, and the runs of known ones."""
    smallest = np.min_scalar_type(len(tokenizer))
    gap = np.array([UNK], dtype=smallest)
    ids = np.concatenate([part for one in strands for part in (tokenizer.encode(one).astype(smallest), gap)])
    spans = np.stack(runs(ids != UNK, np.array([0, len(ids)])), axis=1)
    sizes = spans[:, 1] - spans[:, 0]
    if not (sizes >= least).any():
        raise InputError(
            f"training: no {least:,} known tokens side by side in the {what}, {max(sizes, default=0):,} at most; "
            "give longer contigs, or shorten window"
        )
    return ids, spans[sizes >= least]


@torch.no_grad()
def bits_per_symbol(model: NeuralModel, inputs: Tensor, targets: Tensor, rows: int) -> float:
    """Bits per target over ``inputs`` (both int64 [n, ..., positions]), ``rows`` at a time; of DNA, bits per base.

    Probabilities are normalised over ``model.scored``: of a tuned model of DNA, A C G T alone.
    """
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

"""What models are trained and validated on, as batches of ids: windows of bases or of tokens, or whole genes."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, reverse_complement, true_runs
from dnastudy.genes.corpus import Corpus
from dnastudy.models.checkpoint import in_units
from dnastudy.models.neural import IGNORED
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.tokenizer import BASE_TO_ID, CLS, FIRST_BASE, MASK, PAD, SEP, UNK, Tokenizer

VALIDATION_SEED = 1  # the same windows whatever the run's seed, so that runs can be compared
_OUTSIDE = 5  # the code of a position that no base fills
_INPUTS = np.array([*BASE_TO_ID, PAD], dtype=np.int64)
_TARGETS = np.array([*BASE_TO_ID[:4], IGNORED, IGNORED], dtype=np.int64)
_COMPLEMENT = np.array([3, 2, 1, 0, 4, _OUTSIDE], dtype=np.uint8)
_WASTE = 0.1  # the greatest share of padding in a batch of genes
_ALIKE = 1.04  # genes whose lengths differ by no more than this factor change places between epochs
_COUNTED = 2**22  # tokens counted at once
_HELD_BACK = 0.05  # share of the known bases of contigs to validate on, where nothing else is given
# As GROVER was trained (Sanabria et al. 2024, Methods).
_WHOLE = 0.5  # share of windows that are as long as fits
_SHORTEST = 20  # tokens; the other windows have from so many to as many as fit
_MASKED = 0.8  # of the tokens to restore; a random token stands for each of the others


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
        config, seed = self.config, [self.config.seed, step]
        options = {"end": config.end, "reverse_complement": config.reverse_complement}
        if config.sampling == "windows":
            return cut_windows(self._codes, self.spans, config.batch, config.window, seed, **options)
        spans = self.spans[self._batches.at(step, config.seed)]
        return _rows(self._codes, spans, config.window, np.random.default_rng(seed), **options)

    def validation(self) -> tuple[Tensor, Tensor]:
        """Validation windows, the same for any model, batch or seed, or whole genes once each; the longest first."""
        config, spans = self.config, self.corpus.spans("validation")
        if config.sampling == "windows":
            inputs, targets = cut_windows(
                self._codes, spans, config.validation_windows, config.window, [VALIDATION_SEED]
            )
            order = torch.argsort((inputs == PAD).sum(1), stable=True)
            return inputs[order], targets.masked_fill(targets == SEP, IGNORED)[order]
        longest_first = np.argsort(-np.minimum(spans[:, 1] - spans[:, 0], config.window), kind="stable")
        nothing = np.random.default_rng(0)  # neither strand nor place is drawn
        return _rows(self._codes, spans[longest_first], config.window, nothing, end=False)

    def identity(self) -> dict[str, str]:
        """SHA-256 of the corpus's files."""
        return digests(self.corpus)

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many bases A C G T are among the targets."""
        return int((targets >= FIRST_BASE).sum())


class GeneBatches:
    """Genes of similar length side by side, others in each epoch: at most a tenth of a batch is padding."""

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


def cut_windows(
    codes: np.ndarray, spans: np.ndarray, count: int, length: int, seed: list[int], **how: bool
) -> tuple[Tensor, Tensor]:
    """Windows drawn at random from genes in proportion to their length, whole genes if shorter; ``how``: of `_rows`."""
    random = np.random.default_rng(seed)
    chosen, _ = _in_proportion(spans[:, 1] - spans[:, 0], count, random)
    inputs, targets = _rows(codes, spans[chosen], length, random, anywhere=True, **how)
    missing = (0, length - inputs.shape[1])
    return functional.pad(inputs, missing, value=PAD), functional.pad(targets, missing, value=IGNORED)


def _in_proportion(sizes: np.ndarray, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of spans drawn in proportion to their sizes, and the place drawn in each; int64 [count] both."""
    reach = np.cumsum(sizes)
    drawn = random.integers(reach[-1], size=count)
    chosen = np.searchsorted(reach, drawn, side="right")
    return chosen, drawn - (reach - sizes)[chosen]


def _rows(
    codes: np.ndarray,
    spans: np.ndarray,
    length: int,
    random: np.random.Generator,
    *,
    anywhere: bool = False,
    end: bool = True,
    reverse_complement: bool = False,
) -> tuple[Tensor, Tensor]:
    """Rows of up to ``length`` bases from the start of genes, or anywhere; after a gene's last base the end symbol."""
    sizes, offsets = spans[:, 1] - spans[:, 0], 0
    if anywhere:
        offsets = (random.random(len(spans)) * np.maximum(1, sizes + end - length + 1)).astype(np.int64)
    bases = np.minimum(length, sizes - offsets)
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


class TokenSource:
    """Windows of known tokens of contigs, at places all equally likely, for a causal model to learn the next token."""

    unit = "token"
    cost = "validation_bits_per_base"  # what a token's bits over its bases are called
    whole = True  # whether a window is never shorter than asked for

    def __init__(
        self,
        data: np.ndarray | Corpus,
        tokenizer: Tokenizer,
        config: TrainingConfig,
        *,
        validation: np.ndarray | None = None,
    ):
        if config.sampling == "genes":
            raise InputError("training: sampling 'genes'; tokens are learnt in windows, leave sampling out")
        if config.window < 3 and not self.whole:
            raise InputError(f"training: window {config.window}; expected 3 or more: CLS, a token and SEP")
        self.tokenizer, self.config = tokenizer, config
        if isinstance(data, np.ndarray):
            self._read_contigs(data, validation)
        else:
            self._read_genes(data)
        ids, spans = self._train
        parts = np.array_split(ids, 1 + len(ids) // _COUNTED)
        counts = sum(np.bincount(part, minlength=len(tokenizer)) for part in parts)[FIRST_BASE:]
        if not counts.any():
            raise InputError("training: no A, C, G or T among the bases to learn from; give known sequence")
        self.bases_per_token = float(np.average(tokenizer.lengths[FIRST_BASE:], weights=counts))
        sizes = spans[:, 1] - spans[:, 0]
        self._per_step = config.batch * self.per_window(sizes)
        self.epoch_steps = math.ceil(sizes.sum() / self._per_step)

    def _read_contigs(self, codes: np.ndarray, validation: np.ndarray | None) -> None:
        """Tokens to learn from and held out, each with the runs of known ones to draw from; SHA-256 of the bases."""
        held_out = "sequence to validate on"
        if validation is None:
            held_out = "last twentieth of the sequence, which is held back to validate on"
            codes, validation = np.split(codes, [end_of_training(codes)])
        strands = [codes, reverse_complement(codes)] if self.config.reverse_complement else [codes]
        self._train = self._in_runs(strands, "sequence to learn from")
        self._held_out = self._in_runs([validation], held_out)
        parts = {"train": codes, "validation": validation}
        self._identity = {name: hashlib.sha256(np.ascontiguousarray(part)).hexdigest() for name, part in parts.items()}

    def _in_runs(self, strands: list[np.ndarray], what: str) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of sequences in a row, of the smallest unsigned type that holds them, and the runs of known ones."""
        smallest, least = np.min_scalar_type(len(self.tokenizer)), self.config.window if self.whole else 1
        parts = [np.append(self.tokenizer.encode(one).astype(smallest), smallest.type(UNK)) for one in strands]
        ids = np.concatenate(parts)
        spans = true_runs(ids != UNK)
        sizes = spans[:, 1] - spans[:, 0]
        if not (sizes >= least).any():
            raise InputError(
                f"training: no {least:,} known tokens side by side in the {what}, {max(sizes, default=0):,} at most; "
                "give longer contigs, or shorten window"
            )
        return ids, spans[sizes >= least]

    def _read_genes(self, corpus: Corpus) -> None:
        """Tokens of a corpus's training and validation genes, with the genes' spans; SHA-256 of its files."""
        config, tokenizer = self.config, self.tokenizer
        spans = training_spans(corpus, config.train_bases, config.seed)
        self._train = tokenised(corpus, spans, tokenizer, both_strands=config.reverse_complement)
        self._held_out = tokenised(corpus, corpus.spans("validation"), tokenizer)
        self._identity = digests(corpus)

    def _windows(self, ids: np.ndarray, spans: np.ndarray, count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        """Draw windows: CLS and all tokens but the last as inputs, the tokens as targets; int64 [count, window]."""
        window = self.config.window
        places = spans[:, 1] - spans[:, 0] - window + 1
        chosen, offsets = _in_proportion(places, count, np.random.default_rng(seed))
        targets = ids[(spans[chosen, 0] + offsets)[:, None] + np.arange(window)].astype(np.int64)
        inputs = np.concatenate([np.full((count, 1), CLS), targets[:, :-1]], axis=1)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def per_window(self, sizes: np.ndarray) -> float:
        """Tokens that a window has in the mean, drawn from spans of so many (int64 [n])."""
        return self.config.window

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are learnt from."""
        return int((targets != IGNORED).sum())

    def steps_for(self, bases: float) -> int:
        """Steps that see so many bases."""
        return math.ceil(bases / (self._per_step * self.bases_per_token))

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Input ids and target ids of a step, int64 [batch, window]."""
        return self._windows(*self._train, self.config.batch, [self.config.seed, step])

    def validation(self) -> tuple[Tensor, Tensor]:
        """Windows of what is held out, the same whatever the run's seed or batch."""
        return self._windows(*self._held_out, self.config.validation_windows, [VALIDATION_SEED])

    def identity(self) -> dict[str, str]:
        """SHA-256 of the bases and of the vocabulary."""
        vocabulary = type(self.tokenizer).__name__, self.tokenizer.tokens, self.tokenizer.merges
        return self._identity | {"tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()}

    def in_tokens(self, history: list[dict]) -> list[dict]:
        """The rows of `train` by their own names, and beside bits per token ``cost``: the same bits, over the bases."""
        bases = self.bases_per_target()
        return [row | {self.cost: row["validation_bits_per_token"] / bases} for row in in_units(history, self.unit)]

    def bases_per_target(self) -> float:
        """Mean length of the validation windows' targets."""
        _, targets = self.validation()
        return self.tokenizer.lengths[targets[targets != IGNORED].numpy()].mean().item()


class MaskedSource(TokenSource):
    """Windows of a corpus's training genes, or of contigs, with tokens masked; ``window`` has CLS and SEP within."""

    cost = "validation_masked_bits_per_base"
    whole = False

    def _windows(self, ids: np.ndarray, spans: np.ndarray, count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        options = {"masked": self.config.masked, "vocabulary": len(self.tokenizer)}
        return masked_windows(ids, spans, count, self.config.window, seed, **options)

    def per_window(self, sizes: np.ndarray) -> float:
        """Tokens that a window has in the mean, drawn from spans of so many (int64 [n])."""
        most = self.config.window - 2
        some = np.arange(min(_SHORTEST, most), most + 1)
        fitting = np.searchsorted(some, sizes, side="right")
        whole = np.concatenate([[0], np.cumsum(some)])[fitting] + (len(some) - fitting) * sizes
        return float(np.average(_WHOLE * np.minimum(most, sizes) + (1 - _WHOLE) * whole / len(some), weights=sizes))

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are read, masked or not."""
        return int(((inputs >= MASK) | (inputs == UNK)).sum())


def masked_windows(
    ids: np.ndarray, spans: np.ndarray, count: int, length: int, seed: list[int], *, masked: float, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """Windows drawn from genes in proportion to their tokens, some of them to be restored; int64 [count, length]."""
    random = np.random.default_rng(seed)
    most = length - 2
    sizes = spans[:, 1] - spans[:, 0]
    chosen, _ = _in_proportion(sizes, count, random)
    some = random.integers(min(_SHORTEST, most), most + 1, size=count)
    tokens = np.minimum(np.where(random.random(count) < _WHOLE, most, some), sizes[chosen])
    first = spans[chosen, 0] + random.integers(sizes[chosen] - tokens + 1)
    places = np.arange(most)
    inside = places < tokens[:, None]
    found = np.where(inside, ids[np.where(inside, first[:, None] + places, 0)], PAD)
    wanted = (found >= FIRST_BASE) & (random.random(found.shape) < masked)
    replaced = random.integers(FIRST_BASE, vocabulary, size=found.shape)
    shown = np.where(random.random(found.shape) < _MASKED, MASK, replaced)
    inputs = np.full((count, length), PAD, dtype=np.int64)
    inputs[:, 0] = CLS
    inputs[:, 1:-1] = np.where(wanted, shown, found)
    inputs[np.arange(count), tokens + 1] = SEP
    targets = np.full_like(inputs, IGNORED)
    targets[:, 1:-1][wanted] = found[wanted]
    return torch.from_numpy(inputs), torch.from_numpy(targets)


def tokenised(
    corpus: Corpus, spans: np.ndarray, tokenizer: Tokenizer, *, both_strands: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of genes end to end (int32), then of their other strands, and the span of each (int64, [genes, 2])."""
    codes = [np.asarray(corpus.all_codes[start:end]) for start, end in spans]
    if both_strands:
        codes += [reverse_complement(one) for one in codes]
    ids = [tokenizer.encode(one) for one in codes]
    edges = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return np.concatenate(ids), np.stack([edges[:-1], edges[1:]], axis=1)


def end_of_training(codes: np.ndarray) -> int:
    """Where the last twentieth of the known bases of contigs begins, which is held back to validate on."""
    runs = true_runs(codes < UNKNOWN)
    reach = np.cumsum(runs[:, 1] - runs[:, 0])
    if not len(reach):
        return 0
    learnt = int((1 - _HELD_BACK) * reach[-1])
    last = np.searchsorted(reach, learnt)
    return int(runs[last, 1] - reach[last] + learnt)

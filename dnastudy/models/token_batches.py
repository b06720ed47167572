"""What a model of tokens is trained and validated on: windows of the tokens of genes or of whole contigs."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.codes import UNKNOWN, reverse_complement
from dnastudy.genes.corpus import Corpus
from dnastudy.models.batches import VALIDATION_SEED, bits_per_symbol, digests, training_spans
from dnastudy.models.checkpoint import in_units
from dnastudy.models.neural import IGNORED, NeuralModel
from dnastudy.models.settings import TrainingConfig
from dnastudy.tokens.ids import CLS, FIRST_BASE, MASK, PAD, SEP, UNK
from dnastudy.tokens.tokenizer import Tokenizer

_COUNTED = 2**22  # tokens counted at once
# As GROVER was trained (Sanabria et al. 2024, Methods).
WHOLE = 0.5  # share of windows that are as long as fits
SHORTEST = 20  # tokens; the other windows have from so many to as many as fit
MASKED = 0.8  # of the tokens to restore; a random token stands for each of the others
HELD_BACK = 0.05  # share of the known bases to validate on, where nothing else is given


class TokenSource:
    """Windows of the tokens of contigs, for a causal model to learn the next token.

    Windows lie in runs of known tokens, at places all equally likely. Of the training settings ``batch``, ``window``
    (in tokens), ``reverse_complement``, ``validation_windows`` and ``seed`` are used.
    """

    unit = "token"
    cost = "validation_bits_per_base"  # what a token's bits over its bases are called

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
        self.tokenizer, self.config = tokenizer, config
        self._train, self._held_out, self._identity = self.tokens(data, validation)
        ids, spans = self._train
        parts = (ids[start : start + _COUNTED] for start in range(0, len(ids), _COUNTED))
        counts = sum(np.bincount(part, minlength=len(tokenizer)) for part in parts)[FIRST_BASE:]
        if not counts.any():
            raise InputError("training: no A, C, G or T among the bases to learn from; give known sequence")
        self.bases_per_token = float(np.average(tokenizer.lengths[FIRST_BASE:], weights=counts))
        sizes = spans[:, 1] - spans[:, 0]
        self._per_step = config.batch * self.per_window(sizes)
        self.epoch_steps = math.ceil(sizes.sum() / self._per_step)

    def tokens(self, data: np.ndarray, validation: np.ndarray | None) -> tuple[tuple, tuple, dict[str, str]]:
        """Tokens to learn from and those held out, each with the spans (int64 [n, 2]) to draw from; and SHA-256."""
        return contig_tokens(data, validation, self.tokenizer, self.config, least=self.config.window)

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
        return self.cut(*self._train, self.config.batch, [self.config.seed, step])

    def validation(self) -> tuple[Tensor, Tensor]:
        """Windows of what is held out, the same whatever the run's seed or batch."""
        return self.cut(*self._held_out, self.config.validation_windows, [VALIDATION_SEED])

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
    """Masked windows of the tokens of a corpus's training genes, or of contigs (see :func:`masked_windows`).

    ``masked`` is used too, of a corpus ``train_bases``, and ``window`` has CLS and SEP within.
    """

    cost = "validation_masked_bits_per_base"

    def tokens(self, data: np.ndarray | Corpus, validation: np.ndarray | None) -> tuple[tuple, tuple, dict[str, str]]:
        """Tokens to learn from and those held out, of a corpus its validation genes."""
        tokenizer, config = self.tokenizer, self.config
        if config.window < 3:
            raise InputError(f"training: window {config.window}; expected 3 or more: CLS, a token and SEP")
        if isinstance(data, np.ndarray):
            return contig_tokens(data, validation, tokenizer, config, least=1)
        held_out = tokenised(data, data.spans("validation"), tokenizer)
        spans = training_spans(data, config.train_bases, config.seed)
        return tokenised(data, spans, tokenizer, both_strands=config.reverse_complement), held_out, digests(data)

    def cut(self, ids: np.ndarray, spans: np.ndarray, count: int, seed: list[int]) -> tuple[Tensor, Tensor]:
        """Masked windows: see :func:`masked_windows`."""
        options = {"masked": self.config.masked, "vocabulary": len(self.tokenizer)}
        return masked_windows(ids, spans, count, self.config.window, seed, **options)

    def per_window(self, sizes: np.ndarray) -> float:
        """Tokens that a window has in the mean, drawn from spans of so many (int64 [n])."""
        most = self.config.window - 2
        some = np.arange(min(SHORTEST, most), most + 1)
        fitting = np.searchsorted(some, sizes, side="right")
        whole = np.concatenate([[0], np.cumsum(some)])[fitting] + (len(some) - fitting) * sizes
        return float(np.average(WHOLE * np.minimum(most, sizes) + (1 - WHOLE) * whole / len(some), weights=sizes))

    def bases(self, inputs: Tensor, targets: Tensor) -> int:
        """How many tokens are read, masked or not."""
        return int(((inputs >= MASK) | (inputs == UNK)).sum())


def masked_windows(
    ids: np.ndarray, spans: np.ndarray, count: int, length: int, seed: list[int], *, masked: float, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """Windows drawn at random from genes in proportion to their tokens, with tokens to restore; int64 [count, length].

    Half of the windows are as long as fits, the others have 20 tokens or more; a shorter gene is taken whole. Each
    token but UNK is with probability ``masked`` the target, and MASK, or one time in five a random token, in its place.
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


def masked_bits(model: NeuralModel, source: MaskedSource) -> tuple[float, float]:
    """Bits per masked token of the validation windows, and per base of those tokens."""
    with model.evaluating():
        bits = bits_per_symbol(model, *source.validation(), source.config.batch)
    return bits, bits / source.bases_per_target()


def contig_tokens(
    codes: np.ndarray, validation: np.ndarray | None, tokenizer: Tokenizer, config: TrainingConfig, *, least: int
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], dict[str, str]]:
    """Tokens to learn from and to validate on, each with the runs of ``least`` known ones or more; SHA-256 of bases."""
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
    from dnastudy.genes.intervals import runs  # needs pandas, which training does without

    starts, ends = runs(codes < UNKNOWN, np.array([0, len(codes)]))
    reach = np.cumsum(ends - starts)
    if not len(reach):
        return 0
    learnt = int((1 - HELD_BACK) * reach[-1])
    last = np.searchsorted(reach, learnt)
    return int(ends[last] - reach[last] + learnt)


def _in_runs(strands: list[np.ndarray], tokenizer: Tokenizer, least: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of sequences in a row, of the smallest unsigned type that holds them, and the runs of known ones."""
    from dnastudy.genes.intervals import runs  # needs pandas, which training does without

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

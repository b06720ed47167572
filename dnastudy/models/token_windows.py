"""What a model of tokens learns from where sequence comes in whole contigs: windows of known tokens, masked or not."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.fasta import UNKNOWN, reverse_complement
from dnastudy.genes.intervals import runs
from dnastudy.models.masked import MaskedWindows
from dnastudy.models.neural import IGNORED, NeuralModel
from dnastudy.models.settings import TrainingConfig
from dnastudy.models.training import bits_per_symbol
from dnastudy.models.windows import TokenWindows
from dnastudy.tokens.tokenizer import CLS, UNK, Tokenizer

HELD_BACK = 0.05  # share of the known bases to validate on, where nothing else is given


class TokenSource(TokenWindows):
    """Windows of the tokens of contigs, for a causal model to learn the next token.

    Contigs are made into tokens whole. Windows lie in runs of known tokens, at places all equally likely. Of the
    training settings ``batch``, ``window`` (in tokens), ``reverse_complement``, ``validation_windows`` and ``seed``
    are used.

    Parameters
    ----------
    codes
        Base codes of contigs in a row, uint8, [n], with an unknown base between two.
    tokenizer
        Makes the tokens.
    config
        With ``reverse_complement`` half of the windows are of the opposite strand, made into tokens by itself.
    validation
        Base codes to validate on; None: the last twentieth of the known bases, which isn't learnt from.

    Raises
    ------
    InputError
        When no run of known tokens is as long as a window, or as `TokenWindows` says.
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

    Raises
    ------
    InputError
        When no run is so long.
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

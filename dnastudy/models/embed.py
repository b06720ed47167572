"""What a model makes of a whole sequence: the mean of its states over the tokens, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes import fasta
from dnastudy.models.classifier import rows
from dnastudy.models.neural import VOCABULARY, NeuralModel, positions_at_once
from dnastudy.models.training import use_bf16
from dnastudy.tokens.tokenizer import CLS, PAD, SEP, coded, single_base

if TYPE_CHECKING:
    from dnastudy.models.ngram import NgramModel

BINS = 8  # parts of a sequence that an n-gram model's likelihood is averaged over


def embed(
    model: NeuralModel | NgramModel,
    codes: Sequence[np.ndarray],
    *,
    reverse_complement: bool = False,
    layer: int | None = None,
    precision: str = "fp32",
) -> np.ndarray:
    """A vector for each sequence by a model that stays as it is.

    That is the mean of the model's states over the sequence's tokens, without CLS and SEP; of a sequence longer than
    the context over those of :func:`fitting_ids`. An n-gram model has no states. Its vector is the mean log-likelihood
    (nats a base) in each of 8 equal parts of the sequence, read forwards and then read on the opposite strand; where a
    part has no known base it is that of a base drawn at random, -log 4.

    Parameters
    ----------
    codes
        Base codes of each sequence, uint8 [bases].
    reverse_complement
        Whether the vectors of both strands are averaged.
    layer
        Of a BERT, the layer whose states are taken: 0 is the embedding after its norm, then come the blocks. None: the
        last.
    precision
        That the states are computed in, as in `TrainingConfig`.

    Returns
    -------
    float32 [n, width]; of an n-gram model [n, 16].

    Raises
    ------
    InputError
        When a sequence has no base, a layer is asked for that the model doesn't have, or as :func:`fitting_ids` says.
    """
    if reverse_complement:
        strands = codes, [fasta.reverse_complement(one) for one in codes]
        how = {"layer": layer, "precision": precision}
        return np.mean([embed(model, strand, **how) for strand in strands], axis=0)
    if layer is not None and (model.kind != "bert" or not 0 <= layer <= model.config["layers"]):
        raise InputError(f"layer {layer} of a {model.kind} model; expected 0 to the number of layers, of a bert alone")
    if model.kind == "ngram":
        return _likelihood_bins(model, codes)
    found = np.zeros((len(codes), model.config["width"]), dtype=np.float32)
    bf16 = use_bf16(precision, model.device)
    with model.evaluating(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for chosen, ids in batches(model, fitting_ids(model, codes)):
            states = model.hidden(ids) if layer is None else model.states(ids)[layer]
            found[chosen] = mean_state(states.float(), ids).cpu().numpy()
    return found


def fitting_ids(model: NeuralModel, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each sequence: CLS, its tokens and, in a BERT, SEP; int64 [positions] each.

    Of a sequence that has more tokens than the model's context takes beside these, the middle ones are kept, wherever
    its label hangs: a promoter's start 50 bases before the end of 300, say, is lost to a model that takes 200.

    Raises
    ------
    InputError
        When a sequence has no base, or it is a causal model of tokens, which doesn't say of which.
    """
    return rows(model, [_middle(one, _room(model)) for one in _tokens(model, codes)])


def count_cut(model: NeuralModel, codes: Sequence[np.ndarray]) -> dict[str, int | None]:
    """How many sequences :func:`fitting_ids` cuts, for the record.

    Returns
    -------
    ``cut`` (sequences), ``longest`` (tokens of the longest, whole), and ``seen`` (the most tokens of one that the model
    sees; None where there is no limit).
    """
    lengths = np.array([len(one) for one in _tokens(model, codes)], dtype=np.int64)
    seen = _room(model)
    cut = 0 if seen is None else int((lengths > seen).sum())
    return {"cut": cut, "longest": int(lengths.max(initial=0)), "seen": seen}


def batches(model: NeuralModel, rows: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Rows of like length together, as many as are best computed at once: their numbers, and ids on the device."""
    lengths = np.array([len(one) for one in rows])
    waiting = np.argsort(-lengths, kind="stable")
    while len(waiting):
        chosen, waiting = np.split(waiting, [max(1, positions_at_once(model) // lengths[waiting[0]])])
        yield chosen, padded([rows[number] for number in chosen]).to(model.device)


def padded(rows: Sequence[np.ndarray]) -> Tensor:
    """Rows of ids (int64) one below the other, int64 [rows, positions], the shorter ones padded with PAD."""
    tensors = [torch.from_numpy(one) for one in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PAD)


def mean_state(states: Tensor, ids: Tensor) -> Tensor:
    """Mean over the tokens of each row, float32 [rows, width]: over all positions but CLS, SEP and PAD."""
    token = ((ids != CLS) & (ids != SEP) & (ids != PAD))[..., None]
    return (states.float() * token).sum(1) / token.sum(1)


def _tokens(model: NeuralModel, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Token ids of each sequence, by the model's own tokenizer."""
    if model.causal and model.config["vocabulary"] != VOCABULARY:
        raise InputError(
            f"a {model.kind} model of {model.config['vocabulary']} tokens can't be given DNA, since its folder doesn't "
            "hold its tokenizer; expected one of single bases, or a bert"
        )
    tokenizer = single_base() if model.causal else model.tokenizer
    return [tokenizer.encode(one) for one in _not_empty(codes)]


def _not_empty(codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    codes = coded(codes)
    if empty := [number for number, one in enumerate(codes) if not len(one)]:
        raise InputError(f"sequence {empty[0] + 1} of {len(codes):,} has no base; expected one or more: leave it out")
    return codes


def _room(model: NeuralModel) -> int | None:
    """How many tokens the context takes beside CLS and, in a BERT, SEP."""
    return model.context and model.context - (1 if model.causal else 2)


def _middle(tokens: np.ndarray, room: int | None) -> np.ndarray:
    if room is None or len(tokens) <= room:
        return tokens
    start = (len(tokens) - room) // 2
    return tokens[start : start + room]


def _likelihood_bins(model: NgramModel, codes: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-likelihood in each part of each sequence, of both strands; float32 [n, 2 x BINS]."""
    codes = _not_empty(codes)
    found = np.full((len(codes), 2, BINS), -np.log(4), dtype=np.float32)
    for strand, read in enumerate([codes, [fasta.reverse_complement(one) for one in codes]]):
        for number, nats in enumerate(model.base_log_likelihoods(read)):
            nats = nats[::-1] if strand else nats
            part = np.arange(len(nats)) * BINS // len(nats)
            known = ~np.isnan(nats)
            scored = np.bincount(part[known], minlength=BINS)
            sums = np.bincount(part[known], weights=nats[known], minlength=BINS)
            found[number, strand, scored > 0] = sums[scored > 0] / scored[scored > 0]
    return found.reshape(len(codes), 2 * BINS)

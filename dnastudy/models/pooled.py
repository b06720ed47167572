"""What a model makes of whole sequences: the pieces that it reads them in, and the mean of its states over them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dnastudy.files import InputError
from dnastudy.genes.codes import coded, reverse_complement
from dnastudy.models.neural import VOCABULARY, NeuralModel, positions_at_once
from dnastudy.models.training import use_bf16
from dnastudy.tokens.tokenizer import CLS, PAD, SEP, single_base

if TYPE_CHECKING:
    from dnastudy.models.ngram import NgramModel  # needs numba

BINS = 8  # parts of a sequence that an n-gram model's likelihood is averaged over


def embed(
    model: NeuralModel | NgramModel,
    codes: Sequence[np.ndarray],
    *,
    reverse_complement: bool = False,
    layer: int | None = None,
    precision: str = "fp32",
) -> np.ndarray:
    """The mean of a model's states over each sequence's tokens without CLS and SEP, float32 [n, width].

    Of an n-gram model, which has no states, it is the mean log-likelihood (nats a base) in each of 8 equal parts of the
    sequence, read forwards and then on the opposite strand; where a part has no known base -log 4.
    """
    if reverse_complement:
        how = {"layer": layer, "precision": precision}
        return np.mean([embed(model, strand, **how) for strand in (codes, opposite(codes))], axis=0)
    if layer is not None and (model.kind != "bert" or not 0 <= layer <= model.config["layers"]):
        raise InputError(f"layer {layer} of a {model.kind} model; expected 0 to the number of layers, of a bert alone")
    if model.kind == "ngram":
        return _likelihood_bins(model, codes)
    pieces = piece_ids(model, codes)
    number_of = np.repeat(np.arange(len(codes)), [len(one) for one in pieces])
    sums = np.zeros((len(codes), model.config["width"]), dtype=np.float32)
    counts = np.zeros((len(codes), 1), dtype=np.float32)
    bf16 = use_bf16(precision, model.device)
    with model.evaluating(), torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        for chosen, ids in batches(model, [piece for one in pieces for piece in one]):
            states = model.hidden(ids) if layer is None else model.states(ids)[layer]
            for total, part in zip((sums, counts), summed_states(states, ids), strict=True):
                np.add.at(total, number_of[chosen], part.cpu().numpy())
    return sums / counts


def opposite(codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sequences read on the opposite strand."""
    return [reverse_complement(one) for one in codes]


def rows(trunk: NeuralModel, tokens: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each example: CLS, its tokens (int [n]) and, in a BERT, SEP."""
    before, after = [CLS], [] if trunk.causal else [SEP]
    found = [np.concatenate([before, one, after]).astype(np.int64) for one in tokens]
    longest = max(map(len, found), default=0)
    if trunk.context is not None and longest > trunk.context:
        raise InputError(f"an example of {longest} positions; the model's context is {trunk.context}: shorten it")
    return found


def piece_ids(model: NeuralModel, codes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model is given of each sequence: CLS, its tokens and, in a BERT, SEP; int64 [pieces, positions] each.

    A sequence longer than the model's context is read in pieces, as few as fit and of equal length (but for a PAD).
    """
    room = _room(model)
    in_pieces = (np.array_split(one, -(-len(one) // (room or len(one)))) for one in _tokens(model, codes))
    return [padded(rows(model, pieces)).numpy() for pieces in in_pieces]


def count_in_pieces(model: NeuralModel, codes: Sequence[np.ndarray]) -> dict[str, int | None]:
    """How many sequences :func:`piece_ids` gives in pieces, for the record."""
    lengths, seen = [len(one) for one in _tokens(model, codes)], _room(model)
    in_pieces = sum(seen is not None and length > seen for length in lengths)
    return {"in_pieces": in_pieces, "longest": max(lengths, default=0), "seen": seen}


def batches(model: NeuralModel, rows: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Rows of like length together, as many as are best computed at once: their numbers, and ids on the device."""
    lengths = np.array([len(one) for one in rows])
    waiting = np.argsort(-lengths, kind="stable")
    while len(waiting):
        chosen, waiting = np.split(waiting, [max(1, positions_at_once(model) // lengths[waiting[0]])])
        yield chosen, padded([rows[number] for number in chosen]).to(model.device)


def padded(arrays: Sequence[np.ndarray]) -> Tensor:
    """Arrays of ids (int64, each of as many axes) one below the other, int64 [arrays, ...], padded with PAD."""
    found = np.full((len(arrays), *np.max([one.shape for one in arrays], axis=0)), PAD, dtype=np.int64)
    for row, one in zip(found, arrays, strict=True):
        row[tuple(map(slice, one.shape))] = one
    return torch.from_numpy(found)


def summed_states(states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over the tokens (all but CLS, SEP, PAD) of each row, float32 [rows, width], and how many, int64 [rows, 1]."""
    token = ((ids != CLS) & (ids != SEP) & (ids != PAD))[..., None]
    return (states.float() * token).sum(1), token.sum(1)


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


def _likelihood_bins(model: NgramModel, codes: Sequence[np.ndarray]) -> np.ndarray:
    """Mean log-likelihood in each part of each sequence, of both strands; float32 [n, 2 x BINS]."""
    codes = _not_empty(codes)
    found = np.full((len(codes), 2, BINS), -np.log(4), dtype=np.float32)
    for strand, read in enumerate([codes, opposite(codes)]):
        for number, nats in enumerate(model.base_log_likelihoods(read)):
            nats = nats[::-1] if strand else nats
            known = ~np.isnan(nats)
            part = (np.arange(len(nats)) * BINS // len(nats))[known]
            scored = np.bincount(part, minlength=BINS)
            sums = np.bincount(part, weights=nats[known], minlength=BINS)
            found[number, strand, scored > 0] = sums[scored > 0] / scored[scored > 0]
    return found.reshape(len(codes), 2 * BINS)

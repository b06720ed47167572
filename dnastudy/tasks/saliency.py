"""What a masked model expects at each base of a site, and what the rest of it is worth to the site's neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import encode
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, MASK, SEP, UNK, Tokenizer

if TYPE_CHECKING:
    from dnastudy.models.bert import Bert


class Hole(NamedTuple):
    """A token that was masked: the number of its sequence, its id, and the base at which it begins."""

    sequence: int
    token: int
    begin: int


def base_probabilities(model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray) -> np.ndarray:
    """Probability of each base at each place of a core, by masking the token that covers it.

    The token's neighbours stay, so that its length is known: probabilities are those of the bases that tokens of that
    length have there, each token weighted by its own. With single bases that is the masked model's answer itself; with
    byte pairs the cuts on both sides, which come of the masked bases too, help a little.

    Parameters
    ----------
    sequences
        Base codes with both flanks, uint8, [bases] each.
    cores
        Where each one's core begins and ends, int64, [n, 2]; all of one length.

    Returns
    -------
    float64, [n, core, 4]; NaN where a base isn't A C G T.

    Raises
    ------
    InputError
        When a sequence has more tokens than the model's context takes.
    """
    tokenizer = model.tokenizer
    found = np.full((len(sequences), int(np.ptp(cores[0])), 4), np.nan)
    spellings = _spellings(tokenizer)
    for hole, logits in _restored(model, sequences, cores):
        start, length = cores[hole.sequence][0], int(tokenizer.lengths[hole.token])
        candidates, letters = spellings[length]
        nats = logits[candidates].astype(np.float64)
        shares = np.exp(nats - nats.max())
        places = hole.begin - start + np.arange(length)
        inside = (places >= 0) & (places < found.shape[1])
        found[hole.sequence, places[inside]] = (shares @ letters / shares.sum()).reshape(length, 4)[inside]
    return found


def token_log_likelihoods(
    model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probability of each known token that has a base in a core, masked by itself.

    Parameters and errors are those of `base_probabilities`, but that cores may differ in length.

    Returns
    -------
    Which sequence it is of and its id (int64), and its log-probability among all tokens (float64, nats): [tokens].
    """
    found = []
    for hole, logits in _restored(model, sequences, cores):
        possible = logits[FIRST_BASE:].astype(np.float64)
        found.append((hole.sequence, hole.token, possible[hole.token - FIRST_BASE] - np.logaddexp.reduce(possible)))
    sequence, token, nats = (np.array(column) for column in zip(*found, strict=True)) if found else [np.zeros(0)] * 3
    return sequence.astype(np.int64), token.astype(np.int64), nats.astype(np.float64)


def substitution_effects(model: Bert, codes: np.ndarray, start: int, end: int, *, reach: int = 20) -> np.ndarray:
    """How much less likely the surroundings of each base are once it is another: float64, [bases, 4], nats.

    Surroundings are the tokens within ``reach`` bases, those that cover the base included. Another base may be cut into
    other tokens, so that the two sums are over different numbers of tokens.

    Parameters
    ----------
    codes
        Base codes with both flanks, uint8, [n].
    start, end
        The bases to be replaced, one at a time.

    Returns
    -------
    Log-likelihood of the sequence as it is minus that with each base in its place; zero for its own.
    """
    places = np.repeat(np.arange(start, end), 4)
    bases = np.tile(np.arange(4, dtype=np.uint8), end - start)
    changed = []
    for place, base in zip(places, bases, strict=True):
        other = codes.copy()
        other[place] = base
        changed.append(other)
    cores = np.stack([(places - reach).clip(0), (places + reach + 1).clip(max=len(codes))], axis=1)
    sequence, _, nats = token_log_likelihoods(model, changed, cores)
    nats = np.bincount(sequence, weights=nats, minlength=len(changed)).reshape(-1, 4)
    own = np.take_along_axis(nats, codes[start:end, None].astype(np.int64), axis=1)
    return own - nats


def information(probabilities: np.ndarray) -> np.ndarray:
    """Bits by which each place is told, 2 minus the entropy of its base: float64, [...] of [..., 4]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return 2 + np.where(probabilities > 0, probabilities * np.log2(probabilities), 0).sum(axis=-1)


def bits_gained(probabilities: np.ndarray, sites: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Bits by which a base is likelier than by composition alone: float64, [n, core].

    Parameters
    ----------
    probabilities
        As `base_probabilities` returns them, [n, core, 4].
    sites
        The bases that stand there, uint8, [n, core].
    background
        Share of each base, [4].
    """
    known = sites.astype(np.int64).clip(max=3)
    own = np.take_along_axis(probabilities, known[..., None], axis=-1)[..., 0]
    return np.log2(own / background[known])


def _spellings(tokenizer: Tokenizer) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By length: tokens of that many bases, and their letters as zeros and ones, float64, [tokens, length x 4]."""
    found = {}
    for length in set(tokenizer.lengths[FIRST_BASE:].tolist()) - {0}:
        ids = FIRST_BASE + np.flatnonzero(tokenizer.lengths[FIRST_BASE:] == length)
        letters = np.stack([encode(tokenizer.tokens[number]) for number in ids])
        found[length] = ids, (letters[..., None] == np.arange(4)).reshape(len(ids), -1).astype(np.float64)
    return found


def _restored(model: Bert, sequences: Sequence[np.ndarray], cores: np.ndarray) -> Iterator[tuple[Hole, np.ndarray]]:
    """Mask each known token that has a base in a core by itself: where it was, and the logits there (float32)."""
    import torch

    from dnastudy.models.embed import batches

    tokenizer, holes, rows = model.tokenizer, [], []
    for number, (codes, (start, end)) in enumerate(zip(sequences, cores, strict=True)):
        ids = tokenizer.encode(codes)
        edges = tokenizer.offsets(ids)
        for place in np.flatnonzero((edges[1:] > start) & (edges[:-1] < end) & (ids != UNK)):
            holes.append(Hole(number, int(ids[place]), int(edges[place])))
            rows.append(np.concatenate([[CLS], ids, [SEP]]).astype(np.int64))
            rows[-1][1 + place] = MASK
    if (longest := max(map(len, rows), default=0)) > model.context:
        raise InputError(
            f"a site and its flanks are {longest:,} tokens, CLS and SEP included, and the model's context is "
            f"{model.context:,}; take shorter flanks"
        )
    logits = np.zeros((len(rows), len(tokenizer)), dtype=np.float32)
    with model.evaluating():
        for chosen, ids in batches(model, rows):
            logits[chosen] = model(ids, torch.eq(ids, MASK))[0].cpu().numpy()
    return zip(holes, logits, strict=True)

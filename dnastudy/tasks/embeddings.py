"""What a masked model's tokens are to it: their embeddings, the same in context by layer, and Word2Vec beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numba import njit

from dnastudy.files import InputError
from dnastudy.models.bert import Bert
from dnastudy.models.pooled import batches, piece_ids
from dnastudy.tokens.statistics import token_statistics
from dnastudy.tokens.tokenizer import FIRST_BASE, Tokenizer

# Of GROVER (Sanabria et al. 2024, Nature Machine Intelligence 6:911-923): Spearman's rho of a principal component of
# its token embeddings with a property of the tokens, and the largest share of variance of a component, which Word2Vec
# of as many dimensions is compared with.
GROVER_CORRELATIONS = (
    ("log frequency", 1, 0.88),
    ("GC", 2, -0.96),
    ("AG", 3, 0.94),
    ("AC", 5, -0.81),
    ("length", 4, 0.39),
    ("length", 6, 0.43),
)
GROVER_VARIANCE = {"BERT": 0.035, "Word2Vec": 0.15}
PROPERTIES = ("log frequency", "GC", "AG", "AC", "length")
# Word2Vec as GROVER's authors trained it, with gensim: a continuous bag of words, all else as gensim has it.
_REACH = 5  # words on each side, at most
_NEGATIVES, _NEGATIVE_EXPONENT = 5, 0.75  # noise words a place, and the power of counts that they are drawn by
_FREQUENT = 1e-3  # share of the text above which some of a word's places are left out
_RATES = (0.025, 1e-4)  # of the first and the last place


class Contexts(NamedTuple):
    """What a model makes of tokens in their surroundings, each counted once a window."""

    windows: np.ndarray
    states: np.ndarray
    directions: np.ndarray

    def means(self) -> np.ndarray:
        """Mean state of each token after the last layer, float64, [tokens, width]; NaN where it was never seen."""
        with np.errstate(invalid="ignore"):
            return self.states[-1] / self.windows[:, None]


def token_properties(tokenizer: Tokenizer, ids: np.ndarray, repeats: np.ndarray | None = None) -> pd.DataFrame:
    """What tokens are made of and how often they come in a sequence, those that come at all."""
    table = token_statistics(tokenizer, ids, repeats)
    bases = (table["count"] * table["length"]).sum()
    table = table[table["count"] > 0]
    letters = {pair: table["token"].str.count(f"[{pair}]") / table["length"] for pair in ("GC", "AG", "AC")}
    rates = {"per Mb": 1e6 * table["count"] / bases, "log frequency": np.log(table["share"])}
    return table.assign(**rates, **letters)


def principal_components(vectors: np.ndarray, most: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Project vectors onto their principal components.

    A component's sign is free; here its largest score is positive.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    kept = slice(min(most, len(vectors) - 1))
    scores = (left * sizes)[:, kept]
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return scores * np.sign(largest), (sizes**2 / (sizes**2).sum())[kept]


def word2vec(ids: np.ndarray, tokenizer: Tokenizer, width: int, *, epochs: int = 5, seed: int = 0) -> np.ndarray:
    """Embeddings of Word2Vec (continuous bag of words; Mikolov et al. 2013), float32 [tokens, width].

    NaN for tokens that never stand beside another.
    """
    known = np.asarray(ids) >= FIRST_BASE
    paired = known[1:] & known[:-1]
    if not paired.any():
        raise InputError("Word2Vec: no two known tokens side by side; give more sequence")
    beside = np.append(paired, False) | np.insert(paired, 0, False)
    tokens, words = np.unique(ids[beside], return_inverse=True)
    runs = np.cumsum(~known)[beside]  # words of one run have no unknown token between them
    random, counts = np.random.default_rng(seed), np.bincount(words)
    rarity = _FREQUENT * len(words) / counts
    noise = np.cumsum(counts**_NEGATIVE_EXPONENT)
    inputs = random.uniform(-1 / width, 1 / width, (len(counts), width)).astype(np.float32)
    outputs = np.zeros_like(inputs)
    for epoch in range(epochs):
        chosen = random.random(len(words)) < (np.sqrt(rarity) + rarity)[words]
        rates = np.interp(np.array([epoch, epoch + 1]) / epochs, (0, 1), _RATES)
        _learn_bags(words[chosen], runs[chosen], inputs, outputs, noise / noise[-1], rates, int(random.integers(2**31)))
    vectors = np.full((len(tokenizer), width), np.nan, dtype=np.float32)
    vectors[tokens] = inputs
    return vectors


@njit(cache=True)
def _learn_bags(words, runs, inputs, outputs, noise, rates, seed):
    """One pass through a text by gradient descent on both weights, in place."""
    np.random.seed(seed)  # noqa: NPY002 - numba's own generator
    bag, error = np.empty(inputs.shape[1], np.float32), np.empty(inputs.shape[1], np.float32)
    for place in range(len(words)):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * place / len(words))
        reach = np.random.randint(1, _REACH + 1)  # noqa: NPY002
        first, last = max(0, place - reach), min(len(words), place + reach + 1)
        around = [at for at in range(first, last) if at != place and runs[at] == runs[place]]
        if len(around) == 0:
            continue
        bag[:], error[:] = 0, 0
        for at in around:
            bag += inputs[words[at]]
        bag /= np.float32(len(around))
        for draw in range(1 + _NEGATIVES):
            asked = np.searchsorted(noise, np.random.random(), side="right") if draw else words[place]  # noqa: NPY002
            if draw and asked == words[place]:
                continue  # noise that is the word itself teaches nothing
            score = np.float32(0)
            for column in range(len(bag)):
                score += bag[column] * outputs[asked, column]
            step = rate * ((draw == 0) - np.float32(1) / (np.float32(1) + np.exp(-score)))
            for column in range(len(bag)):
                error[column] += step * outputs[asked, column]
                outputs[asked, column] += step * bag[column]
        for at in around:  # each takes the whole error, as in gensim
            for column in range(len(bag)):
                inputs[words[at], column] += error[column]


def read_contexts(model: Bert, windows: Sequence[np.ndarray]) -> Contexts:
    """Add up each token's states over windows, one of each token in a window, at random."""
    import torch
    from torch.nn.functional import normalize

    tokens, layers = len(model.tokenizer), model.config["layers"] + 1
    seen, random = np.zeros(tokens, dtype=np.int64), np.random.default_rng(0)
    sums = torch.zeros(2, layers, tokens, model.config["width"], dtype=torch.float64)
    middles = [pieces[len(pieces) // 2] for pieces in piece_ids(model, windows)]
    places = [_one_each(ids, random) for ids in middles]  # before there are batches, whose size is the device's
    with model.evaluating():
        for chosen, ids in batches(model, middles):
            row = np.repeat(np.arange(len(chosen)), [len(places[number]) for number in chosen])
            place = np.concatenate([places[number] for number in chosen])
            token = ids.cpu().numpy()[row, place]
            seen += np.bincount(token, minlength=tokens)
            for number, layer in enumerate(model.states(ids)):
                states = layer[row, place].cpu().double()
                sums[0, number].index_add_(0, torch.from_numpy(token), states)
                sums[1, number].index_add_(0, torch.from_numpy(token), normalize(states, dim=-1))
    return Contexts(seen, *sums.numpy())


def _one_each(ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One place, at random, of each token that spells bases: int64 [n]."""
    order = random.permutation(len(ids))
    token, first = np.unique(ids[order], return_index=True)
    return order[first[token >= FIRST_BASE]]


def self_similarity(contexts: Contexts, least: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """How alike a token's states are in different windows, layer by layer (Ethayarajh 2019)."""
    n = contexts.windows
    enough = n >= max(least, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of n unit vectors, the squared length of the sum is n and twice the sum of the cosines of all pairs.
        alike = ((contexts.directions**2).sum(axis=-1) - n) / (n * (n - 1.0))
    means = contexts.directions[:, enough] / n[enough, None]
    tokens = enough.sum()
    between = (means.sum(axis=1) ** 2).sum(axis=-1) - (means**2).sum(axis=(1, 2))
    anisotropy = between / (tokens * (tokens - 1)) if tokens > 1 else np.full(len(means), np.nan)
    return np.where(enough, alike, np.nan), anisotropy


def neighbours(vectors: np.ndarray, most: int = 5) -> np.ndarray:
    """The nearest other rows by cosine, the nearest first: int64, [n, at most ``most``]."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return np.argsort(-cosine, axis=1, kind="stable")[:, : min(most, len(vectors) - 1)]

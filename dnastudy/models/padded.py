"""Count n-grams as NLTK's language models do: sequences padded at both ends, one order alone, seven symbols."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

START, END = 5, 6  # the symbols <s> and </s> after the bases 0-3 and 4, <UNK>


class PaddedCounts(NamedTuple):
    """N-grams of sequences that ``order - 1`` start symbols precede and one end symbol follows.

    NLTK's ``pad_both_ends(order)`` puts as many end symbols as start symbols, but nothing that is scored has
    one in its context. At order 1 it pads nothing, so that there is no end symbol either. N-grams of bases
    alone stand in a table; the others, few, in a sorted list of numbers, three bits a symbol.
    """

    order: int
    table: np.ndarray  # uint32 [4^order]
    leaving: np.ndarray  # uint32 [4^(order - 1)]: how often what follows these bases is no base
    keys: np.ndarray  # int64 [n], sorted: n-grams with another symbol in them
    times: np.ndarray  # int64 [n]
    contexts: np.ndarray  # int64 [m], sorted: contexts with another symbol in them
    totals: np.ndarray  # int64 [m]: how often anything follows


def count_padded(codes: np.ndarray, spans: np.ndarray, order: int) -> PaddedCounts:
    """Count the n-grams of one order; ``codes`` and ``spans`` are those of `dnastudy.models.counts.count`."""
    table = np.zeros(4**order, dtype=np.uint32)
    leaving = np.zeros(4 ** (order - 1), dtype=np.uint32)
    keys, times = np.unique(_count(codes, spans, order, table, leaving), return_counts=True)
    strange = np.zeros(len(keys), dtype=bool)
    for place in range(1, order):
        strange |= (keys >> (3 * place)) & 7 > 3
    contexts, which = np.unique(keys[strange] >> 3, return_inverse=True)
    totals = np.zeros(len(contexts), dtype=np.int64)
    np.add.at(totals, which, times[strange])
    return PaddedCounts(order, table, leaving, keys, times.astype(np.int64), contexts, totals)


@numba.njit(cache=True)
def score_padded(counts, codes, spans, added, values):
    """Log-probability of each base (<UNK> where unknown) and of the end after each sequence, into ``values``.

    ``added`` is what Laplace adds to each count, 0 or 1; ``values`` is float64 [bases + sequences]. The end
    has none at order 1: NaN.
    """
    order = counts.order
    vocabulary = 7 if order > 1 else 5
    out = 0
    for span in range(spans.shape[0]):
        key, ngram, length = _before(order), np.int64(0), 0
        for place in range(spans[span, 0], spans[span, 1] + 1):
            symbol = np.int64(END) if place == spans[span, 1] else np.int64(min(codes[place], 4))
            key = _with(key, symbol, order)
            ngram = (4 * ngram + (symbol & 3)) & (4**order - 1)
            if symbol == END and order == 1:
                values[out] = np.nan
            else:
                times, total = _look_up(counts, key, ngram, symbol, length)
                values[out] = np.log((times + added) / (total + added * vocabulary)) if total + added > 0 else -np.inf
            out += 1
            length = length + 1 if symbol < 4 else 0


@numba.njit(cache=True)
def next_padded(counts, added, before, probabilities):
    """Probabilities [4] of the bases after the codes ``before``, made to sum to one; alike if none was seen."""
    order = counts.order
    key, ngram, length = _before(order), np.int64(0), 0
    for code in before:
        symbol = np.int64(min(code, 4))
        key, ngram = _with(key, symbol, order), (4 * ngram + (symbol & 3)) & (4**order - 1)
        length = length + 1 if symbol < 4 else 0
    for base in range(4):
        shifted = (4 * ngram + base) & (4**order - 1)
        probabilities[base] = _look_up(counts, _with(key, base, order), shifted, base, length)[0] + added
    total = probabilities.sum()
    for base in range(4):
        probabilities[base] = probabilities[base] / total if total > 0 else 0.25


@numba.njit(cache=True)
def _before(order):
    """The start symbols before a sequence, as a key."""
    key = np.int64(0)
    for _ in range(order - 1):
        key = 8 * key + START
    return key


@numba.njit(cache=True)
def _with(key, symbol, order):
    return (8 * key + symbol) & (8**order - 1)


@numba.njit(cache=True)
def _look_up(counts, key, ngram, symbol, length):
    """How often an n-gram was seen, and its context followed by anything; ``length`` bases come before it."""
    if length >= counts.order - 1:
        context = (ngram >> 2) & (4 ** (counts.order - 1) - 1)
        total = np.int64(counts.leaving[context])
        for base in range(4):
            total += counts.table[4 * context + base]
        if symbol < 4:
            return np.int64(counts.table[ngram]), total
    else:
        total = _find(counts.contexts, counts.totals, key >> 3)
    return _find(counts.keys, counts.times, key), total


@numba.njit(cache=True)
def _find(keys, values, key):
    place = np.searchsorted(keys, key)
    return values[place] if place < len(keys) and keys[place] == key else np.int64(0)


@numba.njit(cache=True)
def _count(codes, spans, order, table, leaving):
    """Count into the tables; return the keys of the n-grams with another symbol in them, one a time, int64."""
    strange = []
    for span in range(spans.shape[0]):
        key, ngram, length = _before(order), np.int64(0), 0
        for place in range(spans[span, 0], spans[span, 1] + (order > 1)):
            symbol = np.int64(END) if place == spans[span, 1] else np.int64(min(codes[place], 4))
            key = _with(key, symbol, order)
            ngram = (4 * ngram + (symbol & 3)) & (4**order - 1)
            if length >= order - 1 and symbol < 4:
                table[ngram] += 1
            else:
                strange.append(key)
                if length >= order - 1:
                    leaving[ngram >> 2] += 1
            length = length + 1 if symbol < 4 else 0
    return np.array(strange, dtype=np.int64)

"""Count n-grams of every order: dense tables of the short ones, sorted contexts of the long ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.codes import Sequences, coded, is_pair, reverse_complement

DENSE_ORDER = 13  # 4^13 counts of 4 bytes are 268 MB; each order more takes four times as much
HIGHEST_ORDER = 24
_SORTED_UNDER = 12  # order of the dense n-grams that the contexts of longer ones are sorted under
_FITTED_BASES = 1 << 20  # validation bases that the weights are fitted on, spread evenly
_WEIGHT_RANGE = (-7.0, 14.0)  # natural logarithms
_TOGETHER = 64  # bases whose probabilities are looked up at once


class Counts(NamedTuple):
    """N-grams of all orders up to ``order``, those above ``dense`` by way of their older bases.

    An n-gram is a number in base 4, its last base the lowest digit. The bases before the last ``dense`` are
    the older ones: read from the last of them backwards, they are the digits of a number in base 5, A C G T
    being 1 to 4 and 0 what isn't there, so that n-grams which agree over more of them lie side by side.
    """

    order: int
    dense: int
    tables: np.ndarray  # uint32: the tables of the orders 1, 2, ... ``dense`` end to end, each indexed by n-gram
    short: np.ndarray  # int64: places in ``tables`` of n-grams that no longer one covers, there being no base before
    starts: np.ndarray  # uint32 [4^dense + 1]: where in ``older`` each n-gram of order ``dense`` begins
    older: np.ndarray  # uint32: older bases of each time that an n-gram of order ``dense`` occurs, sorted within it


def flat(sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Sequences end to end: codes (uint8 [bases], not copied if they come so), spans (int64 [n, 2])."""
    if is_pair(sequences):
        codes, spans = sequences
        return np.asarray(codes), np.asarray(spans, dtype=np.int64)
    each = coded(sequences)
    codes = np.concatenate(each) if each else np.empty(0, dtype=np.uint8)
    codes.flags.writeable = False  # as a corpus is, so that numba compiles once
    return codes, spans_of([len(one) for one in each])


def spans_of(lengths: Sequence[int]) -> np.ndarray:
    """Starts and ends (int64 [n, 2]) of sequences of these lengths that lie end to end."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.stack([ends - np.asarray(lengths, dtype=np.int64), ends], axis=1)


def gathered(codes: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sequences alone: their codes end to end (uint8, copied, read-only), and their spans in them."""
    return flat([np.asarray(codes[start:end]) for start, end in spans])


def both_strands(codes: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and spans of the sequences as they are, then of the reverse complement of each, last one first."""
    codes, spans = gathered(codes, spans)
    both = np.concatenate([codes, reverse_complement(codes)])
    both.flags.writeable = False
    return both, np.concatenate([spans, 2 * len(codes) - spans[::-1, ::-1]])


def count(codes: np.ndarray, spans: np.ndarray, order: int, *, dense: int | None = None) -> Counts:
    """Count the n-grams of all orders up to ``order``."""
    dense = dense or (order if order <= DENSE_ORDER else _SORTED_UNDER)
    tables = np.zeros(first_place(dense + 1), dtype=np.uint32)
    top = tables[first_place(dense) :]
    counts = add_lower_orders(tables, _count(codes, spans, dense, top), dense)
    if order == dense:
        return counts
    starts = np.cumsum(np.append(top, np.uint32(0)), dtype=np.uint32)
    older = np.empty(starts[-1], dtype=np.uint32)
    _sort_older(codes, spans, dense, order - dense, starts, older)
    return counts._replace(order=order, starts=starts, older=older)


def add_lower_orders(tables: np.ndarray, short: np.ndarray, order: int) -> Counts:
    """Fill in the orders below the highest: sums over the oldest base of the next order, and ``short``."""
    np.add.at(tables, short, 1)
    for lower in range(order - 1, 0, -1):
        table = tables[first_place(lower) : first_place(lower + 1)]
        for longer in tables[first_place(lower + 1) : first_place(lower + 2)].reshape(4, -1):
            table += longer
    return Counts(order, order, tables, short, *np.zeros((2, 0), dtype=np.uint32))


def pack(codes: np.ndarray) -> np.ndarray:
    """Base codes at four a byte: uint8 [bases / 4, rounded up]; an unknown base reads as A."""
    return np.packbits((codes[:, None] >> np.array([0, 1], dtype=np.uint8)) & (codes < 4)[:, None], bitorder="little")


def unpack(packed: np.ndarray, length: int, unknown: np.ndarray) -> np.ndarray:
    """Undo :func:`pack`: ``length`` codes (uint8, read-only), 4 at the places ``unknown``."""
    bits = np.unpackbits(packed, count=2 * length, bitorder="little")
    codes = bits[::2] + 2 * bits[1::2]
    codes[unknown] = 4
    codes.flags.writeable = False
    return codes


def fit_weights(counts: Counts, codes: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights a_1 ... a_order that make the sequences likeliest, and bits per base with those up to each.

    Order by order from the lowest, each is found by a bounded search in log a, given those below; at most
    about a million bases, spread evenly, are looked at.
    """
    from scipy.optimize import minimize_scalar

    bases = int((spans[:, 1] - spans[:, 0]).sum())
    ngrams, lengths = _spread(codes, spans, counts.order, max(1, bases // _FITTED_BASES))
    if len(ngrams) == 0:
        raise InputError("ngram: no A, C, G or T in the validation sequences; give at least one, or none at all")
    probabilities = np.full(len(ngrams), 0.25)
    weights, bits = np.empty(counts.order), np.empty(counts.order)
    for k in range(1, counts.order + 1):
        times, totals = _look_up(counts, ngrams, lengths, k)
        how = {"bounds": _WEIGHT_RANGE, "method": "bounded", "options": {"xatol": 0.01}}
        found = minimize_scalar(_negative_log_likelihood, args=(times, totals, probabilities), **how)
        weights[k - 1] = np.exp(found.x)
        probabilities = (times + weights[k - 1] * probabilities) / (totals + weights[k - 1])
        bits[k - 1] = -np.log2(probabilities).mean()
    return weights, bits


@numba.njit(cache=True)
def first_place(order):
    """Where the table of ``order`` begins when those of orders 1, 2, ... lie end to end."""
    return ((1 << 2 * order) - 4) // 3


@numba.njit(cache=True)
def extended(context, known, code, order):
    """A context and how many of its bases are known, once the base ``code`` has followed it."""
    if code > 3:
        return np.int64(0), 0
    return (4 * context + code) & ((1 << 2 * (order - 1)) - 1), known + 1


@numba.njit(cache=True)
def next_bases(counts, weights, contexts, known, probabilities):
    """Put the probabilities of A C G T after each context, float64 [n, 4], into ``probabilities``.

    Of ``contexts`` (int64 [n], bases in base 4) the last ``known`` (int64 [n]) count.
    """
    # Order after order over all contexts, so that what one waits for in memory doesn't hold the others up.
    tables = counts.tables
    probabilities[:] = 0.25
    begin, mask = 0, 0
    for k in range(counts.dense):
        weight = weights[k]
        for i in range(len(contexts)):
            if known[i] < k:
                continue
            place = begin + 4 * (contexts[i] & mask)
            total = np.int64(tables[place]) + tables[place + 1] + tables[place + 2] + tables[place + 3]
            share = 1 / (total + weight)
            for base in range(4):
                probabilities[i, base] = (tables[place + base] + weight * probabilities[i, base]) * share
        begin += 4 * mask + 4
        mask = 4 * mask + 3
    if counts.order == counts.dense:
        return
    low, high = np.empty((len(contexts), 4), dtype=np.int64), np.empty((len(contexts), 4), dtype=np.int64)
    longest = known.copy()
    for k in range(counts.dense, counts.order):
        for i in range(len(contexts)):
            if longest[i] < k:
                continue
            total = _narrow(counts, contexts[i], k, low[i], high[i])
            if total == 0:  # nor has any longer context been seen
                longest[i] = 0
                continue
            share = 1 / (total + weights[k])
            for base in range(4):
                times = high[i, base] - low[i, base]
                probabilities[i, base] = (times + weights[k] * probabilities[i, base]) * share


@numba.njit(cache=True)
def next_along(counts, weights, codes, start, probabilities):
    """Put the probabilities of A C G T at ``start`` and after, given the bases before each, into ``probabilities``."""
    contexts, known = np.empty(_TOGETHER, dtype=np.int64), np.empty(_TOGETHER, dtype=np.int64)
    context, length = np.int64(0), 0
    for code in codes[max(0, start - counts.order + 1) : start]:
        context, length = extended(context, length, code, counts.order)
    for first in range(0, len(probabilities), _TOGETHER):
        rows = min(_TOGETHER, len(probabilities) - first)
        for row in range(rows):
            contexts[row], known[row] = context, length
            context, length = extended(context, length, codes[start + first + row], counts.order)
        next_bases(counts, weights, contexts[:rows], known[:rows], probabilities[first : first + rows])


@numba.njit(cache=True)
def _narrow(counts, context, k, low, high):
    """How often the last ``k`` bases of a context, ``dense`` or more, are followed by any.

    ``low`` and ``high`` (int64 [4]) become the ranges of ``older`` in which they are followed by A, C, G and T; above
    ``dense`` they come in as those of fewer bases.
    """
    if k == counts.dense:
        _open(counts, context, low, high)
    first, width = np.int64(0), np.int64(5) ** (counts.order - counts.dense)
    for length in range(counts.dense, k + 1):
        width //= 5
        first += (((context >> (2 * (length - 1))) & 3) + 1) * width
    total = 0
    for base in range(4):
        if low[base] < high[base]:
            low[base] = _at_least(counts.older, low[base], high[base], first)
            high[base] = _at_least(counts.older, low[base], high[base], first + width)
            total += high[base] - low[base]
    return total


@numba.njit(cache=True)
def _open(counts, context, low, high):
    """The ranges of ``older`` in which the last bases of ``context`` are followed by A, C, G and T."""
    place = 4 * (context & ((1 << 2 * (counts.dense - 1)) - 1))
    for base in range(4):
        low[base] = counts.starts[place + base]
        high[base] = counts.starts[place + base + 1]


@numba.njit(cache=True)
def _at_least(values, low, high, bound):
    """First place from ``low`` on, ``high`` at most, of a value that isn't below ``bound``."""
    while high - low > 8:
        middle = (low + high) // 2
        if values[middle] < bound:
            low = middle + 1
        else:
            high = middle
    while low < high and values[low] < bound:
        low += 1
    return low


@numba.njit(cache=True)
def _count(codes, spans, order, top):
    """Count n-grams of ``order`` in ``top``; return the places in the tables of those that are shorter."""
    short = []
    for start, end in spans:
        ngram, length = np.int64(0), 0
        for code in codes[start:end]:
            ngram, length = extended(ngram, length, code, order + 1)
            if length >= order:
                top[ngram] += 1
            elif length > 0:
                short.append(first_place(length) + ngram)
    return np.array(short, dtype=np.int64)


@numba.njit(cache=True)
def _sort_older(codes, spans, dense, digits, starts, older):
    """Fill ``older``; ``starts`` comes in as the end of each n-gram's range and is counted down to its start."""
    highest = np.int64(5) ** (digits - 1)
    for start, end in spans:
        ngram, length, number = np.int64(0), 0, np.int64(0)
        for place in range(start, end):
            ngram, length = extended(ngram, length, codes[place], dense + 1)
            if length > dense:
                number = number // 5 + (codes[place - dense] + 1) * highest
            if length >= dense:
                starts[ngram] -= 1
                older[starts[ngram]] = number
            else:
                number = np.int64(0)
    for ngram in range(4**dense):
        if starts[ngram + 1] - starts[ngram] > 1:
            older[starts[ngram] : starts[ngram + 1]].sort()


@numba.njit(cache=True)
def _spread(codes, spans, order, step):
    """Every ``step``-th known base's n-gram (int64) and its length, ``order`` at most."""
    ngrams, lengths, seen = [], [], 0
    for start, end in spans:
        ngram, length = np.int64(0), 0
        for code in codes[start:end]:
            ngram, length = extended(ngram, length, code, order + 1)
            if length > 0:
                if seen % step == 0:
                    ngrams.append(ngram)
                    lengths.append(min(length, order))
                seen += 1
    return np.array(ngrams, dtype=np.int64), np.array(lengths, dtype=np.int64)


@numba.njit(cache=True)
def _look_up(counts, ngrams, lengths, order):
    """Counts of the n-grams cut to ``order`` and of their contexts (float64); zero where they are shorter."""
    times, totals = np.zeros(len(ngrams)), np.zeros(len(ngrams))
    low, high = np.zeros((2, 4), dtype=np.int64)
    for number in range(len(ngrams)):
        if lengths[number] < order:
            continue
        last = ngrams[number] & 3
        if order <= counts.dense:
            place = first_place(order) + (ngrams[number] & ((1 << 2 * order) - 1)) - last
            times[number] = counts.tables[place + last]
            totals[number] = counts.tables[place : place + 4].sum()
        else:
            _open(counts, ngrams[number] >> 2, low, high)
            totals[number] = _narrow(counts, ngrams[number] >> 2, order - 1, low, high)
            times[number] = high[last] - low[last]
    return times, totals


@numba.njit(cache=True)
def _negative_log_likelihood(log_weight, times, totals, shorter):
    weight = np.exp(log_weight)
    nats, product = 0.0, 1.0
    for number in range(len(times)):
        product *= (times[number] + weight * shorter[number]) / (totals[number] + weight)
        if product < 1e-200:  # one logarithm for many factors
            nats -= np.log(product)
            product = 1.0
    return nats - np.log(product)

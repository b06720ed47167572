"""The longest stretch that a sequence copies, letter by letter, from training sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from dnastudy.tokens.tokenizer import as_codes

SEED = 11
END = 4


def longest_copies(sequences: Sequence[str | np.ndarray], train: Sequence[str | np.ndarray]) -> np.ndarray:
    """Length of the longest exact copy from ``train``, on the strand as given, in each sequence.

    The sequences are put into a suffix array; each position of ``train`` is looked up in it, and the length
    of the match is handed on to the neighbouring suffixes that share it. So the time goes with the training
    bases and the memory with the sequences.

    Parameters
    ----------
    sequences, train
        Strings or base codes (uint8, [length]); an unknown base matches nothing.

    Returns
    -------
    Bases, int64, [n]; 0 where no copy is as long as 11 bases, which chance alone finds in a chromosome.
    """
    if not len(sequences):
        return np.zeros(0, dtype=np.int64)
    text, starts = join(sequences)
    order = _suffix_order(text, int(np.diff(starts, append=len(text)).max()))
    low, high = _seed_table(text, order)
    match = np.zeros(len(text), dtype=np.int64)
    for sequence in train:
        _look_up(as_codes(sequence), text, order, low, high, match)
    _hand_on(text, order, match)
    longest = np.zeros(len(text), dtype=np.int64)
    longest[order] = match
    longest = np.maximum.reduceat(longest, starts)
    return np.where(longest >= SEED, longest, 0)


def join(sequences: Sequence[str | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of all sequences end to end, an unknown base after each (uint8), and each one's start (int64)."""
    parts = [np.append(as_codes(sequence), np.uint8(END)) for sequence in sequences]
    starts = np.cumsum([0] + [len(part) for part in parts[:-1]])
    return np.concatenate(parts), starts


def kmer_numbers(text: np.ndarray, k: int) -> np.ndarray:
    """Alphabetical number of the k-mer at each position, int64, [n]; -1 where a base is unknown."""
    numbers = np.zeros(len(text), dtype=np.int64)
    known = np.ones(len(text), dtype=bool)
    for place in range(k):
        letter = _shifted(text, place, END)
        known &= letter < 4
        numbers = 4 * numbers + letter
    return np.where(known, numbers, -1)


def _shifted(values: np.ndarray, by: int, fill: int) -> np.ndarray:
    return np.append(values[by:], np.full(min(by, len(values)), fill, dtype=values.dtype))


def _suffix_order(text: np.ndarray, longest: int) -> np.ndarray:
    """Starts of the suffixes in alphabetical order, int64, [n] (Manber & Myers 1993, prefix doubling).

    Ranks that agree over ``longest`` letters agree as far as a sequence's end, and that is all that counts.
    """
    ranks, width = text.astype(np.int64), 1
    while width < longest:
        # Past the end everything counts as an unknown base, whose rank is the highest.
        key = ranks * (ranks.max() + 1) + _shifted(ranks, width, ranks.max())
        ranks = np.unique(key, return_inverse=True)[1]
        width *= 2
    return np.argsort(ranks, kind="stable")


def _seed_table(text: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each seed k-mer the range of ``order`` whose suffixes begin with it: int32, [4^SEED] each."""
    numbers = kmer_numbers(text, SEED)[order]
    known = np.flatnonzero(numbers >= 0)
    seeds, first, count = np.unique(numbers[known], return_index=True, return_counts=True)
    low = np.zeros(4**SEED, dtype=np.int32)
    high = np.zeros(4**SEED, dtype=np.int32)
    low[seeds] = known[first]
    high[seeds] = known[first] + count
    return low, high


@njit(cache=True)
def _look_up(train, text, order, low, high, match):
    """Raise ``match`` of the two suffixes between which each training position's own suffix would stand."""
    mask = 4**SEED - 1
    number, known = 0, 0
    for end in range(len(train)):
        known = known + 1 if train[end] < 4 else 0
        number = (4 * number + train[end]) & mask if known else 0
        if known < SEED:
            continue
        seed_low, seed_high = low[number], high[number]
        a, b = seed_low, seed_high
        start = end - SEED + 1
        # All suffixes between the ends of the search share the shorter of the ends' matches (Manber & Myers).
        left = right = SEED
        while a < b:
            middle = (a + b) // 2
            same = min(left, right)
            suffix = order[middle]
            while True:
                mine = train[start + same] if start + same < len(train) else END
                theirs = text[suffix + same]
                if mine != theirs or mine == END:
                    break
                same += 1
            if theirs < mine:
                a, left = middle + 1, same
            else:
                b, right = middle, same
        if a > seed_low:
            match[a - 1] = max(match[a - 1], left)
        if a < seed_high:
            match[a] = max(match[a], right)


@njit(cache=True)
def _hand_on(text, order, match):
    """Spread matches to neighbouring suffixes as far as these agree with each other."""
    shared = np.zeros(len(order), dtype=np.int64)
    for i in range(1, len(order)):
        one, other = order[i - 1], order[i]
        while text[one] == text[other] and text[one] != END:
            one += 1
            other += 1
        shared[i] = one - order[i - 1]
        match[i] = max(match[i], min(match[i - 1], shared[i]))
    for i in range(len(order) - 1, 0, -1):
        match[i - 1] = max(match[i - 1], min(match[i], shared[i]))

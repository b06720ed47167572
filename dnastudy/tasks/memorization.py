"""What a sequence has from training sequence, letter by letter: its longest copy, and pieces of repeats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numba import njit

from dnastudy.genes.codes import END, _shifted, as_codes, join, kmer_numbers
from dnastudy.genes.corpus import Corpus, contig_line
from dnastudy.genes.intervals import lift, merge
from dnastudy.genes.kmers import shared_mask

SEED = 11  # bases of the shortest copy that is looked for


def longest_copies(sequences: Sequence[str | np.ndarray], train: Sequence[str | np.ndarray]) -> np.ndarray:
    """Length of the longest exact copy from ``train``, on the strand as given, in each sequence.

    Each position of ``train`` is looked up in a suffix array of the sequences, and the length of the match handed on
    to the neighbouring suffixes that share it: time goes with the training bases, memory with the sequences.
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


def repeat_shares(
    sequences: Sequence[str | np.ndarray], corpus: Corpus, codes: np.ndarray | None = None, *, k: int = 20
) -> np.ndarray:
    """Share of each sequence that lies in ``k`` bases which also stand, on either strand, in a training gene's repeat.

    With 20 bases, held-out genes of chromosome 22 have about half of their repeats found and a few per cent of the rest
    taken for one: compare with real sequence.
    """
    codes = corpus.all_codes if codes is None else codes
    repeats = corpus.intervals[corpus.intervals["kind"] == "repeat"]
    starts, ends = repeats["start"].to_numpy(), repeats["end"].to_numpy()
    train = corpus.split[np.searchsorted(corpus.offsets, starts, side="right") - 1] == 0
    known = [codes[start:end] for start, end in zip(starts[train], ends[train], strict=True)]
    return copied_bases(known, sequences, k=k) / np.maximum([len(sequence) for sequence in sequences], 1)


def copied_bases(train: Sequence[np.ndarray], sequences: Sequence[str | np.ndarray], *, k: int = 31) -> np.ndarray:
    """Bases of each sequence that lie in ``k`` which stand in one of training, on either strand: int64, [n]."""
    parts = [*train, *map(as_codes, sequences)]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    held_out = (np.arange(len(parts)) >= len(train)).astype(np.uint8)
    copied = np.cumsum(np.append(0, shared_mask(np.concatenate(parts), offsets, held_out, k=k)))
    return np.diff(copied[offsets[len(train) :]])


def hide(corpus: Corpus, windows: pd.DataFrame) -> np.ndarray:
    """The corpus's codes with the bases of windows made unknown, in every gene that lies there: uint8, [bases].

    What is cut from training genes can then be looked up in the rest of them.
    """
    genes, line = corpus.genes[["start", "end", "strand"]], contig_line(corpus.genes)
    genes = genes.assign(start=genes["start"] + line, end=genes["end"] + line)
    own = genes.iloc[windows["gene"]]
    before = (windows["start"] - corpus.offsets[windows["gene"]]).to_numpy()
    length = (windows["end"] - windows["start"]).to_numpy()
    starts = np.where(own["strand"] == "+", own["start"] + before, own["end"] - before - length)
    codes = np.array(corpus.all_codes)
    for start, end in zip(*lift(genes, corpus.offsets, *merge(starts, starts + length)), strict=True):
        codes[start:end] = END
    return codes


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
    table = np.zeros((2, 4**SEED), dtype=np.int32)
    table[:, seeds] = known[first], known[first] + count
    return tuple(table)


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

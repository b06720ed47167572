"""Sequence that isn't what is looked for: shuffled tokens, shuffled dinucleotides, and real windows that match."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from dnastudy.genes.fasta import UNKNOWN, encode
from dnastudy.tasks.regions import covered
from dnastudy.tokens.tokenizer import Tokenizer, as_codes

if TYPE_CHECKING:
    import pandas as pd

STRIDE = 25  # bases between the windows that are looked at for a match
GC, REPEATS = 0.02, 0.1  # by which a match's shares may differ
NEAR, FAR = 10_000, 1_000_000  # bases between the starts of a window and its match
CLEAR = 1000  # bases between a match and a place to be avoided


def token_shuffle(codes: np.ndarray, tokenizer: Tokenizer, rng: np.random.Generator) -> np.ndarray:
    """The tokens of a sequence in random order, as codes (uint8, [n]): the negatives of Sanabria et al. 2024."""
    return encode(tokenizer.decode(rng.permutation(tokenizer.encode(codes))))


def dinucleotide_shuffle(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random sequence that has each dinucleotide as often, drawn evenly from all of them.

    The Eulerian shuffle of Altschul & Erickson (1985, Mol. Biol. Evol. 2:526): the first and the last base stay. Each
    run of known bases is shuffled by itself, and unknown bases stay where they are.

    Parameters
    ----------
    codes
        Base codes, uint8, [n].
    rng
        What draws.

    Returns
    -------
    uint8, [n].
    """
    shuffled = np.array(as_codes(codes))
    known = np.flatnonzero(np.diff(shuffled < UNKNOWN, prepend=False, append=False))
    for start, end in known.reshape(-1, 2):
        _shuffle_run(shuffled[start:end], rng)
    return shuffled


def matched_windows(
    codes: np.ndarray,
    starts: np.ndarray,
    width: int,
    *,
    avoid: np.ndarray,
    within: tuple[int, int],
    repeats: pd.DataFrame | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Find for each window another one that is like it: in GC share, in repeat share, and not far away.

    GC shares differ by 2 points at most, repeat shares by 10, and starts by 10 kb to 1 Mb. No match overlaps another,
    or comes near a place to be avoided, and all its bases are known. Of those that there are, one is drawn.

    Parameters
    ----------
    codes
        What both lie in, uint8, [n].
    starts, width
        First bases of the windows, int64, [m], and their length.
    avoid
        Places that no match comes within 1 kb of, int64.
    within
        Start and end of the part that matches lie in.
    repeats
        Intervals (start, end); None: the repeat share isn't compared.
    seed
        Of the order in which windows choose, and of the draws.

    Returns
    -------
    First bases of the matches, int64, [m]; -1 where there is none.
    """
    rng = np.random.default_rng(seed)
    grid = np.arange(within[0], within[1] - width + 1, STRIDE)
    unknown = np.append(np.int32(0), np.cumsum(codes >= UNKNOWN, dtype=np.int32))
    grid = grid[unknown[grid + width] == unknown[grid]]
    avoid = np.sort(avoid)
    grid = grid[np.searchsorted(avoid, grid + width + CLEAR) == np.searchsorted(avoid, grid - CLEAR)]
    gc = np.append(np.int32(0), np.cumsum((codes == 1) | (codes == 2), dtype=np.int32))

    def describe(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.zeros(len(places)) if repeats is None else covered(places, places + width, repeats)
        return gc[places + width] - gc[places], inside

    (grid_gc, grid_repeats), free = describe(grid), np.ones(len(grid), dtype=bool)
    own_gc, own_repeats = describe(starts)
    found = np.full(len(starts), -1, dtype=np.int64)
    for number in rng.permutation(len(starts)):
        start = starts[number]
        edges = np.searchsorted(grid, [start - FAR, start - NEAR + 1, start + NEAR, start + FAR + 1])
        about = slice(edges[0], edges[3])
        like = free[about] & (abs(grid_gc[about] - own_gc[number]) <= round(GC * width))
        like &= abs(grid_repeats[about] - own_repeats[number]) <= round(REPEATS * width)
        like[edges[1] - edges[0] : edges[2] - edges[0]] = False
        if like.any():
            found[number] = chosen = grid[about][rng.choice(np.flatnonzero(like))]
            low, high = np.searchsorted(grid, [chosen - width + 1, chosen + width])
            free[low:high] = False
    return found


@njit(cache=True)
def _shuffle_run(codes, rng):
    """Shuffle a run of known bases in place: a random Eulerian path through the graph of its dinucleotides."""
    n = len(codes)
    if n < 4:  # both ends stay, and with them the base between
        return
    counts = np.zeros(4, dtype=np.int64)
    for at in range(n - 1):
        counts[codes[at]] += 1
    begins = np.zeros(5, dtype=np.int64)
    begins[1:] = np.cumsum(counts)
    followers = np.empty(n - 1, dtype=np.uint8)
    place = begins[:4].copy()
    for at in range(n - 1):
        followers[place[codes[at]]] = codes[at + 1]
        place[codes[at]] += 1
    end = codes[n - 1]
    # The last step away from each base, drawn until all of them lead to the end: then no path comes to a halt early.
    last = np.zeros(4, dtype=np.int64)
    connected = False
    while not connected:
        for base in range(4):
            if counts[base] and base != end:
                last[base] = begins[base] + rng.integers(0, counts[base])
        connected = True
        for base in range(4):
            if counts[base] == 0:
                continue
            here = np.int64(base)
            for _ in range(4):
                if here != end:
                    here = np.int64(followers[last[here]])
            connected = connected and here == end
    for base in range(4):
        stop = begins[base + 1]
        if counts[base] and base != end:
            stop -= 1
            followers[last[base]], followers[stop] = followers[stop], followers[last[base]]
        for at in range(stop - 1, begins[base], -1):
            other = rng.integers(begins[base], at + 1)
            followers[at], followers[other] = followers[other], followers[at]
    place[:] = begins[:4]
    for at in range(1, n - 1):
        before = codes[at - 1]
        codes[at] = followers[place[before]]
        place[before] += 1

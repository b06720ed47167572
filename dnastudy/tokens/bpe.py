"""Byte-pair encoding of DNA: learning the merges of whole chromosomes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, repeat

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.codes import as_codes, true_runs
from dnastudy.tokens import merging
from dnastudy.tokens.tokenizer import BASES, FIRST_BASE, LARGEST, SPECIALS, Tokenizer, cores

_SCANS = 24  # merges made by scanning: after them less than half as many tokens are left to be listed


def train_bpe(
    codes: np.ndarray, merges: int = 600, boundaries: np.ndarray | None = None, *, min_count: int = 1
) -> Tokenizer:
    """Learn ``merges`` merges of the commonest pair of adjacent tokens (Gage 1994; Sennrich et al. 2016).

    The merges and their order are those of ``BpeTrainer`` of the ``tokenizers`` library on the stretches of known
    bases between boundaries. Of pairs that stand as often, the one with the lower ids comes first; three like
    tokens in a row count as two pairs, and the first two of them are merged.

    The first merges scan the sequence, which shrinks under them. Then the places of every token are listed, and a
    merge looks up those of its rarer half alone. This takes some 6 bytes of memory a base, and 5 for each two tokens
    of the vocabulary. A thread works on a part of the sequence that ends at a boundary or an unknown base.

    Parameters
    ----------
    codes
        Base codes, uint8, [n]; a memory map will do.
    merges
        How many merges to learn; fewer are returned when no pair is left that stands ``min_count`` times.
    boundaries
        Offsets at which a new chunk starts, int, in any order; 0 and n may stand among them. Nothing merges
        across a boundary, nor across an unknown base. Without any, the whole is one stream.
    min_count
        The least count at which a pair is merged.

    Raises
    ------
    InputError
        When there is no known base, a boundary lies outside the sequence, or a number is out of range.
    """
    most = LARGEST + 1 - FIRST_BASE - len(BASES)
    if not 0 <= merges <= most or min_count < 1:
        raise InputError(
            f"{merges:,} merges at a least count of {min_count}; expected 0 to {most:,}, since ids have 16 bits, and a "
            "count of at least 1"
        )
    codes = as_codes(codes)
    merges = min(merges, max(len(codes) - 1, 0))  # each takes a token away
    tokens = [*SPECIALS, *BASES]
    vocabulary = len(tokens) + merges
    learnt: list[tuple[str, str]] = []
    with ThreadPoolExecutor(cores()) as pool:
        parts = list(pool.map(lambda part: _Part(*part, vocabulary), _cut(codes, boundaries, cores())))
        if all(part.count == 2 for part in parts):
            raise InputError("no A, C, G or T to learn merges from; give at least one known base")
        pairs = sum(part.pairs for part in parts)
        # How often each pair stands, and the commonest that begins with each token: its second token, its count.
        counts = np.zeros((vocabulary, vocabulary), dtype=np.int32 if pairs.sum() < 2**31 else np.int64)
        best, highest = np.zeros((2, vocabulary), dtype=np.int64)
        bases = slice(len(tokens))
        counts[bases, bases], best[bases], highest[bases] = pairs, pairs.argmax(axis=1), pairs.max(axis=1)
        for new in range(len(tokens), vocabulary):
            left = int(highest.argmax())  # among equals, the lowest
            right = int(best[left])
            if counts[left, right] < min_count:
                break
            if len(learnt) == _SCANS:
                list(pool.map(_Part.list_places, parts))
            # It spells what no token does: the same bases between two edges have always been merged alike.
            changes = sum(pool.map(_Part.merge, parts, repeat(left), repeat(right), repeat(new)))
            merging.recount(counts, best, highest, changes, left, right, new)
            learnt.append((tokens[left], tokens[right]))
            tokens.append(tokens[left] + tokens[right])
    return Tokenizer(learnt)


class _Part:
    """A part of the sequence with the places of its tokens, for one thread."""

    def __init__(self, codes: np.ndarray, boundaries: np.ndarray, vocabulary: int):
        self.ids = np.empty(len(codes) + len(boundaries) + 2, dtype=np.uint8)
        self.pairs = np.zeros((FIRST_BASE + len(BASES),) * 2, dtype=np.int64)
        self.count = merging.lay_out(codes, boundaries, self.ids, self.pairs)
        self.changes = np.zeros((4, vocabulary), dtype=np.int64)
        self.units = np.ones(vocabulary, dtype=np.int64)
        self.start, self.length = np.zeros((2, vocabulary), dtype=np.int64)
        self.places: np.ndarray | None = None
        self.end = 0

    def list_places(self) -> None:
        """From now on, find tokens by lists of their places rather than by scanning."""
        self.ids = self.ids[: self.count].astype(np.uint16)
        # A merge takes a place away and lists one: no more than twice the tokens are ever written, or touched.
        self.places = np.empty(2 * self.count, dtype=np.uint32)
        self.end = merging.list_places(self.ids, self.count, self.places, self.start, self.length)

    def merge(self, left: int, right: int, new: int) -> np.ndarray:
        """Make a merge; by how much counts of pairs changed, by neighbour (int64, [4, tokens]), until the next one."""
        self.changes[:] = 0
        if self.places is None:
            self.count = merging.merge_by_scan(self.ids, self.count, left, right, new, self.changes)
        else:
            lists = self.places, self.start, self.length, self.end, self.units
            self.end = merging.merge_by_list(self.ids, *lists, left, right, new, self.changes)
            self.units[new] = self.units[left] + self.units[right]
        return self.changes


def _cut(codes: np.ndarray, boundaries: np.ndarray | None, threads: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Codes and boundaries of about equal parts, one a thread where there are boundaries or unknown bases to cut at."""
    boundaries = np.unique(np.asarray([] if boundaries is None else boundaries, dtype=np.int64))
    for outside in boundaries[(boundaries < 0) | (boundaries > len(codes))]:
        raise InputError(f"boundary {outside} lies outside the sequence; expected 0 to {len(codes)}")
    edges = np.concatenate([[0, len(codes)], true_runs(codes > 3).ravel(), boundaries])
    cuts = np.unique([edges[abs(edges - len(codes) * part // threads).argmin()] for part in range(threads + 1)])
    return [
        (codes[first:last], boundaries[slice(*np.searchsorted(boundaries, (first, last)))] - first)
        for first, last in pairwise(cuts)
    ]

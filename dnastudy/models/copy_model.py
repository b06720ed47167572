"""A longest-match predictor of DNA: each base is guessed from where training says the same, on either strand."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np

from dnastudy.genes.codes import Sequences, known_bases
from dnastudy.models.counts import both_strands, extended, flat, next_along
from dnastudy.models.ngram import NgramModel

LONG, SHORT = 20, 16  # bases that must match for a pointer to be taken; SHORT only where there is none
ORDER = 12  # of the n-gram model beside it
_HISTORY = 16  # guesses that a pointer is judged by
_LEAST_HITS = 8  # among them; with fewer it is given up
_VERIFIED = 32  # bases that a match is followed back
_RUNS = np.array([1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 64, 128, 256])
_SHARES = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8])
_CELLS = (_HISTORY + 1, len(_RUNS) + 1, len(_SHARES) + 1)
_PRIOR = 16.0  # guesses that what a wider cell says is worth in a narrower one
_STRETCH = 1 << 20  # bases that are held at once, at some 70 bytes each


class CopyModel:
    """Guess that a base is the one that followed the longest match in training, as far as such guesses hold.

    The copy expert of Cao et al. (2007, XM) and, with its mismatches, the substitution-tolerant context of
    Pratas et al. (2016, GeCo). A pointer into training goes along with the sequence, over mismatches too,
    while at least 8 of its last 16 guesses were right. How far it is believed was counted on validation: by
    those hits, by the matching bases since the last mismatch, and by what an n-gram model of order 12 thinks
    of the guess. That model shares out the rest among the other three bases, and where there is no pointer it
    speaks alone. Both strands of training are searched, and counted.
    """

    kind = "copy"

    def __init__(self):
        self.config = {"kind": self.kind}
        self.ngram = NgramModel(ORDER, reverse_complement=True)
        self.rates = np.full(_CELLS, 0.25)
        self._text = np.empty(0, dtype=np.uint8)
        self._long = self._short = np.empty(0, dtype=np.uint32)

    def fit(self, sequences: Sequences, *, validation: Sequences) -> CopyModel:
        """Index ``sequences``, and count on ``validation`` how often guesses come true."""
        self.ngram.fit(sequences, validation=validation)
        codes, spans = both_strands(*flat(sequences))
        # A base of its own after each sequence, that matches nothing.
        self._text = np.insert(codes, spans[:, 1], np.uint8(4))
        slots = 1 << len(self._text).bit_length()
        self._long, self._short = (_index(self._text, length, slots) for length in (LONG, SHORT))
        right, seen = np.zeros(_CELLS), np.zeros(_CELLS)
        codes, spans = flat(validation)
        for start, end in spans:
            for bases, guesses, cells, _, _ in self._guess(codes[start:end]):
                counted = (guesses < 4) & (bases < 4)
                for counts, these in ((seen, counted), (right, counted & (guesses == bases))):
                    counts += np.bincount(cells[these], minlength=counts.size).reshape(_CELLS)
        # From wide to narrow: hits say what they say, then hits and run, then all three.
        rates = np.arange(0.5, _HISTORY + 1)[:, None, None] / (_HISTORY + 1)
        for axes in ((1, 2), (2,), ()):
            rates = (right.sum(axes, keepdims=True) + _PRIOR * rates) / (seen.sum(axes, keepdims=True) + _PRIOR)
        self.rates = rates
        return self

    def base_log_likelihoods(self, sequences: Sequences) -> list[np.ndarray]:
        """Log-probability of each base given those before it: float32 [bases] each, nats; NaN if unknown."""
        codes, spans = flat(sequences)
        nothing = np.empty(0, dtype=np.float32)
        return [np.concatenate([nothing, *self._score(codes[start:end])]) for start, end in spans]

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        codes, spans = flat(sequences)
        totals = np.zeros(len(spans))
        for number, (start, end) in enumerate(spans):
            for values in self._score(codes[start:end]):
                totals[number] += np.nansum(values, dtype=np.float64)
        return self.ngram.with_ends(totals, known_bases((codes, spans))) if include_end else totals

    def _score(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Log-probabilities of the bases of one sequence, float32, stretch by stretch."""
        for bases, guesses, cells, actual, among_others in self._guess(codes):
            rates = self.rates.ravel()[cells]
            copied = np.where(guesses == bases, rates, (1 - rates) * among_others)
            yield np.log(np.where(guesses < 4, copied, actual)).astype(np.float32)

    def _guess(self, codes: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """What is guessed and expected at each base of one sequence, stretch by stretch.

        The bases themselves; guesses (uint8, 4 for none) and their places in the flattened ``rates`` (int64); the
        n-gram model's probability of what came, and its share of the three bases that weren't guessed (float64).
        """
        pointing = np.zeros(6, dtype=np.int64)
        for start in range(0, len(codes), _STRETCH):
            bases = codes[start : start + _STRETCH]
            guesses, cells = np.empty(len(bases), dtype=np.uint8), np.empty(len(bases), dtype=np.int64)
            _follow(self._text, self._long, self._short, codes, start, pointing, guesses, cells)
            probabilities = np.empty((len(bases), 4))
            next_along(self.ngram._counted(), self.ngram.weights, codes, start, probabilities)
            rows, guessed, known = np.arange(len(bases)), guesses < 4, bases < 4
            actual = np.where(known, probabilities[rows, bases & 3], np.nan)
            believed = np.searchsorted(_SHARES, probabilities[rows, guesses & 3])
            cells = cells * _CELLS[2] + np.where(guessed, believed, 0)
            probabilities[rows, guesses & 3] = 0.0  # summed without it: one less it may be 0
            others = probabilities[rows, bases & 3] / probabilities.sum(axis=1)
            among_others = np.where(guessed & known, others, np.nan)
            yield bases, guesses, cells, actual, among_others


@numba.njit(cache=True)
def _slot(kmer, slots):
    """Fibonacci hashing (Knuth 1998, section 6.4) into ``slots``, a power of two."""
    return (np.uint64(kmer) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)) & np.uint64(slots - 1)


@numba.njit(cache=True)
def _index(text, length, slots):
    """For each slot the place after the last k-mer of that hash, uint32; 0 for none."""
    places = np.zeros(slots, dtype=np.uint32)
    context, known = np.int64(0), 0
    for place in range(len(text)):
        context, known = extended(context, known, text[place], length + 1)
        if known >= length:
            places[_slot(context, slots)] = place + 1
    return places


@numba.njit(cache=True)
def _look_up(text, places, context, codes, place, known):
    """The pointer that the bases before ``place`` lead to, and how many of them match there."""
    pointer = np.int64(places[_slot(context, len(places))])
    matching = 0
    while matching < min(known, pointer, _VERIFIED) and text[pointer - 1 - matching] == codes[place - 1 - matching]:
        matching += 1
    return pointer, matching


@numba.njit(cache=True)
def _follow(text, long, short, codes, start, pointing, guesses, cells):
    """Put the guesses from ``start`` on into ``guesses``, and their hits and run, as one number, into ``cells``.

    ``pointing`` (int64 [6], at first 0) is what one stretch of bases leaves to the next.
    """
    context, known, pointer, run, history, right = pointing
    for place in range(start, start + len(guesses)):
        if run < LONG and known >= LONG:
            found, matching = _look_up(text, long, context, codes, place, known)
            if matching >= LONG:
                pointer, run, history, right = found, matching, (1 << _HISTORY) - 1, _HISTORY
        if pointer == 0 and known >= SHORT:
            found, matching = _look_up(text, short, context & (4**SHORT - 1), codes, place, known)
            if matching >= SHORT:
                pointer, run, history, right = found, matching, (1 << _HISTORY) - 1, _HISTORY
        if pointer > 0 and (pointer == len(text) or text[pointer] > 3):
            pointer, run = np.int64(0), 0
        guesses[place - start] = text[pointer] if pointer > 0 else 4
        cells[place - start] = right * _CELLS[1] + np.searchsorted(_RUNS, run, "right")
        context, known = extended(context, known, codes[place], LONG + 1)
        if pointer > 0:
            hit = text[pointer] == codes[place]
            right += int(hit) - (history >> (_HISTORY - 1) & 1)
            history = (history << 1 | int(hit)) & ((1 << _HISTORY) - 1)
            run = run + 1 if hit else 0
            pointer += 1
            if right < _LEAST_HITS or known == 0:
                pointer, run = np.int64(0), 0
    pointing[:] = context, known, pointer, run, history, right

"""N-gram models of DNA: interpolated over all orders, or of one order as the human-genes paper has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from dnastudy.files import InputError, atomic_path
from dnastudy.genes.codes import Sequences
from dnastudy.models.base import CausalModel, check_value
from dnastudy.models.counts import (
    DENSE_ORDER,
    HIGHEST_ORDER,
    Counts,
    add_lower_orders,
    both_strands,
    contexts_of,
    count,
    extended,
    first_place,
    fit_weights,
    flat,
    gathered,
    next_bases,
    pack,
    spans_of,
    unpack,
)

SMOOTHINGS = ("interpolated", "mle", "laplace")
_TOGETHER = 64  # bases that are scored at once
_STRETCH = 1 << 22  # bases whose scores are held at once where only their sum is wanted
START, END = 5, 6  # the symbols <s> and </s> after the bases 0-3 and 4, <UNK>


class NgramModel(CausalModel):
    """N-gram model: a base is predicted from the ``order - 1`` before it.

    Interpolated: p_k = (c_k + a_k p_{k-1}) / (n_k + a_k), p_0 uniform, where ``c_k`` counts the last k - 1
    bases followed by this one and ``n_k`` those k - 1 bases followed by any. It is Dirichlet smoothing towards
    the next shorter context (MacKay and Peto 1995). A context that would reach before the sequence's start or
    over a base that isn't A C G T is shortened. Gene ends follow a geometric length model.

    ``mle`` and ``laplace`` are NLTK's models of that name, as Ihtiyar and Ozgur (2024) used them: one order
    alone, c / n or (c + 1) / (n + 7) over A C G T, <s>, </s> and <UNK>, which is what an unknown base is to
    them; start symbols before the first base, and one end symbol. Probabilities of the four bases are left as
    they are, so they sum to less than one. At order 1 NLTK pads nothing: five symbols, and no end.

    Parameters
    ----------
    order
        Length of the n-grams, 1 to 24; without interpolation 1 to 13.
    smoothing
        ``interpolated``, ``mle`` or ``laplace``.
    reverse_complement
        Count both strands: each sequence as it is, and its reverse complement.

    Attributes
    ----------
    weights : float64 [order]
        ``a_1`` ... ``a_order``.
    history : list of dict
        For each order up to the highest, once fitted with validation data: order, weight, and the
        validation_bits_per_base of the model that stops there. Without interpolation there is the one order.
    """

    kind = "ngram"

    def __init__(self, order: int = 8, smoothing: str = "interpolated", reverse_complement: bool = False):
        order = check_value("ngram: order", order, 1, least=1)
        check_value("ngram: reverse_complement", reverse_complement, False)
        if smoothing not in SMOOTHINGS:
            raise InputError(f"ngram: smoothing {smoothing!r}; expected one of {', '.join(SMOOTHINGS)}")
        highest = HIGHEST_ORDER if smoothing == "interpolated" else DENSE_ORDER
        if order > highest:
            raise InputError(f"ngram: order {order}; expected 1 to {highest} with smoothing {smoothing!r}")
        self.order = order
        self.smoothing = smoothing
        self.reverse_complement = reverse_complement
        self.config = {
            "kind": "ngram",
            "order": order,
            "smoothing": smoothing,
            "reverse_complement": reverse_complement,
        }
        # Without validation data: about one alphabet's worth of pseudo-counts at every order.
        self.weights = np.full(order, 4.0)
        self.end_probability = 0.0
        self.history: list[dict] = []
        self._counts: Counts | PaddedCounts | None = None
        self._text: tuple[np.ndarray, np.ndarray] | None = None

    def fit(self, sequences: Sequences, *, validation: Sequences | None = None) -> NgramModel:
        """Count n-grams, and fit the weights of all orders by the likelihood of ``validation``.

        Parameters
        ----------
        sequences, validation
            Strings or uint8 base codes; or a pair of all codes (uint8, [bases]) and spans (int64, [n, 2],
            start and end), so that a corpus need not be copied. Without ``validation`` every weight is 4.

        Raises
        ------
        InputError
            When there is no A C G T to count.
        """
        codes, spans = flat(sequences)
        if self._keeps_text:
            codes, spans = self._text = gathered(codes, spans)
        self._count(codes, spans)
        if validation is not None and self.smoothing == "interpolated":
            self.weights, bits = fit_weights(self._counts, *flat(validation))
            self.history = [
                {"order": order, "weight": float(weight), "validation_bits_per_base": float(cost)}
                for order, weight, cost in zip(range(1, self.order + 1), self.weights, bits, strict=True)
            ]
        elif validation is not None:
            cost = float(np.log2(self.perplexity(validation)))
            self.history = [{"order": self.order, "weight": 0.0, "validation_bits_per_base": cost}]
        return self

    @property
    def size(self) -> int:
        """How many numbers were learnt: n-grams that occur and weights; above order 13, 12-grams count every time."""
        counts = self._counted()
        if isinstance(counts, PaddedCounts):
            return int(np.count_nonzero(counts.table)) + len(counts.keys)
        return int(np.count_nonzero(counts.tables)) + len(counts.older) + self.order

    def base_log_likelihoods(self, sequences: Sequences) -> list[np.ndarray]:
        """Log-probability of each base given those before it: float32 [bases] each, nats; NaN if unknown.

        It is -inf where ``mle`` hasn't seen the n-gram.
        """
        codes, spans = flat(sequences)
        if self.smoothing == "interpolated":
            lengths = spans[:, 1] - spans[:, 0]
            values = np.empty(lengths.sum(), dtype=np.float32)
            _score(self._counted(), self.weights, codes, spans, values)
            return split_at(values, lengths)
        symbols = self._score_symbols(codes, spans)
        return [
            np.where(codes[start:end] < 4, values[:-1], np.nan).astype(np.float32)
            for values, (start, end) in zip(symbols, spans, strict=True)
        ]

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        codes, spans = flat(sequences)
        totals = np.zeros(len(spans))
        if self.smoothing == "interpolated":
            known = np.zeros(len(spans), dtype=np.int64)
            for pieces in stretches(spans, self.order - 1):
                per_base = self.base_log_likelihoods((codes, pieces[:, 1:3]))
                for (number, begin, _, new), values in zip(pieces, per_base, strict=True):
                    totals[number] += np.nansum(values[new - begin :], dtype=np.float64)
                    known[number] += np.count_nonzero(~np.isnan(values[new - begin :]))
            if include_end:
                totals += known * np.log1p(-self.end_probability) + np.log(self.end_probability)
            return totals
        for number, bases, values, end in self._scored_symbols(codes, spans):
            totals[number] += values[bases < 4].sum()
            if include_end:
                totals[number] += end.sum()
        return totals

    def perplexity(self, sequences: Sequences, convention: str = "per_base", *, include_end: bool = False) -> float:
        """Perplexity, the exponential of the mean of minus the log-probabilities.

        Parameters
        ----------
        convention
            ``per_base``: over all A C G T, with ``include_end`` the ends too. ``nltk``: over all symbols, as NLTK
            has it and the human-genes paper reports it: bases, unknown ones too, and always one end symbol a
            sequence; for ``mle`` and ``laplace`` alone. Infinite if one was never seen. At their order 1 there
            is no end symbol.

        Raises
        ------
        InputError
            When there is nothing to score, or no such convention for this model.
        """
        interpolated = self.smoothing == "interpolated"
        if convention == "per_base":
            return super().perplexity(sequences, include_end=include_end and (interpolated or self.order > 1))
        if convention != "nltk" or interpolated:
            known = "'per_base'" if interpolated else "'per_base' or 'nltk'"
            raise InputError(
                f"perplexity: convention {convention!r} with smoothing {self.smoothing!r}; expected {known}"
            )
        total, count = 0.0, 0
        for _, _, values, end in self._scored_symbols(*flat(sequences)):
            total += values.sum() + end.sum()
            count += len(values) + len(end)
        if not count:
            raise InputError("perplexity: no symbol to score; give at least one sequence")
        return float(np.exp(-total / count))

    def begin(self, rows: int, prompt: np.ndarray):
        """Log-probabilities [rows, 4] of the base that follows ``prompt`` (base codes), and what came before.

        Without interpolation they are those of the four bases alone, made to sum to one.
        """
        recent = np.asarray(prompt, dtype=np.uint8)[max(0, len(prompt) - self.order + 1) :]
        return self._next(np.tile(recent, (rows, 1)))

    def follow(self, bases, state: np.ndarray):
        """Log-probabilities [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and what came before."""
        recent = np.concatenate([state, bases.numpy().astype(np.uint8)[:, None]], axis=1)
        return self._next(recent[:, max(0, recent.shape[1] - self.order + 1) :])

    def write_counts(self, path: Path) -> None:
        """Write what a fitted model needs, as ``counts.npz``.

        Up to order 13, interpolated: the highest order's counts, and what the lower ones have besides. Most
        n-grams of a high order are unseen: a bit says which are there, a byte how often, and what doesn't fit
        a byte stands apart. Else the training sequences at two bits a base, since all that is counted would
        take far more room: they are counted again on reading.
        """
        counts = self._counted()
        if self._text is not None:
            codes, spans = self._text
            arrays = {
                "bases": pack(codes),
                "unknown": np.flatnonzero(codes > 3),
                "lengths": spans[:, 1] - spans[:, 0],
            }
        else:
            top = counts.tables[first_place(self.order) :]
            seen = top > 0
            times = top[seen]
            arrays = {
                "seen": np.packbits(seen),
                "counts": np.minimum(times, 255).astype(np.uint8),
                "large": times[times >= 255],
                "short": counts.short,
            }
        with atomic_path(path) as partial, open(partial, "wb") as handle:
            np.savez_compressed(
                handle, weights=self.weights, end_probability=np.float64(self.end_probability), **arrays
            )

    def read_counts(self, path: Path) -> None:
        """Read what :meth:`write_counts` wrote for a model of the same configuration.

        Raises
        ------
        InputError
            When the file isn't such a table.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                self.weights = stored["weights"]
                if len(self.weights) != self.order:
                    raise ValueError(f"those there are of order {len(self.weights)}")
                self.end_probability = float(stored["end_probability"])
                if self._keeps_text:
                    spans = spans_of(stored["lengths"])
                    self._text = unpack(stored["bases"], int(stored["lengths"].sum()), stored["unknown"]), spans
                else:
                    seen = np.unpackbits(stored["seen"], count=4**self.order).view(bool)
                    times = stored["counts"].astype(np.uint32)
                    times[times == 255] = stored["large"]
                    tables = np.zeros(first_place(self.order + 1), dtype=np.uint32)
                    tables[first_place(self.order) :][seen] = times
                    self._counts = add_lower_orders(tables, stored["short"], self.order)
        except (KeyError, ValueError, IndexError, OSError) as error:
            raise InputError(f"{path}: no n-gram counts of order {self.order} ({error}); fit it again") from None
        if self._text is not None:
            self._count(*self._text)

    @property
    def _keeps_text(self) -> bool:
        return self.smoothing != "interpolated" or self.order > DENSE_ORDER

    def _count(self, codes: np.ndarray, spans: np.ndarray) -> None:
        bases = int(sum(np.count_nonzero(codes[start:end] < 4) for start, end in spans))
        if bases == 0:
            raise InputError("ngram: no A, C, G or T in the training sequences; give at least one")
        self.end_probability = len(spans) / (bases + len(spans))
        if self.reverse_complement:
            codes, spans = both_strands(codes, spans)
        counter = count if self.smoothing == "interpolated" else count_padded
        self._counts = counter(codes, spans, self.order)

    def _counted(self) -> Counts | PaddedCounts:
        if self._counts is None:
            raise InputError("ngram: nothing counted yet; call fit first, or load a fitted model")
        return self._counts

    def _scored_symbols(self, codes: np.ndarray, spans: np.ndarray) -> Iterator[tuple[int, np.ndarray, ...]]:
        """Stretch by stretch: which sequence, its codes there, their log-probabilities, and the end's if it is there.

        The latter two are float64, [bases] and [0 or 1].
        """
        for pieces in stretches(spans, self.order - 1):
            symbols = self._score_symbols(codes, pieces[:, 1:3])
            for (number, begin, stop, new), values in zip(pieces, symbols, strict=True):
                ended = self.order > 1 and stop == spans[number, 1]
                yield number, codes[new:stop], values[new - begin : -1], values[-1:] if ended else values[:0]

    def _score_symbols(self, codes: np.ndarray, spans: np.ndarray) -> list[np.ndarray]:
        """Log-probabilities of each sequence's bases and of its end: float64 [bases + 1] each."""
        lengths = spans[:, 1] - spans[:, 0] + 1
        values = np.empty(lengths.sum())
        score_padded(self._counted(), codes, spans, int(self.smoothing == "laplace"), values)
        return split_at(values, lengths)

    def _next(self, recent: np.ndarray):
        import torch

        probabilities = np.empty((len(recent), 4))
        if self.smoothing == "interpolated":
            contexts, known = contexts_of(recent, self.order)
            next_bases(self._counted(), self.weights, contexts, known, probabilities)
        else:
            for codes, row in zip(recent, probabilities, strict=True):
                next_padded(self._counted(), int(self.smoothing == "laplace"), codes, row)
        return torch.from_numpy(probabilities).log(), recent


def stretches(spans: np.ndarray, context: int, size: int = _STRETCH) -> Iterator[np.ndarray]:
    """Cut spans into pieces to be scored together, about ``size`` bases at a time, whatever their lengths."""
    pieces, held = [], 0
    for number, (start, end) in enumerate(spans):
        for new in range(start, max(start + 1, end), size):  # an empty span is a piece as well
            pieces.append((number, max(start, new - context), min(new + size, end), new))
            held += pieces[-1][2] - pieces[-1][1]
            if held >= size:
                yield np.array(pieces)
                pieces, held = [], 0
    if pieces:
        yield np.array(pieces)


def split_at(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Cut what lies end to end into pieces of these lengths."""
    return np.split(values, np.cumsum(lengths)[:-1]) if len(lengths) else []


@numba.njit(cache=True)
def _score(counts, weights, codes, spans, values):
    contexts, known = np.empty(_TOGETHER, dtype=np.int64), np.empty(_TOGETHER, dtype=np.int64)
    probabilities = np.empty((_TOGETHER, 4))
    out = 0
    for span in range(spans.shape[0]):
        start, end = spans[span]
        context, length = np.int64(0), 0
        for first in range(start, end, _TOGETHER):
            rows = min(_TOGETHER, end - first)
            for row in range(rows):
                contexts[row], known[row] = context, length
                context, length = extended(context, length, codes[first + row], counts.order)
            next_bases(counts, weights, contexts[:rows], known[:rows], probabilities)
            for row in range(rows):
                code = codes[first + row]
                values[out + row] = np.log(probabilities[row, code]) if code < 4 else np.nan
            out += rows


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

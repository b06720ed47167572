"""N-gram models of DNA: interpolated over all orders, or of one order as the human-genes paper has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import torch

from dnastudy.files import InputError, atomic_path
from dnastudy.genes.codes import Sequences, known_bases
from dnastudy.models import counts as counting
from dnastudy.models.base import CausalModel, check_value
from dnastudy.models.counts import DENSE_ORDER, HIGHEST_ORDER, Counts, first_place, flat, next_along, next_bases

SMOOTHINGS = ("interpolated", "mle", "laplace")
_TOGETHER = 1 << 12  # bases that are scored at once
_STRETCH = 1 << 22  # bases whose scores are held at once where only their sum is wanted
HIGHEST_PADDED = 8  # 8^8 counts of 4 bytes are 67 MB
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
        Length of the n-grams, 1 to 24; without interpolation 1 to 8.
    smoothing
        ``interpolated``, ``mle`` or ``laplace``.
    reverse_complement
        Count both strands: each sequence as it is, and its reverse complement.
    """

    kind = "ngram"

    def __init__(
        self,
        order: int = 8,  # length of the n-grams, up to 24; context is order - 1 bases
        smoothing: str = "interpolated",  # interpolated over all orders; mle or laplace: one order alone, up to 8
        reverse_complement: bool = False,  # count both strands
    ):
        order = check_value("ngram: order", order, 1, least=1)
        check_value("ngram: reverse_complement", reverse_complement, False)
        if smoothing not in SMOOTHINGS:
            raise InputError(f"ngram: smoothing {smoothing!r}; expected one of {', '.join(SMOOTHINGS)}")
        highest = HIGHEST_ORDER if smoothing == "interpolated" else HIGHEST_PADDED
        if order > highest:
            raise InputError(f"ngram: order {order}; expected 1 to {highest} with smoothing {smoothing!r}")
        self.order = order
        self.smoothing = smoothing
        self.interpolated = smoothing == "interpolated"
        self.reverse_complement = reverse_complement
        options = {"order": order, "smoothing": smoothing, "reverse_complement": reverse_complement}
        self.config = {"kind": "ngram"} | options
        # Without validation data: about one alphabet's worth of pseudo-counts at every order.
        self.weights = np.full(order, 4.0)
        self.end_probability = 0.0
        # Once fitted with validation data: order, weight and validation_bits_per_base of the model that stops there.
        self.history: list[dict] = []
        self._counts: Counts | np.ndarray | None = None
        self._text: tuple[np.ndarray, np.ndarray] | None = None

    def fit(self, sequences: Sequences, *, validation: Sequences | None = None) -> NgramModel:
        """Count n-grams, and fit the weights of all orders by the likelihood of ``validation``.

        Both are strings or uint8 base codes; or a pair of all codes (uint8, [bases]) and spans (int64, [n, 2],
        start and end), so that a corpus need not be copied. Without ``validation`` every weight is 4.
        """
        codes, spans = flat(sequences)
        if self._keeps_text:
            codes, spans = self._text = counting.gathered(codes, spans)
        self._count(codes, spans)
        if validation is not None and self.interpolated:
            self.weights, bits = counting.fit_weights(self._counts, *flat(validation))
            fitted = enumerate(zip(self.weights.tolist(), bits.tolist(), strict=True), start=1)
        elif validation is not None:
            fitted = [(self.order, (0.0, float(np.log2(self.perplexity(validation)))))]
        else:
            fitted = []
        self.history = [{"order": n, "weight": w, "validation_bits_per_base": cost} for n, (w, cost) in fitted]
        return self

    @property
    def size(self) -> int:
        """How many numbers were learnt: n-grams that occur and weights; above order 13, 12-grams count every time."""
        counts = self._counted()
        if not self.interpolated:
            return int(np.count_nonzero(counts))
        return int(np.count_nonzero(counts.tables)) + len(counts.older) + self.order

    def base_log_likelihoods(self, sequences: Sequences) -> list[np.ndarray]:
        """Log-probability of each base given those before it: float32 [bases] each, nats; NaN if unknown.

        It is -inf where ``mle`` hasn't seen the n-gram.
        """
        codes, spans = flat(sequences)
        values = self._values(codes, spans)
        if self.interpolated:
            return values
        return [
            np.where(codes[start:end] < 4, one[:-1], np.nan).astype(np.float32)
            for one, (start, end) in zip(values, spans, strict=True)
        ]

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        codes, spans = flat(sequences)
        totals, known = np.zeros(len(spans)), np.zeros(len(spans), dtype=np.int64)
        for number, bases, values, end in self._scored(codes, spans):
            known[number] += np.count_nonzero(bases < 4)
            totals[number] += np.nansum(values, dtype=float) if self.interpolated else values[bases < 4].sum()
            if include_end:
                totals[number] += end.sum()
        return self.with_ends(totals, known) if include_end and self.interpolated else totals

    def with_ends(self, totals: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Log-probabilities of sequences with so many known bases, with what the length model says of their ends."""
        return totals + (known * np.log1p(-self.end_probability) + np.log(self.end_probability))

    def perplexity(self, sequences: Sequences, convention: str = "per_base", *, include_end: bool = False) -> float:
        """Perplexity, the exponential of the mean of minus the log-probabilities.

        Parameters
        ----------
        convention
            ``per_base``: over all A C G T, with ``include_end`` the ends too. ``nltk``: over all symbols, as NLTK
            has it and the human-genes paper reports it: bases, unknown ones too, and one end symbol a sequence
            (none at order 1); for ``mle`` and ``laplace`` alone. Infinite if one was never seen.
        """
        if convention == "per_base":
            return super().perplexity(sequences, include_end=include_end and (self.interpolated or self.order > 1))
        if convention != "nltk" or self.interpolated:
            known = "'per_base'" if self.interpolated else "'per_base' or 'nltk'"
            found = f"perplexity: convention {convention!r} with smoothing {self.smoothing!r}"
            raise InputError(f"{found}; expected {known}")
        total, count = 0.0, 0
        for _, _, values, end in self._scored(*flat(sequences)):
            total += values.sum() + end.sum()
            count += len(values) + len(end)
        if not count:
            raise InputError("perplexity: no symbol to score; give at least one sequence")
        return float(np.exp(-total / count))

    def begin(self, rows: int, prompt: np.ndarray):
        """Log-probabilities [rows, 4] of the base that follows ``prompt`` (base codes), and the state.

        Without interpolation they are those of the four bases alone, made to sum to one.
        """
        return self.after(np.tile(prompt, (rows, 1)))

    def after(self, contexts: np.ndarray):
        """Log-probabilities [n, 4] of the base after each context (uint8 codes [n, bases]), and the state."""
        state = np.zeros((2, len(contexts)), dtype=np.int64)
        state[0] = 0 if self.interpolated else _begun(self.order)
        for bases in contexts.T[max(0, contexts.shape[1] - self.order + 1) :]:
            state = self._followed(state, bases)
        return self._next(state)

    def follow(self, bases, state: np.ndarray):
        """Log-probabilities [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and the new state."""
        return self._next(self._followed(state, bases.numpy()))

    def _followed(self, state: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The contexts as numbers, and how many of their bases are known (int64 [2, n]), once ``codes`` followed."""
        context, known = state
        if self.interpolated:
            return np.where(codes > 3, 0, [(4 * context + codes) & (4 ** (self.order - 1) - 1), known + 1])
        return np.stack([(8 * context + np.minimum(codes, 4)) & (8 ** (self.order - 1) - 1), known])

    def write_counts(self, path: Path) -> None:
        """Write what a fitted model needs, as ``counts.npz``.

        Up to order 13, interpolated: the highest order's counts, and what the lower ones have besides. Most
        n-grams of a high order are unseen: a bit says which are there, a byte how often, and what doesn't fit
        a byte stands apart. Else the training sequences at two bits a base, to be counted again on reading.
        """
        counts = self._counted()
        if self._text is not None:
            codes, spans = self._text
            unknown = np.flatnonzero(codes > 3)
            arrays = {"bases": counting.pack(codes), "unknown": unknown, "lengths": np.diff(spans)[:, 0]}
        else:
            top = counts.tables[first_place(self.order) :]
            seen = top > 0
            times = top[seen]
            arrays = {"seen": np.packbits(seen), "counts": np.minimum(times, 255).astype(np.uint8)}
            arrays |= {"large": times[times >= 255], "short": counts.short}
        with atomic_path(path) as partial, open(partial, "wb") as handle:
            end = np.float64(self.end_probability)
            np.savez_compressed(handle, weights=self.weights, end_probability=end, **arrays)

    def read_counts(self, path: Path) -> None:
        """Read what :meth:`write_counts` wrote for a model of the same configuration."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                self.weights = stored["weights"]
                if len(self.weights) != self.order:
                    raise ValueError(f"those there are of order {len(self.weights)}")
                self.end_probability = float(stored["end_probability"])
                if self._keeps_text:
                    lengths = stored["lengths"]
                    codes = counting.unpack(stored["bases"], int(lengths.sum()), stored["unknown"])
                    self._text = codes, counting.spans_of(lengths)
                else:
                    seen = np.unpackbits(stored["seen"], count=4**self.order).view(bool)
                    times = stored["counts"].astype(np.uint32)
                    times[times == 255] = stored["large"]
                    tables = np.zeros(first_place(self.order + 1), dtype=np.uint32)
                    tables[first_place(self.order) :][seen] = times
                    self._counts = counting.add_lower_orders(tables, stored["short"], self.order)
        except (KeyError, ValueError, IndexError, OSError) as error:
            raise InputError(f"{path}: no n-gram counts of order {self.order} ({error}); fit it again") from None
        if self._text is not None:
            self._count(*self._text)

    @property
    def _keeps_text(self) -> bool:
        return not self.interpolated or self.order > DENSE_ORDER

    def _count(self, codes: np.ndarray, spans: np.ndarray) -> None:
        bases = int(known_bases((codes, spans)).sum())
        if bases == 0:
            raise InputError("ngram: no A, C, G or T in the training sequences; give at least one")
        self.end_probability = len(spans) / (bases + len(spans))
        if self.reverse_complement:
            codes, spans = counting.both_strands(codes, spans)
        if self.interpolated:
            self._counts = counting.count(codes, spans, self.order)
        else:
            self._counts = np.zeros(8**self.order, dtype=np.uint32)
            _count_padded(codes, spans, self.order, self._counts)

    def _counted(self) -> Counts | np.ndarray:
        if self._counts is None:
            raise InputError("ngram: nothing counted yet; call fit first, or load a fitted model")
        return self._counts

    def _scored(self, codes: np.ndarray, spans: np.ndarray) -> Iterator[tuple[int, np.ndarray, ...]]:
        """Stretch by stretch: which sequence, its codes there, their log-probabilities, and the end's if there."""
        ends = not self.interpolated and self.order > 1
        for pieces in stretches(spans, self.order - 1):
            for (number, begin, stop, new), values in zip(pieces, self._values(codes, pieces[:, 1:3]), strict=True):
                last = stop - begin
                ended = ends and stop == spans[number, 1]
                yield number, codes[new:stop], values[new - begin : last], values[last:] if ended else values[:0]

    def _values(self, codes: np.ndarray, spans: np.ndarray) -> list[np.ndarray]:
        """Log-probabilities of each sequence's bases: float32 [bases] each; not interpolated, float64 with an end's."""
        lengths = spans[:, 1] - spans[:, 0] + (not self.interpolated)
        values = np.empty(lengths.sum(), dtype=np.float32 if self.interpolated else np.float64)
        if self.interpolated:
            _score(self._counted(), self.weights, codes, spans, values)
        else:
            _score_padded(self._counted(), self.order, codes, spans, int(self.smoothing == "laplace"), values)
        return split_at(values, lengths)

    def _next(self, state: np.ndarray):
        probabilities = np.empty((state.shape[1], 4))
        if self.interpolated:
            next_bases(self._counted(), self.weights, *state, probabilities)
        else:
            times = self._counted()[8 * state[0][:, None] + np.arange(4)] + float(self.smoothing == "laplace")
            total = times.sum(axis=1, keepdims=True)
            probabilities = np.divide(times, total, out=np.full(times.shape, 0.25), where=total > 0)
        return torch.from_numpy(probabilities).log(), state


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
    probabilities = np.empty((_TOGETHER, 4))
    out = 0
    for start, end in spans:
        for first in range(start, end, _TOGETHER):
            some = codes[first : min(first + _TOGETHER, end)]
            next_along(counts, weights, codes[start:end], first - start, probabilities[: len(some)])
            for row, code in enumerate(some):
                values[out + row] = np.log(probabilities[row, code]) if code < 4 else np.nan
            out += len(some)


# What NLTK's models count: n-grams of sequences that ``order - 1`` start symbols precede and one end symbol follows.
# Its ``pad_both_ends(order)`` puts as many end symbols, but nothing that is scored has one in its context. The number
# of an n-gram has three bits a symbol, the last one lowest; ``counts`` is uint32 [8^order].


@numba.njit(cache=True)
def _begun(order):
    """The start symbols before a sequence, as an n-gram's number."""
    return START * (8 ** (order - 1) - 1) // 7


@numba.njit(cache=True)
def _followed(ngram, code, order):
    """The n-gram that ends in ``code`` (0-3, above that unknown, -1 for the end) after the last one, and its symbol."""
    symbol = np.int64(END) if code < 0 else np.int64(min(code, 4))
    return (8 * ngram + symbol) & (8**order - 1), symbol


@numba.njit(cache=True)
def _count_padded(codes, spans, order, counts):
    for start, end in spans:
        ngram = _begun(order)
        for place in range(start, end + (order > 1)):
            ngram, _ = _followed(ngram, np.int64(codes[place]) if place < end else -1, order)
            counts[ngram] += 1


@numba.njit(cache=True)
def _score_padded(counts, order, codes, spans, added, values):
    """Log-probability of each base (<UNK> where unknown) and of the end after each sequence, into ``values``.

    ``added`` is what Laplace adds to each count, 0 or 1; ``values`` is float64 [bases + sequences]. The end
    has none at order 1: NaN.
    """
    vocabulary = 7 if order > 1 else 5
    out = 0
    for start, end in spans:
        ngram = _begun(order)
        for place in range(start, end + 1):
            ngram, symbol = _followed(ngram, np.int64(codes[place]) if place < end else -1, order)
            total = counts[ngram - symbol : ngram - symbol + 8].sum() + added * vocabulary
            values[out] = np.log((counts[ngram] + added) / total) if total > 0 else -np.inf
            if order == 1 and place == end:
                values[out] = np.nan
            out += 1

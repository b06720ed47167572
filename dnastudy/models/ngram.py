"""N-gram models of DNA: interpolated over all orders, or of one order as the human-genes paper has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import torch

from dnastudy.files import InputError, atomic_path
from dnastudy.genes.codes import Sequences
from dnastudy.models import counts as counting
from dnastudy.models.base import CausalModel, check_value
from dnastudy.models.counts import DENSE_ORDER, HIGHEST_ORDER, Counts, extended, first_place, flat, next_bases

SMOOTHINGS = ("interpolated", "mle", "laplace")
_TOGETHER = 64  # bases that are scored at once
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
        self.reverse_complement = reverse_complement
        self.config = {"kind": "ngram", "order": order, "smoothing": smoothing}
        self.config["reverse_complement"] = reverse_complement
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
            self.history = [
                {"order": order, "weight": float(weight), "validation_bits_per_base": float(cost)}
                for order, weight, cost in zip(range(1, self.order + 1), self.weights, bits, strict=True)
            ]
        elif validation is not None:
            cost = float(np.log2(self.perplexity(validation)))
            self.history = [{"order": self.order, "weight": 0.0, "validation_bits_per_base": cost}]
        return self

    @property
    def interpolated(self) -> bool:
        return self.smoothing == "interpolated"

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
        if self.interpolated:
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
        if self.interpolated:
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
            has it and the human-genes paper reports it: bases, unknown ones too, and one end symbol a sequence
            (none at order 1); for ``mle`` and ``laplace`` alone. Infinite if one was never seen.
        """
        if convention == "per_base":
            return super().perplexity(sequences, include_end=include_end and (self.interpolated or self.order > 1))
        if convention != "nltk" or self.interpolated:
            known = "'per_base'" if self.interpolated else "'per_base' or 'nltk'"
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
        a byte stands apart. Else the training sequences at two bits a base, to be counted again on reading.
        """
        counts = self._counted()
        if self._text is not None:
            codes, spans = self._text
            arrays = {
                "bases": counting.pack(codes),
                "unknown": np.flatnonzero(codes > 3),
                "lengths": np.diff(spans)[:, 0],
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
                    spans = counting.spans_of(stored["lengths"])
                    self._text = (
                        counting.unpack(stored["bases"], int(stored["lengths"].sum()), stored["unknown"]),
                        spans,
                    )
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
        bases = int(sum(np.count_nonzero(codes[start:end] < 4) for start, end in spans))
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
        _score_padded(self._counted(), self.order, codes, spans, int(self.smoothing == "laplace"), values)
        return split_at(values, lengths)

    def _next(self, recent: np.ndarray):
        probabilities = np.empty((len(recent), 4))
        if self.interpolated:
            contexts, known = counting.contexts_of(recent, self.order)
            next_bases(self._counted(), self.weights, contexts, known, probabilities)
        else:
            _next_padded(self._counted(), self.order, int(self.smoothing == "laplace"), recent, probabilities)
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


# What NLTK's models count: n-grams of sequences that ``order - 1`` start symbols precede and one end symbol follows.
# Its ``pad_both_ends(order)`` puts as many end symbols, but nothing that is scored has one in its context. The number
# of an n-gram has three bits a symbol, the last one lowest; ``counts`` is uint32 [8^order].


@numba.njit(cache=True)
def _begun(order):
    """The start symbols before a sequence, as an n-gram's number."""
    ngram = np.int64(0)
    for _ in range(order - 1):
        ngram = 8 * ngram + START
    return ngram


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


@numba.njit(cache=True)
def _next_padded(counts, order, added, recent, probabilities):
    """Probabilities [n, 4] of the bases after codes [n, length], made to sum to one; alike if none was seen."""
    for row in range(len(recent)):
        ngram = _begun(order)
        for code in recent[row]:
            ngram, _ = _followed(ngram, np.int64(code), order)
        first, _ = _followed(ngram, 0, order)
        probabilities[row] = counts[first : first + 4] + added
        total = probabilities[row].sum()
        for base in range(4):
            probabilities[row, base] = probabilities[row, base] / total if total > 0 else 0.25

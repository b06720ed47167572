"""An interpolated n-gram model of DNA with dense counts: fits tens of megabases in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np

from dnastudy.files import InputError, atomic_path
from dnastudy.models.base import CausalModel
from dnastudy.tokens.tokenizer import as_codes

HIGHEST_ORDER = 13  # 4^13 counts of 4 bytes are 268 MB; each order more takes four times as much

_FITTED_BASES = 1 << 20  # validation bases that the weights are fitted on, spread evenly
_WEIGHT_RANGE = (-7.0, 14.0)  # natural logarithms

Sequences = Sequence[str | np.ndarray] | tuple[np.ndarray, np.ndarray]


class NgramModel(CausalModel):
    """Interpolated n-gram: p_k = (c_k + a_k p_{k-1}) / (n_k + a_k), p_0 uniform.

    ``c_k`` counts the last k - 1 bases followed by this one, ``n_k`` those k - 1 bases followed by any. It is
    Dirichlet smoothing towards the next shorter context (MacKay and Peto 1995). A context that would reach
    before the sequence's start or over a base that isn't A C G T is shortened. Gene ends follow a geometric
    length model.

    Parameters
    ----------
    order
        Length of the n-grams: a base is predicted from the ``order - 1`` before it. 1 to 13.
    smoothing
        ``interpolated``.

    Attributes
    ----------
    weights : float64 [order]
        ``a_1`` ... ``a_order``.
    history : list of dict
        For each order up to the highest, once fitted with validation data: order, weight, and the
        validation_bits_per_base of the model that stops there.
    """

    kind = "ngram"

    def __init__(self, order: int = 8, smoothing: str = "interpolated"):
        if not 1 <= order <= HIGHEST_ORDER:
            raise InputError(f"ngram: order {order}; expected 1 to {HIGHEST_ORDER}")
        if smoothing != "interpolated":
            raise InputError(f"ngram: smoothing {smoothing!r}; expected 'interpolated'")
        self.order = order
        self.config = {"kind": "ngram", "order": order, "smoothing": smoothing}
        # Without validation data: about one alphabet's worth of pseudo-counts at every order.
        self.weights = np.full(order, 4.0)
        self.end_probability = 0.0
        self.history: list[dict] = []
        self._tables: np.ndarray | None = None
        self._short: np.ndarray | None = None

    def fit(self, sequences: Sequences, *, validation: Sequences | None = None) -> NgramModel:
        """Count n-grams of every order, and fit the weights by the likelihood of ``validation``.

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
        codes, spans = _flat(sequences)
        self._tables, self._short = count(codes, spans, self.order)
        bases = int(self._tables[:4].sum(dtype=np.int64))
        if bases == 0:
            raise InputError("ngram: no A, C, G or T in the training sequences; give at least one")
        self.end_probability = len(spans) / (bases + len(spans))
        if validation is not None:
            self.weights, bits = fit_weights(self._tables, *_flat(validation), self.order)
            self.history = [
                {"order": order, "weight": float(weight), "validation_bits_per_base": float(cost)}
                for order, weight, cost in zip(range(1, self.order + 1), self.weights, bits, strict=True)
            ]
        return self

    @property
    def size(self) -> int:
        """How many numbers were learnt: n-grams of all orders that occur, and the weights."""
        return int(np.count_nonzero(self._counted())) + self.order

    def base_log_likelihoods(self, sequences: Sequences) -> list[np.ndarray]:
        """Log-probability of each base given those before it: float32 [bases] each, nats; NaN if unknown."""
        codes, spans = _flat(sequences)
        values = np.empty(int((spans[:, 1] - spans[:, 0]).sum()), dtype=np.float32)
        _score(self._counted(), codes, spans, self.weights, values)
        return np.split(values, np.cumsum(spans[:, 1] - spans[:, 0])[:-1]) if len(spans) else []

    def log_likelihood(self, sequences: Sequences, *, include_end: bool = False) -> np.ndarray:
        """Log-probability of whole sequences, float64 [n], nats; ``include_end`` adds the end symbol."""
        per_base = self.base_log_likelihoods(sequences)
        totals = np.array([np.nansum(values, dtype=np.float64) for values in per_base], dtype=np.float64)
        if include_end:
            bases = np.array([np.count_nonzero(~np.isnan(values)) for values in per_base])
            totals += bases * np.log1p(-self.end_probability) + np.log(self.end_probability)
        return totals

    def perplexity(self, sequences: Sequences, convention: str = "per_base") -> float:
        """Perplexity exp(nats / bases) over all A C G T bases ("per_base"): the end symbol doesn't count.

        Raises
        ------
        InputError
            When there is no base to score, or another convention is asked for.
        """
        if convention != "per_base":
            raise InputError(f"perplexity: convention {convention!r}; expected 'per_base'")
        values = [one[~np.isnan(one)] for one in self.base_log_likelihoods(sequences)]
        bases = sum(len(one) for one in values)
        if bases == 0:
            raise InputError("perplexity: no A, C, G or T to score; give at least one")
        return float(np.exp(-sum(one.sum(dtype=np.float64) for one in values) / bases))

    def begin(self, rows: int, prompt: np.ndarray):
        """Log-probabilities [rows, 4] of the base that follows ``prompt`` (base codes), and the context."""
        known = 0
        while known < min(len(prompt), self.order - 1) and prompt[-1 - known] < 4:
            known += 1
        context = np.int64(0)
        for code in prompt[len(prompt) - known :]:
            context = 4 * context + int(code)
        return self._next(np.full(rows, context, dtype=np.int64), known)

    def follow(self, bases, state: tuple[np.ndarray, int]):
        """Log-probabilities [rows, 4] of the base after ``bases`` (codes 0-3, [rows]), and the context."""
        contexts, known = state
        contexts = (4 * contexts + bases.numpy()) % 4 ** (self.order - 1)
        return self._next(contexts, min(known + 1, self.order - 1))

    def write_counts(self, path: Path) -> None:
        """Write the highest order's counts, and what the lower ones have besides, as ``counts.npz``.

        Most n-grams of a high order are unseen: a bit says which are there, a byte how often, and what
        doesn't fit a byte stands apart.
        """
        top = self._counted()[_first(self.order) :]
        seen = top > 0
        counts = top[seen]
        with atomic_path(path) as partial, open(partial, "wb") as handle:
            np.savez_compressed(
                handle,
                weights=self.weights,
                end_probability=np.float64(self.end_probability),
                seen=np.packbits(seen),
                counts=np.minimum(counts, 255).astype(np.uint8),
                large=counts[counts >= 255],
                short=self._short,
            )

    def read_counts(self, path: Path) -> None:
        """Read what :meth:`write_counts` wrote for a model of the same order.

        Raises
        ------
        InputError
            When the file isn't such a table.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                seen = np.unpackbits(stored["seen"], count=4**self.order).view(bool)
                counts = stored["counts"].astype(np.uint32)
                counts[counts == 255] = stored["large"]
                self.weights = stored["weights"]
                self.end_probability = float(stored["end_probability"])
                self._short = stored["short"]
        except (KeyError, ValueError, OSError) as error:
            raise InputError(f"{path}: no n-gram counts of order {self.order} ({error}); fit it again") from None
        self._tables = np.zeros(_first(self.order + 1), dtype=np.uint32)
        self._tables[_first(self.order) :][seen] = counts
        _add_lower_orders(self._tables, self._short, self.order)

    def _counted(self) -> np.ndarray:
        if self._tables is None:
            raise InputError("ngram: nothing counted yet; call fit first, or load a fitted model")
        return self._tables

    def _next(self, contexts: np.ndarray, known: int):
        import torch

        probabilities = np.full((len(contexts), 4), 0.25)
        tables = self._counted()
        for order in range(1, known + 2):
            first = _first(order) + 4 * (contexts % 4 ** (order - 1))
            counts = tables[first[:, None] + np.arange(4)]
            weight = self.weights[order - 1]
            total = counts.sum(axis=1, dtype=np.int64)[:, None]
            probabilities = (counts + weight * probabilities) / (total + weight)
        return torch.from_numpy(np.log(probabilities)), (contexts, known)


def count(codes: np.ndarray, spans: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Count the n-grams of all orders up to ``order``.

    Parameters
    ----------
    codes
        uint8 [bases], anything above 3 unknown.
    spans
        int64 [n, 2], start and end of each sequence in ``codes``.

    Returns
    -------
    The tables of the orders 1, 2, ... end to end (uint32), each indexed by the n-gram read as a number in
    base 4; and the places in them (int64) of the n-grams of a lower order that no longer one covers, since
    they begin at a sequence's start or after an unknown base.
    """
    tables = np.zeros(_first(order + 1), dtype=np.uint32)
    short = np.empty(_count_short(codes, spans, order), dtype=np.int64)
    _count(codes, spans, order, tables[_first(order) :], short)
    _add_lower_orders(tables, short, order)
    return tables, short


def _add_lower_orders(tables: np.ndarray, short: np.ndarray, order: int) -> None:
    """Fill in the orders below the highest: sums over the oldest base of the next order, and ``short``."""
    np.add.at(tables, short, 1)
    for lower in range(order - 1, 0, -1):
        table = tables[_first(lower) : _first(lower + 1)]
        for longer in tables[_first(lower + 1) : _first(lower + 2)].reshape(4, -1):
            table += longer


def fit_weights(tables: np.ndarray, codes: np.ndarray, spans: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights a_1 ... a_order (float64 [order]) that make the sequences likeliest.

    Order by order from the lowest, each is found by a bounded search in log a, given those below; at most
    about a million bases, spread evenly, are looked at.

    Raises
    ------
    InputError
        When the sequences hold no A C G T.
    """
    from scipy.optimize import minimize_scalar

    bases = int((spans[:, 1] - spans[:, 0]).sum())
    ngrams, lengths = _spread(codes, spans, order, max(1, bases // _FITTED_BASES))
    if len(ngrams) == 0:
        raise InputError("ngram: no A, C, G or T in the validation sequences; give at least one, or none at all")
    probabilities = np.full(len(ngrams), 0.25)
    weights, bits = np.empty(order), np.empty(order)
    for k in range(1, order + 1):
        counts, totals = _look_up(tables, ngrams, lengths, k)
        found = minimize_scalar(
            _negative_log_likelihood,
            args=(counts, totals, probabilities),
            bounds=_WEIGHT_RANGE,
            method="bounded",
            options={"xatol": 0.01},
        )
        weights[k - 1] = np.exp(found.x)
        probabilities = (counts + weights[k - 1] * probabilities) / (totals + weights[k - 1])
        bits[k - 1] = -np.log2(probabilities).mean()
    return weights, bits


def _flat(sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
    """Sequences end to end: codes (uint8 [bases], not copied if they come so), spans (int64 [n, 2])."""
    if isinstance(sequences, tuple):
        codes, spans = sequences
        return np.asarray(codes), np.asarray(spans, dtype=np.int64).reshape(-1, 2)
    coded = [as_codes(sequence) for sequence in sequences]
    ends = np.cumsum([len(one) for one in coded], dtype=np.int64)
    starts = ends - [len(one) for one in coded] if coded else ends
    codes = np.concatenate(coded) if coded else np.empty(0, dtype=np.uint8)
    codes.flags.writeable = False  # as a corpus is, so that numba compiles once
    return codes, np.stack([starts, ends], axis=1).astype(np.int64)


@numba.njit(cache=True)
def _first(order):
    """Where the table of ``order`` begins when those of orders 1, 2, ... lie end to end."""
    return (4**order - 4) // 3


@numba.njit(cache=True)
def _count_short(codes, spans, order):
    found = 0
    for span in range(spans.shape[0]):
        length = 0
        for place in range(spans[span, 0], spans[span, 1]):
            length = length + 1 if codes[place] < 4 else 0
            found += 0 < length < order
    return found


@numba.njit(cache=True)
def _count(codes, spans, order, top, short):
    keep = 4**order - 1
    found = 0
    for span in range(spans.shape[0]):
        length, ngram = 0, 0
        for place in range(spans[span, 0], spans[span, 1]):
            if codes[place] > 3:
                length, ngram = 0, 0
                continue
            length += 1
            ngram = (4 * ngram + codes[place]) & keep
            if length >= order:
                top[ngram] += 1
            else:
                short[found] = _first(length) + ngram
                found += 1


@numba.njit(cache=True)
def _spread(codes, spans, order, step):
    """Every ``step``-th known base's n-gram (int64) and its length, ``order`` at most."""
    keep = 4**order - 1
    ngrams, lengths = [], []
    seen = 0
    for span in range(spans.shape[0]):
        length, ngram = 0, 0
        for place in range(spans[span, 0], spans[span, 1]):
            if codes[place] > 3:
                length, ngram = 0, 0
                continue
            length += 1
            ngram = (4 * ngram + codes[place]) & keep
            if seen % step == 0:
                ngrams.append(ngram)
                lengths.append(min(length, order))
            seen += 1
    return np.array(ngrams, dtype=np.int64), np.array(lengths, dtype=np.int64)


@numba.njit(cache=True)
def _look_up(tables, ngrams, lengths, order):
    """Counts of the n-grams cut to ``order`` and of their contexts (float64); zero where they are shorter."""
    counts, totals = np.zeros(len(ngrams)), np.zeros(len(ngrams))
    for number in range(len(ngrams)):
        if lengths[number] >= order:
            place = _first(order) + (ngrams[number] & (4**order - 1))
            counts[number] = tables[place]
            context = place - (ngrams[number] & 3)
            for base in range(4):
                totals[number] += tables[context + base]
    return counts, totals


@numba.njit(cache=True)
def _negative_log_likelihood(log_weight, counts, totals, shorter):
    weight = np.exp(log_weight)
    nats, product = 0.0, 1.0
    for number in range(len(counts)):
        product *= (counts[number] + weight * shorter[number]) / (totals[number] + weight)
        if product < 1e-200:  # one logarithm for many factors
            nats -= np.log(product)
            product = 1.0
    return nats - np.log(product)


@numba.njit(cache=True)
def _score(tables, codes, spans, weights, values):
    order = len(weights)
    keep = 4**order - 1
    out = 0
    for span in range(spans.shape[0]):
        length, ngram = 0, 0
        for place in range(spans[span, 0], spans[span, 1]):
            if codes[place] > 3:
                length, ngram = 0, 0
                values[out] = np.nan
                out += 1
                continue
            length += 1
            base = codes[place]
            ngram = (4 * ngram + base) & keep
            probability, begin, mask = 0.25, 0, 3
            for k in range(min(length, order)):
                context = begin + (ngram & mask) - base
                total = 0
                for other in range(4):
                    total += tables[context + other]
                if total == 0:  # nor has any longer context been seen
                    break
                probability = (tables[context + base] + weights[k] * probability) / (total + weights[k])
                begin += mask + 1
                mask = 4 * mask + 3
            values[out] = np.log(probability)
            out += 1

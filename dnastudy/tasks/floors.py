"""What a model must beat: no knowledge at all, and what the human-genes paper published."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.tokens.tokenizer import as_codes

if TYPE_CHECKING:
    from dnastudy.genes import Corpus
    from dnastudy.models import NgramModel

# From Ihtiyar & Ozgur 2024, Scientific Reports 14:22204 (arXiv 2307.10634v2).
# Test perplexity per symbol on human genes of at most 1,000 nt. The n-grams' figures also count one end
# symbol a gene, the neural models' don't, so the two aren't the same quantity. The 6-gram without smoothing
# met an n-gram that it had never seen.
PUBLISHED_PERPLEXITY = {
    "1-gram": 3.9959,
    "2-gram": 3.9215,
    "3-gram": 3.8985,
    "4-gram": 3.8834,
    "5-gram": 3.8723,
    "6-gram": float("inf"),
    "Laplace 6-gram": 3.86165,
    "Laplace 7-gram": 3.83902,
    "Laplace 8-gram": 3.82630,
    "Transformer": 3.6905,
    "LSTM": 3.2878,
}

# Share of 1,000 pairs in which the real gene scored better than the one with 1 to N edits: one figure for
# each of three seeds, ties counted as wrong. Keys: how the two were scored, model, N.
PUBLISHED_ACCURACY = {
    ("perplexity", "Laplace 8-gram", 1): (0.649, 0.647, 0.653),
    ("perplexity", "Laplace 8-gram", 5): (0.749, 0.741, 0.729),
    ("perplexity", "Laplace 8-gram", 10): (0.787, 0.793, 0.782),
    ("perplexity", "LSTM", 1): (0.728, 0.745, 0.721),
    ("perplexity", "LSTM", 5): (0.816, 0.785, 0.814),
    ("perplexity", "LSTM", 10): (0.840, 0.846, 0.853),
    ("perplexity", "Transformer", 1): (0.638, 0.652, 0.665),
    ("perplexity", "Transformer", 5): (0.711, 0.700, 0.690),
    ("perplexity", "Transformer", 10): (0.766, 0.745, 0.753),
    ("probability", "Laplace 8-gram", 1): (0.607, 0.585, 0.625),
    ("probability", "Laplace 8-gram", 5): (0.680, 0.695, 0.678),
    ("probability", "Laplace 8-gram", 10): (0.717, 0.723, 0.716),
    ("probability", "LSTM", 1): (0.671, 0.682, 0.674),
    ("probability", "LSTM", 5): (0.740, 0.737, 0.758),
    ("probability", "LSTM", 10): (0.788, 0.785, 0.777),
    ("probability", "Transformer", 1): (0.619, 0.627, 0.643),
    ("probability", "Transformer", 5): (0.671, 0.659, 0.669),
    ("probability", "Transformer", 10): (0.716, 0.681, 0.690),
}


def fit_floors(corpus: Corpus, orders: Iterable[int]) -> dict[str, NgramModel]:
    """Fit n-grams of low order on the training genes, weights on the validation genes; by name ("4-gram")."""
    from dnastudy.models import NgramModel

    train, validation = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
    return {f"{order}-gram": NgramModel(order).fit(train, validation=validation) for order in orders}


class Uniform:
    """Every base equally likely: two bits a base. It scores like a model; none is saved."""

    kind = "uniform"

    def __init__(self):
        self.config = {"kind": self.kind}

    def log_likelihood(self, sequences: Sequence[str | np.ndarray], *, include_end: bool = False) -> np.ndarray:
        """Nats of each sequence, float64, [n]; the end symbol is a fifth symbol, and one more to score."""
        symbols = 5 if include_end else 4
        known = np.array([np.count_nonzero(as_codes(s) < 4) for s in sequences], dtype=np.float64)
        return -np.log(symbols) * (known + include_end)

    def base_log_likelihoods(self, sequences: Sequence[str | np.ndarray]) -> list[np.ndarray]:
        """Nats of each base, float32, [length] a sequence; NaN where the base isn't A, C, G or T."""
        return [np.where(as_codes(s) < 4, -np.log(4), np.nan).astype(np.float32) for s in sequences]

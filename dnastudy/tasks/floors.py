"""What a model must beat: no knowledge at all, short words, long words, and copying."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.tasks.likelihood import known_bases
from dnastudy.tokens.tokenizer import coded

if TYPE_CHECKING:
    from dnastudy.genes import Corpus
    from dnastudy.models import CopyModel, NgramModel

NAMES = re.compile(r"uniform|copy|(Laplace )?\d+-gram")  # no model of other kinds may have one of these


def fit_floors(corpus: Corpus, orders: Iterable[int], *, copy: bool = False) -> dict[str, NgramModel | CopyModel]:
    """Fit n-grams of the given orders on the training genes, weights on the validation genes; by name ("4-gram").

    With ``copy`` the longest-match predictor ("copy") stands among them: what remembering alone is worth.
    """
    from dnastudy.models import NgramModel
    from dnastudy.models.copying import CopyModel

    train, validation = ((corpus.all_codes, corpus.spans(split)) for split in ("train", "validation"))
    floors = {f"{order}-gram": NgramModel(order).fit(train, validation=validation) for order in orders}
    return floors | ({"copy": CopyModel().fit(train, validation=validation)} if copy else {})


class Uniform:
    """Every base equally likely: two bits a base. It scores like a model; none is saved."""

    kind = "uniform"

    def __init__(self):
        self.config = {"kind": self.kind}

    def log_likelihood(self, sequences: Sequence[str | np.ndarray], *, include_end: bool = False) -> np.ndarray:
        """Nats of each sequence, float64, [n]; the end symbol is a fifth symbol, and one more to score."""
        symbols = 5 if include_end else 4
        return -np.log(symbols) * (known_bases(sequences) + include_end)

    def base_log_likelihoods(self, sequences: Sequence[str | np.ndarray]) -> list[np.ndarray]:
        """Nats of each base, float32, [length] a sequence; NaN where the base isn't A, C, G or T."""
        return [np.where(codes < 4, -np.log(4), np.nan).astype(np.float32) for codes in coded(sequences)]

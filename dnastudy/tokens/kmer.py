"""Non-overlapping k-mers: the fixed vocabulary that byte-pair encoding is compared with."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from dnastudy.files import InputError, write_json
from dnastudy.tokens.tokenizer import (
    BASES,
    FIRST_BASE,
    SPECIALS,
    UNK,
    Tokenizer,
    as_codes,
    single_base_ids,
    tokenizer_json,
)


class KmerTokenizer(Tokenizer):
    """Every run of known bases cut into k-mers from its start; a tail shorter than ``k`` goes base by base.

    Ids 0-8 are those of every tokenizer here; the 4^k k-mers follow in alphabetical order (for k = 1 the
    bases themselves serve).

    Raises
    ------
    InputError
        When ``k`` isn't between 1 and 6.
    """

    def __init__(self, k: int):
        if k not in range(1, 7):
            raise InputError(f"k-mers of k = {k}; expected 1 to 6")
        super().__init__()
        self.k = k
        if k > 1:
            self.tokens += tuple("".join(letters) for letters in product(BASES, repeat=k))

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids (int32, [n tokens]) of a string or base codes (uint8, [n]), no special tokens added."""
        codes = as_codes(sequence)
        ids = single_base_ids(codes)
        if self.k == 1 or not len(codes):
            return ids
        known = codes < 4
        edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
        run_starts, run_ends = edges[::2], edges[1::2]
        whole = (run_ends - run_starts) // self.k
        first = np.repeat(run_starts - self.k * (np.cumsum(whole) - whole), whole)
        starts = first + self.k * np.arange(whole.sum())
        # Each k-mer's number stands at its first base; the bases that it swallows are dropped.
        number = np.zeros(len(starts), dtype=np.int32)
        keep = np.ones(len(codes), dtype=bool)
        for place in range(self.k):
            number = 4 * number + codes[starts + place]
            keep[starts + place] = place == 0
        ids[starts] = FIRST_BASE + len(BASES) + number
        return ids[keep]

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json`` (a word list behind a regular expression) for ``tokenizers``."""
        model = {
            "type": "WordLevel",
            "vocab": {token: number for number, token in enumerate(self.tokens)},
            "unk_token": SPECIALS[UNK],
        }
        split = {
            "type": "Split",
            "pattern": {"Regex": f"[ACGT]{{{self.k}}}|[\\s\\S]"},
            "behavior": "Isolated",
            "invert": False,
        }
        write_json(path, tokenizer_json(model, pre_tokenizer=split))

"""Fixed k-mers, side by side or overlapping: the vocabularies that byte-pair encoding is compared with."""

from __future__ import annotations

from functools import cached_property
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


class OverlappingKmerTokenizer(KmerTokenizer):
    """One token a base: the k-mer that begins there (DNABERT; Ji et al. 2021, Bioinformatics 37:2112).

    The last ``k`` - 1 known bases before an unknown one or the end stand for themselves, as in shorter runs all do.
    """

    file_type = "OverlappingKmers"

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids (int32, [n]) of a string or base codes (uint8, [n]), no special tokens added."""
        codes = as_codes(sequence)
        ids = single_base_ids(codes)
        room = len(codes) - self.k + 1
        if self.k == 1 or room < 1:
            return ids
        number = np.zeros(room, dtype=np.int32)
        whole = np.ones(room, dtype=bool)
        for place in range(self.k):
            here = codes[place : place + room]
            number = 4 * number + here
            whole &= here < 4
        ids[:room][whole] = FIRST_BASE + len(BASES) + number[whole]
        return ids

    def save(self, path: str | Path) -> None:
        """Write JSON that `Tokenizer.load` reads; the ``tokenizers`` library has no such model."""
        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        write_json(path, {"model": {"type": self.file_type, "vocab": vocabulary}})

    def save_for_transformers(self, folder: str | Path) -> None:
        """Refuse, since no file of the ``tokenizers`` library can say it."""
        raise InputError(f"overlapping {self.k}-mers can't be said in a file of transformers; expected other tokens")

    @cached_property
    def _spelling(self) -> np.ndarray:
        return np.array([letters[:1] for letters in super()._spelling], dtype=object)

"""One tokenizer interface: DNA to token ids and back, kept in the ``tokenizers`` library's JSON format."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dnastudy.files import InputError, read_json, write_json
from dnastudy.genes.fasta import decode, encode

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BASES = ("A", "C", "G", "T")
FIRST_BASE = len(SPECIALS)
Sequences = Sequence[str | np.ndarray] | tuple[np.ndarray, np.ndarray]
BASE_TO_ID = np.array([FIRST_BASE, FIRST_BASE + 1, FIRST_BASE + 2, FIRST_BASE + 3, UNK], dtype=np.int32)


class Tokenizer:
    """Bases and the merges of a byte-pair encoding; with no merges, one token a base.

    Ids 0-4 are PAD UNK CLS SEP MASK, 5-8 are A C G T, then each new token in the order of its merge. Nothing
    merges across a base that isn't A C G T: each such base is one UNK.

    Parameters
    ----------
    merges
        Pairs of tokens in the order in which they were learnt. Both members must be known by then.

    Raises
    ------
    InputError
        When a merge uses a token that no earlier merge has made.
    """

    def __init__(self, merges: list[tuple[str, str]] | None = None):
        self.merges = [(left, right) for left, right in merges or []]
        # Two merges may spell the same token (A+AA and AA+A); it has one id, that of the first.
        tokens = dict.fromkeys((*SPECIALS, *BASES))
        for rank, pair in enumerate(self.merges):
            missing = [part for part in pair if part not in tokens or part in SPECIALS]
            if missing:
                raise InputError(
                    f"merge {rank} ({pair[0]} {pair[1]}): {missing[0]} is neither a base nor made by an "
                    "earlier merge; give the merges in the order in which they were learnt"
                )
            tokens["".join(pair)] = None
        self.tokens: tuple[str, ...] = tuple(tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} tokens)"

    def encode(self, sequence: str | np.ndarray) -> np.ndarray:
        """Token ids of a sequence, with no special tokens added.

        Parameters
        ----------
        sequence
            A string (either case) or base codes (uint8, [n], A C G T = 0 1 2 3, anything else unknown).

        Returns
        -------
        int32 array, [n tokens].
        """
        codes = as_codes(sequence)
        return self._merge(codes) if self.merges else single_base_ids(codes)

    def decode(self, ids: np.ndarray) -> str:
        """The sequence that the ids spell: an UNK reads as N, the other special tokens as nothing."""
        return "".join(self._spelling[np.asarray(ids, dtype=np.int64)].tolist())

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json``, which ``tokenizers`` and ``transformers`` read and encode with alike."""
        model = {
            "type": "BPE",
            "dropout": None,
            # Without an unknown token the library drops an N and merges over the gap.
            "unk_token": SPECIALS[UNK],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(self.tokens)},
            "merges": [list(pair) for pair in self.merges],
        }
        write_json(path, tokenizer_json(model))

    @staticmethod
    def load(path: str | Path) -> Tokenizer:
        """Read a ``tokenizer.json`` that this package wrote: single bases, merges or k-mers.

        Raises
        ------
        InputError
            When the file is missing, isn't a tokenizer, or numbers its tokens otherwise than here.
        """
        content = read_json(path)
        model = content.get("model") if isinstance(content, dict) else None
        if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
            raise InputError(f"{path}: no model with a vocabulary in it; expected a tokenizer.json of this study")
        try:
            tokenizer = _from_model(model)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if model["vocab"] != {token: number for number, token in enumerate(tokenizer.tokens)}:
            raise InputError(
                f"{path}: {len(model['vocab'])} tokens numbered otherwise than the {len(tokenizer)} expected "
                "(0-4 PAD UNK CLS SEP MASK, 5-8 A C G T, then merges or k-mers in order); "
                "train the tokenizer here"
            )
        return tokenizer

    @cached_property
    def _spelling(self) -> np.ndarray:
        spelling = list(self.tokens)
        spelling[: len(SPECIALS)] = ["", "N", "", "", ""]
        return np.array(spelling, dtype=object)

    def _merge(self, codes: np.ndarray) -> np.ndarray:
        return np.array(self._library.encode(decode(codes)).ids, dtype=np.int32)

    @cached_property
    def _library(self):
        from tokenizers import Tokenizer as Library
        from tokenizers import models

        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        return Library(models.BPE(vocabulary, self.merges, unk_token=SPECIALS[UNK]))


def single_base() -> Tokenizer:
    """The tokenizer of the causal models: the nine ids that every tokenizer here begins with."""
    return Tokenizer()


def single_base_ids(codes: np.ndarray) -> np.ndarray:
    """Ids (int32, [n]) of base codes (uint8, [n]), one a base, in numpy alone."""
    return BASE_TO_ID[codes]


def as_codes(sequence: str | np.ndarray) -> np.ndarray:
    """Base codes (uint8, [n]) of a sequence that is a string or already coded.

    Raises
    ------
    InputError
        When it is neither a string nor a one-dimensional array of uint8.
    """
    if isinstance(sequence, str):
        return encode(sequence)
    if isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8 and sequence.ndim == 1:
        return sequence
    found = type(sequence).__name__
    if isinstance(sequence, np.ndarray):
        found = f"{sequence.dtype} array of shape {sequence.shape}"
    raise InputError(f"a sequence is {found}; expected a string or a flat uint8 array of base codes")


def coded(sequences: Sequences) -> list[np.ndarray]:
    """Base codes of each sequence; of a pair of all codes and spans (int64, [n, 2], start and end), views of them.

    Raises
    ------
    InputError
        When it is one sequence and no list of them, or one of them is no sequence.
    """
    codes = isinstance(sequences, np.ndarray) and sequences.dtype == np.uint8 and sequences.ndim == 1
    if codes or isinstance(sequences, str):
        found = "array of base codes" if codes else "string"
        raise InputError(f"expected a list of sequences, found one {found}; put it in a list")
    if is_pair(sequences):
        return [as_codes(sequences[0][start:end]) for start, end in sequences[1]]
    return [as_codes(sequence) for sequence in sequences]


def is_pair(sequences: Sequences) -> bool:
    """Whether they are given as all codes (uint8, [bases]) and spans (int64, [n, 2])."""
    return isinstance(sequences, tuple) and len(sequences) == 2 and np.ndim(sequences[1]) == 2


def tokenizer_json(model: dict, pre_tokenizer: dict | None = None) -> dict:
    """The whole content of a ``tokenizer.json`` round its ``model`` part: special tokens and upper-casing."""
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, token in enumerate(SPECIALS)
        ],
        # The library has no upper-casing of its own; soft-masked sequence comes in lower case.
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Replace", "pattern": {"String": base.lower()}, "content": base} for base in BASES
            ],
        },
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": model,
    }


def _from_model(model: dict) -> Tokenizer:
    """The tokenizer that the ``model`` part of a ``tokenizer.json`` describes."""
    if model.get("type") == "BPE":
        return Tokenizer([_pair(merge) for merge in model.get("merges", [])])
    if model.get("type") == "WordLevel":
        from dnastudy.tokens.kmer import KmerTokenizer

        return KmerTokenizer(max((len(token) for token in model["vocab"] if token not in SPECIALS), default=1))
    raise InputError(f"model type {model.get('type')!r}; expected BPE or WordLevel, the two that this study writes")


def _pair(merge: str | list[str]) -> tuple[str, str]:
    # Files written before tokenizers 0.20 keep a merge as "A C".
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
        raise InputError(f"merge {merge!r}; expected two tokens")
    return pair[0], pair[1]

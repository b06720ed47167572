"""Bases as numbers: A C G T are 0 1 2 3, anything else is 4."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from dnastudy.files import InputError

UNKNOWN = 4
BASES = "ACGTN"
IUPAC = b"ACGTURYSWKMBDHVN"
_CODE = np.full(256, UNKNOWN, dtype=np.uint8)
for _code, _base in enumerate(b"ACGT"):
    _CODE[[_base, _base + 32]] = _code
_COMPLEMENT = np.array([3, 2, 1, 0, UNKNOWN], dtype=np.uint8)
_LETTER = np.frombuffer(BASES.encode(), dtype=np.uint8)
Sequences = Sequence[str | np.ndarray] | tuple[np.ndarray, np.ndarray]
END = 4


def encode(sequence: str | bytes) -> np.ndarray:
    """Code a sequence as uint8: A C G T = 0 1 2 3 in either case, anything else 4; shape ``(bases,)``."""
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii", errors="replace")
    return _CODE[np.frombuffer(sequence, dtype=np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Spell base codes as letters; an unknown base becomes ``N``."""
    return _LETTER[codes].tobytes().decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Return the codes of the opposite strand, read 5' to 3'; an unknown base stays unknown."""
    return _COMPLEMENT[codes[::-1]]


def true_runs(mask: np.ndarray) -> np.ndarray:
    """Where the true stretches of a mask begin and end: int64, [stretches, 2]."""
    return np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)


def m5(sequence: str | bytes | np.ndarray) -> str:
    """Identity of a sequence: the MD5 of its upper-case letters (SAM specification, ``@SQ M5``)."""
    if isinstance(sequence, np.ndarray):
        sequence = decode(sequence)
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii")
    return hashlib.md5(sequence.upper(), usedforsecurity=False).hexdigest()


def as_codes(sequence: str | np.ndarray) -> np.ndarray:
    """Base codes (uint8, [n]) of a sequence that is a string or already coded."""
    if isinstance(sequence, str):
        return encode(sequence)
    if isinstance(sequence, np.ndarray) and sequence.dtype == np.uint8 and sequence.ndim == 1:
        return sequence
    found = type(sequence).__name__
    if isinstance(sequence, np.ndarray):
        found = f"{sequence.dtype} array of shape {sequence.shape}"
    raise InputError(f"a sequence is {found}; expected a string or a flat uint8 array of base codes")


def coded(sequences: Sequences) -> list[np.ndarray]:
    """Base codes of each sequence; of a pair of all codes and spans (int64, [n, 2], start and end), views of them."""
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


def known_bases(sequences: Sequence[str | np.ndarray]) -> np.ndarray:
    """How many bases of each sequence are A, C, G or T: int64, [n]."""
    return np.array([np.count_nonzero(codes < 4) for codes in coded(sequences)], dtype=np.int64)


def join(sequences: Sequence[str | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Codes of all sequences end to end, an unknown base after each (uint8), and each one's start (int64)."""
    parts = [np.append(as_codes(sequence), np.uint8(END)) for sequence in sequences]
    starts = np.cumsum([0] + [len(part) for part in parts[:-1]])
    return np.concatenate(parts), starts


def kmer_numbers(text: np.ndarray, k: int) -> np.ndarray:
    """Alphabetical number of the k-mer at each position, int64, [n]; -1 where a base is unknown."""
    numbers = np.zeros(len(text), dtype=np.int64)
    known = np.ones(len(text), dtype=bool)
    for place in range(k):
        letter = _shifted(text, place, END)
        known &= letter < 4
        numbers = 4 * numbers + letter
    return np.where(known, numbers, -1)


def _shifted(values: np.ndarray, by: int, fill: int) -> np.ndarray:
    return np.append(values[by:], np.full(min(by, len(values)), fill, dtype=values.dtype))


def kmers_at(codes: np.ndarray, places: np.ndarray, k: int) -> np.ndarray:
    """Alphabetical number of the k-mer at each place, int64, [n]: A C G T = 0 to 3, the first base counts most."""
    numbers = np.zeros(len(places), dtype=np.int64)
    for base in range(k):
        numbers = 4 * numbers + codes[places + base]
    return numbers

"""Which tokens may stand side by side: the encodings among all rows of tokens."""

from __future__ import annotations

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import encode
from dnastudy.tokens.kmer import OverlappingKmerTokenizer
from dnastudy.tokens.tokenizer import CLS, FIRST_BASE, UNK, Tokenizer


def successors(tokenizer: Tokenizer) -> np.ndarray:
    """Which token may follow which in an encoding, bool [tokens, tokens]: ``[left, right]``.

    A row of words (the tokens that have bases) spells a sequence; it is that sequence's encoding, one row of many,
    if each two neighbours are the encoding of what they spell, and only then: what is merged, and when, within two
    tokens side by side depends on nothing outside them. Of k-mers, no more than ``k`` - 1 single bases in a row may
    stand besides. A model's probability of any other row is lost.

    CLS and UNK may be followed by UNK and by each word that some sequence has as its token, a word by UNK too;
    nothing else follows anything.

    Raises
    ------
    InputError
        When tokens overlap.
    """
    if isinstance(tokenizer, OverlappingKmerTokenizer):
        raise InputError("overlapping k-mers don't stand side by side; give single bases, k-mers or merges")
    may = np.zeros((len(tokenizer), len(tokenizer)), dtype=bool)
    may[UNK, UNK] = may[CLS, UNK] = may[FIRST_BASE:, UNK] = True
    words = [encode(letters + "N") for letters in tokenizer.tokens[FIRST_BASE:]]
    sizes = np.array([len(word) for word in words])
    starts, number = np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes)
    words = np.concatenate(words)
    for left in (CLS, UNK, *range(FIRST_BASE, len(tokenizer))):
        # Each word after this one, all in one stream: nothing merges across the unknown base after each.
        before = encode(tokenizer.tokens[left]) if left >= FIRST_BASE else words[:0]
        stream = np.empty(len(words) + len(before) * len(sizes), dtype=np.uint8)
        stream[np.arange(len(words)) + len(before) * (number + 1)] = words
        first = starts + len(before) * np.arange(len(sizes))
        stream[first[:, None] + np.arange(len(before))] = before
        ids = tokenizer.encode(stream)
        ends = np.flatnonzero(ids == UNK)
        begins = np.append(0, ends[:-1] + 1)
        if left < FIRST_BASE:
            may[left, FIRST_BASE:] = ends - begins == 1
        else:
            may[left, FIRST_BASE:] = (ends - begins == 2) & (ids[begins] == left)
    return may

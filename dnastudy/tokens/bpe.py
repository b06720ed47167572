"""Byte-pair encoding of DNA: learning the merges, and what the learnt tokens look like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dnastudy.files import InputError
from dnastudy.genes.fasta import decode
from dnastudy.tokens.tokenizer import BASES, SPECIALS, Tokenizer

if TYPE_CHECKING:
    import pandas as pd


def train_bpe(
    codes: np.ndarray, merges: int = 600, boundaries: np.ndarray | None = None, *, min_count: int = 1
) -> Tokenizer:
    """Learn ``merges`` merges of the most frequent pair of adjacent tokens (Gage 1994; Sennrich et al. 2016).

    The trainer of the ``tokenizers`` library slows down with the length of a chunk (2 Mb and 600
    merges take 2.5 s in chunks of 1 kb, 5 s in 10 kb, 40 s in 100 kb): give boundaries every 10 kb or closer,
    gene ends among them.

    Parameters
    ----------
    codes
        Base codes, uint8, [n].
    merges
        How many merges to learn; fewer are returned when no pair is left that stands ``min_count`` times.
    boundaries
        Offsets at which a new chunk starts, int, in any order; 0 and n may stand among them. Nothing merges
        across a boundary, nor across an unknown base.
    min_count
        The least count at which a pair is merged.

    Raises
    ------
    InputError
        When there is no known base, a boundary lies outside the sequence, or a number is out of range.
    """
    if merges < 0 or min_count < 1:
        raise InputError(f"{merges} merges at a least count of {min_count}; expected at least 0 and at least 1")
    chunks = [decode(chunk) for chunk in _chunks(codes, boundaries)]
    if not chunks:
        raise InputError("no A, C, G or T to learn merges from; give at least one known base")
    from tokenizers import Tokenizer as Library
    from tokenizers import models, trainers

    library = Library(models.BPE(unk_token=SPECIALS[1]))
    trainer = trainers.BpeTrainer(
        vocab_size=len(SPECIALS) + len(BASES) + merges,
        min_frequency=min_count,
        special_tokens=list(SPECIALS),
        initial_alphabet=list(BASES),
        show_progress=False,
    )
    library.train_from_iterator(chunks, trainer)
    # The trainer counts tokens, so it learns a merge more for each token that two merges spell alike.
    return Tokenizer(_learnt(library)[:merges])


def token_statistics(tokenizer: Tokenizer, ids: np.ndarray) -> pd.DataFrame:
    """How often each token stands in ``ids``, and what it is made of.

    Parameters
    ----------
    tokenizer
        The tokenizer that made the ids.
    ids
        Token ids, int, [n].

    Returns
    -------
    DataFrame [tokens that spell bases], by id, with: token; length (bases); count; share (of all such tokens
    in ``ids``); gc (share of G and C in the token); first (its first letter).
    """
    import pandas as pd

    counts = np.bincount(ids, minlength=len(tokenizer))[len(SPECIALS) :]
    tokens = pd.Series(tokenizer.tokens[len(SPECIALS) :])
    table = pd.DataFrame({"token": tokens, "length": tokens.str.len(), "count": counts})
    table["share"] = counts / max(counts.sum(), 1)
    table["gc"] = tokens.str.count("[CG]") / table["length"]
    table["first"] = tokens.str[0]
    return table.set_axis(np.arange(len(SPECIALS), len(tokenizer)), axis=0).rename_axis("id")


def bases_per_token(tokenizer: Tokenizer, ids: np.ndarray) -> float:
    """Known bases over tokens in ``ids``, unknown bases left out of both; NaN where there are none."""
    table = token_statistics(tokenizer, ids)
    total = table["count"].sum()
    return float((table["count"] * table["length"]).sum() / total) if total else float("nan")


def _chunks(codes: np.ndarray, boundaries: np.ndarray | None) -> Iterator[np.ndarray]:
    """The stretches of known bases (uint8, [n]) between boundaries."""
    known = codes < 4
    starts_run = known & ~np.concatenate([[False], known[:-1]])
    starts_chunk = np.zeros(len(codes) + 1, dtype=bool)
    if boundaries is not None:
        boundaries = np.asarray(boundaries, dtype=np.int64)
        outside = boundaries[(boundaries < 0) | (boundaries > len(codes))]
        if len(outside):
            raise InputError(f"boundary {outside[0]} lies outside the sequence; expected 0 to {len(codes)}")
        starts_chunk[boundaries] = True
    starts = np.flatnonzero(starts_run | (known & starts_chunk[:-1]))
    unknown = np.append(np.flatnonzero(~known), len(codes))
    ends = np.minimum(np.append(starts[1:], len(codes)), unknown[np.searchsorted(unknown, starts)])
    for start, end in zip(starts, ends, strict=True):
        yield codes[start:end]


def _learnt(library) -> list[tuple[str, str]]:
    """The merges of a trained ``tokenizers`` tokenizer, in order."""
    return [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]

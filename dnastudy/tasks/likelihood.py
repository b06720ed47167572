"""How well a causal model predicts DNA: bits per base, over everything or inside and outside intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes import Corpus
from dnastudy.genes.codes import known_bases, reverse_complement

NATS_PER_BIT = np.log(2)


def bits_per_base(model, sequences: Sequence[str | np.ndarray]) -> float:
    """Total bits over total bases, both summed over all sequences first; bases that aren't ACGT are left out.

    Infinite when the model gives a base no chance.

    Parameters
    ----------
    model
        A causal model (with ``log_likelihood``).
    sequences
        Strings or base codes (uint8, [length]).

    Raises
    ------
    InputError
        When there is no base to score.
    TypeError
        When the model isn't causal and so has no likelihood.
    """
    bases = known_bases(sequences).sum()
    if not bases:
        raise InputError(f"no A, C, G or T in {len(sequences)} sequences; expected at least one base to score")
    return float(-model.log_likelihood(sequences).sum() / NATS_PER_BIT / bases)


def score_windows(
    model,
    corpus: Corpus,
    windows: pd.DataFrame,
    *,
    strata: Sequence[str] = ("shared", "repeat", "cds", "exon"),
    strand: Literal["+", "-"] = "+",
) -> pd.DataFrame:
    """Score windows of a corpus, base by base, inside and outside each kind of interval.

    Strata are of bases, not of genes: a gene that shares one stretch with training counts as shared on that
    stretch alone.
    """
    spans = list(zip(windows["start"].to_numpy(), windows["end"].to_numpy(), strict=True))
    sequences = [np.asarray(corpus.all_codes[start:end]) for start, end in spans]
    read = sequences if strand == "+" else [reverse_complement(sequence) for sequence in sequences]
    per_base = [values if strand == "+" else values[::-1] for values in model.base_log_likelihoods(read)]
    nats = np.concatenate([np.empty(0), *per_base]).astype(np.float64)
    window = np.repeat(np.arange(len(spans)), [len(sequence) for sequence in sequences])
    scored = ~np.isnan(nats)  # a base of probability 0 is scored: at infinitely many bits
    if not scored.any():
        raise InputError(f"no base scored in {len(spans)} windows; expected windows that hold A, C, G or T")
    masks = {"all": scored}
    present = set(corpus.intervals["kind"])
    for kind in strata:
        if kind in present:
            track = corpus.inside(kind)
            inside = np.concatenate([track[start:end] for start, end in spans])
            masks[kind] = scored & inside
            masks[f"not {kind}"] = scored & ~inside
    tables = []
    for stratum, mask in masks.items():
        bases = np.bincount(window[mask], minlength=len(spans))
        bits = -np.bincount(window[mask], weights=nats[mask], minlength=len(spans)) / NATS_PER_BIT
        rows = np.flatnonzero(bases)
        known = {"window": rows, "locus": windows["locus"].to_numpy()[rows], "stratum": stratum}
        tables.append(pd.DataFrame(known | {"bits": bits[rows], "bases": bases[rows]}))
    return pd.concat(tables, ignore_index=True)

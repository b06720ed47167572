"""What sequence is made of: k-mer spectra, dinucleotide odds, runs of one base, open reading frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from dnastudy.genes.codes import END, UNKNOWN, as_codes, join, kmer_numbers, reverse_complement, true_runs
from dnastudy.tokens.tokenizer import BASES

START_CODON = 14  # ATG, as `kmer_numbers` counts codons
STOP_CODONS = (48, 50, 56)  # TAA, TAG, TGA
LONGEST_RUN = 20  # runs of more bases than this are counted with those of as many


def spectrum_divergence(
    sets: Mapping[str, Sequence[str]], reference: Sequence[str], ks: Iterable[int] = range(1, 9)
) -> pd.DataFrame:
    """Jensen-Shannon divergence of each set's k-mer spectrum from that of the reference.

    It grows as a sample shrinks, the more the larger ``k``: compare sets of the same size only.
    """
    expected = {k: kmer_counts(reference, k) for k in ks}
    rows = [(name, k, jensen_shannon(kmer_counts(sets[name], k), expected[k])) for k in expected for name in sets]
    return pd.DataFrame(rows, columns=["set", "k", "divergence"])


def kmer_counts(sequences: Sequence[str | np.ndarray], k: int, *, apart: bool = False) -> np.ndarray:
    """Counts of all k-mers of known bases in alphabetical order, int64, [4^k]; with ``apart`` a row a sequence."""
    text, starts = join(sequences)
    numbers = kmer_numbers(text, k)
    if not apart:
        return np.bincount(numbers[numbers >= 0], minlength=4**k)
    row = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(text)))
    return np.bincount((4**k * row + numbers)[numbers >= 0], minlength=len(starts) * 4**k).reshape(-1, 4**k)


def kmer_shares(sequences: Sequence[str | np.ndarray], k: int) -> np.ndarray:
    """Share of each k-mer in each sequence, float64, [n, 4^k]."""
    counts = kmer_counts(sequences, k, apart=True)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Divergence in bits (Lin 1991) of two tables of counts, [m] each; NaN where one holds nothing."""
    from scipy.spatial.distance import jensenshannon

    if not (first.any() and second.any()):
        return float("nan")
    return float(jensenshannon(first, second, base=2) ** 2)


def dinucleotide_odds(sequences: Sequence[str]) -> np.ndarray:
    """Frequency of each dinucleotide over the product of its bases' frequencies, on the strand as given.

    The rho of Burge, Campbell & Karlin 1992, who call one under 0.78 or over 1.23 clearly low or high.
    """
    bases, pairs = kmer_counts(sequences, 1), kmer_counts(sequences, 2).reshape(4, 4)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = bases / bases.sum()
        return pairs / pairs.sum() / np.outer(shares, shares)


def tabulate_odds(sets: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """`dinucleotide_odds` of each set; DataFrame, a row a set and dinucleotide: set, dinucleotide, odds."""
    names = [first + second for first in BASES for second in BASES]
    odds = {name: dinucleotide_odds(sequences).ravel() for name, sequences in sets.items()}
    rows = [(name, pair, each) for name, values in odds.items() for pair, each in zip(names, values, strict=True)]
    return pd.DataFrame(rows, columns=["set", "dinucleotide", "odds"])


def dinucleotide_shuffle(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random sequence that has each dinucleotide as often, drawn evenly from all of them; unknown bases stay.

    The Eulerian shuffle of Altschul & Erickson (1985, Mol. Biol. Evol. 2:526) of each run of known bases.
    """
    shuffled = np.array(codes)
    for start, end in true_runs(shuffled < UNKNOWN):
        if end - start > 3:  # both ends stay, and with them one base between
            shuffled[start + 1 : end - 1] = _random_path(shuffled[start:end], rng)
    return shuffled


def _random_path(codes: np.ndarray, rng: np.random.Generator) -> list[int]:
    """What lies between the ends of a random Eulerian path through the graph of a run's dinucleotides."""
    end = codes[-1]
    following = [codes[1:][codes[:-1] == base] for base in range(4)]
    leaving = [base for base in range(4) if base != end and len(following[base])]
    # The last step away from each base, drawn until all of them lead to the end: then no path comes to a halt early.
    last, leading = {}, set()
    while not leading.issuperset(leaving):
        last = {base: rng.integers(len(following[base])) for base in leaving}
        leading = {end}
        for _ in leaving:
            leading |= {base for base in leaving if following[base][last[base]] in leading}
    for base, steps in enumerate(following):
        free = len(steps)
        if base in last:
            free -= 1
            steps[[last[base], free]] = steps[[free, last[base]]]
        at = np.arange(free - 1, 0, -1)
        for one, other in zip(at, rng.integers(at + 1), strict=True):
            steps[one], steps[other] = steps[other], steps[one]
    steps = [iter(each.tolist()) for each in following]
    base, path = codes[0], []
    for _ in range(len(codes) - 2):
        base = next(steps[base])
        path.append(base)
    return path


def run_counts(sequences: Sequence[str]) -> np.ndarray:
    """How many runs of one base there are by base and length, int64, [4, 20]; the last column: 20 or longer."""
    text, _ = join(sequences)
    starts, lengths = _runs(text)
    number = LONGEST_RUN * text[starts].astype(np.int64) + np.minimum(lengths, LONGEST_RUN) - 1
    return np.bincount(number, minlength=4 * LONGEST_RUN).reshape(4, LONGEST_RUN)


def tabulate_runs(sets: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """How often each set has a base at least so many times in a row."""
    tables = []
    for name, sequences in sets.items():
        at_least = run_counts(sequences)[:, ::-1].cumsum(axis=1)[:, ::-1].ravel()
        per_kb = 1000 * at_least / max(kmer_counts(sequences, 1).sum(), 1)
        lengths, bases = np.tile(np.arange(1, LONGEST_RUN + 1), 4), np.repeat(BASES, LONGEST_RUN)
        tables.append(pd.DataFrame({"set": name, "base": bases, "length": lengths, "per_kb": per_kb}))
    return pd.concat(tables, ignore_index=True)


def longest_runs(sequences: Sequence[str]) -> np.ndarray:
    """Length of the longest run of one known base in each sequence, int64, [n]."""
    text, begins = join(sequences)
    return _largest(*_runs(text), begins)


def longest_orfs(sequences: Sequence[str], *, both_strands: bool = False) -> np.ndarray:
    """Length of the longest open reading frame of each sequence, from ATG to the stop codon, both included.

    One that the end of the sequence or an unknown base cuts off isn't counted, nor one that begins before it.
    """
    text, begins = join(sequences)
    codons = kmer_numbers(text, 3)
    longest = np.zeros(len(begins), dtype=np.int64)
    for frame in range(3):
        inside = codons[frame::3]
        starts = np.append(np.flatnonzero(inside == START_CODON), len(inside))
        # A codon of unknown bases, as at each sequence's end, breaks a frame off.
        ends = np.flatnonzero(np.isin(inside, STOP_CODONS) | (inside < 0))
        first = starts[np.searchsorted(starts, np.append(-1, ends)[:-1])]
        whole = (first < ends) & (inside[ends] >= 0)
        lengths = 3 * (ends - first + 1)[whole]
        longest = np.maximum(longest, _largest(frame + 3 * first[whole], lengths, begins))
    if both_strands:
        longest = np.maximum(longest, longest_orfs([reverse_complement(as_codes(each)) for each in sequences]))
    return longest


def _runs(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where runs of one known base begin in ``text``, and their lengths: int64, [runs] each."""
    starts = np.flatnonzero(np.diff(text, prepend=END))
    lengths = np.diff(starts, append=len(text))
    known = text[starts] < END
    return starts[known], lengths[known]


def _largest(places: np.ndarray, values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """The largest of the values that stand in each sequence of a joined text, int64, [n]; 0 where none does."""
    largest = np.zeros(len(begins), dtype=np.int64)
    np.maximum.at(largest, np.searchsorted(begins, places, side="right") - 1, values)
    return largest

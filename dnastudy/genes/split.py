"""Hold genes out by place in the genome, and measure what sequence is left that training has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numba
import numpy as np
import pandas as pd

from dnastudy.files import InputError
from dnastudy.genes.corpus import SPLITS, contig_line
from dnastudy.genes.fasta import canonical_contig
from dnastudy.genes.intervals import merge

if TYPE_CHECKING:
    from dnastudy.genes.corpus import Corpus

TRAIN, VALIDATION, TEST = range(3)
CROSSING = 255
TEST_SHARE = 0.1  # of a single contig's gene-carrying length, where no test contig is named


def assign_splits(
    genes: pd.DataFrame, contigs: Sequence[str], *, test_contigs: Sequence[str] | None = None, validation: float = 0.1
) -> tuple[np.ndarray, dict[str, str]]:
    """Split genes by place: whole contigs for test, the far end of what is left for validation.

    Test is ``test_contigs`` if named; else the last contig with genes if there are several; else the far
    tenth of the single contig's gene-carrying length. Validation is the far end of the other contigs: the
    last ``validation`` share of their gene-carrying length (merged loci).

    Parameters
    ----------
    genes
        contig, start, end; ordered by contig and start.
    contigs
        Names of the contigs in the order of their files.
    test_contigs, validation
        As above.

    Returns
    -------
    split
        uint8, shape ``(genes,)``: 0 train, 1 validation, 2 test, `CROSSING` for a gene across a cut.
    rule
        What was held out, in words, by split.

    Raises
    ------
    InputError
        When a contig that is named has no genes, the share is not between 0 and 1, or a split is left empty.
    """
    if not 0 < validation < 1:
        raise InputError(f"validation: expected a share between 0 and 1, found {validation}")
    split = np.full(len(genes), TRAIN, dtype=np.uint8)
    present = [name for name in contigs if (genes["contig"] == name).any()]
    if test_contigs is None and len(present) > 1:
        test_contigs = present[-1:]
    if test_contigs is not None:
        named = [canonical_contig(name) for name in test_contigs]
        for name in named:
            if name not in present:
                raise InputError(
                    f"test_contigs: contig {name!r} carries no gene that was kept; expected one of "
                    f"{', '.join(present[:10])}"
                )
        split[genes["contig"].isin(named)] = TEST
        rule = {"test": ", ".join(named)}
    else:
        rule = {"test": _hold_out_far_end(genes, split, TEST, TEST_SHARE)}
    rule["validation"] = _hold_out_far_end(genes, split, VALIDATION, validation)
    for number, name in enumerate(SPLITS):
        if not (split == number).any():
            raise InputError(
                f"the {name} split holds none of the {len(genes)} genes (test: {rule['test']}; validation: "
                f"{rule['validation']}); expected at least one. Name other test_contigs or another validation"
            )
    return split, rule


def _hold_out_far_end(genes: pd.DataFrame, split: np.ndarray, number: int, share: float) -> str:
    """Mark the last ``share`` of the training loci's length, and genes across the cut; say where it lies."""
    chosen = np.flatnonzero(split == TRAIN)
    if not len(chosen):
        return "nothing"
    pool = genes.iloc[chosen]
    line = contig_line(pool)
    starts, ends = pool["start"].to_numpy() + line, pool["end"].to_numpy() + line
    locus_starts, locus_ends = merge(starts, ends)
    reach = np.cumsum(locus_ends - locus_starts)
    target = int(reach[-1] * (1 - share))
    locus = int(np.searchsorted(reach, target, side="right"))
    cut = int(locus_ends[locus] - (reach[locus] - target))
    split[chosen[starts >= cut]] = number
    split[chosen[(starts < cut) & (ends > cut)]] = CROSSING
    first = int(np.searchsorted(starts, locus_starts[locus]))
    contigs = pool["contig"].iloc[first:].unique()
    words = f"{contigs[0]} from base {cut - line[first] + 1:,}"
    return ", ".join([words, *contigs[1:]])


def shared_mask(codes: np.ndarray, offsets: np.ndarray, split: np.ndarray, *, k: int = 31) -> np.ndarray:
    """Find held-out bases that lie in a stretch of ``k`` bases which training holds too, on either strand.

    Parameters
    ----------
    codes
        uint8, shape ``(bases,)``: genes end to end.
    offsets
        int64, shape ``(genes + 1,)``.
    split
        uint8, shape ``(genes,)``.
    k
        Length of an exact match, at most 31, so that a k-mer fits 64 bits.

    Returns
    -------
    mask
        bool, shape ``(bases,)``; false throughout training genes.
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k must lie between 1 and 31, not {k}")
    train = np.flatnonzero(split == TRAIN)
    size = int((offsets[train + 1] - offsets[train]).sum())
    keys = np.empty(size, dtype=np.uint64)
    keys = keys[: _collect(codes, offsets, train, k, keys)]
    keys.sort()
    mask = np.zeros(len(codes), dtype=np.bool_)
    bits = max(1, len(keys).bit_length() - 1)  # one or two keys to a bucket
    buckets = _bucket_starts(keys, bits)
    _mark(codes, offsets, np.flatnonzero(split != TRAIN), k, keys, buckets, bits, mask)
    return mask


@numba.njit(cache=True)
def _next(code, k, forward, reverse):
    """Append a base to a k-mer and to its reverse complement, both packed two bits a base."""
    two = np.uint64(2)
    forward = ((forward << two) | np.uint64(code)) & ((np.uint64(1) << np.uint64(2 * k)) - np.uint64(1))
    reverse = (reverse >> two) | (np.uint64(3 - code) << np.uint64(2 * k - 2))
    return forward, reverse


@numba.njit(cache=True)
def _key(forward, reverse):
    """Hash a k-mer and its reverse complement alike, one to one, so that keys spread over buckets."""
    kmer = min(forward, reverse)
    return (kmer ^ (kmer >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True)
def _collect(codes, offsets, genes, k, keys):
    """Write the key of every k-mer of ``genes`` without an unknown base; return how many there are."""
    count = 0
    for gene in genes:
        forward = reverse = np.uint64(0)
        known = 0
        for position in range(offsets[gene], offsets[gene + 1]):
            if codes[position] > 3:
                known = 0
                continue
            forward, reverse = _next(codes[position], k, forward, reverse)
            known += 1
            if known >= k:
                keys[count] = _key(forward, reverse)
                count += 1
    return count


@numba.njit(cache=True)
def _bucket_starts(keys, bits):
    """Where each leading bit pattern begins among the sorted keys: one step instead of a binary search."""
    starts = np.zeros((1 << bits) + 1, dtype=np.int64)
    for key in keys:
        starts[(key >> np.uint64(64 - bits)) + np.uint64(1)] += 1
    for bucket in range(1 << bits):
        starts[bucket + 1] += starts[bucket]
    return starts


@numba.njit(cache=True)
def _mark(codes, offsets, genes, k, keys, starts, bits, mask):
    """Set ``mask`` on every base of ``genes`` inside a k-mer that is among ``keys``."""
    for gene in genes:
        forward = reverse = np.uint64(0)
        known = 0
        marked = 0  # end of the stretch that is marked already
        for position in range(offsets[gene], offsets[gene + 1]):
            if codes[position] > 3:
                known = 0
                continue
            forward, reverse = _next(codes[position], k, forward, reverse)
            known += 1
            if known < k:
                continue
            key = _key(forward, reverse)
            bucket = key >> np.uint64(64 - bits)
            for place in range(starts[bucket], starts[bucket + np.uint64(1)]):
                if keys[place] == key:
                    mask[max(marked, position + 1 - k) : position + 1] = True
                    marked = position + 1
                    break


def shared_bases(corpus: Corpus) -> np.ndarray:
    """Bases of each gene in a 31-mer, of either strand, that training holds too; int64, ``(genes,)``."""
    shared = corpus.intervals[corpus.intervals["kind"] == "shared"]
    gene = np.searchsorted(corpus.offsets, shared["start"], side="right") - 1
    return np.bincount(gene, weights=shared["end"] - shared["start"], minlength=len(corpus)).astype(np.int64)


def leakage(corpus: Corpus) -> pd.DataFrame:
    """Say how much of each held-out split stands verbatim in training, in exact 31-mers of either strand.

    Returns
    -------
    DataFrame
        For each held-out split a row of type "all" and one for each gene type: split, type, genes,
        genes_shared (with any shared 31-mer), genes_half_shared (on more than half of their bases),
        share_genes, share_bases.
    """
    table = pd.DataFrame(
        {
            "split": pd.Categorical.from_codes(corpus.split, SPLITS),
            "type": corpus.genes["type"],
            "bases": np.diff(corpus.offsets),
            "shared": shared_bases(corpus),
        }
    )
    table = table[table["split"] != "train"]
    table["any"], table["half"] = table["shared"] > 0, table["shared"] > table["bases"] / 2
    groups = pd.concat([table.assign(type="all"), table]).groupby(["split", "type"], observed=True)
    report = groups.agg(
        genes=("bases", "size"),
        genes_shared=("any", "sum"),
        genes_half_shared=("half", "sum"),
        share_genes=("any", "mean"),
        share_bases=("shared", "sum"),
    )
    report["share_bases"] /= groups["bases"].sum()
    return report.reset_index()

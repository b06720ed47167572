"""Exact k-mers of either strand as 64-bit keys, and which held-out bases training holds too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numba
import numpy as np
import pandas as pd

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import reverse_complement

K = 31
PART = 1 << 22  # k-mers sorted at once: it bounds the memory, not the result


def either_strand(codes: np.ndarray) -> bytes:
    """A digest that a sequence and its reverse complement have in common, and no other sequence has."""
    return hashlib.sha256(min(codes.tobytes(), reverse_complement(codes).tobytes())).digest()


def shared_mask(codes: np.ndarray, offsets: np.ndarray, split: np.ndarray, *, k: int = 31) -> np.ndarray:
    """Find held-out bases that lie in a stretch of ``k`` bases which training holds too, on either strand."""
    if not 1 <= k <= 31:
        raise ValueError(f"k must lie between 1 and 31, not {k}")
    train = np.flatnonzero(split == 0)
    keys = np.empty(int((offsets[train + 1] - offsets[train]).sum()), dtype=np.uint64)
    keys = keys[: _collect(codes, offsets, train, k, keys)]
    keys.sort()
    mask = np.zeros(len(codes), dtype=np.bool_)
    bits = max(1, len(keys).bit_length() - 1)  # one or two keys to a bucket
    buckets = _bucket_starts(keys, bits)
    _mark(codes, offsets, np.flatnonzero(split != 0), k, keys, buckets, bits, mask)
    return mask


@numba.njit(cache=True)
def next_kmer(code, k, forward, reverse):
    """Append a base to a k-mer and to its reverse complement, both packed two bits a base."""
    two = np.uint64(2)
    forward = ((forward << two) | np.uint64(code)) & ((np.uint64(1) << np.uint64(2 * k)) - np.uint64(1))
    reverse = (reverse >> two) | (np.uint64(3 - code) << np.uint64(2 * k - 2))
    return forward, reverse


@numba.njit(cache=True)
def kmer_key(forward, reverse):
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
            forward, reverse = next_kmer(codes[position], k, forward, reverse)
            known += 1
            if known >= k:
                keys[count] = kmer_key(forward, reverse)
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
            forward, reverse = next_kmer(codes[position], k, forward, reverse)
            known += 1
            if known < k:
                continue
            key = kmer_key(forward, reverse)
            bucket = key >> np.uint64(64 - bits)
            for place in range(starts[bucket], starts[bucket + np.uint64(1)]):
                if keys[place] == key:
                    mask[max(marked, position + 1 - k) : position + 1] = True
                    marked = position + 1
                    break


def find_families(genes: Sequence[np.ndarray], *, method: str = "kmers", share: float = 0.1) -> np.ndarray:
    """Number each gene by its family: a connected component of the genes that are linked.

    ``"kmers"`` links two genes that share at least ``share`` of the distinct canonical 31-mers of the one that has
    fewer. Equal genes are always linked.

    Long genes need a share: through their repeats, any shared 31-mer chains 1,412 of chr19's 1,467 genes together, a
    tenth 11 at most. Among genes of up to 1,000 bases 0 is possible: splits then have no 31-mer in common.
    """
    if method != "kmers":
        raise InputError(f"family_method={method!r}: no such method; {nearest(method, ['kmers'])}")
    if not 0 <= share <= 1:
        raise InputError(f"family_share: expected a share from 0 to 1, found {share}")
    parent = np.arange(len(genes))
    first: dict[bytes, int] = {}
    for number, codes in enumerate(genes):
        _join(parent, number, first.setdefault(either_strand(codes), number))
    _link_by_kmers(genes, share, parent)
    return pd.factorize(np.array([_root(parent, gene) for gene in range(len(genes))]))[0]


def _link_by_kmers(genes: Sequence[np.ndarray], share: float, parent: np.ndarray) -> None:
    """Join genes in ``parent`` by their shared k-mers; time goes with the genes a k-mer is in, squared and summed."""
    codes, offsets = np.concatenate(genes), np.cumsum([0, *map(len, genes)])
    bits = max(1, (len(codes) // PART).bit_length())
    sizes = _count_parts(codes, offsets, K, bits)
    keys, owners = np.empty(sizes.max(), dtype=np.uint64), np.empty(sizes.max(), dtype=np.int32)
    distinct = np.zeros(len(genes), dtype=np.int64)
    members, lengths = [], []
    for part, size in enumerate(sizes):
        _collect_part(codes, offsets, K, bits, part, keys, owners)
        order = np.argsort(keys[:size])
        together, length = _shared_runs(keys[:size][order], owners[:size][order], distinct)
        members.append(together)
        lengths.append(length)
    members, lengths = np.concatenate(members), np.concatenate(lengths)
    run = np.repeat(np.arange(len(lengths)), lengths)
    order = np.argsort(members, kind="stable")
    reach = np.searchsorted(members[order], np.arange(len(genes) + 1))
    _join_sharing(members, np.cumsum(lengths) - lengths, run[order], reach, distinct, share, parent)


@numba.njit(cache=True)
def _count_parts(codes, offsets, k, bits):
    """Count the k-mers by the leading ``bits`` of their keys."""
    sizes = np.zeros(1 << bits, dtype=np.int64)
    for gene in range(len(offsets) - 1):
        forward = reverse = np.uint64(0)
        known = 0
        for position in range(offsets[gene], offsets[gene + 1]):
            known = known + 1 if codes[position] < 4 else 0
            forward, reverse = next_kmer(codes[position] & 3, k, forward, reverse)
            if known >= k:
                sizes[kmer_key(forward, reverse) >> np.uint64(64 - bits)] += 1
    return sizes


@numba.njit(cache=True)
def _collect_part(codes, offsets, k, bits, part, keys, owners):
    """Write the key and the gene of every k-mer whose key begins with ``part``."""
    count = 0
    for gene in range(len(offsets) - 1):
        forward = reverse = np.uint64(0)
        known = 0
        for position in range(offsets[gene], offsets[gene + 1]):
            known = known + 1 if codes[position] < 4 else 0
            forward, reverse = next_kmer(codes[position] & 3, k, forward, reverse)
            if known < k:
                continue
            key = kmer_key(forward, reverse)
            if key >> np.uint64(64 - bits) == np.uint64(part):
                keys[count] = key
                owners[count] = gene
                count += 1


@numba.njit(cache=True)
def _shared_runs(keys, owners, distinct):
    """Genes of each k-mer that several have, ascending, and how many; add every gene's k-mers to ``distinct``."""
    members = np.empty(len(owners), dtype=np.int32)
    lengths = np.empty(len(owners) // 2, dtype=np.int64)
    written = runs = 0
    start = 0
    for place in range(1, len(keys) + 1):
        if place < len(keys) and keys[place] == keys[start]:
            continue
        before = written
        for gene in np.unique(owners[start:place]) if place > start + 1 else owners[start:place]:
            distinct[gene] += 1
            members[written] = gene
            written += 1
        if written - before > 1:
            lengths[runs] = written - before
            runs += 1
        else:
            written = before
        start = place
    return members[:written].copy(), lengths[:runs].copy()


@numba.njit(cache=True)
def _join_sharing(members, starts, run_of, reach, distinct, share, parent):
    """Count, gene by gene, the k-mers shared with each earlier gene, and join those that share enough."""
    shared = np.zeros(len(distinct), dtype=np.int64)
    for gene in range(len(distinct)):
        shared[:gene] = 0
        for entry in range(reach[gene], reach[gene + 1]):
            place = starts[run_of[entry]]
            while members[place] < gene:
                shared[members[place]] += 1
                place += 1
        for other in range(gene):
            if shared[other] and shared[other] >= share * min(distinct[gene], distinct[other]):
                _join(parent, gene, other)


@numba.njit(cache=True)
def _root(parent, gene):
    while parent[gene] != gene:
        parent[gene] = parent[parent[gene]]  # halve the path on the way
        gene = parent[gene]
    return gene


@numba.njit(cache=True)
def _join(parent, one, other):
    one, other = _root(parent, one), _root(parent, other)
    parent[max(one, other)] = min(one, other)

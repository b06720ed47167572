"""Exact k-mers of either strand as 64-bit keys, and which held-out bases training holds too."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numba
import numpy as np
import pandas as pd
from scipy import sparse

from dnastudy.files import InputError, nearest
from dnastudy.genes.codes import reverse_complement

K = 31
PART = 1 << 22  # k-mers sorted at once: it bounds the memory, not the result
TOGETHER = 1000  # genes compared with all others at once


def either_strand(codes: np.ndarray) -> bytes:
    """A digest that a sequence and its reverse complement have in common, and no other sequence has."""
    return hashlib.sha256(min(codes.tobytes(), reverse_complement(codes).tobytes())).digest()


def shared_mask(codes: np.ndarray, offsets: np.ndarray, split: np.ndarray, *, k: int = 31) -> np.ndarray:
    """Find held-out bases that lie in a stretch of ``k`` bases which training holds too, on either strand."""
    if not 1 <= k <= 31:
        raise ValueError(f"k must lie between 1 and 31, not {k}")
    keys = np.sort(_collect(codes, offsets, np.flatnonzero(split == 0), k)[0])
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
def _kmer_key(forward, reverse):
    """Hash a k-mer and its reverse complement alike, one to one, so that keys spread over buckets."""
    kmer = min(forward, reverse)
    return (kmer ^ (kmer >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)


def _collect(
    codes: np.ndarray, offsets: np.ndarray, genes: np.ndarray, k: int, part: int = 0, parts: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the k-mers of genes without an unknown base, and whose each is; of one part in a power of two alone."""
    room = int((offsets[genes + 1] - offsets[genes]).sum()) // parts
    while True:
        keys, owners = np.empty(room, dtype=np.uint64), np.empty(room, dtype=np.int32)
        count = _write_keys(codes, offsets, genes, k, np.uint64(part), np.uint64(parts - 1), keys, owners)
        if count <= room:
            return keys[:count], owners[:count]
        room = count


@numba.njit(cache=True)
def _write_keys(codes, offsets, genes, k, part, low, keys, owners):
    """Write keys whose low bits are ``part``, as far as there is room; return how many there are."""
    count = 0
    for gene in genes:
        forward = reverse = np.uint64(0)
        known = 0
        for position in range(offsets[gene], offsets[gene + 1]):
            known = known + 1 if codes[position] < 4 else 0
            forward, reverse = next_kmer(codes[position] & 3, k, forward, reverse)
            if known < k:
                continue
            key = _kmer_key(forward, reverse)
            if key & low == part:
                if count < len(keys):
                    keys[count] = key
                    owners[count] = gene
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
            key = _kmer_key(forward, reverse)
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
    first: dict[bytes, int] = {}
    links = [(np.arange(len(genes)), [first.setdefault(either_strand(codes), n) for n, codes in enumerate(genes)])]
    kmers, distinct = _shared_kmers(genes)
    for start in range(0, len(genes), TOGETHER):
        shared = (kmers[start : start + TOGETHER] @ kmers.T).tocoo()
        one, other = shared.row + start, shared.col
        enough = shared.data >= share * np.minimum(distinct[one], distinct[other])
        links.append((one[enough], other[enough]))
    one, other = map(np.concatenate, zip(*links, strict=True))
    graph = sparse.coo_matrix((np.ones(len(one), dtype=bool), (one, other)), shape=(len(genes), len(genes)))
    return pd.factorize(sparse.csgraph.connected_components(graph, directed=False)[1])[0]


def _shared_kmers(genes: Sequence[np.ndarray]) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Which k-mers that several genes have each has, int32 [genes, k-mers], and how many distinct ones in all."""
    codes, offsets = np.concatenate(genes), np.cumsum([0, *map(len, genes)])
    parts = 1 << max(1, (len(codes) // PART).bit_length())
    distinct, tables = np.zeros(len(genes), dtype=np.int64), []
    for part in range(parts):
        keys, owners = _collect(codes, offsets, np.arange(len(genes)), K, part, parts)
        order = np.lexsort((owners, keys))
        keys, owners = keys[order], owners[order]
        another = np.diff(keys, prepend=~keys[:1]) != 0
        fresh = another | (np.diff(owners, prepend=-1) != 0)
        kmer, owners = (another.cumsum() - 1)[fresh], owners[fresh]
        distinct += np.bincount(owners, minlength=len(genes))
        several = np.bincount(kmer)[kmer] > 1
        kmer, owners = pd.factorize(kmer[several])[0], owners[several]
        tables.append(
            sparse.csr_matrix(
                (np.ones(len(kmer), dtype=np.int32), (owners, kmer)), (len(genes), kmer.max(initial=-1) + 1)
            )
        )
    return sparse.hstack(tables, format="csr"), distinct

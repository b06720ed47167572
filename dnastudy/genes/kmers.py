"""Exact k-mers of either strand as 64-bit keys, and which held-out bases training holds too."""

from __future__ import annotations

import hashlib

import numba
import numpy as np

from dnastudy.genes.fasta import reverse_complement


def either_strand(codes: np.ndarray) -> bytes:
    """A digest that a sequence and its reverse complement have in common, and no other sequence has."""
    return hashlib.sha256(min(codes.tobytes(), reverse_complement(codes).tobytes())).digest()


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

"""Merge pairs of adjacent tokens in a long array of ids: the kernels that learning merges and encoding share.

``ids`` ([places], uint16, or uint8 where that holds them) has the token of each place. A token that spans several has
its id on its first and its last place, so that both neighbours are found without links, and ``INSIDE`` where its
right part began. Edges, unknown bases among them, are ``EDGE``: nothing merges with one, and one stands before the
first token and after the last.
"""

from __future__ import annotations

import numpy as np
from numba import njit

INSIDE, EDGE, FIRST_BASE = 0, 1, 5  # PAD and UNK, which no merge has, and A


@njit(cache=True, nogil=True)
def lay_out(codes, boundaries, ids, pairs):
    """Fill ``ids`` with the bases of ``codes`` and one edge for each stretch of unknown bases and each boundary.

    ``boundaries`` are sorted; neighbours are counted in ``pairs`` (int64, [9, 9]). Returns how many places are filled:
    at most the codes, the boundaries and two more.
    """
    ids[0] = EDGE
    count, boundary = 1, 0
    for place in range(len(codes)):
        cut = False
        while boundary < len(boundaries) and boundaries[boundary] <= place:
            boundary += 1
            cut = True
        if (cut or codes[place] > 3) and ids[count - 1] != EDGE:
            ids[count] = EDGE
            count += 1
        if codes[place] < 4:
            ids[count] = FIRST_BASE + codes[place]
            pairs[ids[count - 1], ids[count]] += ids[count - 1] != EDGE
            count += 1
    ids[count] = EDGE
    return count + 1


@njit(cache=True, nogil=True)
def _note(changes, before, after):
    """Count a merge between two tokens in ``changes`` (int64, [4, tokens]), by the neighbour.

    That is by how much pairs change that end on the left token, on the new one, begin with the right, with the new one.
    """
    changes[0, before] -= 1
    changes[1, before] += 1
    changes[2, after] -= 1
    changes[3, after] += 1


@njit(cache=True, nogil=True)
def merge_by_scan(ids, count, left, right, new, changes):
    """Replace each ``left right`` by ``new``, from left to right, in tokens of one place; returns the new count."""
    write, read = 1, 1
    while read < count:
        if ids[read] == left and ids[read + 1] == right:
            _note(changes, ids[write - 1], ids[read + 2])
            ids[write] = new
            read += 2
        else:
            ids[write] = ids[read]
            read += 1
        write += 1
    return write


@njit(cache=True, nogil=True)
def shorten(ids, count, units):
    """Give each token one place; returns how many there are. ``units`` is how many places each token has now."""
    write, read = 0, 0
    while read < count:
        token = ids[read]
        ids[write] = token
        write += 1
        read += units[token] if token >= FIRST_BASE else 1
    return write


@njit(cache=True, nogil=True)
def list_places(ids, count, places, start, length):
    """List the places of each token, ascending: token t's are ``places[start[t]:start[t] + length[t]]``.

    Returns where the lists end. ``places`` is uint32; start and length int64, [tokens].
    """
    length[:] = 0
    for place in range(count):
        length[ids[place]] += 1
    length[:FIRST_BASE] = 0
    start[:] = np.cumsum(length) - length
    length[:] = 0
    for place in range(count):
        token = ids[place]
        if token >= FIRST_BASE:
            places[start[token] + length[token]] = place
            length[token] += 1
    return length.sum()


@njit(cache=True, nogil=True)
def merge_by_list(ids, places, start, length, end, units, left, right, new, changes):
    """Do as `merge_by_scan` in tokens of ``units`` places, found by the shorter list; returns where the lists end.

    A list may hold places whose token has been merged since: they are passed over, and leave the list. The
    places of ``new`` are listed at ``end``.
    """
    by_left = length[left] <= length[right]
    token = left if by_left else right
    units_left, units_both = units[left], units[left] + units[right]
    first = end
    kept = start[token]
    for number in range(start[token], start[token] + length[token]):
        place = places[number]
        if ids[place] != token:
            continue
        begin = place if by_left else place - units_left
        if (ids[place + units_left] != right) if by_left else (ids[place - 1] != left):
            places[kept] = place
            kept += 1
            continue
        # A list goes from left to right, so that of three like tokens the first two are merged.
        _note(changes, ids[begin - 1], ids[begin + units_both])
        ids[begin + units_left] = INSIDE
        ids[begin] = new
        ids[begin + units_both - 1] = new
        places[end] = begin
        end += 1
    length[token] = kept - start[token]
    start[new], length[new] = first, end - first
    return end


@njit(cache=True)
def recount(counts, best, highest, changes, left, right, new):
    """Bring the counts of pairs up to date after a merge, and the commonest pair that begins with each token.

    ``new`` is the highest id so far. ``best`` and ``highest`` (int64, [tokens]) are a pair's second token and count.
    """
    for other in range(FIRST_BASE, new + 1):
        counts[other, left] += changes[0, other]
        counts[other, new] += changes[1, other]
        counts[right, other] += changes[2, other]
        counts[new, other] += changes[3, other]
    counts[left, right] = 0
    for token in range(FIRST_BASE, new + 1):
        if token == left or token == right or token == new or best[token] == left:
            find_best(counts, best, highest, token, new + 1)
        elif counts[token, new] > highest[token]:
            best[token], highest[token] = new, counts[token, new]


@njit(cache=True)
def find_best(counts, best, highest, token, tokens):
    """The commonest pair that begins with ``token``; among equals, the one whose second token has the lowest id."""
    highest[token] = 0
    for other in range(FIRST_BASE, tokens):
        if counts[token, other] > highest[token]:
            best[token], highest[token] = other, counts[token, other]


@njit(cache=True, nogil=True)
def merge_all(ids, merges, vocabulary):
    """Apply ``merges`` (int64, [n, 3]: left, right, new) in order to bases laid out with edges around.

    No two merges make the same token. Returns the ids (int32) of what stands between the outer edges.
    """
    units = np.ones(vocabulary, dtype=np.int64)
    start, length = np.zeros(vocabulary, dtype=np.int64), np.zeros(vocabulary, dtype=np.int64)
    places = np.empty(2 * len(ids), dtype=np.uint32)
    changes = np.zeros((4, vocabulary), dtype=np.int64)
    end = list_places(ids, len(ids), places, start, length)
    for number in range(len(merges)):
        left, right, new = merges[number]
        units[new] = units[left] + units[right]
        if length[left] and length[right]:
            end = merge_by_list(ids, places, start, length, end, units, left, right, new, changes)
    count = shorten(ids, len(ids), units)
    return ids[1 : count - 1].astype(np.int32)

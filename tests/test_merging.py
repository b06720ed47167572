import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.genes.codes import encode
from dnastudy.tokens import merging

A, C, G, T = range(5, 9)
EDGE, INSIDE = merging.EDGE, merging.INSIDE
TOKENS = 12  # ids that there are in these tests: the specials, the bases and three more


def laid_out(sequence, boundaries=()):
    ids = np.zeros(len(sequence) + len(boundaries) + 2, dtype=np.uint16)
    count = merging.lay_out(encode(sequence), np.array(boundaries, dtype=np.int64), ids, np.zeros((9, 9), np.int64))
    return ids[:count]


def pairs_of(ids):
    """How often each pair stands among tokens of one place."""
    counts = np.zeros((TOKENS, TOKENS), dtype=np.int64)
    np.add.at(counts, (ids[:-1], ids[1:]), 1)
    counts[[INSIDE, EDGE]] = counts[:, [INSIDE, EDGE]] = 0
    return counts


class Lists:
    """What merging by lists works on, with all that is needed for as many merges as there is room for."""

    def __init__(self, ids):
        self.ids = ids.copy()
        self.places = np.zeros(2 * len(ids), dtype=np.uint32)
        self.start, self.length = np.zeros((2, TOKENS), dtype=np.int64)
        self.units = np.ones(TOKENS, dtype=np.int64)
        self.changes = np.zeros((4, TOKENS), dtype=np.int64)
        self.end = merging.list_places(self.ids, len(ids), self.places, self.start, self.length)

    def merge(self, left, right, new):
        lists = self.places, self.start, self.length, self.end, self.units
        self.end = merging.merge_by_list(self.ids, *lists, left, right, new, self.changes)
        self.units[new] = self.units[left] + self.units[right]

    def shortened(self):
        ids = self.ids.copy()
        return ids[: merging.shorten(ids, len(ids), self.units)].tolist()


@pytest.mark.parametrize(
    ("sequence", "boundaries", "expected"),
    [
        ("", [], [EDGE, EDGE]),
        ("NN", [0, 1, 2], [EDGE, EDGE]),
        ("AN", [], [EDGE, A, EDGE, EDGE]),
        ("ACGT", [], [EDGE, A, C, G, T, EDGE]),
        ("ANNC", [], [EDGE, A, EDGE, C, EDGE]),
        ("NAC", [0, 2, 3], [EDGE, A, EDGE, C, EDGE]),
        ("ANC", [1, 2], [EDGE, A, EDGE, C, EDGE]),
    ],
)
def test_stretches_of_bases_lie_between_edges(sequence, boundaries, expected):
    assert laid_out(sequence, boundaries).tolist() == expected


def test_pairs_are_counted_between_edges():
    counts = np.zeros((9, 9), dtype=np.int64)
    merging.lay_out(encode("AAACNCA"), np.empty(0, dtype=np.int64), np.zeros(9, dtype=np.uint8), counts)
    assert counts[A, A] == 2
    assert counts[A, C] == 1
    assert counts[C, A] == 1
    assert counts.sum() == 4


def test_a_merge_by_scan_says_what_it_changed():
    ids, changes = laid_out("GACACT"), np.zeros((4, TOKENS), dtype=np.int64)
    count = merging.merge_by_scan(ids, len(ids), A, C, 9, changes)
    assert ids[:count].tolist() == [EDGE, G, 9, 9, T, EDGE]
    # The first AC is merged before the second, whose neighbour is then the new token.
    assert changes[0, [G, 9]].tolist() == [-1, -1]
    assert changes[1, [G, 9]].tolist() == [1, 1]
    assert changes[2, [A, T]].tolist() == [-1, -1]
    assert changes[3, [A, T]].tolist() == [1, 1]


def test_a_token_stands_on_its_first_and_last_place():
    lists = Lists(laid_out("GACGT"))
    lists.merge(A, C, 9)
    assert lists.ids.tolist() == [EDGE, G, 9, 9, G, T, EDGE]
    assert lists.length[[A, 9]].tolist() == [0, 1]
    lists.merge(9, G, 10)
    lists.merge(G, 10, 11)
    assert lists.ids[[1, 2, 4]].tolist() == [11, INSIDE, 11]
    assert lists.shortened() == [EDGE, 11, T, EDGE]
    assert lists.places[lists.start[11] : lists.start[11] + lists.length[11]].tolist() == [1]


@settings(deadline=None)
@given(st.text("ACN", max_size=40), st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=3))
def test_lists_merge_as_scanning_does(sequence, pairs):
    ids = laid_out(sequence)
    lists, scanned, count = Lists(ids), ids.copy(), len(ids)
    known = [A, C]
    for new, (left, right) in enumerate(pairs, start=9):
        pair = known[left % len(known)], known[right % len(known)]
        changes = np.zeros((4, TOKENS), dtype=np.int64)
        lists.changes[:] = 0
        count = merging.merge_by_scan(scanned, count, *pair, new, changes)
        lists.merge(*pair, new)
        known.append(new)
        assert lists.shortened() == scanned[:count].tolist()
        np.testing.assert_array_equal(lists.changes, changes)


@settings(deadline=None)
@given(st.text("ACN", max_size=40), st.lists(st.tuples(st.integers(0), st.integers(0)), max_size=3))
def test_counts_and_best_pairs_follow_the_merges(sequence, pairs):
    ids = laid_out(sequence)
    count, counts = len(ids), pairs_of(ids)
    best, highest = np.zeros((2, TOKENS), dtype=np.int64)
    for token in range(TOKENS):
        merging.find_best(counts, best, highest, token, TOKENS)
    known = [A, C]
    for new, (left, right) in enumerate(pairs, start=9):
        pair = known[left % len(known)], known[right % len(known)]
        if not counts[pair]:
            continue
        changes = np.zeros((4, TOKENS), dtype=np.int64)
        count = merging.merge_by_scan(ids, count, *pair, new, changes)
        merging.recount(counts, best, highest, changes, *pair, new)
        known.append(new)
        expected = pairs_of(ids[:count])
        np.testing.assert_array_equal(counts[A:, A:], expected[A:, A:])
        for token in known:
            assert highest[token] == counts[token].max()
            assert not highest[token] or best[token] == counts[token].argmax()

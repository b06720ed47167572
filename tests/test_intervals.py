"""Intervals: merged, measured, lifted into genes of either strand, read from tracks."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes.intervals import (
    check_inside,
    label_loci,
    lift,
    merge,
    read_intervals,
    read_track,
    runs,
    union_length,
)

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12)


def arrays(spans):
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    return starts, starts + np.array([length for _, length in spans], dtype=np.int64)


def pairs(starts, ends):
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def test_merge_joins_overlaps_and_keeps_touching_ones_apart():
    starts, ends = np.array([30, 0, 5, 10, 6]), np.array([35, 6, 10, 12, 8])
    assert pairs(*merge(starts, ends)) == [(0, 10), (10, 12), (30, 35)]


def test_nothing_merges_to_nothing():
    assert pairs(*merge(np.array([]), np.array([]))) == []
    assert union_length(np.array([]), np.array([])) == 0


@given(SPANS)
def test_merged_intervals_cover_the_same_bases_once(spans):
    covered = {base for start, length in spans for base in range(start, start + length)}
    starts, ends = merge(*arrays(spans))
    assert [base for start, end in pairs(starts, ends) for base in range(start, end)] == sorted(covered)
    assert union_length(*arrays(spans)) == len(covered)


def test_loci_number_overlapping_spans_alike():
    starts, ends = np.array([0, 5, 10, 30]), np.array([7, 10, 12, 40])
    assert label_loci(starts, ends).tolist() == [0, 0, 1, 2]


def test_runs_break_where_a_gene_begins():
    mask = np.array([1, 1, 0, 1, 1, 1, 0], dtype=bool)
    assert pairs(*runs(mask, np.array([0, 4, 7]))) == [(0, 2), (3, 4), (4, 6)]


def test_lift_turns_round_on_the_reverse_strand():
    genes = pd.DataFrame({"start": [10, 15], "end": [20, 40], "strand": ["+", "-"]})
    offsets = np.array([0, 10, 35])
    starts, ends = lift(genes, offsets, np.array([0, 12, 18, 39]), np.array([5, 14, 22, 50]))
    # 12-14 is in the first gene; 18-22 in both, clipped in the first; 39-50 begins the second, reversed.
    assert pairs(starts, ends) == [(2, 4), (8, 10), (10, 11), (28, 32)]


@given(SPANS, st.tuples(st.integers(0, 40), st.integers(1, 40)), st.sampled_from("+-"))
def test_lift_agrees_with_counting_base_by_base(spans, gene, strand):
    start, end = gene[0], gene[0] + gene[1]
    inside = np.array([any(s <= base < s + n for s, n in spans) for base in range(start, end)])
    expected = inside if strand == "+" else inside[::-1]
    genes = pd.DataFrame({"start": [start], "end": [end], "strand": [strand]})
    found = np.zeros(end - start, dtype=bool)
    for low, high in pairs(*lift(genes, np.array([0, end - start]), *merge(*arrays(spans)))):
        found[low:high] = True
    assert found.tolist() == expected.tolist()


def test_tracks_are_read_from_bed_and_parquet(tmp_path):
    expected = [("chr1", 5, 9), ("chr1", 20, 30)]
    bed = "track name=x\n# a comment\n1\t5\t9\tAlu\t0\t+\n\nchr2\t1\t2\nchr1\t20\t30\n"
    (tmp_path / "a.bed").write_text(bed)
    (tmp_path / "b.bed.gz").write_bytes(gzip.compress(bed.encode()))
    table = pd.DataFrame({"_labels": ["chr1", "chr2", "1"], "_starts": [5, 1, 20], "_ends": [9, 2, 30]})
    table.to_parquet(tmp_path / "c.parquet")
    for name in ("a.bed", "b.bed.gz", "c.parquet"):
        track = read_track(tmp_path / name, {"chr1"})
        assert list(track.itertuples(index=False, name=None)) == expected


def test_intervals_come_by_line_or_row_and_with_their_name(tmp_path):
    (tmp_path / "a.bed").write_text("# a comment\n1\t5\t9\tAlu\n\nchr2\t1\t2\n")
    table = pd.DataFrame({"_labels": ["19", "chr2"], "_starts": [5, 1], "_ends": [9, 2]}, index=["x", "y"])
    table.to_parquet(tmp_path / "b.parquet")
    assert list(read_intervals(tmp_path / "a.bed").itertuples(name=None)) == [
        (2, "chr1", 5, 9, "Alu"),
        (4, "chr2", 1, 2, ""),
    ]
    assert list(read_intervals(tmp_path / "b.parquet").itertuples(name=None)) == [(1, "chr19", 5, 9), (2, "chr2", 1, 2)]


@pytest.mark.parametrize(("start", "end"), [(7, 11), (6, 5), (-1, 3)])
def test_intervals_past_their_contig_are_refused(start, end):
    rows = [("chr1", 0, 10), ("chr2", 0, 20), ("chr1", start, end)]
    track = pd.DataFrame(rows, columns=["contig", "start", "end"], index=[1, 2, 5])
    genome = {"chr1": np.zeros(10), "chr2": np.zeros(20)}
    check_inside(track[:2], genome, "a.bed")
    message = rf"a.bed, line 5: expected an interval inside chr1, which has 10 bases; found {start} to {end}\. Check"
    with pytest.raises(InputError, match=message):
        check_inside(track, genome, "a.bed")


def test_a_track_is_checked_against_the_sequence_where_that_is_given(tmp_path):
    (tmp_path / "a.bed").write_text("chr2\t0\t99\nchr1\t5\t11\n")
    assert len(read_track(tmp_path / "a.bed", ["chr1"])) == 1
    with pytest.raises(InputError, match=r"a.bed, line 2: expected an interval inside chr1, which has 10 bases"):
        read_track(tmp_path / "a.bed", {"chr1": np.zeros(10)})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.bed",
            b"chr1\t5\tx\n",
            r"a.bed, line 1: expected whole numbers as start and end, found '5' and 'x'",
        ),
        ("a.bed", b"# one\nchr1\t5\n", r"a.bed, line 2: expected whole numbers"),
        ("a.bed", b"chr7\t5\t9\n", r"a.bed: no interval on chr1; found chr7"),
        ("a.bed", gzip.compress(b"chr1\t5\t9\n" * 99, mtime=0)[:-12], r"a.bed: truncated or damaged gzip"),
        ("a.bed.gz", gzip.compress(b"chr1\t5\t9\n" * 99, mtime=0)[:-12], r"a.bed.gz: truncated or damaged gzip"),
        ("a.parquet", b"chr1\t5\t9\n", r"a.parquet: cannot be read as intervals"),
    ],
)
def test_bad_tracks_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_track(tmp_path / name, ["chr1"])

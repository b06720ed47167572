"""Repeats: told by their consensus on either strand, the error measured, UCSC's own classes read."""

import gzip

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnastudy.files import InputError
from dnastudy.genes import encode, fetch, read_fasta, reverse_complement
from dnastudy.genes.intervals import read_track
from dnastudy.genes.repeat_classes import FAMILIES, _align, classification_error, classify_repeats, read_rmsk


@pytest.fixture(scope="module")
def consensus():
    path = fetch("regulation-sample", members=["consensus.fa"])["consensus.fa"]
    return {record.name: record.codes for record in read_fasta(path)}


def lay(*pieces):
    """Pieces in a row, 20 unknown bases between two, and their places."""
    rows, codes = [], [np.full(20, 4, np.uint8)]
    for piece in pieces:
        start = sum(map(len, codes))
        rows.append(("chrA", start, start + len(piece)))
        codes += [piece, np.full(20, 4, np.uint8)]
    return {"chrA": np.concatenate(codes)}, pd.DataFrame(rows, columns=["contig", "start", "end"])


def test_every_family_with_a_class_is_a_consensus(consensus):
    named = [name for names in FAMILIES.values() for name in names.split()]
    assert len(named) == len(set(named)) == 57
    assert set(named) <= set(consensus)
    assert sorted(set(consensus) - set(named)) == "HIR KER MER25 MER35 MER42 MER43 PAB XBR XTR".split()


def test_copies_get_family_class_and_strand(consensus):
    noise = np.random.default_rng(0).integers(0, 4, 200).astype(np.uint8)
    pieces = {
        "Alu": consensus["Alu"][40:240],
        "L1": reverse_complement(consensus["L1"][2000:2600]),
        "THE1": np.concatenate([noise[:50], consensus["THE1"][100:200], noise[50:90]]),
        "ALR": np.tile(reverse_complement(consensus["ALR"]), 3),
        "MER42": consensus["MER42"][:300],
        "": noise,
    }
    genome, intervals = lay(*pieces.values())
    found = classify_repeats(genome, intervals.set_index(np.arange(9, 3, -1)), consensus)
    assert found.index.tolist() == [9, 8, 7, 6, 5, 4]
    assert found["family"].tolist() == list(pieces)
    assert found["klass"].tolist() == ["SINE/Alu", "LINE/L1", "LTR", "satellite", "unclassified", "unclassified"]
    assert found["strand"].tolist() == ["+", "-", "+", "-", "+", "."]


@pytest.mark.parametrize("unit", ["A", "CA", "GGA", "TTTA", "TTAGG", "CCCTAA"])
def test_repeats_of_short_units_are_simple(consensus, unit):
    codes = encode(unit * 10)
    codes[25::30] = (codes[25::30] + 1) % 4
    found = classify_repeats(*lay(codes, encode(unit * 2)), consensus)
    assert found["klass"].tolist() == ["simple", "unclassified"]  # two units alone prove nothing
    assert found["strand"].tolist() == [".", "."]


def test_intervals_that_hold_next_to_nothing(consensus):
    genome, intervals = lay(encode("ACGT"), encode("N" * 50), consensus["Alu"][:100])
    intervals.loc[3] = ("chrA", 5, 5)
    found = classify_repeats(genome, intervals, consensus)
    assert found["klass"].tolist() == ["unclassified", "unclassified", "SINE/Alu", "unclassified"]
    none = classify_repeats(genome, intervals[:0], consensus)
    assert none.columns.tolist() == ["contig", "start", "end", "family", "klass", "strand"]


def test_contigs_do_not_mix(consensus):
    first, rows = lay(consensus["Alu"], consensus["MIR"])
    genome = {"chrA": first["chrA"], "chrB": first["chrA"][::-1].copy()}
    other = rows.assign(contig="chrB")
    found = classify_repeats(genome, pd.concat([other[:1], rows, other[1:]], ignore_index=True), consensus)
    assert found["family"].tolist() == ["", "Alu", "MIR", ""]


def banded(codes, text, low, high, diagonal, width):
    """Smith & Waterman's table, written out."""
    scores = np.zeros((len(codes) + 1, len(text) + 1), dtype=int)
    for i, base in enumerate(codes):
        for j in range(low, high):
            if 0 <= j - i - diagonal < width:
                step = scores[i, j] + (1 if base == text[j] else -1)
                scores[i + 1, j + 1] = max(0, step, scores[i, j + 1] - 2, scores[i + 1, j] - 2)
    return scores.max()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=25),
    st.lists(st.sampled_from([0, 1, 2, 3, 5]), min_size=1, max_size=40),
    st.integers(-30, 40),
    st.integers(1, 17),
    st.data(),
)
@settings(deadline=None)
def test_alignment_is_smith_waterman_within_the_band(codes, text, diagonal, width, data):
    low = data.draw(st.integers(0, len(text) - 1))
    high = data.draw(st.integers(low, len(text)))
    codes, text = np.array(codes, np.uint8), np.array(text, np.uint8)
    found = _align(codes, text, low, high, diagonal, np.full(width + 1, 99))
    assert found == banded(codes, text, low, high, diagonal, width)


def test_the_error_grows_with_divergence_and_names_hardly_any_class_wrong(consensus):
    table = classification_error(consensus, np.array([60, 150, 300]), copies=60, divergences=(0.05, 0.3))
    assert table.columns.tolist() == ["klass", "divergence", "copies", "right", "wrong", "unclassified", "strand"]
    assert table["klass"].unique().tolist() == [*sorted(FAMILIES), "shuffled"]
    assert np.allclose(table[["right", "wrong", "unclassified"]].sum(axis=1)[table["klass"] != "shuffled"], 1)
    near, far = (table[table["divergence"] == share].set_index("klass") for share in (0.05, 0.3))
    assert (near["right"] >= 0.95).all()
    assert (far["right"].drop("shuffled") < near["right"].drop("shuffled")).all()
    assert pd.concat([near, far])["wrong"].max() <= 0.02
    assert near["strand"].drop("shuffled").min() == 1
    assert far["copies"].tolist() == [60] * 7 + [420]


def test_the_error_is_drawn_by_its_seed(consensus):
    first, again, other = (
        classification_error(consensus, np.array([100]), copies=20, divergences=[0.3], seed=seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


RMSK = """\
#bin\tswScore\tmilliDiv\tmilliDel\tmilliIns\tgenoName\tgenoStart\tgenoEnd\tgenoLeft\tstrand\trepName\trepClass\trepFamily\t\
repStart\trepEnd\trepLeft\tid
585\t463\t13\t6\t17\tchr1\t10\t40\t-9\t+\t(TAACCC)n\tSimple_repeat\tSimple_repeat\t1\t471\t0\t1
585\t463\t13\t6\t17\tchr1\t50\t90\t-9\t-\tAluSx\tSINE\tAlu\t1\t471\t0\t2
585\t463\t13\t6\t17\tchr1\t60\t95\t-9\t-\tL2a\tLINE\tL2\t1\t471\t0\t3
585\t463\t13\t6\t17\tchr1\t60\t95\t-9\t+\tMLT1A\tLTR?\tERVL-MaLR?\t1\t471\t0\t4
585\t463\t13\t6\t17\tchr1\t60\t95\t-9\t+\tALR\tSatellite\tcentr\t1\t471\t0\t5
585\t463\t13\t6\t17\tchr1\t60\t95\t-9\t+\tGA-rich\tLow_complexity\tLow_complexity\t1\t471\t0\t6
585\t463\t13\t6\t17\tchr7\t60\t95\t-9\t+\tU6\tsnRNA\tsnRNA\t1\t471\t0\t7
585\t463\t13\t6\t17\tchr8\t60\t95\t-9\t+\tU6\tsnRNA\tsnRNA\t1\t471\t0\t7
"""
GENOME = {"chr1": np.zeros(100, np.uint8), "chr7": np.zeros(95, np.uint8)}


@pytest.mark.parametrize("name", ["rmsk.txt", "rmsk.gz"])
def test_the_table_of_ucsc_is_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(RMSK.encode()) if name.endswith(".gz") else RMSK.partition("\n")[2].encode())
    assert list(read_rmsk(path, GENOME).itertuples(index=False, name=None)) == [
        ("chr1", 10, 40, "(TAACCC)n", "simple", "+"),
        ("chr1", 50, 90, "AluSx", "SINE/Alu", "-"),
        ("chr1", 60, 95, "L2a", "LINE/L2", "-"),
        ("chr1", 60, 95, "MLT1A", "LTR", "+"),
        ("chr1", 60, 95, "ALR", "satellite", "+"),
        ("chr1", 60, 95, "GA-rich", "unclassified", "+"),
        ("chr7", 60, 95, "U6", "RNA", "+"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RMSK.replace("chr7\t60\t95", "chr7\t60\t96"), r"rmsk.txt.gz, line 8: expected an interval inside chr7, .* 95"),
        (RMSK.replace("chr", "scaffold"), r"rmsk.txt.gz: no interval on chr1, chr7; found scaffold1"),
        (
            RMSK.replace("chr1\t10", "chr1\tx"),
            r"rmsk.txt.gz: cannot be read as repeats \(.*x.*\); expected UCSC's table",
        ),
        ("chr1\t5\t9\n", r"rmsk.txt.gz: cannot be read as repeats"),
        (None, r"rmsk.txt.gz: truncated or damaged gzip"),
    ],
)
def test_bad_tables_are_refused(tmp_path, content, message):
    packed = gzip.compress((content or RMSK).encode())
    (tmp_path / "rmsk.txt.gz").write_bytes(packed if content else packed[:-12])
    with pytest.raises(InputError, match=message) as refused:
        read_rmsk(tmp_path / "rmsk.txt.gz", GENOME)
    assert "\n" not in str(refused.value)


@pytest.mark.data
@pytest.mark.slow
def test_real_repeats_get_classes(chromosomes, consensus):
    """Alu's share of chr22 comes near to what is known; most of the old L1 is beyond the one consensus."""
    codes = next(read_fasta(chromosomes["chr22.fa"])).codes
    intervals = read_track(fetch("repeats-hg38")["hg38_repeats.parquet"], {"chr22"})
    found = classify_repeats({"chr22": codes}, intervals, consensus)
    bases = (found["end"] - found["start"]).groupby(found["klass"]).sum() / (codes < 4).sum()
    assert found["klass"].value_counts()["SINE/Alu"] == 22_164
    assert 0.14 < bases["SINE/Alu"] < 0.17
    assert 0.03 < bases["LINE/L1"] < 0.06

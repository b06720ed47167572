"""Motifs: read in JASPAR's forms, weighed, and scored on both strands."""

import numpy as np
import pytest

from dnastudy.files import InputError
from dnastudy.genes import encode, fetch, read_fasta, reverse_complement
from dnastudy.genes.motifs import Motif, log_odds, read_jaspar, scan

PFM = ">MA0001.1 MA0001.1.ABC\n 3.00 0.00 1\n1 4 1\n0 0 1\n0 0 1\n>MA0002.2 RUNX1\n1 2\n3 4\n5 6\n7 8\n"
JASPAR = ">MA0001.1\tABC\nA  [ 3 0 1 ]\nC  [ 1 4 1 ]\nG  [ 0 0 1 ]\nT  [ 0 0 1 ]\n"


def write(folder, content):
    path = folder / "a.pfm"
    path.write_text(content)
    return path


@pytest.mark.parametrize("content", [PFM, JASPAR, f"\n{JASPAR}"])
def test_the_forms_of_jaspar_are_read_alike(tmp_path, content):
    motif = read_jaspar(write(tmp_path, content), "MA0001.1")
    assert (motif.id, motif.name, motif.counts.dtype) == ("MA0001.1", "ABC", np.float64)
    assert motif.counts.tolist() == [[3, 1, 0, 0], [0, 4, 0, 0], [1, 1, 1, 1]]


def test_one_of_several_motifs_is_found(tmp_path):
    assert read_jaspar(write(tmp_path, PFM), "MA0002.2").counts.tolist() == [[1, 3, 5, 7], [2, 4, 6, 8]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PFM.replace("MA0001.1", "MA0001.2"), r"a.pfm: no motif 'MA0001.1'; did you mean 'MA0001.2'"),
        (PFM.replace("1 4 1", "1 4"), r"a.pfm, line 2: expected four lines of counts, of A, C, G and T"),
        (PFM.replace("1 4 1", "1 -4 1"), r"a.pfm, line 2: expected four lines of counts"),
        (JASPAR.replace("G ", "T "), r"a.pfm, line 2: expected four lines of counts"),
        (">MA0001.1\n1 2\n3 4\n", r"a.pfm, line 2: expected four lines of counts.* found '1 2 / 3 4'"),
    ],
)
def test_bad_motifs_are_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read_jaspar(write(tmp_path, content), "MA0001.1")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"b.pfm: cannot be read as motifs"):
        read_jaspar(tmp_path / "b.pfm", "MA0001.1")


def test_log_odds_are_bits_against_the_background():
    motif = Motif("x", "x", np.array([[7.0, 0, 0, 0], [0, 3, 0, 0]]))
    expected = np.log2([[7.25 / 8 / 0.25] + [0.25 / 8 / 0.25] * 3, [0.25, 13 / 4, 0.25, 0.25]])
    assert np.allclose(log_odds(motif), expected)
    shares = np.array([0.5, 0.125, 0.125, 0.25])
    assert log_odds(motif, shares)[0] == pytest.approx(np.log2([7.5 / 8 / 0.5, 1 / 8, 1 / 8, 1 / 8]))


def test_places_are_scored_on_both_strands():
    weights = np.array([[1.0, 0, 0, 0], [0, 10, 0, 0], [0, 0, 100, 0]])  # ACG
    forward, reverse = scan(encode("ACGTNACT"), weights)
    assert (forward.dtype, reverse.dtype) == (np.float32, np.float32)
    assert forward.tolist() == [111, 0, *[-np.inf] * 3, 11]
    assert reverse.tolist() == [0, 111, *[-np.inf] * 3, 1]  # of CGT, ACG, and at last AGT


def test_scores_agree_with_summing_base_by_base():
    rng = np.random.default_rng(0)
    codes, weights = rng.integers(0, 5, 400).astype(np.uint8), rng.normal(size=(7, 4))
    padded = np.column_stack([weights, np.full(7, -np.inf)])
    naive = [sum(padded[place, codes[start + place]] for place in range(7)) for start in range(394)]
    forward, reverse = scan(codes, weights)
    assert np.allclose(forward, naive)
    assert np.allclose(reverse[::-1], scan(reverse_complement(codes), weights)[0], atol=1e-5)


def test_a_sequence_shorter_than_the_motif_has_no_place():
    assert [len(scores) for scores in scan(encode("AC"), np.zeros((3, 4)))] == [0, 0]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(("contig", "bound", "apart"), [("chr19", 0.478, 0.064), ("chr22", 0.451, 0.061)])
def test_the_motif_stands_in_half_of_the_bound_intervals(chromosomes, contig, bound, apart):
    """Share of CTCF intervals with a place of 10 bits, and of intervals 5 kb beside them."""
    from dnastudy.genes import read_tracks

    codes = next(read_fasta(chromosomes[f"{contig}.fa"])).codes
    tracks = read_tracks("regulation-hg38", {contig: codes})
    forward, reverse = scan(codes, log_odds(tracks.motif))
    before = np.r_[0, np.cumsum(np.maximum(forward, reverse) >= 10)]
    starts, ends = tracks.ctcf["start"].to_numpy(), tracks.ctcf["end"].to_numpy() - len(tracks.motif.counts) + 1
    shares = [(before[ends + away] > before[starts + away]).mean() for away in (0, 5000)]
    assert shares == pytest.approx([bound, apart], abs=5e-4)


def test_the_embedded_motif_is_that_of_ctcf():
    motif = read_jaspar(fetch("regulation-sample", members=["motif.pfm"])["motif.pfm"], "MA0139.1")
    assert (motif.name, motif.counts.shape) == ("CTCF", (19, 4))
    assert "".join("ACGT"[base] for base in motif.counts.argmax(axis=1)) == "TGGCCACCAGGGGGCGCTA"
